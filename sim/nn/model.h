// A model: a batch in, a loss out, gradients in its parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/nn/context.h"
#include "sim/nn/module.h"

namespace fp4lab::nn {

class Linear;

/// One microbatch. Language models read `tokens` [items, length] and predict `targets` of the same
/// shape; classifiers read `inputs` [items, ...] and predict `targets` [items].
struct Batch {
  std::size_t items = 0, length = 0;
  Tensor inputs;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;  ///< -1: not counted
};

/// What a forward reports.
struct LossResult {
  double loss = 0;             ///< mean over counted targets (nats)
  std::uint64_t counted = 0;   ///< targets that count
  std::uint64_t correct = 0;   ///< of those, how many the largest logit hits
};

class Model {
 public:
  virtual ~Model() = default;

  /// Loss of a microbatch. With ctx.training the activations are kept for backward().
  virtual LossResult forward(const StepContext& ctx, const Batch& batch) = 0;
  /// Adds d(scale * loss)/d(parameters) of the last forward to the parameters' gradients.
  virtual void backward(const StepContext& ctx, float scale) = 0;

  /// Every parameter in construction order.
  const std::vector<Param*>& params() const noexcept { return params_; }
  /// Every linear or convolutional layer that has the six slots, in construction order.
  const std::vector<Linear*>& linears() const noexcept { return linears_; }
  /// Layers as they were numbered, and the configuration each got.
  const std::vector<LayerInfo>& layers() const noexcept { return layers_; }
  const std::vector<LayerConfig>& configs() const noexcept { return configs_; }
  /// State beside parameters that a checkpoint must keep (running statistics, LSQ scales ...), by
  /// name.
  virtual void state(std::vector<std::pair<std::string, Tensor*>>& out) { (void)out; }
  /// While on, training forwards make running statistics the plain means over their batches
  /// (BatchNorm::reestimate): call it with true, run forwards over data, call it with false. Models
  /// without running statistics ignore it.
  virtual void reestimate_statistics(bool on) { (void)on; }

 protected:
  std::vector<Param*> params_;
  std::vector<Linear*> linears_;
  std::vector<LayerInfo> layers_;
  std::vector<LayerConfig> configs_;
};

}  // namespace fp4lab::nn
