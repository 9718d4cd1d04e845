// The element-wise steps of softmax and of the losses on it, for host and device (softmax.h has the
// whole).
#pragma once

#include "sim/fma.h"
#include "sim/math.h"
#include "sim/reduce.h"

namespace fp4lab::nn {

/// e of one element.
FP4LAB_MATH_INLINE float softmax_weight(float x, float largest) noexcept {
  return math::detail::exp(sub_rn(x, largest));
}
/// p of one element.
FP4LAB_MATH_INLINE float softmax_share(float weight, float sum) noexcept {
  return canonical(div_rn(weight, sum));
}
/// dx = fl(p fl(dp - c)), c = fl(sum of dp p over the row).
FP4LAB_MATH_INLINE float softmax_backward(float p, float dp, float c) noexcept {
  return canonical(mul_rn(p, sub_rn(dp, c)));
}
/// log of the sum of a row's e.
FP4LAB_HD inline float softmax_log_sum(double s) noexcept {
  return math::log1p(round_sum(s - 1.0));
}
/// fl(k fl(a - b)): the gradient of a loss from a prediction and what it should have been.
FP4LAB_HD constexpr float scaled_difference(float k, float a, float b) noexcept {
  return canonical(mul_rn(k, sub_rn(a, b)));
}

}  // namespace fp4lab::nn
