// Average pooling of images [items, height, width, channels].
//
// A mean is fl(sum / count): the sum has the shape of sim/reduce.h with the window's positions,
// row-major, as its terms; the division is in binary64. Backward: dx = fl(dy / count) at every
// position of the window, 0 where no window lies.
#pragma once

#include "sim/nn/module.h"

namespace fp4lab::nn {

/// The mean over all positions: [items, ..., channels] -> [items, channels].
class GlobalAveragePool final : public Module {
 public:
  /// Throws std::invalid_argument below rank 2 and for images without positions.
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;

 private:
  Shape shape_;
};

/// Means over size x size windows side by side: [items, h, w, c] -> [items, h / size, w / size, c],
/// rows and columns beyond the last whole window dropped.
class AveragePool2d final : public Module {
 public:
  /// `size` > 0, else std::invalid_argument.
  explicit AveragePool2d(std::size_t size);
  /// Throws std::invalid_argument unless x has rank 4.
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;

 private:
  std::size_t size_;
  Shape shape_;
};

}  // namespace fp4lab::nn
