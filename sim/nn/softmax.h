// Softmax over rows.
//
//   m = largest of the row,  d = fl(x - m),  e = exp(d) correctly rounded,
//   s = sum of e (sim/reduce.h),  p = fl(e / fl(s)),  log of the sum = log1p(fl(s - 1)):
// the largest element contributes exactly 1 to s, so a confident row keeps its small loss.
// A row with a NaN or +Inf, or of -Inf alone, becomes NaN.
#pragma once

#include <span>

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

/// p = softmax of each row of `columns` numbers. p may be x.
void softmax_rows(std::span<const float> x, std::size_t columns, std::span<float> p);

/// The same, keeping what losses need: shifted = d, log_sum[row]. `shifted` may be x, not p.
void softmax_rows(std::span<const float> x, std::size_t columns, std::span<float> shifted,
                  std::span<float> p, std::span<float> log_sum);

/// dx from dp = d(loss)/dp. dx may be dp or p.
void softmax_rows_backward(std::span<const float> p, std::span<const float> dp, std::size_t columns,
                           std::span<float> dx);

}  // namespace fp4lab::nn
