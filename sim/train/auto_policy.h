// policy = auto: which layers lose most in Wgrad, found by one step (training.md 8.1).
#pragma once

#include <string>
#include <vector>

#include "sim/nn/model.h"
#include "sim/train/batches.h"
#include "sim/train/config.h"

namespace fp4lab::train {

/// Runs forward and backward of the run's first microbatch on `model`, built under the policy
/// without what is to be found, and gives the rule that switches the worst
/// ceil(policy_share * n) of its n quantized layers off: those with the largest relative error of dW
/// against the binary32 product, ties to the earlier layer. Nothing where the share is 0 or no layer
/// is quantized. The model's gradients and running statistics are used up by it.
std::vector<std::string> find_worst_layers(const TrainConfig& config, nn::Model& model,
                                           const BatchSource& data);

}  // namespace fp4lab::train
