// vit-mini: an image cut into patches, a linear embedding with learned positions, blocks of
// [LayerNorm, attention] and [LayerNorm, GELU network], LayerNorm, the mean over patches, a head.
//
// A patch is read channel by channel, each row-major; patches are numbered row-major. The mean has
// the shape of sim/reduce.h, the patch number being the term, and is divided in binary64.
#include <algorithm>
#include <stdexcept>

#include "sim/models/classifier.h"
#include "sim/models/factories.h"
#include "sim/models/residual_stack.h"
#include "sim/nn/activation.h"
#include "sim/nn/attention.h"
#include "sim/nn/feed_forward.h"
#include "sim/nn/init.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

constexpr double kHeadStd = 0.02, kPositionStd = 0.02;

const ModelConfig& checked(const ModelConfig& c) {
  check_residual(c);
  if (c.patch == 0 || c.height % c.patch != 0 || c.width % c.patch != 0) {
    throw std::invalid_argument("model.patch: must divide the image, " + std::to_string(c.height) +
                                " x " + std::to_string(c.width) + "; found " +
                                std::to_string(c.patch));
  }
  return c;
}

Param make_positions(const ModelConfig& c, BuildContext& build, std::size_t patches) {
  const LayerInfo& info = build.add("pos", Role::pos);
  Param p;
  p.name = "pos.table";
  p.layer = info.index;
  p.role = Role::pos;
  p.value = Tensor({patches, c.dim});
  p.grad = Tensor({patches, c.dim});
  p.decay = false;
  fill_normal(init_stream(build.seed_init, info.index), static_cast<float>(kPositionStd),
              p.value.span());
  return p;
}

ResidualStack make_stack(const ModelConfig& c, BuildContext& build) {
  ResidualStack stack(c);
  AttentionOptions attention;
  attention.dim = c.dim;
  attention.heads = c.heads;
  attention.causal = false;
  attention.rope = false;
  attention.bias = true;
  attention.quantize_products = c.attention_bmm;
  const std::size_t width = mlp_width(c.dim, c.ffn_ratio);
  for (std::size_t b = 0; b < c.layers; ++b) {
    const int block = static_cast<int>(b);
    const std::string name = block_name(b);
    auto norm1 = std::make_unique<LayerNorm>(build, name + ".norm1", block, c.dim, c.norm_eps);
    stack.add(std::move(norm1),
              std::make_unique<Attention>(build, name + ".attn", block, attention));
    auto norm2 = std::make_unique<LayerNorm>(build, name + ".norm2", block, c.dim, c.norm_eps);
    stack.add(std::move(norm2),
              std::make_unique<MlpBlock>(build, name + ".ffn", block, c.dim, width));
  }
  return stack;
}

class VitMini final : public Classifier {
 public:
  VitMini(const ModelConfig& config, BuildContext& build)
      : Classifier(config, build, "vit-mini"),
        config_(checked(config)),
        patches_(config.height / config.patch * (config.width / config.patch)),
        embed_(build, "patch_embed", Role::patch_embed, -1,
               config.channels * config.patch * config.patch, config.dim),
        positions_(make_positions(config, build, patches_)),
        stack_(make_stack(config, build)),
        norm_(build, "norm", -1, config.dim, config.norm_eps),
        head_(build, "head", Role::head, -1, config.dim, config.classes, {.init_std = kHeadStd}) {
    inject_outliers(config, norm_.gain, &norm_.bias, {&head_});
    own(embed_);
    params_.push_back(&positions_);
    stack_.collect(params_);
    for (Linear* l : stack_.linears()) linears_.push_back(l);
    norm_.collect(params_);
    own(head_);
    finish(build);
  }

  void state(std::vector<std::pair<std::string, Tensor*>>& out) override {
    for (Linear* linear : linears_) linear->state(out);
  }

 protected:
  void logits(const StepContext& ctx, const Tensor& images, Tensor& out) override {
    items_ = images.size() / (config_.channels * config_.height * config_.width);
    cut(images);
    embed_.forward(ctx, cut_, x_);
    x_.reshape({items_, patches_, config_.dim});
    const std::size_t plane = patches_ * config_.dim;
    for (std::size_t i = 0; i < items_; ++i) {
      const std::span<float> item{x_.data() + i * plane, plane};
      add(item, positions_.value.span(), item);
    }
    stack_.forward(ctx, x_);
    norm_.forward(ctx, x_, normed_);
    pool();
    head_.forward(ctx, pooled_, out);
  }

  void logits_backward(const StepContext& ctx, const Tensor& dlogits) override {
    head_.backward(ctx, dlogits, pooled_);
    const float share = static_cast<float>(1.0 / static_cast<double>(patches_));
    const std::size_t dim = config_.dim;
    for (std::size_t r = 0; r < items_ * patches_; ++r) {
      const float* from = pooled_.data() + r / patches_ * dim;
      for (std::size_t c = 0; c < dim; ++c) normed_[r * dim + c] = from[c] * share;
    }
    norm_.backward(ctx, normed_, x_);
    stack_.backward(ctx, 1.0f, x_);
    std::vector<double> sums(patches_ * dim);
    column_sums(x_.span(), sums.size(), sums);
    add_rounded(sums, positions_.grad.span());
    embed_.backward_weights(ctx, x_);
  }

 private:
  void cut(const Tensor& images) {
    const std::size_t p = config_.patch, h = config_.height, w = config_.width;
    const std::size_t across = w / p;
    cut_.resize({items_, patches_, config_.channels * p * p});
    float* to = cut_.data();
    for (std::size_t i = 0; i < items_; ++i) {
      for (std::size_t n = 0; n < patches_; ++n) {
        for (std::size_t c = 0; c < config_.channels; ++c) {
          for (std::size_t y = 0; y < p; ++y, to += p) {
            const std::size_t row = n / across * p + y;
            std::copy_n(images.data() + ((i * config_.channels + c) * h + row) * w + n % across * p,
                        p, to);
          }
        }
      }
    }
  }

  void pool() {
    const std::size_t dim = config_.dim;
    pooled_.resize({items_, dim});
    std::vector<double> sums(dim);
    for (std::size_t i = 0; i < items_; ++i) {
      column_sums(std::as_const(normed_).span().subspan(i * patches_ * dim, patches_ * dim), dim,
                  sums);
      for (std::size_t c = 0; c < dim; ++c) {
        pooled_[i * dim + c] = round_sum(sums[c] / static_cast<double>(patches_));
      }
    }
  }

  ModelConfig config_;
  std::size_t patches_, items_ = 0;
  Linear embed_;
  Param positions_;
  ResidualStack stack_;
  LayerNorm norm_;
  Linear head_;
  Tensor cut_, x_, normed_, pooled_;
};

}  // namespace

std::unique_ptr<Model> make_vit_mini(const ModelConfig& config, BuildContext& build) {
  return std::make_unique<VitMini>(config, build);
}

}  // namespace fp4lab::nn
