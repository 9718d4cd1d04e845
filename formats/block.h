// Blocks: strided views of the elements that share a scale, the random words they draw, and the
// statistics that scale rules take from them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/host_device.h"
#include "formats/philox.h"
#include "formats/quant_spec.h"

namespace fp4lab {

/// A rows x cols window of a stored tensor. Element (r, c) lies at offset
/// `offset + r * row_stride + c * col_stride`; that offset is also its element index, which random
/// words are drawn for, and its place in the code array.
struct BlockView {
  const float* data = nullptr;
  std::uint64_t offset = 0;
  std::uint32_t rows = 0, cols = 0;
  std::uint64_t row_stride = 0, col_stride = 1;

  FP4LAB_HD constexpr std::uint64_t index(std::uint32_t r, std::uint32_t c) const noexcept {
    return offset + r * row_stride + c * col_stride;
  }
  FP4LAB_HD constexpr float at(std::uint32_t r, std::uint32_t c) const noexcept {
    return data[index(r, c)];
  }
  FP4LAB_HD constexpr std::uint64_t size() const noexcept {
    return static_cast<std::uint64_t>(rows) * cols;
  }
  /// The window's part that starts at column c0.
  FP4LAB_HD constexpr BlockView columns(std::uint32_t c0, std::uint32_t n) const noexcept {
    BlockView v = *this;
    v.offset += c0 * col_stride;
    v.cols = n;
    return v;
  }
};

/// Where an element's random word comes from: a Philox stream, or an array with one 32-bit word an
/// element, handed in so that somebody else's stochastic rounding can be replayed.
struct RandomSource {
  RandomStream stream{};
  const std::uint32_t* given = nullptr;
  FP4LAB_HD constexpr std::uint32_t word(std::uint64_t index, const Rounding& r) const noexcept {
    if (!r.is_stochastic()) return 0;
    if (given == nullptr) return stream.word(index, r);
    if (r.kind == RoundingKind::sr_hw) {
      return hw_lane_word(r, given[index / 4], static_cast<unsigned>(index % 4));
    }
    return given[index];
  }
  /// The same source for another candidate or pass.
  FP4LAB_HD constexpr RandomSource repeat(int n) const noexcept {
    RandomSource s = *this;
    s.stream.repeat = static_cast<std::uint8_t>(s.stream.repeat + n);
    return s;
  }
};

/// Visits every element in row-major order.
template <class F>
FP4LAB_HD constexpr void for_each_element(const BlockView& b, F&& f) {
  for (std::uint32_t r = 0; r < b.rows; ++r) {
    for (std::uint32_t c = 0; c < b.cols; ++c) f(b.at(r, c), b.index(r, c));
  }
}

/// max |x| as the integer maximum of the magnitude bits, so that NaN and Inf win. With
/// AmaxNan::ignore NaN elements are skipped.
FP4LAB_HD constexpr float block_amax(const BlockView& b, AmaxNan mode = AmaxNan::propagate) {
  std::uint32_t best = 0;
  for_each_element(b, [&](float x, std::uint64_t) {
    const std::uint32_t a = bits_as<std::uint32_t>(x) & 0x7FFFFFFFu;
    if (mode == AmaxNan::ignore && a > 0x7F800000u) return;
    if (a > best) best = a;
  });
  return bits_as<float>(best);
}

/// max |x| over finite elements only: the tensor amax of two-level formats.
FP4LAB_HD constexpr float finite_amax(const BlockView& b) {
  std::uint32_t best = 0;
  for_each_element(b, [&](float x, std::uint64_t) {
    const std::uint32_t a = bits_as<std::uint32_t>(x) & 0x7FFFFFFFu;
    if (a < 0x7F800000u && a > best) best = a;
  });
  return bits_as<float>(best);
}

namespace detail {
/// The k-th smallest |x| (k from 0) by bisection over bit patterns: no memory, no sort.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr float order_statistic(const BlockView& b,
                                                                 std::uint64_t k) {
  std::uint32_t lo = 0, hi = 0x7FFFFFFFu;
  while (lo < hi) {
    const std::uint32_t mid = lo + (hi - lo) / 2;
    std::uint64_t below_or_equal = 0;
    for_each_element(b, [&](float x, std::uint64_t) {
      if ((bits_as<std::uint32_t>(x) & 0x7FFFFFFFu) <= mid) ++below_or_equal;
    });
    if (below_or_equal >= k + 1) {
      hi = mid;
    } else {
      lo = mid + 1;
    }
  }
  return bits_as<float>(lo);
}
}  // namespace detail

/// The p-th percentile (0..100) of |x| with linear interpolation between order statistics, as
/// numpy's default: position (n-1) p/100 in binary64, one rounding to binary32 at the end.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr float abs_percentile(const BlockView& b, double p) {
  const std::uint64_t n = b.size();
  if (n == 0) return 0.0f;
  const double position = static_cast<double>(n - 1) * (p / 100.0);
  std::uint64_t k = static_cast<std::uint64_t>(position);
  if (k > n - 1) k = n - 1;
  const double t = position - static_cast<double>(k);
  const double a = detail::order_statistic(b, k);
  if (t == 0.0 || k + 1 >= n) return static_cast<float>(a);
  const double c = detail::order_statistic(b, k + 1);
  const double step = c - a;
  // numpy's lerp switches ends at t = 1/2 so that it is exact at both.
  const double v = t < 0.5 ? a + step * t : c - step * (1.0 - t);
  return static_cast<float>(v);
}

}  // namespace fp4lab
