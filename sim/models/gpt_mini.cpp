// gpt-mini: a decoder in LLaMA's style. Blocks of [RMSNorm, causal attention with rotary positions]
// and [RMSNorm, SwiGLU], each added to the stream.
#include "sim/models/factories.h"
#include "sim/models/language_model.h"
#include "sim/nn/attention.h"
#include "sim/nn/feed_forward.h"

namespace fp4lab::nn {
namespace {

void fill(const ModelConfig& config, BuildContext& build, ResidualStack& stack) {
  AttentionOptions attention;
  attention.dim = config.dim;
  attention.heads = config.heads;
  attention.rope_base = config.rope_base;
  attention.quantize_products = config.attention_bmm;
  const std::size_t width = swiglu_width(config.dim, config.ffn_ratio);
  for (std::size_t b = 0; b < config.layers; ++b) {
    const int block = static_cast<int>(b);
    const std::string name = block_name(b);
    auto norm1 =
        std::make_unique<RmsNorm>(build, name + ".norm1", block, config.dim, config.norm_eps);
    stack.add(std::move(norm1),
              std::make_unique<Attention>(build, name + ".attn", block, attention));
    auto norm2 =
        std::make_unique<RmsNorm>(build, name + ".norm2", block, config.dim, config.norm_eps);
    stack.add(std::move(norm2),
              std::make_unique<SwiGlu>(build, name + ".ffn", block, config.dim, width));
  }
}

}  // namespace

std::unique_ptr<Model> make_gpt_mini(const ModelConfig& config, BuildContext& build) {
  return std::make_unique<LanguageModel>(config, build, fill);
}

}  // namespace fp4lab::nn
