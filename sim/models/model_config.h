// Sizes of the built-in models, and the one function that makes them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "sim/nn/model.h"

namespace fp4lab::nn {

/// One record for all kinds; a kind ignores what it has no use for. `vocab`, `classes`, `channels`,
/// `height`, `width` come from the data set, everything else from the configuration.
struct ModelConfig {
  std::string kind = "gpt-mini";  ///< toy1d, mlp, resnet-mini, vit-mini, gpt-mini, ...
  std::size_t dim = 64;           ///< width of the residual stream; of the hidden layers in mlp
  std::size_t layers = 2;         ///< blocks; hidden layers in mlp
  std::size_t heads = 2;
  std::size_t length = 64;        ///< context of language models
  double ffn_ratio = 4.0;         ///< mlp 4x; SwiGLU uses 2/3 of it, rounded up to a multiple of 32
  std::size_t patch = 4;          ///< vit-mini
  std::size_t experts = 4, top_k = 1;  ///< hybrid-mini
  std::size_t ssm_state = 16, ssm_conv = 4, ssm_expand = 2;  ///< hybrid-mini
  double router_balance = 0.01;   ///< weight of the load balancing loss
  double rope_base = 10000.0;
  double norm_eps = 1e-5;
  bool attention_bmm = false;     ///< quantize the two products inside attention as well
  /// Function-preserving outlier channels: so many gains of each norm times `outlier_gain`, the
  /// columns of the weights that read them divided by it (training.md 9).
  std::size_t outlier_channels = 0;
  double outlier_gain = 30.0;

  double target = 0.8, start = 0.0;  ///< toy1d: the weight that is sought, and where it begins

  std::size_t vocab = 0, classes = 0;
  std::size_t channels = 1, height = 0, width = 0;
};

/// Builds the model; layers are numbered in construction order through `build`. Throws
/// std::invalid_argument, naming the key and what would do, when sizes do not fit together.
std::unique_ptr<Model> make_model(const ModelConfig& config, BuildContext& build);

}  // namespace fp4lab::nn
