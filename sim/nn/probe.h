// The window through which instruments see a step. Layers call it only when the context carries a
// probe, so that a step without instruments pays nothing.
#pragma once

#include <cstdint>
#include <span>

#include "sim/nn/layer_config.h"

namespace fp4lab::nn {

/// One quantization as a slot did it. All spans are of the stored tensor, row-major, in the original
/// domain (Hadamard undone, padding cropped); codes and scale codes are those of the operand.
struct SlotSample {
  std::uint32_t layer = 0;
  Slot slot = Slot::q1;
  const QuantSpec* spec = nullptr;
  std::span<const float> input;        ///< before quantization
  std::span<const float> output;       ///< dequantized
  std::span<const std::uint8_t> codes; ///< empty for formats of more than 8 bits
  std::span<const std::uint32_t> scale_codes;
  std::span<const float> global;       ///< g as in QuantizedTensor; empty when the spec has none
  std::uint64_t saturated = 0;         ///< elements scaled beyond the largest value, before clamping
  double requant_exact = -1;           ///< share of elements a second quantization left alone; -1: none
  double choose4 = -1;                 ///< share of blocks that took 4 in 4/6; -1: not that rule
};

/// Which product of a layer.
enum class Gemm : std::uint8_t { y, dx, dw };

/// A product as computed, beside the binary32 product of the unquantized operands.
struct GemmSample {
  std::uint32_t layer = 0;
  Gemm gemm = Gemm::y;
  std::span<const float> result;
  std::span<const float> reference;
  /// dx, dw: the straight-through gradient of the network that the forward was, dY Wq and dY^T Xq in
  /// binary32 with the values that q2, q1 gave (training.md 1.3). Empty for y.
  std::span<const float> consistent{};
};

class Probe {
 public:
  virtual ~Probe() = default;
  /// False: the layer may skip the reference product, which costs a second GEMM.
  virtual bool wants_gemm() const { return false; }
  /// False: the layer need not report this slot, nor make codes for it.
  virtual bool wants_slot(std::uint32_t layer, Slot slot) const {
    (void)layer, (void)slot;
    return true;
  }
  /// True: each quantized layer hands its product Y of the forward to output().
  virtual bool wants_output() const { return false; }
  virtual void output(std::uint32_t layer, std::span<const float> y) { (void)layer, (void)y; }
  virtual void slot(const SlotSample& sample) = 0;
  virtual void gemm(const GemmSample& sample) = 0;
  /// Mean entropy (nats) of the attention rows of each head.
  virtual void attention(std::uint32_t layer, std::span<const double> entropy_per_head) = 0;
  /// Tokens routed to each expert, and tokens whose expert set differs from that under unquantized
  /// router arithmetic.
  virtual void router(std::uint32_t layer, std::span<const std::uint64_t> load,
                      std::uint64_t flips) = 0;
};

}  // namespace fp4lab::nn
