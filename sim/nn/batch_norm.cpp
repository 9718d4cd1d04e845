#include "sim/nn/batch_norm.h"

#include <stdexcept>

#include "sim/math.h"
#include "sim/nn/norm.h"
#include "sim/nn/norm_body.h"
#include "sim/nn/row_tiles.h"
#include "sim/reduce.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/nn/batch_norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fp4lab::nn::HWY_NAMESPACE {

void SubtractRow(const float* x, const float* row, std::size_t rows, std::size_t n, float* out) {
  for (std::size_t at = 0; at < rows * n; at += n) {
    for (std::size_t i = 0; i < n; ++i) out[at + i] = x[at + i] - row[i];
  }
}

/// h = fl(h r), y = fl(fl(h gain) + bias). h and y may be the same.
void ScaleRows(const float* r, const float* gain, const float* bias, std::size_t rows,
               std::size_t n, float* h, float* y) {
  for (std::size_t at = 0; at < rows * n; at += n) {
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = norm_scaled(h[at + i], r[i]);
      h[at + i] = scaled;
      y[at + i] = layer_norm_out(scaled, gain[i], bias[i]);
    }
  }
}

void BatchNormDx(const float* dy, const float* h, const float* a, const float* b, const float* k,
                 std::size_t rows, std::size_t n, float* dx) {
  for (std::size_t at = 0; at < rows * n; at += n) {
    for (std::size_t i = 0; i < n; ++i) {
      dx[at + i] = layer_norm_dx(dy[at + i], h[at + i], a[i], b[i], k[i]);
    }
  }
}

}  // namespace fp4lab::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::nn {

HWY_EXPORT(SubtractRow);
HWY_EXPORT(ScaleRows);
HWY_EXPORT(BatchNormDx);

BatchNorm::BatchNorm(BuildContext& build, const std::string& name, int block, std::size_t channels,
                     double eps, double momentum)
    : gain(vector_param(build.add(name, Role::norm, block), "gain", channels, 1.0f)),
      bias(vector_param(build.layers.back(), "bias", channels, 0.0f)),
      running_mean({channels}),
      running_var({channels}),
      name_(name),
      eps_(static_cast<float>(eps)),
      momentum_(static_cast<float>(momentum)) {
  running_var.fill(1.0f);
}

void BatchNorm::state(std::vector<std::pair<std::string, Tensor*>>& out) {
  out.emplace_back(name_ + ".running_mean", &running_mean);
  out.emplace_back(name_ + ".running_var", &running_var);
}

void BatchNorm::record(Tensor& running, const Tensor& batch) {
  if (reestimating_ && batches_ == 1) {  // what was there leaves no trace, not even a NaN
    running = batch;
    return;
  }
  const float k = static_cast<float>(batches_);
  for (std::size_t c = 0; c < running.size(); ++c) {
    running[c] = canonical(reestimating_ ? running[c] + (batch[c] - running[c]) / k
                                         : (1.0f - momentum_) * running[c] + momentum_ * batch[c]);
  }
}

void BatchNorm::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  const std::size_t channels = gain.value.size(), rows = x.rows();
  if (x.cols() != channels) {
    throw std::invalid_argument(name_ + ": " + std::to_string(x.cols()) + " channels; it has " +
                                std::to_string(channels));
  }
  y.resize(x.shape());
  if (x.empty()) return;
  Tensor& h = ctx.training ? h_ : y;
  h.resize(x.shape());
  r_.resize({channels});
  Tensor mean = running_mean, var = running_var;
  std::vector<double> sums(channels);
  const double n = static_cast<double>(rows);
  if (ctx.training) {
    column_sums(x.span(), channels, sums);
    for (std::size_t c = 0; c < channels; ++c) mean[c] = round_sum(sums[c] / n);
  }
  in_row_tiles(rows, channels, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * channels;
    HWY_DYNAMIC_DISPATCH(SubtractRow)
    (x.data() + at, mean.data(), count, channels, h.data() + at);
  });
  if (ctx.training) {
    column_sums_of_products(h.span(), h.span(), channels, sums);
    ++batches_;
    record(running_mean, mean);
    for (std::size_t c = 0; c < channels; ++c) var[c] = round_sum(sums[c] / (rows > 1 ? n - 1 : 1));
    record(running_var, var);
    for (std::size_t c = 0; c < channels; ++c) var[c] = round_sum(sums[c] / n);
  }
  for (std::size_t c = 0; c < channels; ++c) r_[c] = math::rsqrt(var[c] + eps_);
  in_row_tiles(rows, channels, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * channels;
    HWY_DYNAMIC_DISPATCH(ScaleRows)
    (r_.data(), gain.value.data(), bias.value.data(), count, channels, h.data() + at,
     y.data() + at);
  });
}

void BatchNorm::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  const std::size_t channels = gain.value.size(), rows = dy.rows();
  dx.resize(dy.shape());
  if (dy.empty()) return;
  std::vector<double> sum_dy(channels), sum_dy_h(channels);
  column_sums(dy.span(), channels, sum_dy);
  column_sums_of_products(dy.span(), h_.span(), channels, sum_dy_h);
  add_rounded(sum_dy_h, gain.grad.span());
  add_rounded(sum_dy, bias.grad.span());
  Tensor a({channels}), b({channels}), k({channels});
  const double n = static_cast<double>(rows);
  for (std::size_t c = 0; c < channels; ++c) {
    a[c] = round_sum(sum_dy[c] / n);
    b[c] = round_sum(sum_dy_h[c] / n);
    k[c] = gain.value[c] * r_[c];
  }
  in_row_tiles(rows, channels, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * channels;
    HWY_DYNAMIC_DISPATCH(BatchNormDx)
    (dy.data() + at, h_.data() + at, a.data(), b.data(), k.data(), count, channels, dx.data() + at);
  });
}

}  // namespace fp4lab::nn
#endif  // HWY_ONCE
