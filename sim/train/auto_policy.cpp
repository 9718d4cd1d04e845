#include "sim/train/auto_policy.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "sim/nn/linear.h"
#include "sim/stabilize/slot_statistics.h"

namespace fp4lab::train {
namespace {

/// Keeps the statistics of each layer's dW.
class WgradProbe final : public nn::Probe {
 public:
  bool wants_gemm() const override { return true; }
  bool wants_slot(std::uint32_t, nn::Slot) const override { return false; }
  void slot(const nn::SlotSample&) override {}
  void gemm(const nn::GemmSample& sample) override {
    if (sample.gemm == nn::Gemm::dw) layers[sample.layer].add(sample);
  }
  void attention(std::uint32_t, std::span<const double>) override {}
  void router(std::uint32_t, std::span<const std::uint64_t>, std::uint64_t) override {}

  std::map<std::uint32_t, stabilize::GemmStatistics> layers;
};

}  // namespace

std::vector<std::string> find_worst_layers(const TrainConfig& config, nn::Model& model,
                                           const BatchSource& data) {
  std::vector<std::uint32_t> items;
  DataOrder order(static_cast<std::uint64_t>(config.seed_data), data.train_items());
  order.items(0, config.train.batch / config.train.microbatches, items);
  nn::Batch batch;
  data.train_batch(items, batch);
  WgradProbe probe;
  nn::StepContext ctx;
  ctx.seed_sr = static_cast<std::uint64_t>(config.seed_sr);
  ctx.probe = &probe;
  model.forward(ctx, batch);
  model.backward(ctx, static_cast<float>(config.optim.loss_scale.initial));

  struct Row {
    double error;
    std::string name;
  };
  std::vector<Row> rows;
  for (const nn::Linear* layer : model.linears()) {
    const auto& slots = layer->config().slot;
    const bool quantized =
        std::any_of(slots.begin(), slots.end(),
                    [](const nn::SlotConfig& s) { return s.source != nn::SlotSource::none; });
    if (!quantized) continue;
    // An expert without a token has no error.
    const auto found = probe.layers.find(layer->layer());
    const double error = found == probe.layers.end() ? 0.0 : found->second.rel_error();
    rows.push_back({std::isnan(error) ? 0.0 : error, layer->name()});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.error > b.error; });
  const auto keep = static_cast<std::size_t>(
      std::ceil(config.policy_share * static_cast<double>(rows.size()) - 1e-9));
  std::string names;
  for (std::size_t i = 0; i < std::min(keep, rows.size()); ++i) {
    names += (names.empty() ? "" : "|") + rows[i].name;
  }
  if (names.empty()) return {};
  return {"name=" + names + " -> off"};
}

}  // namespace fp4lab::train
