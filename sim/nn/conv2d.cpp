#include "sim/nn/conv2d.h"

#include <algorithm>
#include <stdexcept>

#include "formats/host_device.h"

namespace fp4lab::nn {
namespace {

/// The weight's columns; refuses what has none.
std::size_t patch_size(const std::string& name, std::size_t channels, const Conv2dOptions& o) {
  if (o.kernel == 0 || o.stride == 0) {
    throw std::invalid_argument("layer " + name + ": kernel and stride are at least 1");
  }
  return channels * o.kernel * o.kernel;
}

LinearOptions linear_options(const Conv2dOptions& o) { return {o.bias, o.init_std}; }

/// The image row or column that kernel place `k` of output place `o` reads; false outside.
bool source(std::size_t o, std::size_t k, const Conv2dOptions& options, std::size_t extent,
            std::size_t& at) {
  const std::size_t shifted = o * options.stride + k;
  if (shifted < options.padding || shifted - options.padding >= extent) return false;
  at = shifted - options.padding;
  return true;
}

/// The output place whose kernel place `k` reads image place `at`; false where there is none.
bool reader(std::size_t at, std::size_t k, const Conv2dOptions& options, std::size_t out_extent,
            std::size_t& o) {
  const std::size_t shifted = at + options.padding;
  if (shifted < k || (shifted - k) % options.stride != 0) return false;
  o = (shifted - k) / options.stride;
  return o < out_extent;
}

}  // namespace

Conv2d::Conv2d(BuildContext& build, const std::string& name, Role role, int block,
               std::size_t channels, std::size_t filters, const Conv2dOptions& options)
    : Linear(build, name, role, block, patch_size(name, channels, options), filters,
             linear_options(options)),
      options_(options),
      channels_(channels) {}

void Conv2d::gather(const Tensor& x) {
  const std::size_t k = options_.kernel, c = channels_, width = k * k * c;
  patches_.resize({e_.positions(), width});
  const std::size_t lines = e_.items * e_.out_height;
#pragma omp parallel for schedule(static) if (patches_.size() > 16384)
  for (std::size_t line = 0; line < lines; ++line) {
    const std::size_t item = line / e_.out_height, oy = line % e_.out_height;
    float* to = patches_.data() + line * e_.out_width * width;
    for (std::size_t ox = 0; ox < e_.out_width; ++ox) {
      for (std::size_t ky = 0; ky < k; ++ky) {
        for (std::size_t kx = 0; kx < k; ++kx, to += c) {
          std::size_t y = 0, xx = 0;
          if (source(oy, ky, options_, e_.height, y) && source(ox, kx, options_, e_.width, xx)) {
            std::copy_n(x.data() + ((item * e_.height + y) * e_.width + xx) * c, c, to);
          } else {
            std::fill_n(to, c, 0.0f);
          }
        }
      }
    }
  }
}

void Conv2d::scatter(Tensor& dx) const {
  const std::size_t k = options_.kernel, c = channels_, width = k * k * c;
  const std::size_t lines = e_.items * e_.height;
#pragma omp parallel for schedule(static) if (dx.size() > 16384)
  for (std::size_t line = 0; line < lines; ++line) {
    const std::size_t item = line / e_.height, y = line % e_.height;
    for (std::size_t x = 0; x < e_.width; ++x) {
      float* to = dx.data() + (line * e_.width + x) * c;
      std::fill_n(to, c, 0.0f);
      for (std::size_t ky = 0; ky < k; ++ky) {
        std::size_t oy = 0, ox = 0;
        if (!reader(y, ky, options_, e_.out_height, oy)) continue;
        for (std::size_t kx = 0; kx < k; ++kx) {
          if (!reader(x, kx, options_, e_.out_width, ox)) continue;
          const float* from = patches_.data() +
                              ((item * e_.out_height + oy) * e_.out_width + ox) * width +
                              (ky * k + kx) * c;
          for (std::size_t i = 0; i < c; ++i) to[i] = add_rn(to[i], from[i]);
        }
      }
    }
  }
}

void Conv2d::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  const std::size_t k = options_.kernel, pad = 2 * options_.padding;
  if (x.rank() != 4 || x.extent(3) != channels_ || x.extent(1) + pad < k || x.extent(2) + pad < k) {
    std::string shape;
    for (const std::size_t n : x.shape()) shape += (shape.empty() ? "" : ", ") + std::to_string(n);
    throw std::invalid_argument("layer " + name() + ": an input of shape [" + shape +
                                "] where [items, height, width, " + std::to_string(channels_) +
                                "] of at least the kernel's size is needed");
  }
  e_ = {x.extent(0), x.extent(1), x.extent(2), (x.extent(1) + pad - k) / options_.stride + 1,
        (x.extent(2) + pad - k) / options_.stride + 1};
  y.resize({e_.items, e_.out_height, e_.out_width, out()});
  if (is_pointwise()) {
    forward_matrix(ctx, x.span(), e_.positions(), y.data());
    return;
  }
  gather(x);
  forward_matrix(ctx, patches_.span(), e_.positions(), y.data());
}

void Conv2d::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  dx.resize({e_.items, e_.height, e_.width, channels_});
  if (is_pointwise()) {
    backward_matrix(ctx, dy.span(), e_.positions(), dx.data());
    return;
  }
  patches_.resize({e_.positions(), in()});
  backward_matrix(ctx, dy.span(), e_.positions(), patches_.data());
  scatter(dx);
}

void Conv2d::backward_weights(const StepContext& ctx, const Tensor& dy) {
  backward_matrix(ctx, dy.span(), e_.positions(), nullptr);
}

}  // namespace fp4lab::nn
