// The configuration of a training run as plain data. experiments/config/ reads and prints it; every
// member but those of `run` belongs to the run's identity.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/models/model_config.h"
#include "sim/nn/layer_config.h"
#include "sim/optim/gradients.h"
#include "sim/optim/optimizer.h"
#include "sim/optim/schedule.h"
#include "sim/optim/write_back.h"

namespace fp4lab::train {

/// Which layers keep a higher precision (training.md 8.1).
/// `auto_`: those that a first step finds to lose most in Wgrad.
enum class PolicyKind : std::uint8_t { default_, nvidia, attn_protect, nemotron3, all, none, auto_ };
/// Named phase schedules (training.md 8.3).
enum class PhasePreset : std::uint8_t { none, qaf, nv_switch, tpts, fnt };

struct DataConfig {
  std::string name = "text";
  std::string sha256;         ///< of the data; empty: whatever is loaded, filled in then
  std::string labels;         ///< label file of an IDX image file
  std::uint64_t items = 0;    ///< size of a procedural set; 0 = its default
  std::uint64_t classes = 0;  ///< glyphs; 0 = its default
  double eval_fraction = 0.1;
  double outlier_share = 0;  ///< images that are multiplied by outlier_gain; 0 = none
  double outlier_gain = 30;
  friend bool operator==(const DataConfig&, const DataConfig&) = default;
};

struct TrainLoopConfig {
  std::uint64_t steps = 800;
  std::uint64_t batch = 32;          ///< items (sequences, images) an optimizer step
  std::uint64_t microbatches = 1;    ///< equal parts a batch is cut into
  std::uint64_t eval_every = 0;      ///< steps between evaluations; 0 = at the end only
  std::uint64_t eval_items = 256;    ///< held-out items of an evaluation; 0 = all
  /// Batches over which running statistics (batch norms) are made anew before the last evaluation.
  std::uint64_t reestimate_batches = 0;
  double diverge_factor = 20.0;      ///< stop when loss > factor * ln(classes); 0 = never
  std::uint64_t diverge_skips = 20;  ///< stop after so many skipped steps in a row
  friend bool operator==(const TrainLoopConfig&, const TrainLoopConfig&) = default;
};

struct OptimConfig {
  optim::OptimizerConfig rule{.weight_decay = 0.1};
  double lr = 2e-3;
  double clip = 1.0;  ///< largest global gradient norm; 0 = off
  optim::NonfinitePolicy nonfinite = optim::NonfinitePolicy::skip;
  optim::Storage master = optim::Storage::fp32;
  optim::StoreRounding master_round = optim::StoreRounding::rne;
  optim::Storage grad_accum = optim::Storage::fp32;
  optim::StoreRounding grad_accum_round = optim::StoreRounding::rne;
  optim::LossScaleConfig loss_scale;
  friend bool operator==(const OptimConfig&, const OptimConfig&) = default;
};

struct PhaseConfig {
  PhasePreset preset = PhasePreset::none;
  double fraction = 0;            ///< share of the run at its end; 0 = the preset's own
  bool rewarm = false;            ///< qaf: the phase has a learning rate triangle of its own
  std::vector<std::string> list;  ///< "0.9 -> off:q3,q4,q5,q6", in ascending order
  friend bool operator==(const PhaseConfig&, const PhaseConfig&) = default;
};

/// Instruments; a cadence of 0 switches one off.
struct LogConfig {
  std::uint64_t slots_every = 50;       ///< slot statistics and histograms
  std::uint64_t gemms_every = 0;        ///< products beside the binary32 product
  std::uint64_t norms_every = 1;        ///< gradient norm of each layer
  std::uint64_t attention_every = 50;   ///< entropy of attention, load of routers
  std::uint64_t osc_every = 0;          ///< steps from one oscillation window to the next
  std::uint64_t osc_window = 30;        ///< optimizer steps of a window
  std::uint64_t osc_last_window = 200;  ///< of the window at the end of the run
  double osc_momentum = 0.01;           ///< of Nagel's frequency
  std::uint64_t probe_items = 8;  ///< held-out items of the fixed batch behind r(Y); 0 = no r(Y)
  double trace_fraction = 0.0;    ///< share of the run at its end with full traces
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

/// Where and how it runs: no result depends on it.
struct RunConfig {
  std::string executor = "cpu";
  std::uint64_t threads = 0;           ///< 0 = OMP_NUM_THREADS or all
  std::string checkpoint;              ///< folder of checkpoints; empty = none
  std::uint64_t checkpoint_every = 0;  ///< steps; 0 = at an interruption only
};

/// A whole run.
struct TrainConfig {
  std::string recipe = "nvfp4-nvidia";
  std::string preset = "t4";
  PolicyKind policy = PolicyKind::default_;
  double policy_share = 0.15;             ///< auto: share of the quantized layers that is kept out
  std::vector<std::string> policy_rules;  ///< before the policy's own; see sim/train/policy.h
  std::uint64_t seed = 0;
  std::int64_t seed_data = -1, seed_sr = -1, seed_init = -1;  ///< -1 = seed
  std::string accumulate = "block-exact";
  nn::Compute compute = nn::Compute::bf16;
  nn::BiasGrad bias_grad = nn::BiasGrad::highp;
  nn::ModelConfig model;
  DataConfig data;
  TrainLoopConfig train;
  OptimConfig optim;
  optim::ScheduleConfig schedule;
  std::array<nn::SlotConfig, nn::kSlots> slots{};
  PhaseConfig phase;
  LogConfig log;
  RunConfig run;
};

}  // namespace fp4lab::train
