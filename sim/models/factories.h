// One constructor for each kind of model; make_model() picks. Each throws std::invalid_argument
// that names the key, what was found and what would do.
#pragma once

#include <memory>

#include "sim/models/model_config.h"

namespace fp4lab::nn {

std::unique_ptr<Model> make_mlp(const ModelConfig& config, BuildContext& build);
std::unique_ptr<Model> make_resnet_mini(const ModelConfig& config, BuildContext& build);
std::unique_ptr<Model> make_vit_mini(const ModelConfig& config, BuildContext& build);
std::unique_ptr<Model> make_gpt_mini(const ModelConfig& config, BuildContext& build);
std::unique_ptr<Model> make_toy1d(const ModelConfig& config, BuildContext& build);
std::unique_ptr<Model> make_hybrid_mini(const ModelConfig& config, BuildContext& build);

}  // namespace fp4lab::nn
