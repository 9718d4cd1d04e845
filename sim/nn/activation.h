// Activation functions over arrays, and as layers.
#pragma once

#include <span>

#include "sim/nn/activation_body.h"
#include "sim/nn/module.h"

namespace fp4lab::nn {

/// y[i] = f(x[i]). y may be x itself. Sizes are equal.
void activate(Activation kind, std::span<const float> x, std::span<float> y);
/// The same with slope[i] = f'(x[i]), for little more than f alone: they share their exponential.
/// y or slope may be x itself.
void activate(Activation kind, std::span<const float> x, std::span<float> y,
              std::span<float> slope);
/// dx[i] = fl(dy[i] f'(x[i])). dx may be dy itself. Sizes are equal.
void activate_backward(Activation kind, std::span<const float> x, std::span<const float> dy,
                       std::span<float> dx);
/// dx[i] = fl(dy[i] slope[i]): the same from the slope. dx may be either. Sizes are equal.
void activate_backward(std::span<const float> slope, std::span<const float> dy,
                       std::span<float> dx);

/// For blocks of layers: y = f(x). In training x becomes the slope, which is what the backward
/// needs. y has x's shape already.
void activate(const StepContext& ctx, Activation kind, Tensor& x, Tensor& y);

/// y = f(x), element by element; keeps the slope.
class ActivationLayer final : public Module {
 public:
  explicit ActivationLayer(Activation kind) : kind_(kind) {}
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;

 private:
  Activation kind_;
  Tensor slope_;
};

/// y[i] = fl(a[i] + b[i]), NaN canonical: residual connections. y may be a or b. Sizes are equal.
void add(std::span<const float> a, std::span<const float> b, std::span<float> y);

}  // namespace fp4lab::nn
