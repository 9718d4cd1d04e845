// The instruments of a run: which step is looked at, by which of them, and the rows of the record
// they fill. Nothing here changes what is trained.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/nn/model.h"
#include "sim/nn/probe.h"
#include "sim/stabilize/oscillation.h"
#include "sim/stabilize/slot_statistics.h"
#include "sim/train/batches.h"
#include "sim/train/config.h"
#include "sim/train/record.h"

namespace fp4lab::train {

/// True at step 0, at every multiple of `every` and at the last step; never for 0.
bool is_due(std::uint64_t step, std::uint64_t every, std::uint64_t total) noexcept;

/// The trainer calls, in this order for iteration `it`: begin (the probe of its forward and
/// backward passes), gradients (their sums of squares by parameter), finish; and after the update
/// advanced.
class Instruments final : public nn::Probe {
 public:
  Instruments(const TrainConfig& config, nn::Model& model, const BatchSource& data,
              RunRecord& record);

  /// What is sampled in this iteration; null when nothing is. `now` is the context of its forward.
  nn::Probe* begin(std::uint64_t it, const nn::StepContext& now);
  void gradients(std::uint64_t it, std::uint64_t updates, std::span<const double> squares);
  /// Writes the rows of an iteration that was sampled. `updates`: finished before it.
  void finish(std::uint64_t it, std::uint64_t updates);
  /// The weights have moved (or a step was skipped): `next` is the context the next iteration's
  /// forward will have.
  void advanced(std::uint64_t it, const nn::StepContext& next);

  void save(ByteWriter& out);
  void load(ByteReader& in);

  // nn::Probe
  bool wants_gemm() const override { return gemms_due_; }
  bool wants_slot(std::uint32_t layer, nn::Slot slot) const override;
  bool wants_output() const override { return false; }
  void slot(const nn::SlotSample& sample) override;
  void gemm(const nn::GemmSample& sample) override;
  void attention(std::uint32_t layer, std::span<const double> entropy_per_head) override;
  void router(std::uint32_t layer, std::span<const std::uint64_t> load,
              std::uint64_t flips) override;

 private:
  class OutputProbe;
  struct Tracked {
    nn::Linear* layer = nullptr;
    stabilize::OscillationTracker tracker;
    std::vector<float> output;  ///< Y of the fixed batch at the last snapshot
    double output_change = 0;   ///< sum of relative changes; NaN where shapes changed
  };
  struct Entropy {
    std::vector<double> sum;
    std::uint64_t calls = 0;
  };
  struct Routed {
    std::vector<std::int64_t> load;
    std::int64_t flips = 0;
  };

  void write_axes();
  void write_policy();
  void write_slots(std::uint64_t updates);
  void write_gemms(std::uint64_t updates);
  void write_attention(std::uint64_t updates);
  void write_router(std::uint64_t updates);
  void write_window(std::uint64_t updates);
  void write_traces(const nn::StepContext& next);

  bool window_begins(std::uint64_t it) const;
  std::uint64_t window_end(std::uint64_t it) const;
  void snapshot(const nn::StepContext& ctx, bool first, bool joins);
  void probe_outputs(const nn::StepContext& ctx, bool first);
  bool traces_due(std::uint64_t it) const;

  const TrainConfig& config_;
  nn::Model& model_;
  RunRecord& record_;
  std::vector<std::uint32_t> slot_layers_;  ///< layers that have slots, ascending
  std::vector<int> slot_row_;               ///< row of each layer among them, or -1
  std::vector<Tracked> tracked_;            ///< quantized linears, in construction order
  std::vector<int> tracked_row_;            ///< by row of slot_layers_, or -1

  bool slots_due_ = false, gemms_due_ = false, attention_due_ = false;
  std::vector<stabilize::SlotStatistics> slots_;
  std::vector<stabilize::GemmStatistics> gemms_;
  std::map<std::uint32_t, Entropy> entropies_;
  std::map<std::uint32_t, Routed> routed_;

  bool window_open_ = false;
  std::uint64_t window_end_ = 0;  ///< iteration count at which the open window closes
  std::uint64_t last_window_end_ = UINT64_MAX;
  nn::Batch probe_batch_;
};

}  // namespace fp4lab::train
