// Engines of plans: instructions, promotion, split-K.
#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "sim/fma.h"
#include "sim/gemm_engine.h"

namespace fp4lab::detail {
namespace {

/// Split-K, promotion and the chain itself.
class Plan final : public DotEngine {
 public:
  Plan(const GemmOperand& a, const GemmOperand& b, std::unique_ptr<DotEngine> inner,
       const GemmPlan& plan, std::size_t unit)
      : DotEngine(a, b), inner_(std::move(inner)), plan_(plan), unit_(unit) {}
  bool starts_at_c() const override {
    return plan_.promote_every == 0 && plan_.split_k == 1 && inner_->starts_at_c();
  }
  std::string type_name() const override { return starts_at_c() ? inner_->type_name() : "fp32"; }
  bool hardware() const override { return inner_->hardware(); }
  const MmaPreset* preset() const override { return inner_->preset(); }
  bool scales_in_epilogue(bool of_a) const override { return inner_->scales_in_epilogue(of_a); }

  bool range_product(std::size_t k0, std::size_t k1, float* y) const override {
    if (plan_.split_k == 1) return part_product(k0, k1, y);
    if (plan_.reduce != ReduceOrder::ascending) return false;
    const std::size_t n = a_.rows() * b_.rows(), length = part_length(k0, k1);
    std::vector<float> part(n), sum(n);
    for (std::size_t at = k0; at < k1; at += length) {
      std::fill(part.begin(), part.end(), 0.0f);
      if (!part_product(at, std::min(k1, at + length), part.data())) return false;
      for (std::size_t o = 0; o < n; ++o) sum[o] = at == k0 ? part[o] : add_rn(sum[o], part[o]);
    }
    std::copy(sum.begin(), sum.end(), y);
    return true;
  }
  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
            Trace* trace) const override {
    if (plan_.split_k == 1) return part(i, j, k0, k1, start, trace);
    const std::size_t length = part_length(k0, k1);
    std::vector<float> parts;
    for (std::size_t at = k0; at < k1; at += length) {
      parts.push_back(part(i, j, at, std::min(k1, at + length), 0.0f, trace));
    }
    if (parts.empty()) return 0.0f;
    if (plan_.reduce == ReduceOrder::ascending) {
      for (std::size_t n = 1; n < parts.size(); ++n) parts[0] = add_rn(parts[0], parts[n]);
    }
    while (plan_.reduce == ReduceOrder::pairwise && parts.size() > 1) {
      const std::size_t half = parts.size() / 2, odd = parts.size() % 2;
      for (std::size_t n = 0; n < half; ++n) parts[n] = add_rn(parts[2 * n], parts[2 * n + 1]);
      if (odd != 0) parts[half] = parts.back();
      parts.resize(half + odd);
    }
    if (trace != nullptr) {
      TraceStep step;
      step.title = "sum of the split-K parts";
      step.rounding = plan_.reduce == ReduceOrder::ascending ? "ascending" : "pairwise";
      step.result = parts[0];
      trace->steps.push_back(std::move(step));
    }
    return parts[0];
  }

 private:
  /// k of a split-K part: whole units, as even as they get.
  std::size_t part_length(std::size_t k0, std::size_t k1) const {
    const auto p = static_cast<std::size_t>(plan_.split_k);
    return unit_ * ((k1 - k0 + p * unit_ - 1) / (p * unit_));
  }
  /// part() for all outputs.
  bool part_product(std::size_t k0, std::size_t k1, float* y) const {
    if (plan_.promote_every == 0) return inner_->range_product(k0, k1, y);
    const std::size_t rows = a_.rows(), cols = b_.rows();
    const auto n = static_cast<std::size_t>(plan_.promote_every);
    const bool scaled = plan_.op == PromoteOp::fma_scale;
    std::vector<float> partial(rows * cols), sum(rows * cols);
    for (std::size_t at = k0; at < k1; at += n) {
      std::fill(partial.begin(), partial.end(), 0.0f);
      if (!inner_->range_product(at, std::min(k1, at + n), partial.data())) return false;
#pragma omp parallel for schedule(static) if (sum.size() > 16384)
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          const std::size_t o = i * cols + j;
          sum[o] = scaled ? fma_rn(mul_rn(a_.scale(i, at), b_.scale(j, at)), partial[o], sum[o])
                          : add_rn(partial[o], sum[o]);
        }
      }
    }
    std::copy(sum.begin(), sum.end(), y);
    return true;
  }
  float part(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
             Trace* trace) const {
    if (plan_.promote_every == 0) return inner_->dot(i, j, k0, k1, start, trace);
    const auto n = static_cast<std::size_t>(plan_.promote_every);
    float y = 0.0f;
    for (std::size_t at = k0; at < k1; at += n) {
      const std::size_t end = std::min(k1, at + n);
      const float partial = inner_->dot(i, j, at, end, 0.0f, trace);
      const bool scaled = plan_.op == PromoteOp::fma_scale;
      const float s = scaled ? mul_rn(a_.scale(i, at), b_.scale(j, at)) : 1.0f;
      y = scaled ? fma_rn(s, partial, y) : add_rn(partial, y);
      if (trace != nullptr) {
        TraceStep step;
        step.title = "promotion of k=" + std::to_string(at) + ".." + std::to_string(end - 1);
        step.note = "partial = " + exact_text(static_cast<double>(partial));
        if (scaled) step.note += ", fl(sA sB) = " + exact_text(static_cast<double>(s));
        step.rounding = scaled ? "y = fma(fl(sA sB), partial, y)" : "y = fl(partial + y)";
        step.result = y;
        trace->steps.push_back(std::move(step));
      }
    }
    return y;
  }

  std::unique_ptr<DotEngine> inner_;
  GemmPlan plan_;
  std::size_t unit_;
};

MmaOperandType operand_type(const GemmOperand& o, bool scales_at_promotion) {
  MmaOperandType t;
  if (o.one_format()) t.type = ptx_type(o.format());
  if (o.scale_run() != 0 && !scales_at_promotion) {
    t.scale = ptx_scale(o);
    t.scale_block = o.scale_run();
  }
  return t;
}

const MmaPreset& pick(const GemmOperand& a, const GemmOperand& b, const Accumulator& acc) {
  const GemmPlan& plan = acc.plan;
  const bool at_promotion = plan.op == PromoteOp::fma_scale;
  if (const MmaPreset* p = find_preset(plan.instruction)) {
    for (const auto& [type, operand, which] :
         {std::tuple(p->a, &a, "A"), std::tuple(p->b, &b, "B")}) {
      const std::string why = mismatch(*p, type, *operand, which, at_promotion);
      if (!why.empty()) throw std::invalid_argument(to_string(acc) + ": " + why);
    }
    return *p;
  }
  const MmaPreset* p =
      choose_preset(plan.instruction, operand_type(a, at_promotion), operand_type(b, at_promotion));
  if (p == nullptr || (plan.instruction_k != 0 && p->params.k != plan.instruction_k)) {
    throw std::invalid_argument(
        to_string(acc) + ": no instruction for A in " + format_text(a) + " with " + scale_text(a) +
        " and B in " + format_text(b) + " with " + scale_text(b) +
        (plan.instruction_k != 0 ? "; it needs e4m3 or e5m2 on both sides" : ""));
  }
  return *p;
}

}  // namespace

std::unique_ptr<DotEngine> make_plan_engine(const GemmOperand& a, const GemmOperand& b,
                                            const Accumulator& acc, const EngineContext& context) {
  const GemmPlan& plan = acc.plan;
  const bool preset_like =
      find_preset(plan.instruction) != nullptr || !canonical_prefix(plan.instruction).empty();
  if (!preset_like) {
    auto inner = make_engine(a, b, parse_accumulator(plan.instruction), context);
    return std::make_unique<Plan>(a, b, std::move(inner), plan, 1);
  }
  const MmaPreset& preset = pick(a, b, acc);
  const auto block = static_cast<std::size_t>(preset.params.scale_block);
  const auto every = static_cast<std::size_t>(plan.promote_every);
  if (every != 0 && block != 0 && every % block != 0) {
    throw std::invalid_argument(to_string(acc) + ": promotion every " + std::to_string(every) +
                                " cuts the instruction's scale blocks of " + std::to_string(block));
  }
  const bool at_promotion = plan.op == PromoteOp::fma_scale;
  if (at_promotion) {
    for (const GemmOperand* o : {&a, &b}) {
      if (o->scale_run() % every != 0) {
        throw std::invalid_argument(to_string(acc) + ": " + scale_text(*o) +
                                    " change inside a promotion interval of " +
                                    std::to_string(every));
      }
    }
  }
  auto inner =
      make_instruction_engine(a, b, preset, plan.zero_set ? &plan.zero : nullptr, at_promotion);
  const std::size_t unit = every != 0 ? every : static_cast<std::size_t>(preset.params.k);
  return std::make_unique<Plan>(a, b, std::move(inner), plan, unit);
}

std::unique_ptr<DotEngine> make_engine(const GemmOperand& a, const GemmOperand& b,
                                       const Accumulator& acc, const EngineContext& context) {
  if (acc.kind == AccumulatorKind::plan) return make_plan_engine(a, b, acc, context);
  return make_reference_engine(a, b, acc, context);
}

}  // namespace fp4lab::detail
