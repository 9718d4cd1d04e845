#include "sim/block_exact.h"

#include <algorithm>
#include <cstring>

#include "sim/fma.h"
#include "sim/scratch.h"

namespace fp4lab::detail {
namespace {

/// Quads of a range of segments: a panel of B of that depth (32 KiB) stays in the first cache.
constexpr std::size_t kDepth = 256;

/// The segments as quads of four k.
struct Quads {
  std::vector<std::uint32_t> ends;  ///< quads up to the end of each segment
  std::vector<std::size_t> k_ends;  ///< k at the end of each segment
  bool contiguous = true;           ///< quad q is k = 4 q ..: all segments but the last fill theirs
  std::vector<std::size_t> scale_a, scale_b;  ///< where a row's scale of each segment lies
  std::size_t total() const { return ends.empty() ? 0 : ends.back(); }

  Quads(const std::vector<std::size_t>& segment_ends, const ScaleGrid& a, const ScaleGrid& b)
      : k_ends(segment_ends) {
    std::size_t at = 0, quads = 0;
    for (const std::size_t end : k_ends) {
      scale_a.push_back(at / a.k_span * a.k_step);
      scale_b.push_back(at / b.k_span * b.k_step);
      contiguous = contiguous && at % 4 == 0;
      quads += ceil_div(end - at, 4);
      ends.push_back(static_cast<std::uint32_t>(quads));
      at = end;
    }
  }
};

/// Integers plus an offset (modulo 256) by byte.
struct ByteTable {
  alignas(16) std::int8_t values[256];
  ByteTable(const IntegerFactor& f, int offset) {
    for (int c = 0; c < 256; ++c) {
      const int v = f.table == nullptr ? c : f.table[c];
      values[c] = static_cast<std::int8_t>(static_cast<std::uint8_t>(v + offset));
    }
  }
};

/// Integers of one row, `k` of them and 4 zeros behind.
void decode_row(const IntegerFactor& f, const ByteTable& table, std::size_t row, std::int8_t* to) {
  const std::uint8_t* bytes = f.bytes + row * f.stride;
  if (f.nibbles) {
    look_up_nibbles(bytes, f.k, table.values, to);
  } else {
    for (std::size_t k = 0; k < f.k; ++k) to[k] = table.values[bytes[k]];
  }
  std::memset(to + f.k, 0, 4);
}

/// Puts a row's quads at to, to + step ...; quads that a segment cuts are filled with zeros.
void place_quads(const Quads& quads, const std::int8_t* row, std::size_t step, std::int8_t* to) {
  if (quads.contiguous) {
    for (std::size_t q = 0; q < quads.total(); ++q, to += step) std::memcpy(to, row + 4 * q, 4);
    return;
  }
  std::size_t at = 0;
  for (const std::size_t end : quads.k_ends) {
    for (; at < end; to += step) {
      const std::size_t n = std::min<std::size_t>(4, end - at);
      std::memset(to, 0, 4);
      std::memcpy(to, row + at, n);
      at += n;
    }
  }
}

/// Memory of one product, kept by the thread that asked for it.
struct Packed {
  Scratch<std::int8_t> a;
  Scratch<std::uint8_t> b;
  Scratch<std::int32_t> start;
  Scratch<float> scale_a, scale_b, global_a, global_b;
};

/// A block of A: quads, what the offset of B adds to the dots (negated), scales times `weight`.
void pack_a(const IntegerFactor& a, const ByteTable& table, const Quads& quads, std::size_t block,
            int offset, float weight, const BlockExactTile& t, std::int8_t* row_buffer) {
  const std::size_t segments = quads.ends.size(), i0 = block * kBlockRows;
  auto* to = const_cast<std::int8_t*>(t.a) + i0 * quads.total() * 4;
  auto* start = const_cast<std::int32_t*>(t.start) + i0 * segments;
  auto* scale = const_cast<float*>(t.scale_a) + i0 * segments;
  for (std::size_t r = 0; r < kBlockRows; ++r) {
    if (i0 + r >= a.rows) {
      for (std::size_t q = 0; q < quads.total(); ++q)
        std::memset(to + (q * kBlockRows + r) * 4, 0, 4);
      for (std::size_t s = 0; s < segments; ++s) {
        start[s * kBlockRows + r] = 0;
        scale[s * kBlockRows + r] = 0.0f;
      }
      continue;
    }
    decode_row(a, table, i0 + r, row_buffer);
    place_quads(quads, row_buffer, 4 * kBlockRows, to + 4 * r);
    const float* scales = a.scales.data + (i0 + r) / a.scales.row_span * a.scales.row_step;
    std::size_t k = 0;
    for (std::size_t s = 0; s < segments; ++s) {
      scale[s * kBlockRows + r] = mul_rn(scales[quads.scale_a[s]], weight);
      std::int32_t sum = 0;
      for (; k < quads.k_ends[s]; ++k) sum += row_buffer[k];
      start[s * kBlockRows + r] = -offset * sum;
    }
  }
}

/// A panel of B: quads of integers plus the offset, scales.
void pack_b(const IntegerFactor& b, const ByteTable& table, const Quads& quads, std::size_t panel,
            const BlockExactTile& t, std::int8_t* row_buffer) {
  const std::size_t segments = quads.ends.size(), j0 = panel * kPanelCols;
  auto* to =
      reinterpret_cast<std::int8_t*>(const_cast<std::uint8_t*>(t.b)) + j0 * quads.total() * 4;
  auto* scale = const_cast<float*>(t.scale_b) + j0 * segments;
  for (std::size_t r = 0; r < kPanelCols; ++r) {
    // Lanes beyond the last column repeat it.
    const std::size_t row = std::min(j0 + r, b.rows - 1);
    decode_row(b, table, row, row_buffer);
    place_quads(quads, row_buffer, 4 * kPanelCols, to + 4 * r);
    const float* scales = b.scales.data + row / b.scales.row_span * b.scales.row_step;
    for (std::size_t s = 0; s < segments; ++s) scale[s * kPanelCols + r] = scales[quads.scale_b[s]];
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

  const Quads quads(ends, a.scales, b.scales);
  const std::size_t segments = ends.size(), total = quads.total();
  const Tiling tile(m, n, m * n * a.k);
  const std::size_t blocks = ceil_div(m, kBlockRows), panels = ceil_div(n, kPanelCols);
  const std::size_t padded_m = blocks * kBlockRows, padded_n = panels * kPanelCols;
  static thread_local Packed memory;
  BlockExactTile whole;
  whole.a = memory.a.at_least(padded_m * total * 4);
  whole.b = memory.b.at_least(padded_n * total * 4);
  whole.start = memory.start.at_least(padded_m * segments);
  whole.scale_a = memory.scale_a.at_least(padded_m * segments);
  whole.scale_b = memory.scale_b.at_least(padded_n * segments);
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
  const int pair = 2 * (2 * offset) * a.largest;
  whole.pair_quads = pair == 0 ? 32767 : static_cast<std::size_t>(32767 / pair);
  const bool fold = scales_take_unit(a, b, unit);
  const float weight = fold ? pow2_f32(unit) : 1.0f;
  whole.unit = fold ? 1.0f : pow2_f32(unit);

#pragma omp parallel num_threads(tile.threads) if (tile.threads > 1)
  {
    static thread_local Scratch<std::int8_t> row_memory;
    std::int8_t* row_buffer = row_memory.at_least(a.k + 4);
#pragma omp for schedule(static) nowait
    for (std::size_t p = 0; p < panels; ++p) pack_b(b, table_b, quads, p, whole, row_buffer);
#pragma omp for schedule(static)
    for (std::size_t i = 0; i < blocks; ++i)
      pack_a(a, table_a, quads, i, offset, weight, whole, row_buffer);
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
