#include "sim/nn/loss.h"

#include <stdexcept>
#include <string>

#include "sim/fma.h"
#include "sim/nn/row_tiles.h"
#include "sim/nn/softmax.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

void check_same_shape(const char* what, const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) {
    throw std::invalid_argument(std::string(what) + ": " + std::to_string(a.size()) + " and " +
                                std::to_string(b.size()) + " numbers; both must have one shape");
  }
}

float factor(double scale, double count) { return count == 0 ? 0.0f : round_sum(scale / count); }

}  // namespace

void scaled_difference(float k, std::span<const float> a, std::span<const float> b,
                       std::span<float> out) {
  in_chunks(a.size(), [&](std::size_t at, std::size_t n) {
    for (std::size_t i = at; i < at + n; ++i) out[i] = scaled_difference(k, a[i], b[i]);
  });
}

LossResult SoftmaxCrossEntropy::forward(const StepContext&, const Tensor& logits,
                                        std::span<const std::int32_t> targets) {
  const std::size_t rows = logits.rows(), columns = logits.cols();
  if (targets.size() != rows) {
    throw std::invalid_argument("cross-entropy: " + std::to_string(targets.size()) +
                                " targets for " + std::to_string(rows) + " rows of logits");
  }
  for (const std::int32_t t : targets) {
    if (t < -1 || t >= static_cast<std::int64_t>(columns)) {
      throw std::invalid_argument("cross-entropy: target " + std::to_string(t) +
                                  "; it must be -1 " + "(not counted) or one of 0 ... " +
                                  std::to_string(columns) + " - 1");
    }
  }
  targets_.assign(targets.begin(), targets.end());
  shifted_.resize(logits.shape());
  p_.resize(logits.shape());
  log_sum_.resize({rows});
  softmax_rows(logits.span(), columns, shifted_.span(), p_.span(), log_sum_.span());

  std::vector<double> row_loss(rows, 0.0);
  LossResult result;
  const double even = smoothing_ / static_cast<double>(columns);
  for (std::size_t r = 0; r < rows; ++r) {
    if (targets[r] < 0) continue;
    const auto target = static_cast<std::size_t>(targets[r]);
    const std::span<const float> d = shifted_.row(r);
    double expected = d[target];
    if (smoothing_ != 0) expected = (1.0 - smoothing_) * expected + even * sum(d);
    row_loss[r] = static_cast<double>(log_sum_[r]) - expected;
    ++result.counted;
    // The largest has d = 0. A row that became NaN hits nothing.
    if (d[target] == 0.0f && !is_nan(log_sum_[r])) {
      std::size_t first = 0;
      while (d[first] != 0.0f) ++first;
      if (first == target) ++result.correct;
    }
  }
  counted_ = result.counted;
  if (counted_ != 0) {
    result.loss =
        canonical_f64(sum(std::span<const double>(row_loss)) / static_cast<double>(counted_));
  }
  return result;
}

void SoftmaxCrossEntropy::backward(float scale, Tensor& dlogits) const {
  const std::size_t columns = p_.cols();
  const float k = factor(scale, static_cast<double>(counted_));
  const double even = smoothing_ / static_cast<double>(columns);
  const float off = round_sum(even), on = round_sum(1.0 - smoothing_ + even);
  dlogits.resize(p_.shape());
  in_row_tiles(p_.rows(), columns, [&](std::size_t first, std::size_t rows) {
    for (std::size_t r = first; r < first + rows; ++r) {
      const std::span<const float> p = p_.row(r);
      const std::span<float> g = dlogits.row(r);
      if (targets_[r] < 0) {
        std::fill(g.begin(), g.end(), 0.0f);
        continue;
      }
      for (std::size_t c = 0; c < columns; ++c) g[c] = scaled_difference(k, p[c], off);
      const auto target = static_cast<std::size_t>(targets_[r]);
      g[target] = scaled_difference(k, p[target], on);
    }
  });
}

double MeanSquaredError::forward(const Tensor& y, const Tensor& target) {
  check_same_shape("mean squared error", y, target);
  d_.resize(y.shape());
  scaled_difference(1.0f, y.span(), target.span(), d_.span());
  return y.empty() ? 0.0 : canonical_f64(sum_squares(d_.span()) / static_cast<double>(y.size()));
}

void MeanSquaredError::backward(float scale, Tensor& dy) const {
  const float k = factor(2.0 * static_cast<double>(scale), static_cast<double>(d_.size()));
  dy.resize(d_.shape());
  in_chunks(d_.size(), [&](std::size_t at, std::size_t n) {
    for (std::size_t i = at; i < at + n; ++i) dy[i] = canonical(k * d_[i]);
  });
}

double KlDivergence::forward(const Tensor& logits, const Tensor& teacher) {
  check_same_shape("KL divergence", logits, teacher);
  const std::size_t rows = logits.rows(), columns = logits.cols();
  for (Tensor* t : {&p_, &q_, &shifted_p_, &shifted_q_}) t->resize(logits.shape());
  log_sum_p_.resize({rows});
  log_sum_q_.resize({rows});
  softmax_rows(teacher.span(), columns, shifted_p_.span(), p_.span(), log_sum_p_.span());
  softmax_rows(logits.span(), columns, shifted_q_.span(), q_.span(), log_sum_q_.span());
  std::vector<double> row_loss(rows);
  in_row_tiles(rows, columns, [&](std::size_t first, std::size_t count) {
    for (std::size_t r = first; r < first + count; ++r) {
      const std::span<const float> p = p_.row(r), dp = shifted_p_.row(r), dq = shifted_q_.row(r);
      const double lp = log_sum_p_[r], lq = log_sum_q_[r];
      row_loss[r] = sum_terms(columns, [&](std::size_t c) {
        return p[c] == 0.0f ? 0.0 : double{p[c]} * ((double{dp[c]} - lp) - (double{dq[c]} - lq));
      });
    }
  });
  if (rows == 0) return 0.0;
  return canonical_f64(sum(std::span<const double>(row_loss)) / static_cast<double>(rows));
}

void KlDivergence::backward(float scale, Tensor& dlogits) const {
  dlogits.resize(q_.shape());
  scaled_difference(factor(scale, static_cast<double>(q_.rows())), q_.span(), p_.span(),
                    dlogits.span());
}

}  // namespace fp4lab::nn
