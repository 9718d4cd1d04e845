#include "sim/nn/softmax.h"

#include <algorithm>
#include <cstdint>

#include "sim/nn/row_tiles.h"

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/nn/softmax.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "sim/simd/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::nn::HWY_NAMESPACE {
using namespace simd::HWY_NAMESPACE;

/// Largest of a row by its bits as integers in the order of the numbers: that vectorises. A NaN at
/// the top or not, the row becomes NaN.
HWY_INLINE float Largest(const float* x, std::size_t n) {
  std::int32_t best = INT32_MIN;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t b = bits_as<std::int32_t>(x[i]);
    best = std::max(best, b ^ ((b >> 31) & 0x7FFFFFFF));
  }
  return bits_as<float>(best ^ ((best >> 31) & 0x7FFFFFFF));
}

/// Rows of a tile; d and p may be the same memory. Returns nothing but through p, d, log_sum.
void SoftmaxTile(const float* x, std::size_t rows, std::size_t columns, float* d, float* p,
                 float* log_sum) {
  for (std::size_t r = 0; r < rows; ++r) {
    const float* const in = x + r * columns;
    const float largest = Largest(in, columns);
    float* const out = d + r * columns;
    for (std::size_t c = 0; c < columns; ++c) out[c] = in[c] - largest;
  }
  const std::size_t n = rows * columns;
  for (std::size_t i = 0; i < n; ++i) p[i] = math::detail::exp(d[i]);
  for (std::size_t r = 0; r < rows; ++r) {
    float* const row = p + r * columns;
    const double s = RowSumOf(row, columns);
    const float sum = round_sum(s);
    for (std::size_t c = 0; c < columns; ++c) row[c] = softmax_share(row[c], sum);
    if (log_sum != nullptr) log_sum[r] = softmax_log_sum(s);
  }
}

void SoftmaxBackwardTile(const float* p, const float* dp, std::size_t rows, std::size_t columns,
                         float* dx) {
  for (std::size_t at = 0; at < rows * columns; at += columns) {
    const float c = round_sum(RowSumOfProducts(dp + at, p + at, columns));
    for (std::size_t i = at; i < at + columns; ++i) dx[i] = softmax_backward(p[i], dp[i], c);
  }
}

}  // namespace fp4lab::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::nn {

HWY_EXPORT(SoftmaxTile);
HWY_EXPORT(SoftmaxBackwardTile);

void softmax_rows(std::span<const float> x, std::size_t columns, std::span<float> p) {
  softmax_rows(x, columns, p, p, {});
}

void softmax_rows(std::span<const float> x, std::size_t columns, std::span<float> shifted,
                  std::span<float> p, std::span<float> log_sum) {
  HWY_ASSERT(x.size() == p.size() && x.size() == shifted.size());
  HWY_ASSERT(columns == 0 || x.size() % columns == 0);
  if (columns == 0) return;
  HWY_ASSERT(log_sum.empty() || log_sum.size() == x.size() / columns);
  in_row_tiles(x.size() / columns, columns, [&](std::size_t row, std::size_t rows) {
    const std::size_t at = row * columns;
    HWY_DYNAMIC_DISPATCH(SoftmaxTile)
    (x.data() + at, rows, columns, shifted.data() + at, p.data() + at,
     log_sum.empty() ? nullptr : log_sum.data() + row);
  });
}

void softmax_rows_backward(std::span<const float> p, std::span<const float> dp, std::size_t columns,
                           std::span<float> dx) {
  HWY_ASSERT(p.size() == dp.size() && p.size() == dx.size());
  HWY_ASSERT(columns == 0 || p.size() % columns == 0);
  if (columns == 0) return;
  in_row_tiles(p.size() / columns, columns, [&](std::size_t row, std::size_t rows) {
    const std::size_t at = row * columns;
    HWY_DYNAMIC_DISPATCH(SoftmaxBackwardTile)
    (p.data() + at, dp.data() + at, rows, columns, dx.data() + at);
  });
}

}  // namespace fp4lab::nn
#endif  // HWY_ONCE
