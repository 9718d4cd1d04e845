// toy1d: the smallest model that oscillates, one quantized weight (training.md 5.6, T0).
//
// The loss is E[(x w* - x q(w))^2] / 2 over inputs x. Under SGD and the straight-through estimator
// the update lr x^2 (q(w) - w*) never vanishes while w* lies between two values q1 < q2 of the format:
// w climbs while q(w) is q1, falls while it is q2, and so stays at the threshold between them, not
// at w*. Since w stays bounded, the mean of x^2 (q(w) - w*) goes to 0: the share of time at q2 is
// (w* - q1) / (q2 - q1).
#include <stdexcept>
#include <string>

#include "sim/models/factories.h"
#include "sim/nn/linear.h"
#include "sim/nn/loss.h"

namespace fp4lab::nn {
namespace {

BuildContext& checked(const ModelConfig& config, BuildContext& build) {
  const std::size_t numbers = config.channels * config.height * config.width;
  if (numbers != 1) {
    throw std::invalid_argument("model.kind: toy1d reads one number an item; the data set has " +
                                std::to_string(numbers) + ", data.name = \"uniform\" has one");
  }
  build.blocks = 1;
  return build;
}

class Toy1d final : public Model {
 public:
  Toy1d(const ModelConfig& config, BuildContext& build)
      : target_(static_cast<float>(config.target)),
        layer_(checked(config, build), "weight", Role::ffn_up, 0, 1, 1, {.bias = false}) {
    layer_.weight().value[0] = static_cast<float>(config.start);
    layer_.collect(params_);
    linears_.push_back(&layer_);
    layers_ = build.layers;
    configs_ = build.configs;
  }

  LossResult forward(const StepContext& ctx, const Batch& batch) override {
    if (batch.inputs.size() != batch.items) {
      throw std::invalid_argument("toy1d: " + std::to_string(batch.inputs.size()) +
                                  " numbers for " + std::to_string(batch.items) +
                                  " items; it reads one number an item");
    }
    x_ = batch.inputs;
    x_.reshape({batch.items, 1});
    layer_.forward(ctx, x_, y_);
    wanted_.resize({batch.items, 1});
    for (std::size_t i = 0; i < batch.items; ++i) wanted_[i] = mul_rn(x_[i], target_);
    return {loss_.forward(y_, wanted_) / 2, batch.items, 0};
  }
  void backward(const StepContext& ctx, float scale) override {
    loss_.backward(scale / 2, y_);
    layer_.backward_weights(ctx, y_);
  }
  void state(std::vector<std::pair<std::string, Tensor*>>& out) override { layer_.state(out); }

 private:
  float target_;
  Linear layer_;
  MeanSquaredError loss_;
  Tensor x_, y_, wanted_;
};

}  // namespace

std::unique_ptr<Model> make_toy1d(const ModelConfig& config, BuildContext& build) {
  return std::make_unique<Toy1d>(config, build);
}

}  // namespace fp4lab::nn
