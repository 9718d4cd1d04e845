// Y_g = A_g B_g^T for many small matrices at once, with the six slots of a linear layer: the two
// products inside attention.
//
//   forward  Y  = A B^T     q1 = A,    q2 = B      contracts over k
//   backward dA = dY B      q3 = dY,   q4 = B^T    contracts over n
//            dB = dY^T A    q5 = dY^T, q6 = A^T    contracts over m
//
// So X is Q and W is K for the scores; X is P and W is V^T for the output. An operand is quantized
// as one matrix, [groups * rows, contraction]: blocks run along the contraction, never from one
// row or group to the next, a tensor-wide scale is that of all groups, and an element's number
// (random bits) is its row-major position in this matrix. Blocks of several rows must not cross
// groups. Everything is quantized for each microbatch. A Hadamard transforms both operands of a
// product, as in a linear layer. Estimators other than `ste` and the accumulator acc-sr are
// refused.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "sim/accumulate.h"
#include "sim/nn/context.h"
#include "sim/nn/rotation.h"
#include "sim/quantize.h"
#include "sim/tensor.h"

namespace fp4lab::nn {

struct ProductExtents {
  std::size_t groups = 0, m = 0, n = 0, k = 0;
};

class BatchedProduct {
 public:
  /// Numbers itself with role attn-bmm; without `quantize` the slots of its configuration are
  /// emptied, in `build` too. Throws std::invalid_argument for a configuration that such a product
  /// cannot take, with its name in front.
  BatchedProduct(BuildContext& build, const std::string& name, int block, bool quantize);

  std::uint32_t layer() const noexcept { return layer_; }
  Compute compute() const noexcept { return config_.compute; }
  /// False when no slot is quantized in this step: the plain kernels do.
  bool quantizes(const StepContext& ctx) const noexcept;

  /// a [groups, m, k], b [groups, n, k]; y must have groups * m * n elements and keeps its shape
  /// when it has, else becomes [groups, m, n].
  void forward(const StepContext& ctx, const ProductExtents& extents, const Tensor& a,
               const Tensor& b, Tensor& y);
  /// dy [groups, m, n] to da [groups, m, k] and db [groups, n, k].
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& da, Tensor& db);

 private:
  /// A factor of a product.
  struct Operand {
    bool quantized = false;
    bool turned = false;    ///< codes are stored [contraction, rows] in each group (shared2d)
    std::size_t depth = 0;  ///< contraction, padded to whole groups under a Hadamard
    QuantizedTensor codes;
    Tensor plain;   ///< what is multiplied when there are no codes
    Tensor values;  ///< the operand's numbers in the domain of its tensor
  };
  bool on(const StepContext& ctx, Slot s) const noexcept;
  Rotation rotation_of(const StepContext& ctx, Slot slot) const noexcept;
  void quantize_into(const StepContext& ctx, Slot slot, const Tensor& x, std::size_t cols,
                     Operand& out) const;
  /// Not quantized: x in the compute type, or as it is.
  void plain_into(const StepContext& ctx, Slot slot, const Tensor& x, std::size_t cols, bool round,
                  Operand& out) const;
  void direct_operand(const StepContext& ctx, Slot slot, const Tensor& x, std::size_t cols,
                      Operand& out) const;
  /// The operand of q4, q5 or q6: the tensor x [groups, rows, cols] turned, or what `shared`, the
  /// operand made of it untouched, says.
  void turned_operand(const StepContext& ctx, Slot slot, const Tensor& x, std::size_t rows,
                      std::size_t cols, const Operand& shared, Operand& out) const;
  void product(const Operand& a, std::size_t rows, const Operand& b, std::size_t cols,
               Tensor& y) const;

  std::uint32_t layer_ = 0;
  LayerConfig config_;
  Accumulator accumulator_;
  ProductExtents extents_;
  Tensor a_, b_;
  std::array<Operand, kSlots> operand_;
};

}  // namespace fp4lab::nn
