// Losses: forward to a binary64 mean, backward to the gradient of scale * loss.
//
// Sums over a row and over rows have the shape of sim/reduce.h; the mean is one binary64 division.
// The factor k = fl(scale / count) enters each gradient by one binary32 product, so a power of two
// in `scale` passes through exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/nn/model.h"

namespace fp4lab::nn {

/// Mean over counted rows of -sum over c of q[c] log softmax(logits)[c], q = 1 at the row's target,
/// or with label smoothing e over C classes 1 - e + e/C at the target and e/C elsewhere.
/// A row's loss is log_sum - d[target], d and log_sum as in softmax.h, or with smoothing
/// log_sum - ((1 - e) d[target] + (e / C) sum of d), in binary64.
class SoftmaxCrossEntropy {
 public:
  /// `smoothing` in [0, 1].
  explicit SoftmaxCrossEntropy(double smoothing = 0) : smoothing_(smoothing) {}

  /// logits [rows, C], one target a row: 0 ... C - 1, or -1 for a row that does not count. No row
  /// counted gives loss 0. `correct` counts rows whose first largest logit is the target's. Throws
  /// std::invalid_argument for other targets or sizes that differ.
  LossResult forward(const StepContext& ctx, const Tensor& logits,
                     std::span<const std::int32_t> targets);
  /// dlogits = fl(k fl(p - q)), k = fl(scale / counted), q rounded to binary32; rows that do not
  /// count get +0.
  void backward(float scale, Tensor& dlogits) const;
  /// softmax(logits) of the last forward, [rows, C].
  const Tensor& probabilities() const noexcept { return p_; }

 private:
  double smoothing_;
  std::uint64_t counted_ = 0;
  Tensor shifted_, p_, log_sum_;
  std::vector<std::int32_t> targets_;
};

/// Mean over all elements of (y - t)^2, with d = fl(y - t).
class MeanSquaredError {
 public:
  /// Sizes are equal, else std::invalid_argument. No elements give 0.
  double forward(const Tensor& y, const Tensor& target);
  /// dy = fl(k d), k = fl(2 scale / count).
  void backward(float scale, Tensor& dy) const;

 private:
  Tensor d_;
};

/// Mean over rows of KL(p || q), p = softmax(teacher), q = softmax(logits): the loss of
/// distillation. A term is p ((d_teacher - log_sum_teacher) - (d - log_sum)) in binary64, 0 where p
/// = 0.
class KlDivergence {
 public:
  /// Shapes are equal, else std::invalid_argument. No rows give 0.
  double forward(const Tensor& logits, const Tensor& teacher);
  /// Gradient with respect to the logits: fl(k fl(q - p)), k = fl(scale / rows).
  void backward(float scale, Tensor& dlogits) const;

 private:
  Tensor p_, q_, shifted_p_, shifted_q_, log_sum_p_, log_sum_q_;
};

/// out[i] = fl(k fl(a[i] - b[i])), NaN canonical. out may be a or b. Sizes are equal.
void scaled_difference(float k, std::span<const float> a, std::span<const float> b,
                       std::span<float> out);

}  // namespace fp4lab::nn
