// What the two language models share: tokens in, next-token cross-entropy out.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/models/residual_stack.h"
#include "sim/nn/embedding.h"
#include "sim/nn/loss.h"

namespace fp4lab::nn {

/// Embedding, residual blocks, RMSNorm, untied head without bias. `fill` appends the blocks to the
/// stack; layers are numbered in this order.
class LanguageModel final : public Model {
 public:
  using Fill = void (*)(const ModelConfig&, BuildContext&, ResidualStack&);
  /// Throws std::invalid_argument for sizes that do not fit.
  LanguageModel(const ModelConfig& config, BuildContext& build, Fill fill);

  /// batch.tokens [items, length] with length from 1 to model.length.
  LossResult forward(const StepContext& ctx, const Batch& batch) override;
  void backward(const StepContext& ctx, float scale) override;
  void state(std::vector<std::pair<std::string, Tensor*>>& out) override;

 private:
  ModelConfig config_;
  Embedding embedding_;
  ResidualStack stack_;
  RmsNorm norm_;
  Linear head_;
  SoftmaxCrossEntropy loss_;
  Tensor x_, normed_, logits_;
};

}  // namespace fp4lab::nn
