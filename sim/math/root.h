// sqrt, rsqrt.
#pragma once

#include "sim/math/f64.h"

namespace fp4lab::math::detail {

/// Binary64 has more than twice the bits of binary32 and two to spare: rounding the root in both
/// gives the root rounded once.
FP4LAB_HD __attribute__((always_inline)) inline float sqrt(float x) noexcept {
  const float y = static_cast<float>(sqrt_rn(widen(magnitude(x))).v);
  return or_nan(select(x == 0.0f, x, y), !(x >= 0.0f));
}

FP4LAB_HD __attribute__((always_inline)) inline float rsqrt(float x) noexcept {
  const float y = static_cast<float>((1.0 / sqrt_rn(widen(magnitude(x)))).v);
  return or_nan(select(x == 0.0f, with_sign_of(kFloatInf, x), y), !(x >= 0.0f));
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// Square root. sqrt(-0) = -0, NaN below 0.
FP4LAB_HD inline float sqrt(float x) noexcept { return detail::sqrt(x); }
/// 1/sqrt(x), rounded once. rsqrt(+-0) = +-Inf (IEEE 754 rSqrt), rsqrt(+Inf) = +0, NaN below 0.
FP4LAB_HD inline float rsqrt(float x) noexcept { return detail::rsqrt(x); }

}  // namespace fp4lab::math
