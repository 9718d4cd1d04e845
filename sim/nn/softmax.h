// Softmax over rows.
//
//   m = largest of the row,  d = fl(x - m),  e = exp(d) correctly rounded,
//   s = sum of e (sim/reduce.h),  p = fl(e / fl(s)),  log of the sum = log1p(fl(s - 1)):
// the largest element contributes exactly 1 to s, so a confident row keeps its small loss.
// A row with a NaN or +Inf, or of -Inf alone, becomes NaN.
#pragma once

#include <span>

#include "sim/nn/softmax_body.h"

namespace fp4lab::nn {

/// p = softmax of each row of `columns` numbers. p may be x.
void softmax_rows(std::span<const float> x, std::size_t columns, std::span<float> p);

/// The same, keeping what losses need: shifted = d, log_sum[row]. `shifted` may be x, not p.
void softmax_rows(std::span<const float> x, std::size_t columns, std::span<float> shifted,
                  std::span<float> p, std::span<float> log_sum);

/// dx from dp = d(loss)/dp. dx may be dp or p.
void softmax_rows_backward(std::span<const float> p, std::span<const float> dp, std::size_t columns,
                           std::span<float> dx);

}  // namespace fp4lab::nn
