// mlp: `layers` hidden layers of width `dim` with GELU, then a linear head (T1: 64-256-256-10).
//
// Layers in construction order: fc0, fc1, ... (role ffn-up, each a block of its own), head (role
// head). Weights start at normals of deviation sqrt(2 / in), the head's at 1 / sqrt(in); biases at
// 0.
#include <cmath>
#include <stdexcept>
#include <string>

#include "sim/models/classifier.h"
#include "sim/models/factories.h"
#include "sim/nn/activation.h"
#include "sim/nn/linear.h"

namespace fp4lab::nn {
namespace {

class Mlp final : public Classifier {
 public:
  Mlp(const ModelConfig& config, BuildContext& build) : Classifier(config, build, "mlp") {
    std::size_t in = config.channels * config.height * config.width;
    for (std::size_t i = 0; i < config.layers; ++i) {
      LinearOptions options;
      options.init_std = std::sqrt(2.0 / static_cast<double>(in));
      hidden_.push_back(std::make_unique<Linear>(build, "fc" + std::to_string(i), Role::ffn_up,
                                                 static_cast<int>(i), in, config.dim, options));
      gelu_.push_back(std::make_unique<ActivationLayer>(Activation::gelu));
      in = config.dim;
    }
    head_ = std::make_unique<Linear>(build, "head", Role::head, -1, in, config.classes);
    for (auto& layer : hidden_) own(*layer);
    own(*head_);
    finish(build);
  }

  void state(std::vector<std::pair<std::string, Tensor*>>& out) override {
    for (Linear* layer : linears()) layer->state(out);
  }

 protected:
  void logits(const StepContext& ctx, const Tensor& images, Tensor& out) override {
    x_ = images;
    const std::size_t pixels = hidden_.empty() ? head_->in() : hidden_[0]->in();
    x_.reshape({images.size() / pixels, pixels});
    for (std::size_t i = 0; i < hidden_.size(); ++i) {
      hidden_[i]->forward(ctx, x_, y_);
      gelu_[i]->forward(ctx, y_, x_);
    }
    head_->forward(ctx, x_, out);
  }
  void logits_backward(const StepContext& ctx, const Tensor& dlogits) override {
    if (hidden_.empty()) return head_->backward_weights(ctx, dlogits);
    head_->backward(ctx, dlogits, x_);
    for (std::size_t i = hidden_.size(); i-- > 0;) {
      gelu_[i]->backward(ctx, x_, y_);
      if (i == 0) return hidden_[0]->backward_weights(ctx, y_);
      hidden_[i]->backward(ctx, y_, x_);
    }
  }

 private:
  std::vector<std::unique_ptr<Linear>> hidden_;
  std::vector<std::unique_ptr<ActivationLayer>> gelu_;
  std::unique_ptr<Linear> head_;
  Tensor x_, y_;
};

}  // namespace

std::unique_ptr<Model> make_mlp(const ModelConfig& config, BuildContext& build) {
  return std::make_unique<Mlp>(config, build);
}

}  // namespace fp4lab::nn
