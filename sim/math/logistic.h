// tanh, sigmoid, silu: quotients of e^x - 1 and e^x + 1.
#pragma once

#include "sim/math/exp.h"

namespace fp4lab::math::detail {

FP4LAB_MATH_INLINE float tanh(float x) noexcept {
  const F64 a = at_most(widen(magnitude(x)), 10.0);  // tanh(10) rounds to 1
  const ExpParts e = exp_parts(2.0 * a);
  const F64 m = e.t * e.p + (e.t - 1.0);  // e^(2a) - 1
  const float y = static_cast<float>((m / (m + 2.0)).v);
  return or_nan(with_sign_of(y, x), is_nan(x));
}

/// 1/(1 + e^-x). For |x| < 1 it is 1/2 plus a small part that is computed on its own: the results
/// for small x lie close to midpoints by construction.
FP4LAB_MATH_INLINE Sum sigmoid_sum(F64 x) noexcept {
  const F64 c = clamp(x, -120.0, 120.0);
  const ExpParts e = exp_parts(c);
  const F64 b = e.t * e.p;
  const F64 m = b + (e.t - 1.0);  // e^x - 1
  const bool small = (c.v > -1.0) & (c.v < 1.0);
  const F64 q = select(small, 0.5 * m, e.t + b) / (2.0 + m);
  return {select(small, F64{0.5}, q), select(small, q, F64{0.0})};
}

FP4LAB_MATH_INLINE float sigmoid(float x) noexcept {
  return or_nan(round_once(sigmoid_sum(widen(x))), is_nan(x));
}

FP4LAB_MATH_INLINE float silu(float x) noexcept {
  const F64 wide = at_least(widen(x), -120.0);  // x*e^x has vanished by then
  const Sum s = sigmoid_sum(wide);
  const float y = round_once({wide * s.hi, wide * s.lo});  // where both count, x/2 is exact
  return or_nan(select((x == 0.0f) | (x == kFloatInf), x, y), is_nan(x));
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// Hyperbolic tangent. tanh(+-0) = +-0, tanh(+-Inf) = +-1.
FP4LAB_HD inline constexpr float tanh(float x) noexcept { return detail::tanh(x); }
/// 1/(1 + e^-x). sigmoid(-Inf) = +0, sigmoid(+-0) = 1/2.
FP4LAB_HD inline constexpr float sigmoid(float x) noexcept { return detail::sigmoid(x); }
/// x * sigmoid(x), rounded once. silu(+-0) = +-0, silu(-Inf) = -0, the limit.
FP4LAB_HD inline constexpr float silu(float x) noexcept { return detail::silu(x); }

}  // namespace fp4lab::math
