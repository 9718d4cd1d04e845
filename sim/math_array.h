// The functions of sim/math.h over arrays: the same bits at the speed of the widest instruction set
// that the processor has, chosen at run time.
#pragma once

#include <span>

namespace fp4lab::math {

/// y[i] = f(x[i]) for every element of x, with the bits of the scalar function.
/// y must have at least x's size and may be x itself, but must not overlap it otherwise.
void exp(std::span<const float> x, std::span<float> y);
void exp2(std::span<const float> x, std::span<float> y);
void expm1(std::span<const float> x, std::span<float> y);
void log(std::span<const float> x, std::span<float> y);
void log2(std::span<const float> x, std::span<float> y);
void log1p(std::span<const float> x, std::span<float> y);
void tanh(std::span<const float> x, std::span<float> y);
void erf(std::span<const float> x, std::span<float> y);
void sigmoid(std::span<const float> x, std::span<float> y);
void silu(std::span<const float> x, std::span<float> y);
void gelu(std::span<const float> x, std::span<float> y);
void rsqrt(std::span<const float> x, std::span<float> y);
void sqrt(std::span<const float> x, std::span<float> y);
void sin(std::span<const float> x, std::span<float> y);
void cos(std::span<const float> x, std::span<float> y);

/// z[i] = x[i]^y[i], or x[i]^y, with the bits of the scalar function. Sizes and overlap as above;
/// z may also be y.
void pow(std::span<const float> x, std::span<const float> y, std::span<float> z);
void pow(std::span<const float> x, float y, std::span<float> z);

}  // namespace fp4lab::math
