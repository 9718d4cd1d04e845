#include "sim/reduce.h"

#include <algorithm>
#include <vector>

#include "sim/fma.h"

// Scalable vectors are left out: lanes have a fixed number. SSSE3 adds nothing to SSE2 here.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/reduce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "sim/simd/lanes-inl.h"

#ifndef FP4LAB_SIM_REDUCE_ONCE
#define FP4LAB_SIM_REDUCE_ONCE
namespace fp4lab::detail {

/// What is added: x, x^2, x y, (x - y)^2.
enum class TermKind { one, square, product, squared_difference };
/// A matrix to sum down the columns of. Row k is row rows[k] of x, or row k where rows is null.
struct ColumnArgs {
  const float* x;
  const float* y;  ///< null: terms are x
  const std::uint32_t* rows;
  std::size_t columns;
};
inline constexpr std::size_t kColumnTile = 32;

}  // namespace fp4lab::detail
#endif

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {
using detail::ColumnArgs;
using detail::kColumnTile;
using detail::TermKind;

double BlockOfFloats(TermKind kind, const float* x, const float* y, std::size_t first,
                     std::size_t n) {
  switch (kind) {
    case TermKind::one:
      return BlockSum<float>(TermsOfOne<float>{x}, first, n);
    case TermKind::square:
      return BlockSum<float>(TermsOfSquare{x}, first, n);
    case TermKind::product:
      return BlockSum<float>(TermsOfProduct{x, y}, first, n);
    case TermKind::squared_difference:
      return BlockSum<float>(TermsOfSquaredDifference{x, y}, first, n);
  }
  return 0.0;
}

double BlockOfDoubles(const double* x, std::size_t first, std::size_t n) {
  return BlockSum<double>(TermsOfOne<double>{x}, first, n);
}

/// One lane of `kVectors` * 8 neighbouring columns over the rows of a block.
template <bool kProduct, bool kGather, std::size_t kVectors>
HWY_INLINE void ColumnLane(const ColumnArgs& a, std::size_t column, std::size_t row,
                           std::size_t last, double* out) {
  F64x8 s[kVectors] = {};
  for (; row < last; row += kSumLanes) {
    const std::size_t at = (kGather ? a.rows[row] : row) * a.columns + column;
    for (std::size_t v = 0; v < kVectors; ++v) {
      F64x8 x;
      Load8(a.x + at + 8 * v, x);
      if constexpr (kProduct) {
        F64x8 y;
        Load8(a.y + at + 8 * v, y);
        x *= y;
      }
      s[v] += x;
    }
  }
  std::memcpy(out, s, sizeof(s));
}

/// Sums of one block of rows for up to 32 neighbouring columns.
template <bool kProduct, bool kGather>
HWY_INLINE void ColumnTile(const ColumnArgs& a, std::size_t column, std::size_t width,
                           std::size_t first, std::size_t last, double* out) {
  HWY_ALIGN double lane[kSumLanes][kColumnTile];
  const std::size_t lanes = std::min(kSumLanes, last - first);
  for (std::size_t j = 0; j < lanes; ++j) {
    if (width == kColumnTile) {
      ColumnLane<kProduct, kGather, 4>(a, column, first + j, last, lane[j]);
      continue;
    }
    std::size_t c = 0;
    for (; c + 8 <= width; c += 8) {
      ColumnLane<kProduct, kGather, 1>(a, column + c, first + j, last, lane[j] + c);
    }
    for (; c < width; ++c) {
      lane[j][c] = 0.0;
      for (std::size_t row = first + j; row < last; row += kSumLanes) {
        const std::size_t at = (kGather ? a.rows[row] : row) * a.columns + column + c;
        double term = a.x[at];
        if constexpr (kProduct) term *= a.y[at];
        lane[j][c] += term;
      }
    }
  }
  // Lanes without a term are +0, which changes no lane that it is added to.
  for (std::size_t h = kSumLanes / 2; h != 0; h /= 2) {
    for (std::size_t j = 0; j < h && j + h < lanes; ++j) {
      for (std::size_t c = 0; c < width; ++c) lane[j][c] += lane[j + h][c];
    }
  }
  std::copy_n(lane[0], width, out);
}

void ColumnBlock(const ColumnArgs& a, std::size_t column, std::size_t width, std::size_t first,
                 std::size_t last, double* out) {
  if (a.rows != nullptr) {
    ColumnTile<false, true>(a, column, width, first, last, out);
  } else if (a.y != nullptr) {
    ColumnTile<true, false>(a, column, width, first, last, out);
  } else {
    ColumnTile<false, false>(a, column, width, first, last, out);
  }
}

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::simd {

HWY_EXPORT(BlockOfFloats);
HWY_EXPORT(BlockOfDoubles);
HWY_EXPORT(ColumnBlock);

namespace {

using detail::ColumnArgs;
using detail::kColumnTile;
using detail::TermKind;
using Index = std::ptrdiff_t;

/// Terms below which one thread is faster than waking the others.
constexpr std::size_t kParallelTerms = 1u << 16;

/// block(first, count) gives a block's sum.
template <class Block>
double sum_blocks(std::size_t n, const Block& block) {
  if (n < kParallelTerms) {
    PairwiseSum s;
    for (std::size_t at = 0; at < n; at += kSumBlock) s.add(block(at, std::min(kSumBlock, n - at)));
    return canonical_f64(s.result());
  }
  const std::size_t blocks = (n + kSumBlock - 1) / kSumBlock;
  std::vector<double> part(blocks);
#pragma omp parallel for schedule(static)
  for (Index b = 0; b < static_cast<Index>(blocks); ++b) {
    const std::size_t at = static_cast<std::size_t>(b) * kSumBlock;
    part[static_cast<std::size_t>(b)] = block(at, std::min(kSumBlock, n - at));
  }
  PairwiseSum s;
  for (const double p : part) s.add(p);
  return canonical_f64(s.result());
}

double sum_of(TermKind kind, const float* x, const float* y, std::size_t n) {
  return sum_blocks(n, [&](std::size_t at, std::size_t count) {
    return HWY_DYNAMIC_DISPATCH(BlockOfFloats)(kind, x, y, at, count);
  });
}
double sum_of(const double* x, std::size_t n) {
  return sum_blocks(n, [&](std::size_t at, std::size_t count) {
    return HWY_DYNAMIC_DISPATCH(BlockOfDoubles)(x, at, count);
  });
}

void sum_columns(const ColumnArgs& a, std::size_t rows, double* out) {
  const std::size_t tiles = (a.columns + kColumnTile - 1) / kColumnTile;
  const std::size_t blocks = (rows + kSumBlock - 1) / kSumBlock;
  // part[block, column]; a single block goes straight to the result.
  std::vector<double> part(blocks > 1 ? blocks * a.columns : 0);
  double* const to = blocks > 1 ? part.data() : out;
#pragma omp parallel for schedule(static) if (rows * a.columns >= kParallelTerms)
  for (Index i = 0; i < static_cast<Index>(tiles * blocks); ++i) {
    const std::size_t tile = static_cast<std::size_t>(i) % tiles;
    const std::size_t block = static_cast<std::size_t>(i) / tiles;
    const std::size_t column = tile * kColumnTile, first = block * kSumBlock;
    HWY_DYNAMIC_DISPATCH(ColumnBlock)
    (a, column, std::min(kColumnTile, a.columns - column), first, std::min(first + kSumBlock, rows),
     to + block * a.columns + column);
  }
  if (blocks == 0) std::fill_n(out, a.columns, 0.0);
  for (std::size_t c = 0; c < a.columns && blocks > 0; ++c) {
    PairwiseSum s;
    for (std::size_t b = 0; b < blocks; ++b) s.add(to[b * a.columns + c]);
    out[c] = canonical_f64(s.result());
  }
}

}  // namespace
}  // namespace fp4lab::simd

namespace fp4lab {

double sum(std::span<const float> x) {
  return simd::sum_of(detail::TermKind::one, x.data(), nullptr, x.size());
}
double sum(std::span<const double> x) { return simd::sum_of(x.data(), x.size()); }
double sum_squares(std::span<const float> x) {
  return simd::sum_of(detail::TermKind::square, x.data(), nullptr, x.size());
}
double sum_products(std::span<const float> x, std::span<const float> y) {
  HWY_ASSERT(x.size() == y.size());
  return simd::sum_of(detail::TermKind::product, x.data(), y.data(), x.size());
}
double sum_squared_differences(std::span<const float> x, std::span<const float> y) {
  HWY_ASSERT(x.size() == y.size());
  return simd::sum_of(detail::TermKind::squared_difference, x.data(), y.data(), x.size());
}

void column_sums(std::span<const float> x, std::size_t columns, std::span<double> out) {
  HWY_ASSERT(out.size() == columns && (columns == 0 || x.size() % columns == 0));
  if (columns == 0) return;
  simd::sum_columns({x.data(), nullptr, nullptr, columns}, x.size() / columns, out.data());
}
void column_sums_of_products(std::span<const float> x, std::span<const float> y,
                             std::size_t columns, std::span<double> out) {
  HWY_ASSERT(out.size() == columns && x.size() == y.size());
  HWY_ASSERT(columns == 0 || x.size() % columns == 0);
  if (columns == 0) return;
  simd::sum_columns({x.data(), y.data(), nullptr, columns}, x.size() / columns, out.data());
}
void column_sums_of_rows(std::span<const float> x, std::size_t columns,
                         std::span<const std::uint32_t> rows, std::span<double> out) {
  HWY_ASSERT(out.size() == columns);
  if (rows.empty()) {
    std::fill(out.begin(), out.end(), 0.0);
    return;
  }
  HWY_ASSERT(*std::max_element(rows.begin(), rows.end()) < (columns == 0 ? 1 : x.size() / columns));
  simd::sum_columns({x.data(), nullptr, rows.data(), columns}, rows.size(), out.data());
}

void add_rounded(std::span<const double> s, std::span<float> gradient) {
  HWY_ASSERT(s.size() == gradient.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    gradient[i] = canonical(gradient[i] + round_sum(s[i]));
  }
}

}  // namespace fp4lab
#endif  // HWY_ONCE
