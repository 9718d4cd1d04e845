#include "sim/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "sim/math.h"
#include "sim/nn/linear.h"
#include "sim/optim/write_back.h"
#include "sim/reduce.h"

namespace fp4lab::train {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
/// First microbatch number of held-out batches: their draws are nobody else's.
constexpr std::uint16_t kEvalMicrobatch = 0x8000;
/// Slot numbers of streams that belong to a layer's parameters: 0 write-back, 7 gradient sums.
constexpr std::uint32_t kWriteBackSlot = 0, kGradientSlot = 7;
constexpr char kMagic[] = "fp4lab-checkpoint-1";

std::vector<Phase> phases_of(const TrainConfig& config) {
  std::vector<Phase> phases;
  for (const auto& text : config.phase.list) phases.push_back(parse_phase(text));
  return phases;
}

/// Share of changes that bf16 storage swallowed.
double share(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all);
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, nn::Model& model, const BatchSource& data)
    : config_(config),
      model_(model),
      data_(data),
      phases_(phases_of(config)),
      optimizer_(config.optim.rule),
      loss_scale_(config.optim.loss_scale),
      order_(static_cast<std::uint64_t>(config.seed_data), data.train_items()),
      instruments_(config_, model, data, record_) {
  std::vector<std::uint8_t> next(model.layers().size(), 0);
  for (nn::Param* p : model.params()) {
    optimizer_.add(p->value.size(), p->decay);
    ordinal_.push_back(next.at(p->layer)++);
    if (keeps_bf16()) {
      optim::round_to_bf16(p->value.span(), optim::StoreRounding::rne, {});
    }
    if (config.optim.grad_accum == optim::Storage::bf16) sums_.emplace_back(p->value.shape());
  }
}

RandomStream Trainer::storage_stream(std::size_t parameter, std::uint32_t slot,
                                     std::uint16_t microbatch) const {
  const nn::Param& p = *model_.params()[parameter];
  return {static_cast<std::uint64_t>(config_.seed_sr),
          8 * p.layer + slot,
          static_cast<std::uint32_t>(optimizer_.steps()),
          RandomPurpose::write_back,
          microbatch,
          ordinal_[parameter]};
}

nn::StepContext Trainer::context(std::uint64_t iteration) const {
  const std::uint64_t total = config_.train.steps;
  nn::StepContext ctx;
  ctx.seed_sr = static_cast<std::uint64_t>(config_.seed_sr);
  ctx.step = static_cast<std::uint32_t>(optimizer_.steps());
  const std::uint64_t at = std::min(iteration, total - 1);
  ctx.slots_off = slots_off_at(phases_, at, total);
  ctx.progress = static_cast<double>(at) / static_cast<double>(total);
  return ctx;
}

// --- one iteration ------------------------------------------------------------------------------

/// Forward and backward of every microbatch. Returns the mean loss; gradients are in the
/// parameters, multiplied by the loss scale.
double Trainer::accumulate(const nn::StepContext& base) {
  const TrainLoopConfig& loop = config_.train;
  const std::size_t parts = loop.microbatches, size = loop.batch / parts;
  const float scale =
      static_cast<float>(loss_scale_.value() / static_cast<double>(loop.microbatches));
  const bool bf16_sums = !sums_.empty();
  const auto& params = model_.params();
  for (std::size_t i = 0; i < params.size(); ++i) {
    params[i]->grad.fill(0.0f);
    if (bf16_sums) sums_[i].fill(0.0f);
  }
  std::vector<double> losses;
  for (std::size_t m = 0; m < parts; ++m) {
    nn::StepContext ctx = base;
    ctx.microbatch = static_cast<std::uint16_t>(m);
    order_.items(iteration_ * loop.batch + m * size, size, items_);
    data_.train_batch(items_, batch_);
    losses.push_back(model_.forward(ctx, batch_).loss);
    model_.backward(ctx, scale);
    if (!bf16_sums) continue;
    for (std::size_t i = 0; i < params.size(); ++i) {
      optim::accumulate_bf16(sums_[i].span(), params[i]->grad.span(),
                             config_.optim.grad_accum_round,
                             storage_stream(i, kGradientSlot, ctx.microbatch));
      params[i]->grad.fill(0.0f);
    }
  }
  for (std::size_t i = 0; bf16_sums && i < params.size(); ++i) {
    std::copy(sums_[i].begin(), sums_[i].end(), params[i]->grad.begin());
  }
  return sum(std::span<const double>(losses)) / static_cast<double>(parts);
}

Trainer::StepResult Trainer::step() {
  nn::StepContext ctx = context(iteration_);
  ctx.probe = instruments_.begin(iteration_, ctx);
  const double scale = loss_scale_.value();
  StepResult result;
  result.loss = canonical_f64(accumulate(ctx));
  std::vector<std::span<const float>> gradients;
  for (nn::Param* p : model_.params()) {
    optim::scale_gradient(p->grad.span(), static_cast<float>(1.0 / scale));
    if (p->l2 != 0.0f) optim::add_l2(p->grad.span(), p->value.span(), p->l2);
    gradients.emplace_back(p->grad.span());
  }
  optim::GradientNorm norm = optim::gradient_norm(gradients);
  const bool finite = norm.finite() && std::isfinite(result.loss);
  loss_scale_.update(finite);
  if (!finite && config_.optim.nonfinite == optim::NonfinitePolicy::zero) {
    for (nn::Param* p : model_.params()) optim::zero_nonfinite(p->grad.span());
    norm = optim::gradient_norm(gradients);
  }
  result.grad_norm = canonical_f64(norm.norm());
  result.skipped = !finite && config_.optim.nonfinite == optim::NonfinitePolicy::skip;
  instruments_.gradients(iteration_, optimizer_.steps(), norm.squares);
  instruments_.finish(iteration_, optimizer_.steps());
  if (!result.skipped) {
    apply_update(result, optim::clip_factor(norm.norm(), config_.optim.clip));
  }
  return result;
}

void Trainer::apply_update(StepResult& result, double factor) {
  const auto& params = model_.params();
  std::vector<std::vector<float>> before;
  if (keeps_bf16()) {
    for (const nn::Param* p : params) before.emplace_back(p->value.begin(), p->value.end());
  }
  optimizer_.begin_step(learning_rate_);
  for (std::size_t i = 0; i < params.size(); ++i) {
    optim::scale_gradient(params[i]->grad.span(), static_cast<float>(factor));
    optimizer_.update(i, params[i]->value.span(), params[i]->grad.span());
  }
  if (keeps_bf16()) write_back(before, result);
  for (nn::Linear* layer : model_.linears()) layer->weight_updated(optimizer_.steps());
}

/// Rounds the new weights to bf16 and counts those that a change in binary32 did not move. The
/// stream's step is that of the update, one below the counter after it.
void Trainer::write_back(const std::vector<std::vector<float>>& before, StepResult& result) {
  const auto& params = model_.params();
  std::uint64_t stalled = 0, all = 0;
  std::vector<float> updated;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const std::span<float> value = params[i]->value.span();
    updated.assign(value.begin(), value.end());
    RandomStream stream = storage_stream(i, kWriteBackSlot, 0);
    --stream.step;
    optim::round_to_bf16(value, config_.optim.master_round, stream);
    stalled += optim::count_stalled(before[i], updated, value);
    all += value.size();
  }
  result.stalled = share(stalled, all);
}

bool Trainer::has_diverged(const StepResult& result) {
  skipped_in_a_row_ = result.skipped ? skipped_in_a_row_ + 1 : 0;
  skipped_ += result.skipped ? 1 : 0;
  if (skipped_in_a_row_ >= config_.train.diverge_skips) return true;
  if (!std::isfinite(result.loss)) {
    return config_.optim.nonfinite != optim::NonfinitePolicy::skip;
  }
  const double uniform =
      static_cast<double>(math::log(static_cast<float>(std::max<std::size_t>(2, data_.classes()))));
  return config_.train.diverge_factor > 0 && result.loss > config_.train.diverge_factor * uniform;
}

RunStatus Trainer::run(const std::function<bool(const IterationReport&)>& keep_going) {
  using Clock = std::chrono::steady_clock;
  const TrainLoopConfig& loop = config_.train;
  if (status_ == RunStatus::diverged) return status_;
  status_ = RunStatus::complete;
  while (iteration_ < loop.steps) {
    if (loop.eval_every != 0 && iteration_ % loop.eval_every == 0) record_evaluation();
    const Clock::time_point start = Clock::now();
    const double scale = loss_scale_.value();
    learning_rate_ =
        optim::learning_rate(config_.schedule, config_.optim.lr, iteration_ + 1, loop.steps);
    const std::uint64_t updates = optimizer_.steps();
    const StepResult result = step();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    record_.append("/series/step", static_cast<std::int64_t>(updates));
    record_step(result, learning_rate_, scale, seconds);
    ++iteration_;
    if (has_diverged(result)) {
      status_ = RunStatus::diverged;
      return status_;
    }
    instruments_.advanced(iteration_ - 1, context(iteration_));
    if (iteration_ == loop.steps) {
      if (loop.reestimate_batches != 0) reestimate_statistics();
      record_evaluation();
    }
    if (keep_going && !keep_going({iteration_, loop.steps, result.loss, result.skipped}) &&
        iteration_ < loop.steps) {
      status_ = RunStatus::stopped;
      return status_;
    }
  }
  return status_;
}

void Trainer::record_step(const StepResult& result, double learning_rate, double loss_scale,
                          double seconds) {
  record_.append("/series/loss", result.loss);
  record_.append("/series/grad_norm", result.grad_norm);
  record_.append("/series/learning_rate", learning_rate);
  record_.append("/series/loss_scale", loss_scale);
  record_.append("/series/skipped", static_cast<std::int8_t>(result.skipped ? 1 : 0));
  record_.append("/series/step_time", seconds);
  if (keeps_bf16()) record_.append("/series/stalled_fraction", result.stalled);
}

Evaluation Trainer::evaluate() {
  const TrainLoopConfig& loop = config_.train;
  const std::size_t wanted = loop.eval_items == 0 ? data_.eval_items() : loop.eval_items;
  const std::size_t items = std::min<std::size_t>(wanted, data_.eval_items());
  const std::size_t size = std::max<std::size_t>(1, loop.batch / loop.microbatches);
  nn::StepContext ctx = context(iteration_);
  ctx.training = false;
  std::vector<double> losses;
  std::uint64_t counted = 0, correct = 0;
  for (std::size_t first = 0, m = 0; first < items; first += size, ++m) {
    ctx.microbatch = static_cast<std::uint16_t>(kEvalMicrobatch + m % 0x7FFF);
    data_.eval_batch(first, std::min(size, items - first), batch_);
    const nn::LossResult r = model_.forward(ctx, batch_);
    losses.push_back(r.loss * static_cast<double>(r.counted));
    counted += r.counted;
    correct += r.correct;
  }
  Evaluation out;
  out.loss = canonical_f64(counted == 0 ? kMissing
                                        : sum(std::span<const double>(losses)) /
                                              static_cast<double>(counted));
  out.accuracy = share(correct, counted);
  out.perplexity = canonical_f64(static_cast<double>(math::exp(static_cast<float>(out.loss))));
  return out;
}

/// Running averages lag behind weights that oscillate. Forwards over the batches that training would
/// see next, with the final weights, make them plain means (arXiv:2203.11086, 4.3).
void Trainer::reestimate_statistics() {
  const TrainLoopConfig& loop = config_.train;
  const std::size_t size = loop.batch / loop.microbatches;
  nn::StepContext ctx = context(iteration_);
  model_.reestimate_statistics(true);
  for (std::uint64_t i = 0; i < loop.reestimate_batches * loop.microbatches; ++i) {
    ctx.microbatch = static_cast<std::uint16_t>(i % kEvalMicrobatch);
    order_.items(iteration_ * loop.batch + i * size, size, items_);
    data_.train_batch(items_, batch_);
    model_.forward(ctx, batch_);
  }
  model_.reestimate_statistics(false);
}

void Trainer::record_evaluation() {
  const Evaluation e = evaluate();
  record_.append("/eval/step", static_cast<std::int64_t>(optimizer_.steps()));
  record_.append("/eval/loss", e.loss);
  record_.append("/eval/accuracy", e.accuracy);
  record_.append("/eval/perplexity", e.perplexity);
}

// --- checkpoints --------------------------------------------------------------------------------

std::vector<std::byte> Trainer::save(const std::string& identity) {
  ByteWriter out;
  out.text(kMagic);
  out.number(iteration_);
  out.text(identity);
  out.number(skipped_);
  out.number(skipped_in_a_row_);
  const auto scalars = optimizer_.scalars();
  out.number(scalars.steps);
  out.number(scalars.beta1_product);
  out.number(scalars.beta2_product);
  const auto scale = loss_scale_.state();
  out.number(scale.value);
  out.number(scale.good);
  for (const nn::Param* p : model_.params()) {
    out.text(p->name);
    out.numbers(p->value.span());
  }
  std::vector<std::pair<std::string, std::vector<float>*>> moments;
  optimizer_.state(moments);
  for (const auto& [name, values] : moments) {
    out.text(name);
    out.numbers(*values);
  }
  std::vector<std::pair<std::string, Tensor*>> state;
  model_.state(state);
  for (const auto& [name, tensor] : state) {
    out.text(name);
    out.numbers(std::span<const std::size_t>(tensor->shape()));
    out.numbers(std::span<const float>(tensor->span()));
  }
  record_.save(out);
  instruments_.save(out);
  out.text("end");
  return out.take();
}

void Trainer::load(std::span<const std::byte> bytes, const std::string& identity) {
  ByteReader in(bytes);
  in.expect(kMagic);
  const std::uint64_t iteration = in.number<std::uint64_t>();
  in.expect(identity);
  iteration_ = iteration;
  skipped_ = in.number<std::uint64_t>();
  skipped_in_a_row_ = in.number<std::uint64_t>();
  optim::Optimizer<float>::Scalars scalars;
  scalars.steps = in.number<std::uint64_t>();
  scalars.beta1_product = in.number<double>();
  scalars.beta2_product = in.number<double>();
  optimizer_.set_scalars(scalars);
  optim::LossScale::State scale;
  scale.value = in.number<double>();
  scale.good = in.number<std::uint64_t>();
  loss_scale_.set_state(scale);
  for (nn::Param* p : model_.params()) {
    in.expect(p->name);
    in.numbers_into(p->value.span());
  }
  std::vector<std::pair<std::string, std::vector<float>*>> moments;
  optimizer_.state(moments);
  for (const auto& [name, values] : moments) {
    in.expect(name);
    in.numbers_into(std::span<float>(*values));
  }
  std::vector<std::pair<std::string, Tensor*>> state;
  model_.state(state);
  for (const auto& [name, tensor] : state) {
    in.expect(name);
    tensor->resize(Shape(in.numbers<std::size_t>()));
    in.numbers_into(tensor->span());
  }
  record_.load(in);
  instruments_.load(in);
  in.expect("end");
  status_ = RunStatus::complete;
}

std::uint64_t Trainer::saved_iteration(std::span<const std::byte> bytes) noexcept {
  try {
    ByteReader in(bytes);
    in.expect(kMagic);
    return in.number<std::uint64_t>();
  } catch (const std::invalid_argument&) {
    return 0;
  }
}

}  // namespace fp4lab::train
