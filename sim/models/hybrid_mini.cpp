// hybrid-mini: blocks of three sublayers, each behind an RMSNorm and added to the stream: a
// selective-scan block, causal attention with rotary positions, a mixture of SwiGLU experts.
#include "sim/models/factories.h"
#include "sim/models/language_model.h"
#include "sim/nn/attention.h"
#include "sim/nn/moe.h"
#include "sim/nn/ssm.h"

namespace fp4lab::nn {
namespace {

void fill(const ModelConfig& config, BuildContext& build, ResidualStack& stack) {
  SsmOptions ssm;
  ssm.dim = config.dim;
  ssm.states = config.ssm_state;
  ssm.conv = config.ssm_conv;
  ssm.expand = config.ssm_expand;
  AttentionOptions attention;
  attention.dim = config.dim;
  attention.heads = config.heads;
  attention.rope_base = config.rope_base;
  attention.quantize_products = config.attention_bmm;
  MoeOptions moe;
  moe.dim = config.dim;
  moe.width = swiglu_width(config.dim, config.ffn_ratio);
  moe.experts = config.experts;
  moe.top_k = config.top_k;
  moe.balance = config.router_balance;
  for (std::size_t b = 0; b < config.layers; ++b) {
    const int block = static_cast<int>(b);
    const std::string name = block_name(b);
    const auto norm = [&](const char* which) {
      return std::make_unique<RmsNorm>(build, name + which, block, config.dim, config.norm_eps);
    };
    auto norm1 = norm(".norm1");
    stack.add(std::move(norm1), std::make_unique<Ssm>(build, name + ".ssm", block, ssm));
    auto norm2 = norm(".norm2");
    stack.add(std::move(norm2),
              std::make_unique<Attention>(build, name + ".attn", block, attention));
    auto norm3 = norm(".norm3");
    stack.add(std::move(norm3), std::make_unique<Moe>(build, name + ".moe", block, moe));
  }
}

}  // namespace

std::unique_ptr<Model> make_hybrid_mini(const ModelConfig& config, BuildContext& build) {
  return std::make_unique<LanguageModel>(config, build, fill);
}

}  // namespace fp4lab::nn
