// erf and gelu: polynomials near 0, beyond that the scaled tail of the normal distribution.
#pragma once

#include "sim/math/exp.h"

namespace fp4lab::math::detail {

/// a * Phi(-a) * e^(a*a/2) for a in [0.74, 14.6], relative error of the polynomial 2^-55.4.
FP4LAB_MATH_INLINE F64 scaled_tail(F64 a) noexcept {
  const F64 t = (a - 5.0) / (a + 5.0);
  return horner(t, 0x1.89d3abe1f95aep-2, 0x1.a9353f7be5cafp-5, -0x1.5c51455904954p-4,
                0x1.74451e8002c74p-4, -0x1.30277951e9514p-4, 0x1.88d03ff15fecfp-5,
                -0x1.8bdde01f12951p-6, 0x1.23a9b3213003bp-7, -0x1.f0ed1c65b0ceep-10,
                -0x1.09423793e75bcp-13, 0x1.fd1b9ed3e109ap-13, -0x1.c9c29c27195dbp-15,
                -0x1.157ffa170221bp-16, 0x1.5aabba7fb3676p-17, 0x1.449bad6b3ed1ep-21,
                -0x1.a1a23e8705a9fp-20, 0x1.9e4cd67b8e1a7p-25, 0x1.059fa76957d12p-22,
                -0x1.a62399bb1eebbp-28, -0x1.5a248810af2c5p-25, -0x1.27c24ed9339a8p-27);
}

FP4LAB_MATH_INLINE float erf(float x) noexcept {
  const F64 a = at_most(widen(magnitude(x)), 4.0);  // erf(4) rounds to 1
  const F64 z = a * a;                              // exact
  const F64 near = a * horner(z, 0x1.20dd750429b6dp0, -0x1.812746b0379c6p-2, 0x1.ce2f21a0419bcp-4,
                              -0x1.b82ce3123d8f8p-6, 0x1.565bcd0375a6p-8, -0x1.c02db20420436p-11,
                              0x1.f9a2ea8dd341fp-14, -0x1.f4cd82241942ep-17, 0x1.b9a2db123f17cp-20,
                              -0x1.5cf38b9b045bbp-23, 0x1.de1ec5497c3dp-27, -0x1.c29c68b6af424p-31);
  // erfc(a) = sqrt(2) * e^(-a*a) * scaled_tail(sqrt(2)*a) / a
  const F64 b = at_least(a, 0.5);
  const ExpParts e = exp_parts(-z);
  const F64 far =
      1.0 - (e.t + e.t * e.p) * 0x1.6a09e667f3bcdp+0 * scaled_tail(0x1.6a09e667f3bcdp+0 * b) / b;
  const float y = static_cast<float>(select(a.v < 0.875, near, far).v);
  return or_nan(with_sign_of(y, x), is_nan(x));
}

FP4LAB_MATH_INLINE float gelu(float x) noexcept {
  const F64 wide = widen(x);
  const F64 a = at_most(widen(magnitude(x)), 15.0);  // beyond, a*Phi(-a) vanishes in any result
  const F64 w = a * a;                               // exact
  const F64 near = w * horner(w, 0x1.9884533d4365p-2, -0x1.1058377e2ce0ap-4, 0x1.46d042975e3e5p-7,
                              -0x1.37403f67c9739p-10, 0x1.e42b0bdf86ecdp-14, -0x1.3ce8d19b356b7p-17,
                              0x1.6584790ac04aep-21, -0x1.61a57ccb5bb96p-25, 0x1.31dd3949bcf46p-29,
                              -0x1.8b76a0a55f37dp-34);
  const ExpParts e = exp_parts(-0.5 * w);
  const F64 tail = (e.t + e.t * e.p) * scaled_tail(at_least(a, 0.5));
  const bool is_near = a.v < 0.75, negative = x < 0.0f;
  const F64 far_hi = select(negative, -tail, wide), far_lo = select(negative, F64{0.0}, -tail);
  const float y = round_once({select(is_near, 0.5 * wide, far_hi), select(is_near, near, far_lo)});
  return or_nan(select((x == 0.0f) | (x == kFloatInf), x, y), is_nan(x));
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// The error function. erf(+-0) = +-0, erf(+-Inf) = +-1.
FP4LAB_HD inline constexpr float erf(float x) noexcept { return detail::erf(x); }
/// x * Phi(x), Phi the normal distribution function (the erf form), rounded once.
/// gelu(+-0) = +-0, gelu(-Inf) = -0, the limit.
FP4LAB_HD inline constexpr float gelu(float x) noexcept { return detail::gelu(x); }

}  // namespace fp4lab::math
