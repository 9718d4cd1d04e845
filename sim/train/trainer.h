// The training loop: batches, microbatches, clipping, optimizer, phases, evaluation, instruments,
// checkpoints. Every number it stores is a function of configuration and data alone.
//
// One iteration:
//   1 forward and backward of each microbatch; the loss gradient is scaled by loss scale /
//     microbatches, gradients are summed in binary32 (or bf16, optim.grad_accum)
//   2 divide by the loss scale, add the decay of parameters that have their own, 3 finite check and global norm, 4 clip, 5 optimizer, 6 write-back
//     to bf16 where the master weights are kept in it, 7 hooks of quantized weights, 8 instruments
// A step whose loss or gradients are not finite is skipped under the default policy: weights, state
// and the counter of updates stay, the iteration is counted. Schedules and phases follow
// iterations, random words and bias corrections follow updates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sim/nn/model.h"
#include "sim/optim/gradients.h"
#include "sim/optim/optimizer.h"
#include "sim/train/batches.h"
#include "sim/train/config.h"
#include "sim/train/instruments.h"
#include "sim/train/phase.h"
#include "sim/train/record.h"

namespace fp4lab::train {

enum class RunStatus : std::uint8_t { complete, diverged, stopped };

/// An iteration, for progress.
struct IterationReport {
  std::uint64_t iteration = 0;  ///< finished so far
  std::uint64_t total = 0;
  double loss = 0;
  bool skipped = false;
};

struct Evaluation {
  double loss = 0;      ///< nats, mean over counted targets
  double accuracy = 0;  ///< share of them that the largest logit hits
  double perplexity = 0;
};

class Trainer {
 public:
  /// `config` is resolved; model and data outlive the trainer. Rounds the initial weights where the
  /// master weights are bf16. Throws std::invalid_argument.
  Trainer(const TrainConfig& config, nn::Model& model, const BatchSource& data);

  /// Runs until the end, divergence, or until `keep_going`, which is called after each iteration,
  /// returns false. Can be called again after it has stopped.
  RunStatus run(const std::function<bool(const IterationReport&)>& keep_going = {});

  /// Held-out loss with the weights as they are, in the precision of iteration `iteration()`.
  Evaluation evaluate();

  std::uint64_t iteration() const noexcept { return iteration_; }
  /// Optimizer updates finished.
  std::uint64_t updates() const noexcept { return optimizer_.steps(); }
  std::uint64_t skipped_steps() const noexcept { return skipped_; }
  RunStatus status() const noexcept { return status_; }
  RunRecord& record() noexcept { return record_; }
  const RunRecord& record() const noexcept { return record_; }
  nn::Model& model() noexcept { return model_; }

  /// Everything that the rest of the run depends on. `identity` names the run.
  std::vector<std::byte> save(const std::string& identity);
  /// Continues from such bytes. Throws std::invalid_argument when they are of another run.
  void load(std::span<const std::byte> bytes, const std::string& identity);
  /// Iteration that saved bytes stand at; 0 when they are none.
  static std::uint64_t saved_iteration(std::span<const std::byte> bytes) noexcept;

 private:
  struct StepResult {
    double loss = 0, grad_norm = 0, stalled = 0;
    bool skipped = false;
  };
  nn::StepContext context(std::uint64_t iteration) const;
  StepResult step();
  double accumulate(const nn::StepContext& base);
  void apply_update(StepResult& result, double scale);
  void write_back(const std::vector<std::vector<float>>& before, StepResult& result);
  void record_step(const StepResult& result, double learning_rate, double loss_scale,
                   double seconds);
  void record_evaluation();
  void reestimate_statistics();
  bool has_diverged(const StepResult& result);
  bool keeps_bf16() const noexcept { return config_.optim.master == optim::Storage::bf16; }
  RandomStream storage_stream(std::size_t parameter, std::uint32_t slot,
                              std::uint16_t microbatch) const;

  TrainConfig config_;
  nn::Model& model_;
  const BatchSource& data_;
  std::vector<Phase> phases_;
  optim::Optimizer<float> optimizer_;
  optim::LossScale loss_scale_;
  DataOrder order_;
  RunRecord record_;
  Instruments instruments_;
  std::vector<std::uint8_t> ordinal_;  ///< of each parameter within its layer

  std::uint64_t iteration_ = 0, skipped_ = 0, skipped_in_a_row_ = 0;
  RunStatus status_ = RunStatus::complete;
  double learning_rate_ = 0;
  nn::Batch batch_;
  std::vector<std::uint32_t> items_;
  std::vector<Tensor> sums_;  ///< bf16 gradient accumulation
};

}  // namespace fp4lab::train
