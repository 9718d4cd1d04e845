// A linear layer with six slots (training.md 1): three products, each operand quantized by its own
// slot or left in the compute type, backward written by hand.
//
//   Y  = X W^T + b     q1, q2
//   dX = dY W          q3, q4
//   dW = dY^T X        q5, q6      added to weight().grad
//   db = column sums of dY, or of q3's dY
//
// A product of two quantized operands goes through the layer's accumulator; one with a plain
// operand is an fp32-fma chain over fl(value scale) unless the accumulator is one of the reference
// models that take plain numbers. Where only one operand of a product is quantized under a
// Hadamard, the plain one is transformed with the same signs and then rounded to the compute type:
// the product is that of the transformed operands, whichever of them are quantized. requant,
// dequant and shared2d read what the forward used; where its slot is off, that is the tensor
// itself, so that requant quantizes it and shared2d and dequant leave it plain.
// Weights are quantized at the first microbatch of a step (microbatch 0) and used again for the
// others; signs drawn per call are therefore drawn once a step where a weight takes part.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/nn/context.h"
#include "sim/nn/module.h"
#include "sim/nn/slot_quantizer.h"

namespace fp4lab::nn {

struct LinearOptions {
  bool bias = true;
  double init_std = -1.0;  ///< of the weight's normals; negative: 1 / sqrt(in)
};

class Linear : public Module {
 public:
  /// Numbers itself through `build`, which also gives its configuration and initial values; the
  /// bias starts at 0. Throws std::invalid_argument for a configuration that cannot be, with the
  /// layer's name in front.
  Linear(BuildContext& build, const std::string& name, Role role, int block, std::size_t in,
         std::size_t out, const LinearOptions& options = {});

  /// x [..., in] -> y [..., out].
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  /// dy [..., out] -> dx [..., in].
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  /// The same without dx, for a model's first layer.
  virtual void backward_weights(const StepContext& ctx, const Tensor& dy);
  void collect(std::vector<Param*>& out) override;
  /// Slots' state that a checkpoint keeps (delayed maxima, hooks).
  virtual void state(std::vector<std::pair<std::string, Tensor*>>& out);

  std::size_t in() const noexcept { return in_; }
  std::size_t out() const noexcept { return out_; }
  const LayerInfo& info() const noexcept { return info_; }
  const std::string& name() const noexcept { return info_.name; }
  Role role() const noexcept { return info_.role; }
  std::uint32_t layer() const noexcept { return info_.index; }
  const LayerConfig& config() const noexcept { return config_; }

  /// Master weight [out, in] and bias [out] (null without one).
  Param& weight() noexcept { return weight_; }
  const Param& weight() const noexcept { return weight_; }
  Param* bias() noexcept { return has_bias_ ? &bias_ : nullptr; }

  /// The weight as the forward product of ctx would read it: q2 as configured, estimators and hooks
  /// included. Null codes where q2 does not quantize. Valid until the layer is called again.
  struct QuantizedWeight {
    const QuantizedTensor* codes = nullptr;
    std::span<const float> values;  ///< dequantized [out, in], or the master weight
  };
  QuantizedWeight quantized_weight(const StepContext& ctx);

  /// A technique that joins a slot; null for none.
  void attach(Slot slot, std::shared_ptr<SlotHook> hook) {
    slots_[index(slot)].attach(std::move(hook));
  }
  SlotQuantizer& slot(Slot s) noexcept { return slots_[index(s)]; }
  /// Tells the hooks of q2 that the optimizer has changed the weight for the `updates`-th time.
  void weight_updated(std::uint64_t updates);

 protected:
  /// The products on plain matrices: x [rows, in], y [rows, out]. Conv2d calls them on its columns.
  void forward_matrix(const StepContext& ctx, std::span<const float> x, std::size_t rows, float* y);
  /// `dx` null: not wanted.
  void backward_matrix(const StepContext& ctx, std::span<const float> dy, std::size_t rows,
                       float* dx);

 private:
  static constexpr std::size_t index(Slot s) noexcept { return static_cast<std::size_t>(s); }
  bool is_off(const StepContext& ctx, Slot s) const noexcept;
  bool shared_is_plain(const StepContext& ctx, Slot s) const noexcept;
  Rotation rotation_of(const StepContext& ctx, Slot first) const noexcept;
  SlotInput input(const StepContext& ctx, Slot s, std::span<const float> x, std::size_t rows,
                  std::size_t cols) const;
  void make_weights(const StepContext& ctx);
  void make_slot(const StepContext& ctx, Slot s, std::span<const float> x, std::size_t rows,
                 std::size_t cols, bool keep);
  void product(const StepContext& ctx, Slot first, std::size_t n, float* y);
  void report_product(const StepContext& ctx, Gemm gemm, std::span<const float> result,
                      const Factor& a, const Factor& b);
  Factor forward_values(Slot s, Factor plain, Tensor& memory) const;
  void hooks(const StepContext& ctx, Slot first, std::size_t rows, std::span<float> y);
  void add_bias(std::size_t rows, float* y) const;
  void add_bias_gradient(const StepContext& ctx, std::span<const float> dy, std::size_t rows);

  LayerInfo info_;
  LayerConfig config_;
  Accumulator accumulator_;
  std::size_t in_ = 0, out_ = 0;
  bool has_bias_ = true;
  Param weight_, bias_;
  std::vector<SlotQuantizer> slots_;
  std::array<SlotOperand, kSlots> operands_;
  Tensor dw_, shared_values_, saved_x_, unused_dx_;

  struct WeightKey {
    std::uint64_t seed = 0;
    std::uint32_t step = 0;
    std::uint8_t off = 0;
    bool valid = false;
    friend bool operator==(const WeightKey&, const WeightKey&) = default;
  };
  WeightKey key_;
  bool have_q4_ = false;
};

}  // namespace fp4lab::nn
