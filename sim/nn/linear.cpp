#include "sim/nn/linear.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sim/nn/init.h"
#include "sim/nn/probe.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

/// The product a pair of slots belongs to.
Gemm gemm_of(Slot first) noexcept {
  return first == Slot::q1 ? Gemm::y : first == Slot::q3 ? Gemm::dx : Gemm::dw;
}

Shape with_last(const Tensor& like, std::size_t last) {
  Shape s = like.shape();
  if (s.empty()) s.push_back(last);
  s.back() = last;
  return s;
}

}  // namespace

Linear::Linear(BuildContext& build, const std::string& name, Role role, int block, std::size_t in,
               std::size_t out, const LinearOptions& options)
    : in_(in), out_(out), has_bias_(options.bias) {
  info_ = build.add(name, role, block);
  config_ = build.configs.back();
  try {
    check_slots(config_);
    accumulator_ = parse_accumulator(config_.accumulate);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument("layer " + name + ": " + e.what());
  }
  if (in == 0 || out == 0) {
    throw std::invalid_argument("layer " + name + ": a weight of [" + std::to_string(out) + ", " +
                                std::to_string(in) + "] has no elements");
  }
  slots_.reserve(kSlots);
  for (std::size_t i = 0; i < kSlots; ++i) {
    slots_.emplace_back(config_, static_cast<Slot>(i), info_);
  }
  weight_.name = name + ".weight";
  weight_.layer = info_.index;
  weight_.role = role;
  weight_.value = Tensor({out, in});
  weight_.grad = Tensor({out, in});
  weight_.quantized = slots_[index(Slot::q2)].quantizes();
  const double std =
      options.init_std < 0.0 ? 1.0 / std::sqrt(static_cast<double>(in)) : options.init_std;
  fill_normal(init_stream(build.seed_init, info_.index), static_cast<float>(std),
              weight_.value.span());
  if (has_bias_) {
    bias_.name = name + ".bias";
    bias_.layer = info_.index;
    bias_.role = role;
    bias_.value = Tensor({out});
    bias_.grad = Tensor({out});
    bias_.decay = false;
  }
}

void Linear::collect(std::vector<Param*>& out) {
  out.push_back(&weight_);
  if (has_bias_) out.push_back(&bias_);
  for (SlotQuantizer& s : slots_) s.collect(out);
}

void Linear::state(std::vector<std::pair<std::string, Tensor*>>& out) {
  for (SlotQuantizer& s : slots_) s.state(info_.name, out);
}

void Linear::weight_updated(std::uint64_t updates) {
  SlotHook* hook = slots_[index(Slot::q2)].hook();
  if (hook != nullptr) hook->weight_updated(updates, weight_.value);
}

bool Linear::is_off(const StepContext& ctx, Slot s) const noexcept {
  return ctx.slot_off(s) || config_[s].source == SlotSource::none;
}

Rotation Linear::rotation_of(const StepContext& ctx, Slot first) const noexcept {
  Rotation r;
  for (const Slot s : {first, partner_slot(first)}) {
    const SlotConfig& c = config_[s];
    const bool coded =
        !is_off(ctx, s) && (c.source == SlotSource::master || c.source == SlotSource::requant);
    if (!coded || c.spec.hadamard == 0) continue;
    r.size = c.spec.hadamard;
    r.signs = c.spec.signs;
    r.stream = ctx.stream(info_.index, slot_number(first), RandomPurpose::hadamard_signs);
    if (first != Slot::q5) r.stream.microbatch = 0;  // the weight is transformed once a step
    return r;
  }
  return r;
}

SlotInput Linear::input(const StepContext& ctx, Slot s, std::span<const float> x, std::size_t rows,
                        std::size_t cols) const {
  SlotInput in;
  in.x = x;
  in.rows = rows;
  in.cols = cols;
  in.rotation = rotation_of(ctx, first_slot(s));
  in.off = is_off(ctx, s);
  return in;
}

void Linear::make_slot(const StepContext& ctx, Slot s, std::span<const float> x, std::size_t rows,
                       std::size_t cols, bool keep) {
  SlotOperand& out = operands_[index(s)];
  SlotQuantizer& slot = slots_[index(s)];
  SlotInput in = input(ctx, s, x, rows, cols);
  in.keep = keep;
  const Slot from = shared_slot(s);
  const SlotOperand& shared = operands_[index(from)];
  if (!in.off && from != s && shared.quantized()) {
    switch (slot.config().source) {
      case SlotSource::shared2d:
        slot.share(shared, out);
        return;
      case SlotSource::requant:
      case SlotSource::dequant:
        shared_values_.resize({rows, cols});
        shared.values(shared_values_.span());
        in.x = shared_values_.span();
        in.keep = true;
        break;
      default:
        break;
    }
  }
  // What the forward used was x itself where its slot is off.
  if (slot.config().source == SlotSource::shared2d) in.off = true;
  const SlotSource source = slot.config().source;
  const bool plain = in.off || source == SlotSource::dequant;
  const bool same_numbers = plain && from != s && !shared.quantized() && in.rotation.size == 0 &&
                            shared_is_plain(ctx, from);
  if (same_numbers) {
    slot.share(shared, out);
    return;
  }
  slot.make(ctx, in, out);
}

bool Linear::shared_is_plain(const StepContext& ctx, Slot s) const noexcept {
  return is_off(ctx, s) && rotation_of(ctx, first_slot(s)).size == 0;
}

void Linear::make_weights(const StepContext& ctx) {
  const WeightKey key{ctx.seed_sr, ctx.step, ctx.slots_off, true};
  const bool again = ctx.microbatch != 0 && key_ == key;
  if (!again) {
    key_ = key;
    have_q4_ = false;
    make_slot(ctx, Slot::q2, weight_.value.span(), out_, in_, false);
  }
}

void Linear::product(const StepContext& ctx, Slot first, std::size_t rows, float* y) {
  const SlotOperand& a = operands_[index(first)];
  const SlotOperand& b = operands_[index(partner_slot(first))];
  multiply(a.factor(), b.factor(), accumulator_,
           ctx.stream(info_.index, slot_number(first), RandomPurpose::accumulator), y);
  hooks(ctx, first, rows, {y, a.factor().outer() * b.factor().outer()});
}

void Linear::hooks(const StepContext& ctx, Slot first, std::size_t rows, std::span<float> y) {
  for (const Slot s : {first, partner_slot(first)}) {
    SlotHook* hook = slots_[index(s)].hook();
    if (hook == nullptr || is_off(ctx, s)) continue;
    const bool weight = holds_weight(s);
    const bool gradient = s == Slot::q3 || s == Slot::q5;
    hook->add_to_product(ctx,
                         {info_.index, s, weight ? out_ : rows,
                          weight     ? in_
                          : gradient ? out_
                                     : in_},
                         gemm_of(first), y);
  }
}

void Linear::report_product(const StepContext& ctx, Gemm gemm, std::span<const float> result,
                            const Factor& a, const Factor& b) {
  if (ctx.probe == nullptr || !ctx.probe->wants_gemm()) return;
  Tensor reference = Tensor::uninitialized({result.size()});
  Accumulator chain;
  chain.kind = AccumulatorKind::fp32_fma;
  multiply(a, b, chain, {}, reference.data());
  if (gemm == Gemm::y) {
    ctx.probe->gemm({info_.index, gemm, result, reference.span()});
    return;
  }
  Tensor memory, consistent = Tensor::uninitialized({result.size()});
  multiply(a, forward_values(gemm == Gemm::dx ? Slot::q2 : Slot::q1, b, memory), chain, {},
           consistent.data());
  ctx.probe->gemm({info_.index, gemm, result, reference.span(), consistent.span()});
}

/// `plain` with the numbers that the forward read in its place: those of the slot where it
/// quantized, else its own.
Factor Linear::forward_values(Slot s, Factor plain, Tensor& memory) const {
  const SlotOperand& used = operands_[index(s)];
  if (!used.quantized()) return plain;
  memory = Tensor::uninitialized({plain.rows, plain.cols});
  used.values(memory.span());
  plain.plain = memory.data();
  return plain;
}

void Linear::add_bias(std::size_t rows, float* y) const {
  const float* b = bias_.value.data();
  const std::size_t n = out_;
#pragma omp parallel for schedule(static) if (rows * n > 65536)
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < n; ++c) y[r * n + c] = add_rn(y[r * n + c], b[c]);
  }
}

void Linear::add_bias_gradient(const StepContext& ctx, std::span<const float> dy,
                               std::size_t rows) {
  Tensor quantized;
  if (config_.bias_grad == BiasGrad::q3 && operands_[index(Slot::q3)].quantized()) {
    quantized.resize({rows, out_});
    operands_[index(Slot::q3)].values(quantized.span());
    dy = quantized.span();
  }
  (void)ctx;
  std::vector<double> sums(out_);
  column_sums(dy, out_, sums);
  add_rounded(sums, bias_.grad.span());
}

void Linear::forward_matrix(const StepContext& ctx, std::span<const float> x, std::size_t rows,
                            float* y) {
  make_weights(ctx);
  // q6 reads the same numbers where neither is quantized nor transformed.
  make_slot(ctx, Slot::q1, x, rows, in_, ctx.training && is_off(ctx, Slot::q6));
  product(ctx, Slot::q1, rows, y);
  if (ctx.probe != nullptr) {
    const std::span<const float> result{y, rows * out_};
    report_product(ctx, Gemm::y, result, {nullptr, x.data(), rows, in_, false},
                   {nullptr, weight_.value.data(), out_, in_, false});
    if (ctx.probe->wants_output()) ctx.probe->output(info_.index, result);
  }
  if (has_bias_) add_bias(rows, y);
  if (!ctx.training) return;
  make_slot(ctx, Slot::q6, x, rows, in_, true);
  if (slots_[index(Slot::q1)].has_backward() || (ctx.probe != nullptr && ctx.probe->wants_gemm())) {
    saved_x_.resize({rows, in_});
    std::copy(x.begin(), x.end(), saved_x_.data());
  }
}

void Linear::backward_matrix(const StepContext& ctx, std::span<const float> dy, std::size_t rows,
                             float* dx) {
  make_slot(ctx, Slot::q3, dy, rows, out_, false);
  if (dx == nullptr && slots_[index(Slot::q1)].learns()) {
    unused_dx_.resize({rows, in_});  // a learned clip or scale needs the gradient of what it made
    dx = unused_dx_.data();
  }
  if (dx != nullptr) {
    if (!have_q4_) make_slot(ctx, Slot::q4, weight_.value.span(), out_, in_, false);
    have_q4_ = true;
    product(ctx, Slot::q3, rows, dx);
    report_product(ctx, Gemm::dx, {dx, rows * in_}, {nullptr, dy.data(), rows, out_, false},
                   {nullptr, weight_.value.data(), out_, in_, true});
    if (slots_[index(Slot::q1)].has_backward()) {
      slots_[index(Slot::q1)].backward(ctx, input(ctx, Slot::q1, saved_x_.span(), rows, in_),
                                       operands_[index(Slot::q1)], {dx, rows * in_});
    }
  }
  make_slot(ctx, Slot::q5, dy, rows, out_, false);
  dw_.resize({out_, in_});
  product(ctx, Slot::q5, rows, dw_.data());
  report_product(ctx, Gemm::dw, dw_.span(), {nullptr, dy.data(), rows, out_, true},
                 {nullptr, saved_x_.data(), rows, in_, true});
  slots_[index(Slot::q2)].backward(ctx, input(ctx, Slot::q2, weight_.value.span(), out_, in_),
                                   operands_[index(Slot::q2)], dw_.span());
  for (std::size_t i = 0; i < dw_.size(); ++i) {
    weight_.grad[i] = add_rn(weight_.grad[i], dw_[i]);
  }
  if (has_bias_) add_bias_gradient(ctx, dy, rows);
}

void Linear::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  if (x.cols() != in_) {
    throw std::invalid_argument("layer " + info_.name + ": an input of width " +
                                std::to_string(x.cols()) + " where " + std::to_string(in_) +
                                " is needed");
  }
  y.resize(with_last(x, out_));
  forward_matrix(ctx, x.span(), x.rows(), y.data());
}

void Linear::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  dx.resize(with_last(dy, in_));
  backward_matrix(ctx, dy.span(), dy.rows(), dx.data());
}

void Linear::backward_weights(const StepContext& ctx, const Tensor& dy) {
  backward_matrix(ctx, dy.span(), dy.rows(), nullptr);
}

Linear::QuantizedWeight Linear::quantized_weight(const StepContext& ctx) {
  StepContext quiet = ctx;
  quiet.probe = nullptr;
  quiet.training = false;
  quiet.microbatch = 0;
  make_weights(quiet);
  const SlotOperand& q2 = operands_[index(Slot::q2)];
  if (!q2.quantized()) return {nullptr, weight_.value.span()};
  shared_values_.resize({out_, in_});
  q2.values(shared_values_.span());
  return {&q2.codes(), shared_values_.span()};
}

}  // namespace fp4lab::nn
