// Products and roundings over whole arrays, one binary32 rounding an element.
#pragma once

#include <span>

namespace fp4lab::nn {

/// z[i] = fl(x[i] y[i]), NaN canonical; z may be x or y. Sizes are equal.
void multiply(std::span<const float> x, std::span<const float> y, std::span<float> z);
/// y[i] = softplus(x[i]) = fl(max(x, 0) + log1p(exp(-|x|))), the functions correctly rounded.
void softplus(std::span<const float> x, std::span<float> y);
/// dx[i] = fl(dy[i] sigmoid(x[i])); dx may be dy.
void softplus_backward(std::span<const float> x, std::span<const float> dy, std::span<float> dx);
/// y[i] = x[i] rounded to the nearest bf16, ties to even; y may be x. Sizes are equal.
void round_to_bf16(std::span<const float> x, std::span<float> y);

}  // namespace fp4lab::nn
