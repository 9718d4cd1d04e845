// What every layer call is told about the step it belongs to, and how layers are numbered.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "formats/philox.h"
#include "sim/nn/layer_config.h"

namespace fp4lab::nn {

class Probe;

/// The step a forward or backward call belongs to. Random words are a function of these fields, of
/// the layer and of the element; nothing is drawn from state.
struct StepContext {
  std::uint64_t seed_sr = 0;      ///< stochastic rounding, Hadamard signs, noise
  std::uint32_t step = 0;         ///< optimizer updates finished before this forward
  std::uint16_t microbatch = 0;
  bool training = true;           ///< false: evaluation (running statistics, no saved activations)
  std::uint8_t slots_off = 0;     ///< phase schedule: bit i set = slot q(i+1) is in compute type
  double progress = 0;            ///< step / total steps, for estimators that anneal
  Probe* probe = nullptr;         ///< instruments of this step; null when nothing is sampled

  bool slot_off(Slot s) const noexcept { return (slots_off >> static_cast<unsigned>(s) & 1u) != 0; }
  /// The stream of `slot` of `layer` (slot number 0: the layer's own tensors).
  RandomStream stream(std::uint32_t layer, std::uint32_t slot, RandomPurpose purpose) const noexcept {
    return {seed_sr, 8 * layer + slot, step, purpose, microbatch, 0};
  }
};

/// A layer as the model's construction numbered it.
struct LayerInfo {
  std::uint32_t index = 0;  ///< position in construction order, quantized or not
  std::string name;         ///< "blocks.2.attn.q"
  Role role = Role::ffn_up;
  int block = -1;           ///< residual block it belongs to; -1 outside of blocks
  int blocks = 0;           ///< number of blocks of the model
};

/// Passed through model constructors: numbers layers, hands out their configuration and initial
/// values.
struct BuildContext {
  std::uint64_t seed_init = 0;
  int blocks = 0;                                        ///< residual blocks of the model
  std::function<LayerConfig(const LayerInfo&)> policy;   ///< which layer gets which configuration
  std::vector<LayerInfo> layers;                         ///< all so far, in order
  std::vector<LayerConfig> configs;                      ///< beside `layers`

  /// Numbers a new layer and resolves its configuration.
  const LayerInfo& add(const std::string& name, Role role, int block = -1) {
    LayerInfo info{static_cast<std::uint32_t>(layers.size()), name, role, block, blocks};
    configs.push_back(policy ? policy(info) : LayerConfig{});
    layers.push_back(std::move(info));
    return layers.back();
  }
};

}  // namespace fp4lab::nn
