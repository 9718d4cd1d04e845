#include "sim/train/instruments.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/spec_text.h"
#include "sim/nn/linear.h"
#include "sim/reduce.h"

namespace fp4lab::train {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kTraced = 64;
constexpr std::size_t kGemms = 3;
/// Microbatch numbers of passes that are not training: held-out batches, and the fixed batch.
constexpr std::uint16_t kProbeMicrobatch = 0xFFFF;

bool quantizes(const nn::LayerConfig& config) {
  return std::any_of(config.slot.begin(), config.slot.end(), [](const nn::SlotConfig& slot) {
    return slot.source != nn::SlotSource::none;
  });
}

std::vector<std::string> slot_names() {
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= nn::kSlots; ++i) names.push_back("q" + std::to_string(i));
  return names;
}

std::vector<std::int64_t> count_up(std::size_t n) {
  std::vector<std::int64_t> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::int64_t>(i);
  return out;
}

template <class Array>
std::vector<std::int64_t> as_vector(const Array& values) {
  return {values.begin(), values.end()};
}

/// What a slot does, for /policy.
std::string slot_text(const nn::SlotConfig& slot) {
  switch (slot.source) {
    case nn::SlotSource::none:
      return "none";
    case nn::SlotSource::shared2d:
      return "shared2d";
    case nn::SlotSource::dequant:
      return "dequant";
    case nn::SlotSource::requant:
      return "requant " + to_string(slot.spec);
    case nn::SlotSource::master:
      return to_string(slot.spec);
  }
  return {};
}

}  // namespace

/// Collects the layers' outputs of one pass over the fixed batch.
class Instruments::OutputProbe final : public nn::Probe {
 public:
  bool wants_slot(std::uint32_t, nn::Slot) const override { return false; }
  bool wants_output() const override { return true; }
  void output(std::uint32_t layer, std::span<const float> y) override {
    auto& to = outputs[layer];
    to.insert(to.end(), y.begin(), y.end());
  }
  void slot(const nn::SlotSample&) override {}
  void gemm(const nn::GemmSample&) override {}
  void attention(std::uint32_t, std::span<const double>) override {}
  void router(std::uint32_t, std::span<const std::uint64_t>, std::uint64_t) override {}

  std::map<std::uint32_t, std::vector<float>> outputs;
};

bool is_due(std::uint64_t step, std::uint64_t every, std::uint64_t total) noexcept {
  return every != 0 && (step % every == 0 || step + 1 == total);
}

Instruments::Instruments(const TrainConfig& config, nn::Model& model, const BatchSource& data,
                         RunRecord& record)
    : config_(config), model_(model), record_(record) {
  slot_row_.assign(model.layers().size(), -1);
  std::vector<bool> has_slots(model.layers().size(), false);
  for (const nn::Linear* layer : model.linears()) has_slots[layer->layer()] = true;
  for (std::size_t i = 0; i < model.layers().size(); ++i) {
    const bool bmm = model.layers()[i].role == nn::Role::attn_bmm && quantizes(model.configs()[i]);
    if (!has_slots[i] && !bmm) continue;
    slot_row_[i] = static_cast<int>(slot_layers_.size());
    slot_layers_.push_back(static_cast<std::uint32_t>(i));
  }
  tracked_row_.assign(slot_layers_.size(), -1);
  for (nn::Linear* layer : model.linears()) {
    if (layer->config()[nn::Slot::q2].source != nn::SlotSource::master) continue;
    tracked_row_[static_cast<std::size_t>(slot_row_[layer->layer()])] =
        static_cast<int>(tracked_.size());
    Tracked tracked;
    tracked.layer = layer;
    tracked.tracker = stabilize::OscillationTracker(config.log.osc_momentum);
    tracked_.push_back(std::move(tracked));
  }
  if (config.log.osc_every != 0 && config.log.probe_items != 0 && !tracked_.empty()) {
    data.eval_batch(0, std::min<std::size_t>(config.log.probe_items, data.eval_items()),
                    probe_batch_);
  }
  write_policy();
}

// --- what is looked at --------------------------------------------------------------------------

nn::Probe* Instruments::begin(std::uint64_t it, const nn::StepContext& now) {
  const LogConfig& log = config_.log;
  const std::uint64_t total = config_.train.steps;
  slots_due_ = is_due(it, log.slots_every, total);
  gemms_due_ = is_due(it, log.gemms_every, total);
  attention_due_ = is_due(it, log.attention_every, total);
  if (slots_due_) slots_.assign(slot_layers_.size() * nn::kSlots, {});
  if (gemms_due_) gemms_.assign(slot_layers_.size() * kGemms, {});
  entropies_.clear();
  routed_.clear();
  if (!window_open_ && window_begins(it) && !tracked_.empty()) {
    window_open_ = true;
    window_end_ = window_end(it);
    snapshot(now, true, last_window_end_ == it);
  }
  return slots_due_ || gemms_due_ || attention_due_ ? this : nullptr;
}

bool Instruments::window_begins(std::uint64_t it) const {
  const LogConfig& log = config_.log;
  const std::uint64_t total = config_.train.steps;
  if (log.osc_every == 0) return false;
  const std::uint64_t last = std::min(log.osc_last_window, total);
  if (last != 0 && it == total - last) return true;
  return it % log.osc_every == 0 && it + log.osc_window <= total - last;
}

std::uint64_t Instruments::window_end(std::uint64_t it) const {
  const std::uint64_t total = config_.train.steps;
  const std::uint64_t last = std::min(config_.log.osc_last_window, total);
  return last != 0 && it == total - last ? total : it + config_.log.osc_window;
}

bool Instruments::traces_due(std::uint64_t it) const {
  const double total = static_cast<double>(config_.train.steps);
  return config_.log.trace_fraction > 0 && !tracked_.empty() &&
         static_cast<double>(it + 1) > total * (1.0 - config_.log.trace_fraction);
}

bool Instruments::wants_slot(std::uint32_t layer, nn::Slot) const {
  return slots_due_ && slot_row_[layer] >= 0;
}

void Instruments::slot(const nn::SlotSample& sample) {
  const int row = slot_row_[sample.layer];
  if (!slots_due_ || row < 0) return;
  slots_[static_cast<std::size_t>(row) * nn::kSlots + static_cast<std::size_t>(sample.slot)].add(
      sample);
}

void Instruments::gemm(const nn::GemmSample& sample) {
  const int row = slot_row_[sample.layer];
  if (!gemms_due_ || row < 0) return;
  gemms_[static_cast<std::size_t>(row) * kGemms + static_cast<std::size_t>(sample.gemm)].add(
      sample);
}

void Instruments::attention(std::uint32_t layer, std::span<const double> entropy_per_head) {
  if (!attention_due_) return;
  Entropy& e = entropies_[layer];
  e.sum.resize(entropy_per_head.size(), 0.0);
  for (std::size_t h = 0; h < entropy_per_head.size(); ++h) e.sum[h] += entropy_per_head[h];
  ++e.calls;
}

void Instruments::router(std::uint32_t layer, std::span<const std::uint64_t> load,
                         std::uint64_t flips) {
  if (!attention_due_) return;
  Routed& r = routed_[layer];
  r.load.resize(load.size(), 0);
  for (std::size_t e = 0; e < load.size(); ++e) r.load[e] += static_cast<std::int64_t>(load[e]);
  r.flips += static_cast<std::int64_t>(flips);
}

// --- rows ---------------------------------------------------------------------------------------

void Instruments::write_policy() {
  if (record_.has("/policy/layer")) return;
  const auto& layers = model_.layers();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    record_.append<std::string>("/policy/layer", layers[i].name);
    for (const nn::SlotConfig& slot : model_.configs()[i].slot) {
      record_.append<std::string>("/policy/spec", slot_row_[i] < 0 ? "none" : slot_text(slot));
    }
    record_.append<std::string>("/policy/compute",
                                model_.configs()[i].compute == nn::Compute::bf16 ? "bf16" : "fp32");
  }
  record_.column<std::string>("/policy/slot") = slot_names();
}

void Instruments::write_axes() {
  std::vector<std::string> names;
  for (const std::uint32_t layer : slot_layers_) names.push_back(model_.layers()[layer].name);
  const auto once = [&](const std::string& path, const auto& values) {
    if (!record_.has(path)) {
      record_.column<typename std::decay_t<decltype(values)>::value_type>(path) = values;
    }
  };
  if (slots_due_) {
    once("/layers/layer", names);
    once("/layers/slot", slot_names());
    once("/layers/code", count_up(stabilize::kCodeBins));
    once("/layers/bin", count_up(stabilize::kScaleBins));
  }
  if (gemms_due_) {
    once("/gemms/layer", names);
    once("/gemms/gemm", std::vector<std::string>{"y", "dx", "dw"});
  }
}

void Instruments::gradients(std::uint64_t it, std::uint64_t updates,
                            std::span<const double> squares) {
  if (!is_due(it, config_.log.norms_every, config_.train.steps)) return;
  const auto& layers = model_.layers();
  const auto& params = model_.params();
  if (!record_.has("/norms/layer")) {
    for (const auto& layer : layers) record_.append<std::string>("/norms/layer", layer.name);
  }
  std::vector<double> sums(layers.size(), 0.0);
  std::vector<bool> any(layers.size(), false);
  for (std::size_t i = 0; i < params.size(); ++i) {
    sums[params[i]->layer] += squares[i];
    any[params[i]->layer] = true;
  }
  record_.append("/norms/step", static_cast<std::int64_t>(updates));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    record_.append("/norms/grad_norm",
                   any[i] ? canonical_f64(std::sqrt(sums[i])) : canonical_f64(kMissing));
  }
}

void Instruments::finish(std::uint64_t, std::uint64_t updates) {
  write_axes();
  if (slots_due_) write_slots(updates);
  if (gemms_due_) write_gemms(updates);
  if (!entropies_.empty()) write_attention(updates);
  if (!routed_.empty()) write_router(updates);
}

void Instruments::write_slots(std::uint64_t updates) {
  record_.append("/layers/step", static_cast<std::int64_t>(updates));
  const auto put = [&](const char* path, auto value) {
    auto& column = record_.column<double>(path);
    for (const auto& s : slots_)
      column.push_back(canonical_f64(s.empty() ? kMissing : (s.*value)()));
  };
  using S = stabilize::SlotStatistics;
  put("/layers/sqnr_db", &S::sqnr_db);
  put("/layers/mse", &S::mse);
  put("/layers/cosine", &S::cosine);
  put("/layers/norm_ratio", &S::norm_ratio);
  put("/layers/bias", &S::bias);
  put("/layers/amax", &S::amax);
  put("/layers/zero_fraction", &S::zero_fraction);
  put("/layers/underflow_fraction", &S::underflow_fraction);
  put("/layers/saturation_fraction", &S::saturation_fraction);
  put("/layers/requant_exact_fraction", &S::requant_exact_fraction);
  put("/layers/choose4_fraction", &S::choose4_fraction);
  for (const auto& s : slots_) {
    record_.append("/layers/code_histogram",
                   s.empty() ? std::vector<std::int64_t>(stabilize::kCodeBins, -1)
                             : as_vector(s.code_histogram()));
    record_.append("/layers/scale_histogram",
                   s.empty() ? std::vector<std::int64_t>(stabilize::kScaleBins, -1)
                             : as_vector(s.scale_histogram()));
  }
}

void Instruments::write_gemms(std::uint64_t updates) {
  record_.append("/gemms/step", static_cast<std::int64_t>(updates));
  const auto put = [&](const char* path, auto value) {
    auto& column = record_.column<double>(path);
    for (const auto& g : gemms_)
      column.push_back(canonical_f64(g.empty() ? kMissing : (g.*value)()));
  };
  using G = stabilize::GemmStatistics;
  put("/gemms/cosine", &G::cosine);
  put("/gemms/rel_error", &G::rel_error);
  put("/gemms/pma", &G::pma);
  put("/gemms/rho", &G::rho);
  put("/gemms/ste_cosine", &G::ste_cosine);
  put("/gemms/ste_norm_ratio", &G::ste_norm_ratio);
  put("/gemms/ste_rel_error", &G::ste_rel_error);
}

void Instruments::write_attention(std::uint64_t updates) {
  std::size_t heads = 0;
  for (const auto& [layer, e] : entropies_) heads = std::max(heads, e.sum.size());
  if (!record_.has("/attention/layer")) {
    for (const auto& [layer, e] : entropies_) {
      record_.append<std::string>("/attention/layer", model_.layers()[layer].name);
    }
    record_.column<std::int64_t>("/attention/head") = count_up(heads);
  }
  record_.append("/attention/step", static_cast<std::int64_t>(updates));
  for (const auto& [layer, e] : entropies_) {
    for (std::size_t h = 0; h < heads; ++h) {
      record_.append(
          "/attention/entropy",
          canonical_f64(h < e.sum.size() ? e.sum[h] / static_cast<double>(e.calls) : kMissing));
    }
  }
}

void Instruments::write_router(std::uint64_t updates) {
  std::size_t experts = 0;
  for (const auto& [layer, r] : routed_) experts = std::max(experts, r.load.size());
  if (!record_.has("/router/layer")) {
    for (const auto& [layer, r] : routed_) {
      record_.append<std::string>("/router/layer", model_.layers()[layer].name);
    }
    record_.column<std::int64_t>("/router/expert") = count_up(experts);
  }
  record_.append("/router/step", static_cast<std::int64_t>(updates));
  for (const auto& [layer, r] : routed_) {
    std::vector<std::int64_t> load = r.load;
    load.resize(experts, -1);
    record_.append("/router/load", load);
    record_.append("/router/flips", r.flips);
  }
}

// --- oscillation and traces ---------------------------------------------------------------------

void Instruments::advanced(std::uint64_t it, const nn::StepContext& next) {
  if (window_open_) {
    snapshot(next, false, false);
    if (it + 1 == window_end_) {
      write_window(next.step);
      window_open_ = false;
      last_window_end_ = it + 1;
    }
  }
  if (traces_due(it)) write_traces(next);
}

void Instruments::snapshot(const nn::StepContext& ctx, bool first, bool joins) {
  for (Tracked& t : tracked_) {
    const nn::Linear::QuantizedWeight q = t.layer->quantized_weight(ctx);
    const stabilize::WeightSnapshot s{t.layer->weight().value.span(), q.values, q.codes};
    if (first) {
      t.tracker.begin(s, joins);
    } else {
      t.tracker.add(s);
    }
  }
  if (probe_batch_.items != 0) probe_outputs(ctx, first);
}

void Instruments::probe_outputs(const nn::StepContext& ctx, bool first) {
  OutputProbe probe;
  nn::StepContext eval = ctx;
  eval.training = false;
  eval.microbatch = kProbeMicrobatch;
  eval.probe = &probe;
  model_.forward(eval, probe_batch_);
  for (Tracked& t : tracked_) {
    std::vector<float>& now = probe.outputs[t.layer->layer()];
    if (first) {
      t.output_change = 0;
    } else if (now.size() != t.output.size() || now.empty()) {
      t.output_change = canonical_f64(kMissing);  // experts see other tokens from step to step
    } else {
      const double change = sum_squared_differences(now, t.output);
      if (change != 0.0) {
        t.output_change += std::sqrt(change) / std::sqrt(sum_squares(t.output));
      }
    }
    t.output = std::move(now);
  }
}

void Instruments::write_window(std::uint64_t updates) {
  if (!record_.has("/oscillation/layer")) {
    for (const Tracked& t : tracked_) {
      record_.append<std::string>("/oscillation/layer", t.layer->name());
    }
    record_.column<std::int64_t>("/oscillation/bin") = count_up(stabilize::kOscillationBins);
    record_.bin_edges["/oscillation/ratio_histogram"] = stabilize::ratio_bin_edges();
    record_.bin_edges["/oscillation/confidence_histogram"] = stabilize::unit_bin_edges();
    record_.bin_edges["/oscillation/frequency_histogram"] = stabilize::unit_bin_edges();
  }
  record_.append("/oscillation/step", static_cast<std::int64_t>(updates));
  for (const Tracked& t : tracked_) {
    const stabilize::OscillationResult r = t.tracker.result();
    const auto number = [&](const char* name, double value) {
      record_.append(std::string("/oscillation/") + name, canonical_f64(value));
    };
    const auto count = [&](const char* name, std::int64_t value) {
      record_.append(std::string("/oscillation/") + name, value);
    };
    number("ratio_mean", r.ratio_mean);
    number("fraction_above_16", r.fraction_above_16);
    number("code_ratio_mean", r.code_ratio_mean);
    number("code_fraction_above_16", r.code_fraction_above_16);
    number("confidence_mean", r.confidence_mean);
    number("r_w", r.r_w);
    number("r_wq", r.r_wq);
    number("r_y", probe_batch_.items == 0
                      ? kMissing
                      : t.output_change / static_cast<double>(t.tracker.steps()));
    count("flips", r.flips);
    count("reversals", r.reversals);
    count("sign_flips", r.sign_flips);
    count("scale_flips", r.scale_flips);
    record_.append("/oscillation/ratio_histogram", as_vector(r.ratio_histogram));
    record_.append("/oscillation/confidence_histogram", as_vector(r.confidence_histogram));
    record_.append("/oscillation/frequency_histogram", as_vector(r.frequency_histogram));
  }
}

void Instruments::write_traces(const nn::StepContext& next) {
  const bool first = !record_.has("/traces/step");
  record_.append("/traces/step", static_cast<std::int64_t>(next.step));
  std::vector<float> scales;
  for (Tracked& t : tracked_) {
    const std::span<const float> w = t.layer->weight().value.span();
    const nn::Linear::QuantizedWeight q = t.layer->quantized_weight(next);
    scales.clear();
    if (q.codes != nullptr) stabilize::element_scales(*q.codes, scales);
    for (std::size_t i = 0; i < kTraced; ++i) {
      const std::size_t at = i * w.size() / kTraced;
      if (first) {
        record_.append("/traces/layer_index", static_cast<std::int32_t>(t.layer->layer()));
        record_.append("/traces/flat_index", static_cast<std::int64_t>(at));
      }
      const bool scaled = at < scales.size();
      const float scale = scaled ? scales[at] : round_sum(kMissing);
      record_.append("/traces/latent", round_sum(static_cast<double>(w[at] / scale)));
      record_.append("/traces/scale", scale);
      record_.append("/traces/code", static_cast<std::uint8_t>(scaled ? q.codes->codes[at] : 0xFF));
    }
    if (first && !record_.has("/traces/thresholds") && q.codes != nullptr) {
      const stabilize::CodeGrid grid(q.codes->spec.element);
      std::vector<double> thresholds;
      for (int i = 1; i < grid.count(); ++i) thresholds.push_back(grid.threshold(i));
      record_.column<std::int64_t>("/traces/threshold") = count_up(thresholds.size());
      record_.column<double>("/traces/thresholds") = thresholds;
    }
  }
  if (first) {
    record_.column<std::int64_t>("/traces/element") = count_up(tracked_.size() * kTraced);
  }
}

// --- checkpoints --------------------------------------------------------------------------------

void Instruments::save(ByteWriter& out) {
  out.number<std::uint8_t>(window_open_ ? 1 : 0);
  out.number(window_end_);
  out.number(last_window_end_);
  out.number<std::uint64_t>(tracked_.size());
  for (Tracked& t : tracked_) {
    t.tracker.visit_state([&](const auto& values) { out.numbers(values); });
    out.numbers(t.output);
    out.number(t.output_change);
  }
}

void Instruments::load(ByteReader& in) {
  window_open_ = in.number<std::uint8_t>() != 0;
  window_end_ = in.number<std::uint64_t>();
  last_window_end_ = in.number<std::uint64_t>();
  if (in.number<std::uint64_t>() != tracked_.size()) {
    throw std::invalid_argument("the checkpoint does not fit this run");
  }
  for (Tracked& t : tracked_) {
    t.tracker.visit_state([&](auto& values) {
      values = in.numbers<typename std::decay_t<decltype(values)>::value_type>();
    });
    t.output = in.numbers<float>();
    t.output_change = in.number<double>();
  }
}

}  // namespace fp4lab::train
