// Convolution of images [items, height, width, channels] as a linear layer over patches.
//
// A patch lists the pixels under the kernel row by row, all channels of a pixel together: element
// ((ky * kernel + kx) * channels + c), which is also the order of the weight's columns and of the
// contraction that quantization blocks run along. Patches are the rows of the operand X, in the
// order of the output's positions; pixels outside the image are +0. So a 1x32 block spans 32
// channels of one pixel where channels divide by 32, and a 1x1 convolution of stride 1 is a Linear
// over pixels, to the bit.
//
// Backward: dx of a pixel is the sum of its entries in the patches' gradients over kernel rows,
// then kernel columns, in ascending order, binary32 from +0.
#pragma once

#include <cstddef>
#include <string>

#include "sim/nn/linear.h"

namespace fp4lab::nn {

struct Conv2dOptions {
  std::size_t kernel = 3, stride = 1, padding = 1;
  bool bias = false;
  double init_std = -1.0;  ///< negative: 1 / sqrt(channels kernel^2)
};

class Conv2d final : public Linear {
 public:
  /// Throws std::invalid_argument for a kernel or stride of 0, and as Linear does.
  Conv2d(BuildContext& build, const std::string& name, Role role, int block, std::size_t channels,
         std::size_t filters, const Conv2dOptions& options = {});

  /// x [items, h, w, channels] -> y [items, h', w', filters], h' = (h + 2 padding - kernel) /
  /// stride
  /// + 1. Throws std::invalid_argument for other ranks or channels, and images smaller than the
  /// kernel.
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void backward_weights(const StepContext& ctx, const Tensor& dy) override;

  std::size_t kernel() const noexcept { return options_.kernel; }

 private:
  struct Extents {
    std::size_t items = 0, height = 0, width = 0, out_height = 0, out_width = 0;
    std::size_t positions() const noexcept { return items * out_height * out_width; }
  };
  /// True where x itself is the matrix of patches.
  bool is_pointwise() const noexcept {
    return options_.kernel == 1 && options_.stride == 1 && options_.padding == 0;
  }
  void gather(const Tensor& x);
  void scatter(Tensor& dx) const;

  Conv2dOptions options_;
  std::size_t channels_;
  Extents e_;
  Tensor patches_;  ///< of the forward, then gradients of the backward
};

}  // namespace fp4lab::nn
