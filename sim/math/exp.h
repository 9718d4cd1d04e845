// exp, exp2, expm1: a power of two times 1 + p.
#pragma once

#include "sim/math/f64.h"

namespace fp4lab::math::detail {

/// e^x = t * (1 + p), t a power of two, |p| < 0.42.
struct ExpParts {
  F64 t, p;
};

/// x in [-700, 700]. p has a relative error below 2^-52.
FP4LAB_MATH_INLINE ExpParts exp_parts(F64 x) noexcept {
  const Integer n = round_to_integer(x * 0x1.71547652b82fep+0);
  // ln 2 in two pieces; the first product and difference are exact.
  const F64 r = (x - n.k * 0x1.62e42fefa3800p-1) - n.k * 0x1.ef35793c76730p-45;
  const F64 c = horner(r, 0x1p-1, 0x1.555555555553ep-3, 0x1.5555555553b09p-5, 0x1.1111111118cfep-7,
                       0x1.6c16c17a0082cp-10, 0x1.a01a0171b519fp-13, 0x1.a019b3963603p-16,
                       0x1.71de975a5fa9p-19, 0x1.28976d79d2e8ep-22, 0x1.ae493ffdecdf6p-26);
  return {n.pow2(), r + r * r * c};
}

// Beyond the clamps the result is constant. Overflow, underflow and subnormal results come from
// the conversion to binary32.
inline constexpr double kExpLow = -104, kExpHigh = 89;

FP4LAB_MATH_INLINE float exp(float x) noexcept {
  const ExpParts e = exp_parts(clamp(widen(x), kExpLow, kExpHigh));
  return or_nan(round_twice({e.t, e.t * e.p}), is_nan(x));
}

FP4LAB_MATH_INLINE float expm1(float x) noexcept {
  const ExpParts e = exp_parts(clamp(widen(x), kExpLow, kExpHigh));
  const float y = round_twice({e.t - 1.0, e.t * e.p});
  return or_nan(select(x == 0.0f, x, y), is_nan(x));
}

/// 2^t - 1 for |t| <= 1/2.
FP4LAB_MATH_INLINE F64 exp2_minus_1(F64 t) noexcept {
  return t * horner(t, 0x1.62e42fefa39efp-1, 0x1.ebfbdff82c58ep-3, 0x1.c6b08d704a1d1p-5,
                    0x1.3b2ab6fba51a1p-7, 0x1.5d87fe7875275p-10, 0x1.430912f75554fp-13,
                    0x1.ffcbfd443c0fcp-17, 0x1.62c0272e79206p-20, 0x1.b5233dce62411p-24,
                    0x1.e4bb7f222dc58p-28, 0x1.ec5e95af6d055p-32, 0x1.e0fcb4f3866bep-36);
}

FP4LAB_MATH_INLINE float exp2(float x) noexcept {
  const F64 c = clamp(widen(x), -151, 129);
  const Integer n = round_to_integer(c);
  const F64 t = n.pow2();
  return or_nan(round_once({t, t * exp2_minus_1(c - n.k)}), is_nan(x));
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// e^x. exp(+-0) = 1, exp(-Inf) = +0.
FP4LAB_HD inline constexpr float exp(float x) noexcept { return detail::exp(x); }
/// 2^x. exp2(+-0) = 1, exp2(-Inf) = +0.
FP4LAB_HD inline constexpr float exp2(float x) noexcept { return detail::exp2(x); }
/// e^x - 1. expm1(+-0) = +-0, expm1(-Inf) = -1.
FP4LAB_HD inline constexpr float expm1(float x) noexcept { return detail::expm1(x); }

}  // namespace fp4lab::math
