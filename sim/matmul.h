// Matrix products of whole matrices, Y = A B^T: [M, K] x [N, K] -> [M, N], at the speed of the
// machine, with the bits that decisions.md 5 defines and gemm() gives.
//
//   float     x float      one fused multiply-add chain an output, k ascending from +0 (`fp32-fma`)
//   quantized x quantized  `block-exact`: y = fma(RN32(S), fl(sA sB), y) a segment, then
//                          Y = fl(fl(gA gB) y) when an operand has a global factor
//   quantized x float      `fp32-fma` on fl(v s) and the float, then Y = fl(g y)
//
// Every NaN of Y is 7FC00000. Results depend on nothing but the operands: not on the number of
// threads, the instruction set, strides, or how a matrix is cut into tiles. OpenMP shares out tiles
// of Y; called inside a parallel region each call runs on its own thread, which is the way to
// multiply many small matrices (attention heads) at once.
//
// The other orientations are views: dX = dY W is matmul(dY, W.transposed(), dX), and
// dW = dY^T X is matmul(dY.transposed(), X.transposed(), dW). No transpose is ever made in memory.
#pragma once

#include <cstddef>

#include "sim/quantize.h"

namespace fp4lab {

/// A binary32 matrix somewhere in memory: element (i, j) is data[i * row_stride + j * col_stride].
/// At least one of the strides should be 1: other views are correct and slow.
struct MatrixView {
  const float* data = nullptr;
  std::size_t rows = 0, cols = 0;
  std::size_t row_stride = 0, col_stride = 1;

  /// Row-major [rows, cols] without gaps.
  static MatrixView of(const float* data, std::size_t rows, std::size_t cols) noexcept {
    return {data, rows, cols, cols, 1};
  }
  /// Row-major with rows `stride` floats apart: a head of [tokens, heads * width] and the like.
  static MatrixView of(const float* data, std::size_t rows, std::size_t cols,
                       std::size_t stride) noexcept {
    return {data, rows, cols, stride, 1};
  }
  MatrixView transposed() const noexcept { return {data, cols, rows, col_stride, row_stride}; }
};

/// Where a product goes: row-major, rows `row_stride` floats apart.
struct MutableMatrixView {
  float* data = nullptr;
  std::size_t rows = 0, cols = 0;
  std::size_t row_stride = 0;

  static MutableMatrixView of(float* data, std::size_t rows, std::size_t cols) noexcept {
    return {data, rows, cols, cols};
  }
  static MutableMatrixView of(float* data, std::size_t rows, std::size_t cols,
                              std::size_t stride) noexcept {
    return {data, rows, cols, stride};
  }
};

/// A quantized matrix as a factor: the stored matrix (under a Hadamard the transformed, padded one)
/// or its transpose. Codes and scales stay where they are; blocks of any shape can be read either
/// way (a block that is R stored rows tall covers R of k in the transpose).
struct QuantizedView {
  const QuantizedTensor* tensor = nullptr;
  bool is_transposed = false;

  QuantizedView() = default;
  QuantizedView(const QuantizedTensor& q, bool transposed = false) noexcept
      : tensor(&q), is_transposed(transposed) {}
  std::size_t rows() const noexcept {
    return is_transposed ? tensor->stored_cols() : tensor->stored_rows();
  }
  std::size_t cols() const noexcept {
    return is_transposed ? tensor->stored_rows() : tensor->stored_cols();
  }
  QuantizedView transposed() const noexcept { return {*tensor, !is_transposed}; }
};

/// y = a b^T. `y` must not overlap the operands; what it held is not read. K = 0 gives +0.
/// Throws std::invalid_argument when a.cols != b.cols or y is not [a.rows, b.rows].
void matmul(const MatrixView& a, const MatrixView& b, const MutableMatrixView& y);
void matmul(const QuantizedView& a, const QuantizedView& b, const MutableMatrixView& y);
void matmul(const QuantizedView& a, const MatrixView& b, const MutableMatrixView& y);
void matmul(const MatrixView& a, const QuantizedView& b, const MutableMatrixView& y);

}  // namespace fp4lab
