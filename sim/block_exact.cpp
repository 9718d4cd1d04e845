#include "sim/block_exact.h"

#include <algorithm>

#include "sim/fma.h"
#include "sim/scratch.h"

namespace fp4lab::detail {
namespace {

/// Quads of a range of segments: a panel of B of that depth (32 KiB) stays in the first cache.
constexpr std::size_t kDepth = 256;

/// Memory of one product, kept by the thread that asked for it.
struct Packed {
  Scratch<std::int8_t> a;
  Scratch<std::uint8_t> b;
  Scratch<std::int32_t> start;
  Scratch<float> scale_a, scale_b, global_a, global_b;
};

/// Where the scale of each segment lies in a row of scales.
std::vector<std::size_t> scale_places(const std::vector<std::size_t>& ends, const ScaleGrid& g) {
  std::vector<std::size_t> places;
  std::size_t at = 0;
  for (const std::size_t end : ends) {
    places.push_back(at / g.k_span * g.k_step);
    at = end;
  }
  return places;
}

/// to[s * width + r] = weight times the scale of row0 + r in segment s; rows beyond the last repeat
/// it.
void pack_scales(const IntegerFactor& f, const std::vector<std::size_t>& places, std::size_t row0,
                 std::size_t width, float weight, float* to) {
  for (std::size_t r = 0; r < width; ++r) {
    const std::size_t row = std::min(row0 + r, f.rows - 1);
    const float* scales = f.scales.data + row / f.scales.row_span * f.scales.row_step;
    for (std::size_t s = 0; s < places.size(); ++s) {
      to[s * width + r] = mul_rn(scales[places[s]], weight);
    }
  }
}

/// Exponents of the scales that are neither zero nor infinite nor NaN.
struct ExponentRange {
  int low = 0, high = 0;
};
ExponentRange exponents(const IntegerFactor& f) {
  constexpr std::int32_t kInfinite = 0x7F800000;
  std::int32_t low = kInfinite, high = 0;
  const std::size_t rows = (f.rows - 1) / f.scales.row_span + 1;
  const std::size_t cols = (f.k - 1) / f.scales.k_span + 1;
  for (std::size_t r = 0; r < rows; ++r) {
    const float* scales = f.scales.data + r * f.scales.row_step;
    for (std::size_t c = 0; c < cols; ++c) {
      const auto bits = static_cast<std::int32_t>(
          bits_as<std::uint32_t>(scales[c * f.scales.k_step]) & 0x7FFFFFFFu);
      const bool counts = bits != 0 && bits < kInfinite;
      low = std::min(low, counts ? bits : kInfinite);
      high = std::max(high, counts ? bits : 0);
    }
  }
  if (high == 0) return {};
  return {(low >> 23) - 127, (high >> 23) - 127};
}

/// True when 2^unit may be multiplied into A's scales: everything stays a normal number, so that
/// fl(2^unit sA sB) = 2^unit fl(sA sB).
bool scales_take_unit(const IntegerFactor& a, const IntegerFactor& b, int unit) {
  if (unit == 0) return true;
  const ExponentRange ea = exponents(a), eb = exponents(b);
  const int low = std::min({ea.low, ea.low + unit, ea.low + eb.low, ea.low + eb.low + unit});
  const int high = std::max({ea.high, ea.high + unit, ea.high + eb.high, ea.high + eb.high + unit});
  return low >= -126 && high + 2 <= 127;
}

float global_of(const IntegerFactor& f, std::size_t row) {
  return f.global.empty() ? 1.0f : f.global.size() == 1 ? f.global[0] : f.global[row];
}

/// Exact for any length: partial sums of 2^16 products of 7-bit integers fit 32 bits.
std::int64_t integer_dot(const std::int8_t* a, const std::int8_t* b, std::size_t n) {
  std::int64_t total = 0;
  for (std::size_t base = 0; base < n; base += 65536) {
    const std::size_t end = std::min(n, base + 65536);
    std::int32_t part = 0;
    for (std::size_t k = base; k < end; ++k) part += static_cast<std::int32_t>(a[k]) * b[k];
    total += part;
  }
  return total;
}

/// The definition, for machines whose multiply-add is not fused.
void scalar_product(const IntegerFactor& a, const IntegerFactor& b,
                    const std::vector<std::size_t>& ends, double unit, const MutableMatrixView& y) {
  const std::size_t stride = a.k + 4;
  std::vector<std::int8_t> rows_b(b.rows * stride);
  const ByteTable table_a(a, 0), table_b(b, 0);
  for (std::size_t j = 0; j < b.rows; ++j) decode_row(b, table_b, j, rows_b.data() + j * stride);
  const bool factor = !a.global.empty() || !b.global.empty();
#pragma omp parallel if (a.rows * b.rows * a.k > 65536)
  {
    std::vector<std::int8_t> row_a(stride);
#pragma omp for schedule(static)
    for (std::size_t i = 0; i < a.rows; ++i) {
      decode_row(a, table_a, i, row_a.data());
      for (std::size_t j = 0; j < b.rows; ++j) {
        float sum = 0.0f;
        std::size_t at = 0;
        for (const std::size_t end : ends) {
          const std::int64_t d =
              integer_dot(row_a.data() + at, rows_b.data() + j * stride + at, end - at);
          const float dot = static_cast<float>(static_cast<double>(d) * unit);
          sum = fma_rn(dot, mul_rn(a.scales.at(i, at), b.scales.at(j, at)), sum);
          at = end;
        }
        if (factor) sum = mul_rn(mul_rn(global_of(a, i), global_of(b, j)), sum);
        y.data[i * y.row_stride + j] = canonical(sum);
      }
    }
  }
}

}  // namespace

bool block_exact_fits(const std::vector<std::size_t>& ends, int unit) {
  std::size_t at = 0, longest = 0;
  for (const std::size_t end : ends) {
    longest = std::max(longest, end - at);
    at = end;
  }
  return longest <= 131072 && unit >= -100 && unit <= 90;
}

void block_exact_product(const IntegerFactor& a, const IntegerFactor& b,
                         const std::vector<std::size_t>& ends, int unit, const MutableMatrixView& y,
                         DotKind kind) {
  const std::size_t m = a.rows, n = b.rows;
  if (m == 0 || n == 0) return;
  if (a.k == 0) {
    for (std::size_t i = 0; i < m; ++i) std::fill_n(y.data + i * y.row_stride, n, 0.0f);
    return;
  }
  if (!block_exact_tile({})) return scalar_product(a, b, ends, pow2_f64(unit), y);

  const QuadLayout quads(ends);
  const std::size_t segments = ends.size(), total = quads.total();
  const Tiling tile(m, n, m * n * a.k);
  const std::size_t blocks = ceil_div(m, kBlockRows), panels = ceil_div(n, kPanelCols);
  const std::size_t padded_m = blocks * kBlockRows, padded_n = panels * kPanelCols;
  static thread_local Packed memory;
  std::int8_t* packed_a = memory.a.at_least(padded_m * total * 4);
  std::uint8_t* packed_b = memory.b.at_least(padded_n * total * 4);
  std::int32_t* start = memory.start.at_least(padded_m * segments);
  float* scale_a = memory.scale_a.at_least(padded_m * segments);
  float* scale_b = memory.scale_b.at_least(padded_n * segments);
  const auto places_a = scale_places(ends, a.scales), places_b = scale_places(ends, b.scales);
  BlockExactTile whole;
  whole.a = packed_a;
  whole.b = packed_b;
  whole.start = start;
  whole.scale_a = scale_a;
  whole.scale_b = scale_b;
  if (!a.global.empty() || !b.global.empty()) {
    float* ga = memory.global_a.at_least(padded_m);
    float* gb = memory.global_b.at_least(padded_n);
    for (std::size_t i = 0; i < padded_m; ++i) ga[i] = global_of(a, std::min(i, m - 1));
    for (std::size_t j = 0; j < padded_n; ++j) gb[j] = global_of(b, std::min(j, n - 1));
    whole.global_a = ga;
    whole.global_b = gb;
  }
  whole.quads = total;
  whole.segments = segments;
  whole.quad_ends = quads.ends.data();
  whole.row_stride = y.row_stride;
  whole.kind = kind;
  // Unsigned bytes for B: an offset that makes its integers positive.
  const int offset = b.largest;
  const ByteTable table_a(a, 0), table_b(b, offset);
  whole.pair_quads = pair_quads(a, b);
  const bool fold = scales_take_unit(a, b, unit);
  const float weight = fold ? pow2_f32(unit) : 1.0f;
  whole.unit = fold ? 1.0f : pow2_f32(unit);

#pragma omp parallel num_threads(tile.threads) if (tile.threads > 1)
  {
    static thread_local Scratch<std::int8_t> row_memory;
    std::int8_t* row_buffer = row_memory.at_least(a.k + 4);
#pragma omp for schedule(static) nowait
    for (std::size_t p = 0; p < panels; ++p) {
      const std::size_t j = p * kPanelCols;
      pack_panel(b, table_b, quads, p, packed_b + j * total * 4, row_buffer);
      pack_scales(b, places_b, j, kPanelCols, 1.0f, scale_b + j * segments);
    }
#pragma omp for schedule(static)
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t i = block * kBlockRows;
      pack_block(a, table_a, quads, block, offset, packed_a + i * total * 4, start + i * segments,
                 row_buffer);
      pack_scales(a, places_a, i, kBlockRows, weight, scale_a + i * segments);
    }
#pragma omp for collapse(2) schedule(dynamic)
    for (std::size_t tm = 0; tm < tile.tiles_m; ++tm) {
      for (std::size_t tn = 0; tn < tile.tiles_n; ++tn) {
        BlockExactTile t = whole;
        const std::size_t i0 = tm * tile.rows, j0 = tn * tile.cols;
        t.a += i0 * total * 4;
        t.start += i0 * segments;
        t.scale_a += i0 * segments;
        t.b += j0 * total * 4;
        t.scale_b += j0 * segments;
        if (t.global_a != nullptr) {
          t.global_a += i0;
          t.global_b += j0;
        }
        t.rows = std::min(tile.rows, m - i0);
        t.cols = std::min(tile.cols, n - j0);
        t.y = y.data + i0 * y.row_stride + j0;
        for (std::size_t s = 0; s < segments; s = t.to) {
          const std::size_t q0 = s == 0 ? 0 : quads.ends[s - 1];
          t.from = s;
          t.to = s + 1;
          while (t.to < segments && quads.ends[t.to] - q0 <= kDepth) ++t.to;
          block_exact_tile(t);
        }
      }
    }
  }
}

}  // namespace fp4lab::detail
