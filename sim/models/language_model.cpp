#include "sim/models/language_model.h"

#include <stdexcept>

namespace fp4lab::nn {
namespace {

const ModelConfig& checked(const ModelConfig& config, BuildContext& build) {
  check_residual(config);
  if (config.vocab == 0) {
    throw std::invalid_argument("model.kind: " + config.kind +
                                " reads tokens, but the data set has no vocabulary; use a text "
                                "data set or an image model (mlp, resnet-mini, vit-mini)");
  }
  if (config.length == 0) throw std::invalid_argument("model.length: must be at least 1; found 0");
  build.blocks = static_cast<int>(config.layers);
  return config;
}

ResidualStack make_stack(const ModelConfig& config, BuildContext& build, LanguageModel::Fill fill) {
  ResidualStack stack(config);
  fill(config, build, stack);
  return stack;
}

/// Logits start small, so that the first loss is close to log(vocab).
constexpr double kHeadStd = 0.02;
constexpr double kEmbeddingStd = 1.0;

}  // namespace

LanguageModel::LanguageModel(const ModelConfig& config, BuildContext& build, Fill fill)
    : config_(checked(config, build)),
      embedding_(build, "embedding", config.vocab, config.dim, kEmbeddingStd),
      stack_(make_stack(config, build, fill)),
      norm_(build, "norm", -1, config.dim, config.norm_eps),
      head_(build, "head", Role::head, -1, config.dim, config.vocab,
            {.bias = false, .init_std = kHeadStd}) {
  inject_outliers(config, norm_.gain, nullptr, {&head_});
  embedding_.collect(params_);
  stack_.collect(params_);
  norm_.collect(params_);
  head_.collect(params_);
  linears_ = stack_.linears();
  linears_.push_back(&head_);
  layers_ = build.layers;
  configs_ = build.configs;
}

LossResult LanguageModel::forward(const StepContext& ctx, const Batch& batch) {
  if (batch.length == 0 || batch.length > config_.length ||
      batch.tokens.size() != batch.items * batch.length) {
    throw std::invalid_argument("a batch of " + std::to_string(batch.items) + " x " +
                                std::to_string(batch.length) + " tokens has " +
                                std::to_string(batch.tokens.size()) + "; the model reads 1 to " +
                                std::to_string(config_.length) + " tokens an item");
  }
  embedding_.forward(ctx, batch.tokens, x_);
  x_.reshape({batch.items, batch.length, config_.dim});
  stack_.forward(ctx, x_);
  norm_.forward(ctx, x_, normed_);
  head_.forward(ctx, normed_, logits_);
  return loss_.forward(ctx, logits_, batch.targets);
}

void LanguageModel::backward(const StepContext& ctx, float scale) {
  loss_.backward(scale, logits_);
  head_.backward(ctx, logits_, normed_);
  norm_.backward(ctx, normed_, x_);
  stack_.backward(ctx, scale, x_);
  embedding_.backward(ctx, x_);
}

void LanguageModel::state(std::vector<std::pair<std::string, Tensor*>>& out) {
  for (Linear* linear : linears_) linear->state(out);
}

}  // namespace fp4lab::nn
