// Where techniques join a layer. A layer knows this interface and no technique by name: clamping
// with compensation (OCC), quantizers with memory (Q-EMA), scales with a random part (MS-EDEN).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/nn/context.h"
#include "sim/nn/module.h"
#include "sim/nn/probe.h"
#include "sim/quantize.h"

namespace fp4lab::nn {

/// One quantization in progress.
struct SlotCall {
  std::uint32_t layer = 0;
  Slot slot = Slot::q1;
  std::size_t rows = 0, cols = 0;  ///< of the stored tensor
};

/// Attached to one slot of one layer. Every call is made in a fixed order, so that a hook may keep
/// state; what it keeps over steps it names in state().
class SlotHook {
 public:
  virtual ~SlotHook() = default;

  /// What is quantized in place of x (row-major [rows, cols]): x itself, or memory of the hook that
  /// stays valid until the next call.
  virtual std::span<const float> before(const StepContext&, const SlotCall&,
                                        std::span<const float> x) {
    return x;
  }
  /// Changes codes, scales or global factors after they were chosen. `stored` is the matrix that
  /// was cut into blocks: under a Hadamard the transformed, padded one.
  virtual void after(const StepContext&, const SlotCall&, std::span<const float> stored,
                     QuantizedTensor& q) {
    (void)stored, (void)q;
  }
  /// Adds to a finished product of the layer what the slot left out of its operand. y is [rows of
  /// the first factor, rows of the second].
  virtual void add_to_product(const StepContext&, const SlotCall&, Gemm, std::span<float> y) {
    (void)y;
  }
  /// Called after each optimizer update with the layer's new weight, for hooks of q2.
  virtual void weight_updated(std::uint64_t updates, const Tensor& weight) {
    (void)updates, (void)weight;
  }
  /// Learned parameters and state that a checkpoint keeps, named below `prefix`.
  virtual void collect(std::vector<Param*>& out) { (void)out; }
  virtual void state(const std::string& prefix, std::vector<std::pair<std::string, Tensor*>>& out) {
    (void)prefix, (void)out;
  }
};

}  // namespace fp4lab::nn
