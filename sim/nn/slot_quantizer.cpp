#include "sim/nn/slot_quantizer.h"

#include <algorithm>
#include <stdexcept>

#include "formats/block_quantize.h"
#include "formats/choose_scale.h"
#include "formats/decision_table.h"
#include "formats/spec_text.h"
#include "sim/nn/elementwise.h"
#include "sim/quantize_plan.h"

namespace fp4lab::nn {
namespace {

/// delayed_amax <- (1 - kDelay) amax + kDelay delayed_amax (LUQ's in-hindsight maximum).
constexpr float kDelay = 0.1f;

[[noreturn]] void refuse(Slot slot, const char* key, const std::string& what) {
  throw std::invalid_argument(std::string("slots.") + slot_name(slot) + "." + key + ": " + what);
}

/// Quantizing the transposed copy is needed where turning the blocks does not say the same thing.
bool needs_turned_copy(const QuantSpec& spec, int hadamard) {
  return spec.global == GlobalScope::row || spec.global == GlobalScope::row_block128 ||
         spec.scheme == Scheme::hif4 || (hadamard != 0 && !runs_along_rows(turned(spec)));
}

void transpose(const float* x, std::size_t rows, std::size_t cols, float* out) {
  constexpr std::size_t kTile = 32;
#pragma omp parallel for schedule(static) if (rows * cols > 16384)
  for (std::size_t c0 = 0; c0 < cols; c0 += kTile) {
    for (std::size_t r0 = 0; r0 < rows; r0 += kTile) {
      for (std::size_t c = c0; c < std::min(cols, c0 + kTile); ++c) {
        for (std::size_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
          out[c * rows + r] = x[r * cols + c];
        }
      }
    }
  }
}

float finite_tensor_amax(std::span<const float> x) {
  std::uint32_t best = 0;
  for (const float v : x) {
    const std::uint32_t a = bits_as<std::uint32_t>(v) & 0x7FFFFFFFu;
    if (a < 0x7F800000u) best = std::max(best, a);
  }
  return bits_as<float>(best);
}

/// Share of blocks whose Four Over Six chose 4, by choosing again.
double share_of_four(const QuantizedTensor& q, std::span<const float> stored) {
  if (q.spec.rule != ScaleRule::four_over_six || q.grid.blocks() == 0) return -1;
  std::uint64_t four = 0;
  QuantSpec spec = q.spec;
  spec.hadamard = 0;
  for (std::size_t n = 0; n < q.grid.blocks(); ++n) {
    const std::size_t r0 = n / q.grid.grid_cols * q.grid.block_rows;
    const std::size_t c0 = n % q.grid.grid_cols * q.grid.block_cols;
    BlockView v;
    v.data = stored.data();
    v.offset = r0 * q.grid.cols + c0;
    v.rows = static_cast<std::uint32_t>(std::min(q.grid.block_rows, q.grid.rows - r0));
    v.cols = static_cast<std::uint32_t>(std::min(q.grid.block_cols, q.grid.cols - c0));
    v.row_stride = q.grid.cols;
    GlobalFactor g;
    if (spec.global == GlobalScope::tensor) g = global_factor(spec, finite_tensor_amax(stored));
    four += choose_scale(spec, g, v).choice == 1 ? 1u : 0u;
  }
  return static_cast<double>(four) / static_cast<double>(q.grid.blocks());
}

bool bad_source(Slot slot, SlotSource source) {
  switch (source) {
    case SlotSource::master:
    case SlotSource::none:
      return false;
    case SlotSource::shared2d:
      return shared_slot(slot) == slot;
    case SlotSource::requant:
    case SlotSource::dequant:
      return slot != Slot::q4 && slot != Slot::q6;
  }
  return true;
}

/// An estimator that its slot's spec cannot serve is refused.
void check_estimator(Slot slot, const SlotConfig& c) {
  const EstimatorKind kind = c.estimator.kind;
  if (kind == EstimatorKind::ste || c.source == SlotSource::none) return;
  const std::string name = estimator_name(kind);
  if (slot != Slot::q1 && slot != Slot::q2) {
    refuse(slot, "estimator", name + ": the derivative of a quantizer is that of q1 or q2");
  }
  const char* complaint = estimator_complaint(c.estimator);
  if (*complaint != '\0') refuse(slot, "estimator", complaint);
  const Scheme scheme = c.spec.scheme;
  const bool one_grid = scheme == Scheme::plain || scheme == Scheme::mx || scheme == Scheme::nv;
  if (!one_grid || c.spec.element.bits > 8 || detail::is_asymmetric(c.spec)) {
    refuse(slot, "estimator",
           name + " needs one grid of at most 8 bits, which " + to_string(c.spec) + " is not");
  }
  const bool learned =
      kind == EstimatorKind::pact || kind == EstimatorKind::lsq || kind == EstimatorKind::lsq_plus;
  if (learned && (!c.spec.block.is_tensor() || c.spec.scale.kind != ScaleFormat::Kind::fp32 ||
                  c.spec.has_global())) {
    refuse(slot, "estimator",
           name + " learns one binary32 scale a tensor; a spec such as int4 or e2m1 has one, " +
               to_string(c.spec) + " has not");
  }
  if (c.spec.hadamard != 0 && (kind == EstimatorKind::pact || kind == EstimatorKind::lsq_plus ||
                               kind == EstimatorKind::diffq)) {
    refuse(slot, "estimator", name + " and a Hadamard exclude each other");
  }
  if (kind == EstimatorKind::pact && slot != Slot::q1) {
    refuse(slot, "estimator", "pact clips activations at 0: it belongs to q1");
  }
}

std::string hadamard_text(int size) {
  return size == 0 ? "no Hadamard" : "hadamard=" + std::to_string(size);
}

}  // namespace

const char* slot_name(Slot slot) noexcept {
  constexpr const char* names[kSlots] = {"q1", "q2", "q3", "q4", "q5", "q6"};
  return names[static_cast<std::size_t>(slot)];
}

QuantSpec turned(const QuantSpec& spec) noexcept {
  QuantSpec t = spec;
  std::swap(t.block.rows, t.block.cols);
  return t;
}

Factor SlotOperand::factor() const noexcept {
  Factor f;
  const QuantizedTensor* q = shared_ != nullptr          ? shared_
                             : quantized_ && !simulated_ ? &codes_
                                                         : nullptr;
  f.codes = q;
  if (q != nullptr) {
    f.rows = q->grid.rows;
    f.cols = q->grid.cols;
    f.transposed = over_rows_ && !turned_copy_;
    return f;
  }
  f.plain = data_;
  f.rows = over_rows_ ? whole_groups(rows_, rotation_.size) : rows_;
  f.cols = over_rows_ ? cols_ : whole_groups(cols_, rotation_.size);
  f.transposed = over_rows_;
  return f;
}

void SlotOperand::values(std::span<float> out) const {
  if (shared_ != nullptr || (quantized_ && !turned_copy_ && !simulated_)) {
    dequantize_into(shared_ != nullptr ? *shared_ : codes_, out);
    return;
  }
  if (quantized_ && !simulated_) {
    const std::vector<float> t = dequantize(codes_);
    transpose(t.data(), cols_, rows_, out.data());
    return;
  }
  if (rotation_.size == 0) {
    std::copy_n(data_, rows_ * cols_, out.data());
    return;
  }
  Tensor copy = plain_;
  rotate_back(rotation_, copy, rows_, cols_, over_rows_, out.data());
}

SlotQuantizer::SlotQuantizer(const LayerConfig& config, Slot slot, const LayerInfo& layer)
    : config_(config[slot]), compute_(config.compute), slot_(slot), layer_(layer.index) {
  if (config_.spec.rule == ScaleRule::ema) delayed_amax_ = Tensor({1});
  if (!quantizes() || config_.estimator.kind == EstimatorKind::ste) return;
  const ValueTable table = make_value_table(config_.spec.element);
  for (int i = 0; i < table.count; ++i) grid_.push_back(static_cast<float>(table.value[i]));
  const auto learn = [&](Param& p, const char* what, float value) {
    p.name = layer.name + "." + slot_name(slot) + "." + what;
    p.layer = layer.index;
    p.role = layer.role;
    p.value = Tensor({1});
    p.value[0] = value;
    p.grad = Tensor({1});
    p.decay = false;
  };
  switch (config_.estimator.kind) {
    case EstimatorKind::pact:
      learn(scale_, "clip", static_cast<float>(config_.estimator.pact_init));
      scale_.l2 = static_cast<float>(config_.estimator.pact_decay);
      break;
    case EstimatorKind::lsq_plus:
      learn(offset_, "offset", 0.0f);
      [[fallthrough]];
    case EstimatorKind::lsq:
      learn(scale_, "scale", 0.0f);
      break;
    default:
      break;
  }
}

void SlotQuantizer::state(const std::string& prefix,
                          std::vector<std::pair<std::string, Tensor*>>& out) {
  const std::string name = prefix + "." + slot_name(slot_);
  if (!delayed_amax_.empty()) out.emplace_back(name + ".amax", &delayed_amax_);
  if (hook_) hook_->state(name, out);
}

void SlotQuantizer::share(const SlotOperand& of, SlotOperand& out) {
  out.quantized_ = of.quantized_;
  out.simulated_ = false;
  out.over_rows_ = contracts_over_rows(slot_);
  out.turned_copy_ = false;
  out.rows_ = of.rows_;
  out.cols_ = of.cols_;
  out.rotation_ = {};
  out.shared_ = of.quantized_ ? &of.codes_ : nullptr;
  out.data_ = of.data_;
}

void SlotQuantizer::make(const StepContext& ctx, const SlotInput& in, SlotOperand& out) {
  out.over_rows_ = contracts_over_rows(slot_);
  out.rows_ = in.rows;
  out.cols_ = in.cols;
  out.rotation_ = in.rotation;
  out.shared_ = nullptr;
  out.turned_copy_ = false;
  const SlotSource source = config_.source;
  out.quantized_ = !in.off && (source == SlotSource::master || source == SlotSource::requant);
  std::span<const float> x = in.x;
  out.simulated_ = false;
  if (out.quantized_ && hook_) x = hook_->before(ctx, {layer_, slot_, in.rows, in.cols}, x);
  if (out.quantized_) {
    if (config_.estimator.kind == EstimatorKind::diffq && ctx.training) {
      add_noise(ctx, x, out);
    } else {
      quantize_operand(ctx, in, x, out);
    }
    if (ctx.probe != nullptr && ctx.probe->wants_slot(layer_, slot_)) report(ctx, in, out);
    return;
  }
  if (in.rotation.size != 0) {
    rotate(in.rotation, x.data(), in.rows, in.cols, out.over_rows_, out.plain_);
    if (compute_ == Compute::bf16) round_to_bf16(out.plain_.span(), out.plain_.span());
    out.data_ = out.plain_.data();
    return;
  }
  if (compute_ == Compute::fp32 && !in.keep) {
    out.data_ = x.data();
    return;
  }
  out.plain_.resize({in.rows, in.cols});
  if (compute_ == Compute::bf16) {
    round_to_bf16(x, out.plain_.span());
  } else {
    std::copy(x.begin(), x.end(), out.plain_.data());
  }
  out.data_ = out.plain_.data();
}

void SlotQuantizer::quantize_operand(const StepContext& ctx, const SlotInput& in,
                                     std::span<const float> x, SlotOperand& out) {
  const bool over_rows = out.over_rows_;
  QuantSpec spec = config_.spec;
  const float prescale = spec.prescale;
  const EstimatorKind estimator = config_.estimator.kind;
  spec.hadamard = 0;
  if (estimator == EstimatorKind::pact) {
    clip_to_learned(x);
    x = scratch_.span();
  }
  std::size_t rows = in.rows, cols = in.cols;
  if (in.rotation.size != 0) {
    if (prescale != 1.0f) {
      scratch_.resize({rows, cols});
      for (std::size_t i = 0; i < x.size(); ++i) scratch_[i] = mul_rn(x[i], prescale);
      x = scratch_.span();
      spec.prescale = 1.0f;
    }
    rotate(in.rotation, x.data(), rows, cols, over_rows, out.plain_);
    x = out.plain_.span();
    (over_rows ? rows : cols) = whole_groups(over_rows ? rows : cols, in.rotation.size);
  }

  QuantizeOptions options;
  if (estimator == EstimatorKind::pact) {
    spec.rule = ScaleRule::ema;
    options.external_amax = scale_used_;
  }
  if (estimator == EstimatorKind::lsq || estimator == EstimatorKind::lsq_plus) {
    init_scale(ctx, x);
    spec.rule = ScaleRule::fixed;
    spec.rule_arg = static_cast<double>(scale_used_);
    if (estimator == EstimatorKind::lsq_plus) {
      scratch_.resize({x.size()});
      for (std::size_t i = 0; i < x.size(); ++i) scratch_[i] = sub_rn(x[i], offset_used_);
      x = scratch_.span();
    }
  }
  options.random.stream = ctx.stream(layer_, slot_number(slot_), RandomPurpose::element_sr);
  if (holds_weight(slot_)) options.random.stream.microbatch = 0;
  if (config_.spec.rule == ScaleRule::ema && estimator != EstimatorKind::pact) {
    const float now = finite_tensor_amax(x);
    const float used = delayed_amax_[0] > 0.0f ? delayed_amax_[0] : now;
    options.external_amax = used;
    if (ctx.training) {
      delayed_amax_[0] = add_rn(mul_rn(sub_rn(1.0f, kDelay), now), mul_rn(kDelay, used));
    }
  }

  out.turned_copy_ = over_rows && needs_turned_copy(spec, in.rotation.size);
  if (out.turned_copy_) {
    Tensor t;
    t.resize({cols, rows});
    transpose(x.data(), rows, cols, t.data());
    if (spec.round.is_stochastic()) {
      // Words belong to the element's place in the stored tensor.
      words_.resize(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        words_[i % cols * rows + i / cols] = options.random.stream.word(i, spec.round);
      }
      options.random.given = words_.data();
    }
    const std::size_t shape[2] = {cols, rows};
    quantize_into(spec, t.span(), shape, out.codes_, options);
  } else {
    const std::size_t shape[2] = {rows, cols};
    quantize_into(over_rows ? turned(spec) : spec, x, shape, out.codes_, options);
  }
  if (hook_) hook_->after(ctx, {layer_, slot_, in.rows, in.cols}, x, out.codes_);

  // From here on the codes are those of the tensor, not of its transform.
  QuantizedTensor& q = out.codes_;
  q.spec.prescale = prescale;
  if (in.rotation.size != 0) {
    q.spec.hadamard = static_cast<std::uint16_t>(in.rotation.size);
    q.signs = in.rotation.signs;
    q.spec.signs = in.rotation.signs;
    q.hadamard_stream = in.rotation.stream;
    q.rows = out.turned_copy_ ? in.cols : in.rows;
    q.cols = out.turned_copy_ ? in.rows : in.cols;
    q.shape = {q.rows, q.cols};
  }
  if (estimator == EstimatorKind::lsq_plus) add_offset(out);
}

void SlotQuantizer::report(const StepContext& ctx, const SlotInput& in, const SlotOperand& out) {
  Tensor values = Tensor::uninitialized({in.rows, in.cols});
  out.values(values.span());
  SlotSample s;
  s.layer = layer_;
  s.slot = slot_;
  s.spec = &config_.spec;
  s.input = in.x;
  s.output = values.span();
  if (config_.estimator.kind == EstimatorKind::diffq && ctx.training) {
    ctx.probe->slot(s);  // noise has no codes
    return;
  }
  s.spec = &out.codes_.spec;
  s.codes = out.codes_.codes;
  s.scale_codes = out.codes_.scale_codes;
  s.global = out.codes_.global;
  s.saturated = out.codes_.saturated;
  std::vector<std::uint8_t> stored;
  if (out.turned_copy_ && !out.codes_.codes.empty()) {
    const std::size_t r = out.codes_.grid.rows, c = out.codes_.grid.cols;
    stored.resize(r * c);
    for (std::size_t i = 0; i < r * c; ++i) stored[i % c * r + i / c] = out.codes_.codes[i];
    s.codes = stored;
  }
  if (config_.source == SlotSource::requant) {
    std::uint64_t same = 0;
    for (std::size_t i = 0; i < in.x.size(); ++i) same += in.x[i] == values[i] ? 1u : 0u;
    s.requant_exact =
        in.x.empty() ? 1.0 : static_cast<double>(same) / static_cast<double>(in.x.size());
  }
  if (config_.spec.rule == ScaleRule::four_over_six && !out.turned_copy_) {
    s.choose4 = share_of_four(out.codes_, in.rotation.size != 0 ? out.plain_.span() : in.x);
  }
  ctx.probe->slot(s);
}

void check_slots(const LayerConfig& config) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    const Slot slot = static_cast<Slot>(i);
    const SlotConfig& c = config[slot];
    check_estimator(slot, c);
    if (bad_source(slot, c.source)) {
      const bool shares = shared_slot(slot) != slot;
      refuse(slot, "source",
             slot == Slot::q5 ? "'master', 'shared2d' (the codes of q3) or 'none'"
             : shares         ? "one of master, requant, shared2d, dequant, none"
                              : "the forward slots and q3 take 'master' or 'none'");
    }
    if (c.source == SlotSource::shared2d) {
      const SlotConfig& of = config[shared_slot(slot)];
      const char* name = slot_name(shared_slot(slot));
      const BlockShape& b = of.spec.block;
      if (of.source != SlotSource::master) {
        refuse(slot, "source", std::string("shared2d needs a quantized ") + name);
      }
      const bool one_global =
          of.spec.global == GlobalScope::none || of.spec.global == GlobalScope::tensor;
      if (b.rows != b.cols || !one_global || of.spec.scheme == Scheme::hif4) {
        refuse(slot, "source",
               std::string("shared2d needs square blocks (or one scale a tensor) in ") + name +
                   ", whose spec is " + to_string(of.spec));
      }
      if (of.estimator.kind == EstimatorKind::lsq_plus ||
          of.estimator.kind == EstimatorKind::diffq) {
        refuse(slot, "source",
               std::string("shared2d needs codes and scales, which estimator ") +
                   estimator_name(of.estimator.kind) + " of " + name +
                   " has none of; 'dequant' reads its numbers");
      }
      if (of.spec.hadamard != 0) {
        refuse(slot, "source",
               std::string("shared2d and the Hadamard of ") + name +
                   " exclude each other: the transform runs along one product's axis");
      }
      continue;
    }
    if (c.source != SlotSource::master && c.source != SlotSource::requant) continue;
    if (c.spec.hadamard != 0 && runs_along_rows(c.spec)) {
      refuse(slot, "spec",
             "the Hadamard runs along the contraction, and so must the blocks: 1xC, "
             "row, tensor or square, not " +
                 to_string(c.spec));
    }
    if (contracts_over_rows(slot) && needs_turned_copy(c.spec, c.spec.hadamard) &&
        c.spec.round.kind == RoundingKind::sr_hw) {
      refuse(slot, "spec",
             "round=sr-hw shares words between neighbours in memory, which a spec "
             "whose blocks cannot be turned does not have");
    }
  }
  for (const Slot first : {Slot::q1, Slot::q3, Slot::q5}) {
    const Slot second = partner_slot(first);
    const SlotConfig &a = config[first], &b = config[second];
    const auto coded = [](const SlotConfig& c) {
      return c.source != SlotSource::none && c.source != SlotSource::dequant;
    };
    const auto size = [&](const SlotConfig& c) {
      return c.source == SlotSource::shared2d ? 0 : static_cast<int>(c.spec.hadamard);
    };
    if (!coded(a) || !coded(b)) continue;
    const bool signs = size(a) != 0 && a.spec.signs != b.spec.signs;
    if (size(a) != size(b) || signs) {
      refuse(second, "spec",
             "both operands of a product take the same transform; " +
                 std::string(slot_name(first)) + " has " + hadamard_text(size(a)) + ", " +
                 slot_name(second) + " " + hadamard_text(size(b)) +
                 (signs && size(a) == size(b) ? " with other signs" : ""));
    }
  }
}

}  // namespace fp4lab::nn
