// resnet-mini: a small residual network with batch normalization.
//
//   stem   conv 3x3 -> BN -> ReLU                                        `dim` channels
//   block  conv 3x3 -> BN -> ReLU -> conv 1x1 -> BN, + shortcut, ReLU     `layers` of them
//   mean over positions -> linear head
//
// Blocks 1, 3, 5 ... halve the image (stride 2) and double the channels while it has at least 4
// rows and columns; their shortcut is a conv 1x1 of stride 2 with BN, that of the others the
// identity. The stem has the role patch-embed: it reads pixels, and first layers stay in high
// precision by default. Layers in construction order: stem, stem.bn, blocks.0.conv1, .bn1, .conv2,
// .bn2,
// (.shortcut, .shortcut_bn,) ... head. Convolutions have no bias and start at normals of deviation
// sqrt(2 / (channels kernel^2)), the head at 1 / sqrt(in).
#include <cmath>
#include <stdexcept>
#include <string>

#include "sim/models/classifier.h"
#include "sim/models/factories.h"
#include "sim/nn/activation.h"
#include "sim/nn/batch_norm.h"
#include "sim/nn/conv2d.h"
#include "sim/nn/pooling.h"

namespace fp4lab::nn {
namespace {

/// conv -> BN (-> ReLU).
struct ConvUnit {
  ConvUnit(BuildContext& build, const std::string& conv_name, const std::string& norm_name,
           Role role, int block, std::size_t in, std::size_t out, std::size_t kernel,
           std::size_t stride, bool with_relu)
      : conv(build, conv_name, role, block, in, out, options(in, kernel, stride)),
        norm(build, norm_name, block, out),
        relu(Activation::relu),
        has_relu(with_relu) {}

  static Conv2dOptions options(std::size_t in, std::size_t kernel, std::size_t stride) {
    Conv2dOptions o;
    o.kernel = kernel;
    o.stride = stride;
    o.padding = kernel / 2;
    o.init_std = std::sqrt(2.0 / static_cast<double>(in * kernel * kernel));
    return o;
  }

  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
    conv.forward(ctx, x, a);
    norm.forward(ctx, a, has_relu ? b : y);
    if (has_relu) relu.forward(ctx, b, y);
  }
  /// dy -> the gradient before the convolution's output, in `b`.
  void backward_to_conv(const StepContext& ctx, const Tensor& dy) {
    if (has_relu) relu.backward(ctx, dy, a);
    norm.backward(ctx, has_relu ? a : dy, b);
  }
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
    backward_to_conv(ctx, dy);
    conv.backward(ctx, b, dx);
  }

  Conv2d conv;
  BatchNorm norm;
  ActivationLayer relu;
  bool has_relu;
  Tensor a, b;
};

class Block {
 public:
  Block(BuildContext& build, const std::string& name, int block, std::size_t in, std::size_t out,
        std::size_t stride)
      : first_(build, name + ".conv1", name + ".bn1", Role::conv, block, in, out, 3, stride, true),
        second_(build, name + ".conv2", name + ".bn2", Role::conv1x1, block, out, out, 1, 1, false),
        relu_(Activation::relu) {
    if (in != out || stride != 1) {
      shortcut_ = std::make_unique<ConvUnit>(build, name + ".shortcut", name + ".shortcut_bn",
                                             Role::conv1x1, block, in, out, 1, stride, false);
    }
  }

  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
    first_.forward(ctx, x, a_);
    second_.forward(ctx, a_, b_);
    if (shortcut_) shortcut_->forward(ctx, x, a_);
    add(b_.span(), (shortcut_ ? a_ : x).span(), b_.span());
    relu_.forward(ctx, b_, y);
  }
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
    relu_.backward(ctx, dy, sum_);
    second_.backward(ctx, sum_, a_);
    first_.backward(ctx, a_, dx);
    if (shortcut_) shortcut_->backward(ctx, sum_, a_);
    add(dx.span(), (shortcut_ ? a_ : sum_).span(), dx.span());
  }

  /// The convolutions with their norms, in construction order.
  std::vector<ConvUnit*> units() {
    std::vector<ConvUnit*> u = {&first_, &second_};
    if (shortcut_) u.push_back(shortcut_.get());
    return u;
  }

 private:
  ConvUnit first_, second_;
  std::unique_ptr<ConvUnit> shortcut_;
  ActivationLayer relu_;
  Tensor a_, b_, sum_;
};

/// [items, c, h, w] -> [items, h, w, c].
void channels_last(const Tensor& x, std::size_t channels, std::size_t height, std::size_t width,
                   Tensor& y) {
  const std::size_t pixels = height * width;
  y.resize({x.size() / (channels * pixels), height, width, channels});
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t item = i / (channels * pixels), p = i / channels % pixels, c = i % channels;
    y[i] = x[(item * channels + c) * pixels + p];
  }
}

class ResnetMini final : public Classifier {
 public:
  ResnetMini(const ModelConfig& config, BuildContext& build)
      : Classifier(config, build, "resnet-mini"),
        config_(config),
        stem_(build, "stem", "stem.bn", Role::patch_embed, -1, config.channels, config.dim, 3, 1,
              true) {
    std::size_t channels = config.dim, height = config.height, width = config.width;
    units_.push_back(&stem_);
    for (std::size_t i = 0; i < config.layers; ++i) {
      const bool halve = i % 2 == 1 && height >= 4 && width >= 4;
      const std::size_t out = halve ? 2 * channels : channels;
      blocks_.push_back(std::make_unique<Block>(build, "blocks." + std::to_string(i),
                                                static_cast<int>(i), channels, out, halve ? 2 : 1));
      for (ConvUnit* unit : blocks_.back()->units()) units_.push_back(unit);
      if (halve) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
      }
      channels = out;
    }
    head_ = std::make_unique<Linear>(build, "head", Role::head, -1, channels, config.classes);
    for (ConvUnit* unit : units_) {
      own(unit->conv);
      own(unit->norm);
    }
    own(*head_);
    finish(build);
  }

  void state(std::vector<std::pair<std::string, Tensor*>>& out) override {
    for (ConvUnit* unit : units_) {
      unit->conv.state(out);
      unit->norm.state(out);
    }
    head_->state(out);
  }
  void reestimate_statistics(bool on) override {
    for (ConvUnit* unit : units_) unit->norm.reestimate(on);
  }

 protected:
  void logits(const StepContext& ctx, const Tensor& images, Tensor& out) override {
    channels_last(images, config_.channels, config_.height, config_.width, y_);
    stem_.forward(ctx, y_, x_);
    for (auto& block : blocks_) {
      block->forward(ctx, x_, y_);
      x_.swap(y_);
    }
    pool_.forward(ctx, x_, y_);
    head_->forward(ctx, y_, out);
  }
  void logits_backward(const StepContext& ctx, const Tensor& dlogits) override {
    head_->backward(ctx, dlogits, y_);
    pool_.backward(ctx, y_, x_);
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      blocks_[i]->backward(ctx, x_, y_);
      x_.swap(y_);
    }
    stem_.backward_to_conv(ctx, x_);
    stem_.conv.backward_weights(ctx, stem_.b);
  }

 private:
  ModelConfig config_;
  ConvUnit stem_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<ConvUnit*> units_;
  GlobalAveragePool pool_;
  std::unique_ptr<Linear> head_;
  Tensor x_, y_;
};

}  // namespace

std::unique_ptr<Model> make_resnet_mini(const ModelConfig& config, BuildContext& build) {
  return std::make_unique<ResnetMini>(config, build);
}

}  // namespace fp4lab::nn
