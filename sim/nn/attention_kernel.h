// Kernels of one attention head: small products as fp32-fma chains, and the rows of the softmax.
//
// Every output of a product is one chain of fused multiply-adds from +0 with k ascending
// (decisions.md 5), whatever the instruction set; outputs lie side by side in vectors. A causal
// product leaves the masked steps of a chain out.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace fp4lab::nn::detail {

/// Which k the chain of output (r, c) runs over, or which outputs are wanted.
enum class ChainMask : unsigned char {
  none,        ///< all of [0, depth)
  k_to_row,    ///< k <= r: operand A is lower triangular
  k_from_row,  ///< k >= r: operand A is upper triangular
  c_to_row,    ///< only outputs c <= r matter; the others may be left as they are
};

/// C[r * c_row + c] = chain over k of A[r * a_row + k * a_k] * B[k * b_row + c].
struct ChainProduct {
  const float* a = nullptr;
  std::size_t a_row = 0, a_k = 1;
  const float* b = nullptr;
  std::size_t b_row = 0;
  float* c = nullptr;
  std::size_t c_row = 0;
  std::size_t rows = 0, cols = 0, depth = 0;
  ChainMask mask = ChainMask::none;
};
void chain_product(const ChainProduct& p);

/// Softmax of the rows of S [n, n] in place: with causal the first i + 1 elements of row i, the
/// rest become +0. An element is t = fl(s * scale), then exp(fl(t - max)) correctly rounded,
/// divided by the binary32 of the row's sum (decisions.md 6). `work` is scratch.
void softmax_rows(float* s, std::size_t n, float scale, bool causal, std::vector<float>& work);

/// Gradient with respect to the unscaled scores, in place of dP [n, n]:
/// fl(fl(p * fl(dp - d)) * scale), d = the binary32 of the row's sum of p * dp; masked elements +0.
void softmax_backward_rows(const float* p, float* dp, std::size_t n, float scale, bool causal);

/// Rounds to bf16 (nearest even, NaN stays NaN); y may be x.
void round_to_bf16(std::span<const float> x, std::span<float> y);

/// y [cols, rows] = transpose of x [rows, cols], rows of x `x_row` apart.
void transpose(const float* x, std::size_t x_row, std::size_t rows, std::size_t cols, float* y);

}  // namespace fp4lab::nn::detail
