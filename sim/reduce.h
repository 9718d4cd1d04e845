// The one shape of every sum that is not a product: losses, means and variances, softmax
// denominators, bias and gain gradients, statistics.
//
//   terms are formed in binary64 (x, x x and x y of binary32 numbers are exact there);
//   terms are cut into blocks of 1024 consecutive ones, the last may be short;
//   in a block, 32 lanes start at +0 and lane j adds terms j, j + 32, j + 64 ... of the block;
//   lanes fold 16, 8, 4, 2, 1: lane j += lane j + h for j < h;
//   block sums pair up with their neighbour, level by level, an odd last one is carried up;
//   where a binary32 is wanted, the result is rounded once.
//
// A sum of no terms is +0. The bits do not depend on threads, vector width or device: 32 lanes are
// the lanes of a warp, four vectors of AVX-512 or sixteen of SSE2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sim/math/f64.h"

namespace fp4lab {

inline constexpr std::size_t kSumBlock = 1024;  ///< terms of a block
inline constexpr std::size_t kSumLanes = 32;    ///< lanes of a block

/// One binary64 addition that no compiler flag of the device side fuses with a term's product.
FP4LAB_HD constexpr double add_f64(double a, double b) noexcept {
  return (math::detail::F64{a} + math::detail::F64{b}).v;
}

/// The sum of lane `lane` over the terms first ... last - 1 of one block; term(i) is a double
/// (in kernels: a functor that is host and device code).
template <class Term>
FP4LAB_HD constexpr double lane_sum(std::size_t lane, std::size_t first, std::size_t last,
                                    const Term& term) {
  double s = 0.0;
  for (std::size_t i = first + lane; i < last; i += kSumLanes) s = add_f64(s, term(i));
  return s;
}

/// Folds 32 lanes into one; `lane` is overwritten. (A warp does the same by shuffling down.)
FP4LAB_HD constexpr double fold_lanes(double* lane) noexcept {
  for (std::size_t h = kSumLanes / 2; h != 0; h /= 2) {
    for (std::size_t j = 0; j < h; ++j) lane[j] = add_f64(lane[j], lane[j + h]);
  }
  return lane[0];
}

/// The sum of the terms first ... last - 1 of one block.
template <class Term>
FP4LAB_HD constexpr double block_sum(std::size_t first, std::size_t last, const Term& term) {
  double lane[kSumLanes] = {};
  for (std::size_t j = 0; j < kSumLanes; ++j) lane[j] = lane_sum(j, first, last, term);
  return fold_lanes(lane);
}

/// Adds block sums, given in ascending order, in the pairwise shape and without storing them: the
/// pending sums are those of 2^k blocks, one for each bit that is set in the number of blocks.
class PairwiseSum {
 public:
  FP4LAB_HD constexpr void add(double block) noexcept {
    int level = 0;
    for (std::uint64_t n = blocks_; (n & 1) != 0; n >>= 1)
      block = add_f64(pending_[level++], block);
    pending_[level] = block;
    ++blocks_;
  }
  FP4LAB_HD constexpr double result() const noexcept {
    double s = 0.0;
    bool any = false;
    int level = 0;
    for (std::uint64_t n = blocks_; n != 0; n >>= 1, ++level) {
      if ((n & 1) == 0) continue;
      s = any ? add_f64(pending_[level], s) : pending_[level];
      any = true;
    }
    return s;
  }

 private:
  double pending_[64] = {};
  std::uint64_t blocks_ = 0;
};

/// The sum of term(0) ... term(n - 1). The definition, for terms of any kind, on one thread.
template <class Term>
FP4LAB_HD constexpr double sum_terms(std::size_t n, const Term& term) {
  PairwiseSum blocks;
  for (std::size_t at = 0; at < n; at += kSumBlock) {
    blocks.add(block_sum(at, n - at < kSumBlock ? n : at + kSumBlock, term));
  }
  return blocks.result();
}

/// A binary64 result as the binary32 that is stored: rounded once, every NaN the house's.
FP4LAB_HD constexpr float round_sum(double s) noexcept {
  return s == s ? static_cast<float>(s) : canonical_nan();
}
/// A binary64 result as it is stored: every NaN is 7FF8000000000000.
FP4LAB_HD constexpr double canonical_f64(double s) noexcept {
  return s == s ? s : bits_as<double>(std::uint64_t{0x7FF8000000000000});
}

// The same sums over arrays, with the widest vectors of the machine and all threads of OpenMP.
// Inside a parallel region each call runs on its own thread. NaN results have the bits above.

/// Sum of x[i].
double sum(std::span<const float> x);
double sum(std::span<const double> x);
/// Sum of x[i]^2.
double sum_squares(std::span<const float> x);
/// Sum of x[i] y[i]; sizes are equal.
double sum_products(std::span<const float> x, std::span<const float> y);
/// Sum of (x[i] - y[i])^2, the difference in binary64; sizes are equal.
double sum_squared_differences(std::span<const float> x, std::span<const float> y);

/// Sums down the columns of a row-major matrix: out[c] = sum over r of x[r, c], the row number
/// being the term number. x has rows * columns elements, out has `columns`.
void column_sums(std::span<const float> x, std::size_t columns, std::span<double> out);
/// out[c] = sum over r of x[r, c] y[r, c].
void column_sums_of_products(std::span<const float> x, std::span<const float> y,
                             std::size_t columns, std::span<double> out);
/// out[c] = sum over k of x[rows[k], c]: term k is row rows[k].
void column_sums_of_rows(std::span<const float> x, std::size_t columns,
                         std::span<const std::uint32_t> rows, std::span<double> out);

/// gradient[i] = fl(gradient[i] + fl(s[i])): how sums enter a parameter's gradient.
void add_rounded(std::span<const double> s, std::span<float> gradient);

}  // namespace fp4lab
