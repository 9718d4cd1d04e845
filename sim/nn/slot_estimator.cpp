// The estimators' part of a slot: learned clips, scales and offsets, noise, and the backward pass.
#include <algorithm>
#include <cmath>

#include "formats/block_quantize.h"
#include "formats/decision_table.h"
#include "sim/nn/slot_quantizer.h"
#include "sim/quantize_plan.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

/// v and q of every element of the stored matrix that was cut into blocks.
template <class F>
void for_each_scaled(const QuantizedTensor& q, std::span<const float> stored, F&& f) {
  const BlockGrid& grid = q.grid;
  const std::size_t per_row = global_scopes_per_row(q.spec, grid);
  float value[256];
  const bool clamp = q.spec.rule == ScaleRule::absmax;
  const float top = static_cast<float>(max_value(q.spec.element));
  const float bottom = static_cast<float>(min_value(q.spec.element));
  for (std::uint32_t c = 0; c < 256; ++c) {
    value[c] = c < q.spec.element.code_count() ? decode(q.spec.element, c) : canonical_nan();
  }
#pragma omp parallel for schedule(static) if (stored.size() > 16384)
  for (std::size_t r = 0; r < grid.rows; ++r) {
    for (std::size_t j = 0; j < grid.grid_cols; ++j) {
      const std::size_t c0 = j * grid.block_cols, c1 = std::min(grid.cols, c0 + grid.block_cols);
      float s =
          q.spec.scale.kind == ScaleFormat::Kind::none
              ? 1.0f
              : scale_from_code(q.spec, q.scale_codes[r / grid.block_rows * grid.grid_cols + j])
                    .decode;
      if (!q.global.empty()) {
        const bool rows = q.spec.global == GlobalScope::row;
        const bool spans = q.spec.global == GlobalScope::row_block128;
        s = mul_rn(s, q.global[rows ? r : spans ? r * per_row + c0 / 128 : 0]);
      }
      for (std::size_t c = c0; c < c1; ++c) {
        const std::size_t i = r * grid.cols + c;
        float v = s == 0.0f ? 0.0f : div_rn(stored[i], s);
        if (clamp) v = v > top ? top : v < bottom ? bottom : v;
        f(i, v, value[q.codes[i]]);
      }
    }
  }
}

float largest_step(const std::vector<float>& grid) {
  float widest = 0.0f;
  for (std::size_t i = 0; i + 1 < grid.size(); ++i)
    widest = std::max(widest, grid[i + 1] - grid[i]);
  return widest;
}

}  // namespace

/// A learned clip or scale as the forward uses it: never 0 or below.
float SlotQuantizer::learned(const Param& p) const noexcept {
  return p.value[0] > kFloatMinNormal ? p.value[0] : kFloatMinNormal;
}

void SlotQuantizer::collect(std::vector<Param*>& out) {
  if (!scale_.value.empty()) out.push_back(&scale_);
  if (!offset_.value.empty()) out.push_back(&offset_);
  if (hook_) hook_->collect(out);
}

bool SlotQuantizer::has_backward() const noexcept {
  const EstimatorKind kind = config_.estimator.kind;
  return quantizes() && kind != EstimatorKind::ste && kind != EstimatorKind::diffq;
}

void SlotQuantizer::clip_to_learned(std::span<const float> x) {
  scale_used_ = learned(scale_);
  scratch_.resize({x.size()});
  for (std::size_t i = 0; i < x.size(); ++i) {
    scratch_[i] = x[i] < 0.0f ? 0.0f : x[i] > scale_used_ ? scale_used_ : x[i];
  }
}

void SlotQuantizer::init_scale(const StepContext& ctx, std::span<const float> x) {
  if (scale_.value[0] != 0.0f || x.empty()) {
    scale_used_ = learned(scale_);
    offset_used_ = offset_.value.empty() ? 0.0f : offset_.value[0];
    return;
  }
  const double n = static_cast<double>(x.size());
  const double top = static_cast<double>(grid_.back());
  const double bottom = static_cast<double>(grid_.front());
  float scale, offset = 0.0f;
  if (config_.estimator.kind == EstimatorKind::lsq) {
    const double mean =
        sum_terms(x.size(), [&](std::size_t i) { return static_cast<double>(abs_bits(x[i])); }) / n;
    scale = static_cast<float>(2.0 * mean / std::sqrt(top));
  } else {
    // The grid covers mean +- 3 standard deviations.
    const double mean = sum(x) / n;
    const double variance = std::max(0.0, sum_squares(x) / n - mean * mean);
    const double reach = 3.0 * std::sqrt(variance);
    const double step = 2.0 * reach / (top - bottom);
    scale = static_cast<float>(step);
    offset = static_cast<float>(mean - reach - step * bottom);
  }
  // Kept from the first training batch on; an evaluation before it decides nothing.
  if (ctx.training) {
    scale_.value[0] = scale;
    if (!offset_.value.empty()) offset_.value[0] = offset;
  }
  scale_used_ = scale > kFloatMinNormal ? scale : kFloatMinNormal;
  offset_used_ = offset;
}

void SlotQuantizer::add_offset(SlotOperand& out) {
  out.simulated_ = true;
  out.plain_.resize({out.rows_, out.cols_});
  dequantize_into(out.codes_, out.plain_.span());
  for (float& y : out.plain_.span()) y = add_rn(y, offset_used_);
  out.data_ = out.plain_.data();
}

void SlotQuantizer::add_noise(const StepContext& ctx, std::span<const float> x, SlotOperand& out) {
  RandomStream stream = ctx.stream(layer_, slot_number(slot_), RandomPurpose::noise);
  if (holds_weight(slot_)) stream.microbatch = 0;
  const std::size_t group = config_.estimator.diffq_group, n = x.size();
  const float levels = static_cast<float>((1u << config_.spec.element.bits) - 1u);
  out.simulated_ = true;
  out.plain_.resize({out.rows_, out.cols_});
  float* y = out.plain_.data();
#pragma omp parallel for schedule(static) if (n > 16384)
  for (std::size_t first = 0; first < n; first += group) {
    const std::size_t last = std::min(n, first + group);
    float low = x[first], high = x[first];
    for (std::size_t i = first; i < last; ++i) {
      low = x[i] < low || is_nan(x[i]) ? x[i] : low;
      high = x[i] > high || is_nan(x[i]) ? x[i] : high;
    }
    const float step = div_rn(sub_rn(high, low), levels);
    for (std::size_t i = first; i < last; ++i) {
      const float u = mul_rn(static_cast<float>(stream.slot(i, 32) >> 8), 0x1p-24f);
      y[i] = add_rn(x[i], mul_rn(step, sub_rn(u, 0.5f)));
    }
  }
  out.data_ = y;
}

void SlotQuantizer::backward_pact(std::span<const float> x, std::span<float> g) {
  const double total = sum_terms(x.size(), [&](std::size_t i) {
    return x[i] >= scale_used_ ? static_cast<double>(g[i]) : 0.0;
  });
  scale_.grad[0] = add_rn(scale_.grad[0], round_sum(total));
  for (std::size_t i = 0; i < x.size(); ++i) g[i] = mul_rn(g[i], pact_factor(x[i], scale_used_));
}

void SlotQuantizer::learn_scale(const EstimatorPlan& plan, const SlotOperand& made,
                                std::span<const float> stored, std::span<const float> g) {
  const QuantizedTensor& q = made.codes_;
  const double n = static_cast<double>(stored.size());
  const float grad_scale = static_cast<float>(1.0 / std::sqrt(n * static_cast<double>(plan.qmax)));
  const auto scaled = [&](std::size_t i) { return div_rn(stored[i], scale_used_); };
  const double slope = sum_terms(stored.size(), [&](std::size_t i) {
    const float at = decode(q.spec.element, q.codes[i]);
    return static_cast<double>(g[i]) * static_cast<double>(lsq_scale_slope(plan, scaled(i), at));
  });
  scale_.grad[0] = add_rn(scale_.grad[0], mul_rn(grad_scale, round_sum(slope)));
  if (offset_.value.empty()) return;
  const double outside = sum_terms(stored.size(), [&](std::size_t i) {
    const float v = scaled(i);
    return v > plan.qmin && v < plan.qmax ? 0.0 : static_cast<double>(g[i]);
  });
  offset_.grad[0] = add_rn(offset_.grad[0], mul_rn(grad_scale, round_sum(outside)));
}

void SlotQuantizer::backward(const StepContext& ctx, const SlotInput& in, const SlotOperand& made,
                             std::span<float> g) {
  if (in.off || !has_backward() || !made.quantized() || g.empty()) return;
  if (config_.estimator.kind == EstimatorKind::pact) {
    backward_pact(in.x, g);
    return;
  }
  // Under a Hadamard the derivative is taken between the transform and its inverse.
  Tensor stored, gradient;
  std::span<const float> x = in.x;
  std::span<float> y = g;
  if (in.rotation.size != 0) {
    rotate(in.rotation, x.data(), in.rows, in.cols, made.over_rows_, stored);
    rotate(in.rotation, g.data(), in.rows, in.cols, made.over_rows_, gradient);
    x = stored.span();
    y = gradient.span();
  } else if (config_.estimator.kind == EstimatorKind::lsq_plus) {
    stored.resize({in.rows, in.cols});
    for (std::size_t i = 0; i < x.size(); ++i) stored[i] = sub_rn(x[i], offset_used_);
    x = stored.span();
  }
  const EstimatorPlan plan = plan_estimator(config_.estimator, grid_.front(), grid_.back(),
                                            largest_step(grid_), ctx.progress);
  if (!scale_.value.empty()) learn_scale(plan, made, x, y);
  const int n = static_cast<int>(grid_.size());
  for_each_scaled(made.codes_, x, [&](std::size_t i, float v, float q) {
    y[i] = mul_rn(y[i], estimator_factor(plan, grid_interval(grid_.data(), n, v), v, q, y[i]));
  });
  if (in.rotation.size != 0) {
    rotate_back(in.rotation, gradient, in.rows, in.cols, made.over_rows_, g.data());
  }
}

}  // namespace fp4lab::nn
