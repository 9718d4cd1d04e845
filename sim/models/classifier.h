// What the image classifiers share: checks of sizes, softmax cross-entropy over the classes, and
// the lists that Model shows.
#pragma once

#include <string>

#include "sim/models/model_config.h"
#include "sim/nn/loss.h"

namespace fp4lab::nn {

class Classifier : public Model {
 public:
  /// Throws std::invalid_argument for a batch whose images or number of targets do not fit.
  LossResult forward(const StepContext& ctx, const Batch& batch) final;
  void backward(const StepContext& ctx, float scale) final;

 protected:
  /// Checks the sizes and tells `build` the number of blocks. Throws std::invalid_argument, naming
  /// the key and what would do.
  Classifier(const ModelConfig& config, BuildContext& build, const char* kind);

  /// images [items, ...] with as many numbers an item as the configuration says.
  virtual void logits(const StepContext& ctx, const Tensor& images, Tensor& out) = 0;
  virtual void logits_backward(const StepContext& ctx, const Tensor& dlogits) = 0;

  /// Adds a layer's parameters to params(), a Linear to linears() as well.
  void own(Linear& layer);
  void own(Module& layer);
  /// Keeps what `build` numbered.
  void finish(const BuildContext& build);

 private:
  std::string kind_;
  std::size_t pixels_ = 0;
  SoftmaxCrossEntropy loss_;
  Tensor logits_, dlogits_;
};

}  // namespace fp4lab::nn
