// What a quantized layer is told to do: six slots, their sources and estimators, and the compute
// type of whatever is not quantized. Plain data; recipes and policies produce it.
//
//   Fprop  Y  = X W^T     q1 = X,    q2 = W        contracts over D (in features)
//   Dgrad  dX = dY W      q3 = dY,   q4 = W        contracts over C (out features)
//   Wgrad  dW = dY^T X    q5 = dY^T, q6 = X        contracts over N (rows of the batch)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "formats/quant_spec.h"
#include "sim/accumulate.h"

namespace fp4lab::nn {

/// The six quantizers of a linear layer, in TetraJet's numbering (arXiv:2502.20853 eqs 3 - 5).
enum class Slot : std::uint8_t { q1, q2, q3, q4, q5, q6 };
inline constexpr std::size_t kSlots = 6;

/// Slot number as streams count it: 1 for q1 ... 6 for q6 (decisions.md 3).
constexpr std::uint32_t slot_number(Slot s) noexcept { return static_cast<std::uint32_t>(s) + 1; }

/// Where a slot takes its operand from.
enum class SlotSource : std::uint8_t {
  master,    ///< the high-precision tensor, quantized along this GEMM's contraction axis
  requant,   ///< q4, q6: the dequantized output of q2, q1, quantized again along the other axis
  shared2d,  ///< q4: the codes and scales of q2's square blocks (and q6 those of q1)
  dequant,   ///< q4, q6: the dequantized output of q2, q1 as it is
  none,      ///< not quantized: the operand in the layer's compute type
};

/// What the backward pass takes for d quantize(x) / dx (training.md 6).
enum class EstimatorKind : std::uint8_t {
  ste, clipped_ste, dge, pact, lsq, lsq_plus, ewgs, stacked_sigmoid, dsq, diffq, reste, stableqat,
  quest_mask,
};

/// Estimator and its parameters; a parameter that the kind does not use is ignored.
struct EstimatorConfig {
  EstimatorKind kind = EstimatorKind::ste;
  double dge_k = 5.0, dge_cap = 3.0;
  double pact_init = 10.0, pact_decay = 1e-4;  ///< initial clip value and its L2 decay
  double ewgs_delta = 0.2;
  double sigmoid_alpha = 1.0;  ///< stacked_sigmoid
  double dsq_alpha = 0.4;
  double reste_t = 1.5, reste_o = 3.0;  ///< o runs from 1 to reste_o over the run
  double stableqat_a = 0.21;
  double quest_trust = 0.0;   ///< T in units of the scale; 0 = half of the largest step
  std::uint32_t diffq_group = 8;
  friend bool operator==(const EstimatorConfig&, const EstimatorConfig&) = default;
};

/// One slot. `spec.block` is written as if the contraction axis were the row of the operand: 1x32
/// means runs of 32 along the contraction; the layer turns it for operands stored the other way.
struct SlotConfig {
  QuantSpec spec{};
  SlotSource source = SlotSource::none;
  EstimatorConfig estimator{};
  friend bool operator==(const SlotConfig&, const SlotConfig&) = default;
};

/// Type of unquantized operands of a GEMM: rounded to bf16 (nearest even), or left in binary32.
enum class Compute : std::uint8_t { bf16, fp32 };
/// Which dY the bias gradient sums: as it came, or after q3 (the official TetraJet code).
enum class BiasGrad : std::uint8_t { highp, q3 };

/// A layer's whole numerical configuration.
struct LayerConfig {
  std::array<SlotConfig, kSlots> slot{};
  Compute compute = Compute::bf16;
  std::string accumulate = "block-exact";  ///< accumulator id of decisions.md 5
  BiasGrad bias_grad = BiasGrad::highp;

  SlotConfig& operator[](Slot s) noexcept { return slot[static_cast<std::size_t>(s)]; }
  const SlotConfig& operator[](Slot s) const noexcept { return slot[static_cast<std::size_t>(s)]; }
  friend bool operator==(const LayerConfig&, const LayerConfig&) = default;
};

/// What a module is in the model: the handle that policies select layers by (training.md 8.1).
enum class Role : std::uint8_t {
  embedding, pos, norm, attn_q, attn_k, attn_v, attn_o, attn_bmm, ffn_up, ffn_gate, ffn_down,
  ssm_in, ssm_out, ssm_conv, ssm_scan, router, expert_up, expert_gate, expert_down, head,
  patch_embed, conv, conv1x1,
};
/// The role's id: "attn-q", "ffn-up", ... (lower case, words joined by '-').
const char* role_name(Role role) noexcept;
/// The role of an id; `_` counts as `-`. False when there is none.
bool parse_role(const std::string& text, Role& role) noexcept;

}  // namespace fp4lab::nn
