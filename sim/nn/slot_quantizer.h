// One slot of a layer: from a SlotConfig to an operand of a product. Knows which axis of the stored
// tensor the contraction runs along, turns blocks for it, applies the product's Hadamard, draws
// from its own stream, reports to the probe.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/nn/context.h"
#include "sim/nn/estimators.h"
#include "sim/nn/layer_config.h"
#include "sim/nn/module.h"
#include "sim/nn/product.h"
#include "sim/nn/rotation.h"
#include "sim/nn/slot_hook.h"
#include "sim/quantize.h"
#include "sim/tensor.h"

namespace fp4lab::nn {

/// The slot whose operand shares `slot`'s tensor in the forward (q4: q2, q6: q1) or in the other
/// backward product (q5: q3); the slot itself for q1, q2, q3.
constexpr Slot shared_slot(Slot slot) noexcept {
  return slot == Slot::q4   ? Slot::q2
         : slot == Slot::q6 ? Slot::q1
         : slot == Slot::q5 ? Slot::q3
                            : slot;
}
/// The other operand of the same product.
constexpr Slot partner_slot(Slot slot) noexcept {
  constexpr Slot other[kSlots] = {Slot::q2, Slot::q1, Slot::q4, Slot::q3, Slot::q6, Slot::q5};
  return other[static_cast<std::size_t>(slot)];
}
/// q1, q3, q5: the slot that names a product's streams.
constexpr Slot first_slot(Slot slot) noexcept {
  return slot < partner_slot(slot) ? slot : partner_slot(slot);
}
/// q4, q5, q6 contract over the rows of their stored tensor.
constexpr bool contracts_over_rows(Slot slot) noexcept { return slot >= Slot::q4; }
/// q2 and q4 hold the weight: quantized once a step, their microbatch field is 0.
constexpr bool holds_weight(Slot slot) noexcept { return slot == Slot::q2 || slot == Slot::q4; }

/// A spec whose blocks are written along the contraction, as blocks of a tensor that is stored with
/// the contraction along its rows: 1x32 becomes 32x1, row becomes col.
QuantSpec turned(const QuantSpec& spec) noexcept;

/// A product's operand as a slot made it. Memory is used again from step to step.
class SlotOperand {
 public:
  /// For products.
  Factor factor() const noexcept;
  bool quantized() const noexcept { return quantized_; }
  /// True for quantized values that no codes and scales say (lsq-plus, diffq): products read
  /// numbers.
  bool is_simulated() const noexcept { return simulated_; }
  /// Codes and scales; of the transposed tensor where is_turned_copy().
  const QuantizedTensor& codes() const noexcept { return codes_; }
  bool is_turned_copy() const noexcept { return turned_copy_; }
  /// The operand's values in the domain of its tensor (Hadamard undone, padding cropped), row-major
  /// [rows, cols]: dequantized, or the plain numbers.
  void values(std::span<float> out) const;

 private:
  friend class SlotQuantizer;
  bool quantized_ = false;
  bool simulated_ = false;
  bool over_rows_ = false;
  bool turned_copy_ = false;
  std::size_t rows_ = 0, cols_ = 0;  ///< of the tensor
  Rotation rotation_{};
  QuantizedTensor codes_;
  Tensor plain_;                             ///< compute type, transformed, or a copy
  const float* data_ = nullptr;              ///< plain numbers
  const QuantizedTensor* shared_ = nullptr;  ///< codes of another operand (shared2d)
};

/// What a slot is given.
struct SlotInput {
  std::span<const float> x;  ///< the stored tensor, row-major
  std::size_t rows = 0, cols = 0;
  Rotation rotation{};  ///< of the product; size 0 for none
  bool off = false;     ///< in compute type, whatever the configuration says
  bool keep = false;    ///< the operand outlives x
};

class SlotQuantizer {
 public:
  /// Throws std::invalid_argument, naming the key ("slots.q4.source"), for a slot that cannot be.
  SlotQuantizer(const LayerConfig& config, Slot slot, const LayerInfo& layer);

  /// Quantizes x into `out`, or converts it to the compute type.
  void make(const StepContext& ctx, const SlotInput& in, SlotOperand& out);
  /// shared2d: `out` reads the codes and scales of `of`, which must outlive it. Of a plain operand
  /// without a transform, `out` reads the numbers.
  void share(const SlotOperand& of, SlotOperand& out);

  /// Turns the gradient g of the quantized operand `made`, which came from `in`, into the gradient
  /// of in.x, in place; adds to the gradients of learned clips, scales and offsets.
  void backward(const StepContext& ctx, const SlotInput& in, const SlotOperand& made,
                std::span<float> g);
  /// False where backward() changes nothing and needs no x: ste, diffq, nothing quantized.
  bool has_backward() const noexcept;
  bool learns() const noexcept { return !scale_.value.empty(); }
  /// Learned parameters: pact's clip, lsq's scale, lsq-plus's scale and offset. A scale of 0 is one
  /// that the first training forward sets.
  void collect(std::vector<Param*>& out);

  const SlotConfig& config() const noexcept { return config_; }
  Slot slot() const noexcept { return slot_; }
  bool quantizes() const noexcept { return config_.source != SlotSource::none; }

  /// A technique that joins this slot; null for none.
  void attach(std::shared_ptr<SlotHook> hook) { hook_ = std::move(hook); }
  SlotHook* hook() const noexcept { return hook_.get(); }
  /// State that a checkpoint keeps, named below `prefix`.
  void state(const std::string& prefix, std::vector<std::pair<std::string, Tensor*>>& out);

 private:
  void quantize_operand(const StepContext& ctx, const SlotInput& in, std::span<const float> x,
                        SlotOperand& out);
  void report(const StepContext& ctx, const SlotInput& in, const SlotOperand& out);
  void clip_to_learned(std::span<const float> x);
  void init_scale(const StepContext& ctx, std::span<const float> x);
  void add_noise(const StepContext& ctx, std::span<const float> x, SlotOperand& out);
  void add_offset(SlotOperand& out);
  void backward_pact(std::span<const float> x, std::span<float> g);
  void learn_scale(const EstimatorPlan& plan, const SlotOperand& made, std::span<const float> x,
                   std::span<const float> g);
  float learned(const Param& p) const noexcept;

  SlotConfig config_;
  Compute compute_;
  Slot slot_;
  std::uint32_t layer_;
  std::vector<float> grid_;  ///< ascending values of the element format, for estimators
  Param scale_, offset_;     ///< learned; empty where the estimator has none
  float scale_used_ = 0.0f, offset_used_ = 0.0f;
  std::shared_ptr<SlotHook> hook_;
  Tensor delayed_amax_;  ///< rule=ema: the running maximum; 0 before the first use
  Tensor scratch_;
  std::vector<std::uint32_t> words_;
};

/// Checks a layer's six slots together. Throws std::invalid_argument naming the key, what was found
/// and what would do.
void check_slots(const LayerConfig& config);

/// "q1" ... "q6".
const char* slot_name(Slot slot) noexcept;

}  // namespace fp4lab::nn
