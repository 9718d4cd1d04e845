// Activation functions and their derivatives, one element at a time, for host and device.
//
// Forward: the correctly rounded functions of sim/math.h. Backward: dx = fl(dy * f'(x)), where
// f'(x) is evaluated in binary64, in the order of operations written here and nowhere else, and
// rounded once. (Its error is below 0.501 ulp; no step of it depends on a library or on fused
// operations.)
#pragma once

#include <cstdint>

#include "sim/fma.h"
#include "sim/math.h"

namespace fp4lab::nn {

enum class Activation : std::uint8_t { relu, gelu, silu, tanh, sigmoid };

/// max(x, 0); -0 gives +0.
FP4LAB_MATH_INLINE float relu(float x) noexcept {
  return math::detail::or_nan(math::detail::select(x > 0.0f, x, 0.0f), is_nan(x));
}
/// 1 above 0, else 0.
FP4LAB_MATH_INLINE float relu_derivative(float x) noexcept {
  return math::detail::or_nan(math::detail::select(x > 0.0f, 1.0f, 0.0f), is_nan(x));
}

/// Phi(x) + x phi(x), the normal distribution function and its density.
FP4LAB_MATH_INLINE float gelu_derivative(float x) noexcept {
  using namespace math::detail;
  const F64 a = at_most(widen(magnitude(x)), 15.0);  // beyond, it has reached 0 or 1
  const F64 w = a * a;
  const ExpParts e = exp_parts(-0.5 * w);
  const F64 bell = e.t + e.t * e.p;                     // e^(-a a / 2)
  const F64 slope = a * (bell * 0x1.9884533d43651p-2);  // a phi(a)
  const F64 b = at_least(a, 0.5);
  const F64 below = bell * scaled_tail(b) / b;  // Phi(-a)
  // Phi(a) - 1/2 for small a: the series of the density, integrated.
  const F64 near = a * horner(w, 0x1.9884533d4365p-2, -0x1.1058377e2ce0ap-4, 0x1.46d042975e3e5p-7,
                              -0x1.37403f67c9739p-10, 0x1.e42b0bdf86ecdp-14, -0x1.3ce8d19b356b7p-17,
                              0x1.6584790ac04aep-21, -0x1.61a57ccb5bb96p-25, 0x1.31dd3949bcf46p-29,
                              -0x1.8b76a0a55f37dp-34);
  const bool is_near = a.v < 0.75, negative = x < 0.0f;
  const F64 up = select(is_near, 0.5 + near, 1.0 - below) + slope;
  const F64 down = select(is_near, 0.5 - near, below) - slope;
  return or_nan(static_cast<float>(select(negative, down, up).v), is_nan(x));
}

/// s (1 + x (1 - s)) with s = sigmoid(x) in binary64, from the parts that silu itself is made of.
FP4LAB_MATH_INLINE float silu_derivative(float x) noexcept {
  using namespace math::detail;
  const F64 wide = at_least(widen(x), -120.0);
  const Sum parts = sigmoid_sum(wide);
  const F64 s = parts.hi + parts.lo;
  const F64 c = at_most(wide, 120.0);  // beyond, it has reached 0 or 1
  return or_nan(static_cast<float>((s * (1.0 + c * (1.0 - s))).v), is_nan(x));
}

/// 1 - tanh(x)^2 = 4 E / (E + 1)^2 with E = e^(2|x|).
FP4LAB_MATH_INLINE float tanh_derivative(float x) noexcept {
  using namespace math::detail;
  const F64 a = at_most(widen(magnitude(x)), 60.0);
  const ExpParts e = exp_parts(2.0 * a);
  const F64 t = e.t + e.t * e.p, u = t + 1.0;
  return or_nan(static_cast<float>(((4.0 * t) / (u * u)).v), is_nan(x));
}

/// s (1 - s) = E / (E + 1)^2 with E = e^|x|.
FP4LAB_MATH_INLINE float sigmoid_derivative(float x) noexcept {
  using namespace math::detail;
  const F64 a = at_most(widen(magnitude(x)), 120.0);
  const ExpParts e = exp_parts(a);
  const F64 t = e.t + e.t * e.p, u = t + 1.0;
  return or_nan(static_cast<float>((t / (u * u)).v), is_nan(x));
}

/// f(x).
template <Activation kKind>
FP4LAB_MATH_INLINE float activate(float x) noexcept {
  if constexpr (kKind == Activation::relu) return relu(x);
  if constexpr (kKind == Activation::gelu) return math::detail::gelu(x);
  if constexpr (kKind == Activation::silu) return math::detail::silu(x);
  if constexpr (kKind == Activation::tanh) return math::detail::tanh(x);
  if constexpr (kKind == Activation::sigmoid) return math::detail::sigmoid(x);
}
/// f'(x).
template <Activation kKind>
FP4LAB_MATH_INLINE float activation_derivative(float x) noexcept {
  if constexpr (kKind == Activation::relu) return relu_derivative(x);
  if constexpr (kKind == Activation::gelu) return gelu_derivative(x);
  if constexpr (kKind == Activation::silu) return silu_derivative(x);
  if constexpr (kKind == Activation::tanh) return tanh_derivative(x);
  if constexpr (kKind == Activation::sigmoid) return sigmoid_derivative(x);
}
/// dx = fl(dy slope), slope = f'(x).
FP4LAB_MATH_INLINE float activation_backward(float slope, float dy) noexcept {
  return canonical(mul_rn(dy, slope));
}

}  // namespace fp4lab::nn
