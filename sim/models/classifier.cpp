#include "sim/models/classifier.h"

#include <stdexcept>

#include "sim/nn/linear.h"

namespace fp4lab::nn {

Classifier::Classifier(const ModelConfig& config, BuildContext& build, const char* kind)
    : kind_(kind), pixels_(config.channels * config.height * config.width) {
  if (pixels_ == 0 || config.classes == 0) {
    throw std::invalid_argument("model.kind: " + kind_ +
                                " reads labelled images, but the data set has none; use an image "
                                "data set, or gpt-mini or hybrid-mini");
  }
  if (config.dim == 0) throw std::invalid_argument("model.dim: must be at least 1; found 0");
  build.blocks = static_cast<int>(config.layers);
}

LossResult Classifier::forward(const StepContext& ctx, const Batch& batch) {
  if (batch.inputs.size() != batch.items * pixels_ || batch.targets.size() != batch.items) {
    throw std::invalid_argument(kind_ + ": " + std::to_string(batch.inputs.size()) +
                                " numbers and " + std::to_string(batch.targets.size()) +
                                " targets for " + std::to_string(batch.items) + " images of " +
                                std::to_string(pixels_));
  }
  logits(ctx, batch.inputs, logits_);
  return loss_.forward(ctx, logits_, batch.targets);
}

void Classifier::backward(const StepContext& ctx, float scale) {
  loss_.backward(scale, dlogits_);
  logits_backward(ctx, dlogits_);
}

void Classifier::own(Module& layer) { layer.collect(params_); }
void Classifier::own(Linear& layer) {
  layer.collect(params_);
  linears_.push_back(&layer);
}
void Classifier::finish(const BuildContext& build) {
  layers_ = build.layers;
  configs_ = build.configs;
}

}  // namespace fp4lab::nn
