#include "sim/nn/attention_kernel.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "sim/fma.h"
#include "sim/math_array.h"
#include "sim/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/nn/attention_kernel.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "sim/simd/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::nn::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace lanes = fp4lab::simd::HWY_NAMESPACE;

/// First and one past the last k of row r.
HWY_INLINE std::size_t first_k(const ChainProduct& p, std::size_t r) {
  return p.mask == ChainMask::k_from_row ? std::min(r, p.depth) : 0;
}
HWY_INLINE std::size_t last_k(const ChainProduct& p, std::size_t r) {
  return p.mask == ChainMask::k_to_row ? std::min(r + 1, p.depth) : p.depth;
}

// Instruction sets whose MulAdd is one rounding.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    HWY_TARGET == HWY_AVX3_ZEN4 || HWY_TARGET == HWY_NEON

using Vector = hn::CappedTag<float, 16>;

/// Every NaN as 7FC00000.
HWY_INLINE hn::Vec<Vector> without_payload(hn::Vec<Vector> v) {
  const Vector d;
  const auto nan = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<Vector>(), 0x7FC00000u));
  return hn::IfThenElse(hn::IsNaN(v), nan, v);
}

HWY_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// R rows by V vectors of outputs from (r0, c0) on.
template <int R, int V>
HWY_INLINE void tile(const ChainProduct& p, std::size_t r0, std::size_t c0) {
  const Vector d;
  const std::size_t n = hn::Lanes(d);
  hn::Vec<Vector> acc[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) acc[r][v] = hn::Zero(d);
  }
  const float* a = p.a + r0 * p.a_row;
  const float* b = p.b + c0;
  // All rows share [low, high); a triangular A adds up to R - 1 steps to some of the rows.
  const std::size_t first = first_k(p, r0), low = first_k(p, r0 + R - 1);
  const std::size_t high = last_k(p, r0), last = last_k(p, r0 + R - 1);
  for (std::size_t k = first; k < low; ++k) {
    for (int r = 0; r < R; ++r) {
      if (k < first_k(p, r0 + static_cast<std::size_t>(r))) continue;
      const auto x = hn::Set(d, a[static_cast<std::size_t>(r) * p.a_row + k * p.a_k]);
      for (int v = 0; v < V; ++v) {
        const auto y = hn::LoadU(d, b + k * p.b_row + static_cast<std::size_t>(v) * n);
        acc[r][v] = hn::MulAdd(x, y, acc[r][v]);
      }
    }
  }
  for (std::size_t k = low; k < high; ++k) {
    hn::Vec<Vector> y[V];
    for (int v = 0; v < V; ++v) {
      y[v] = hn::LoadU(d, b + k * p.b_row + static_cast<std::size_t>(v) * n);
    }
    for (int r = 0; r < R; ++r) {
      const auto x = hn::Set(d, a[static_cast<std::size_t>(r) * p.a_row + k * p.a_k]);
      for (int v = 0; v < V; ++v) acc[r][v] = hn::MulAdd(x, y[v], acc[r][v]);
    }
  }
  for (std::size_t k = std::max(low, high); k < last; ++k) {
    for (int r = 0; r < R; ++r) {
      if (k >= last_k(p, r0 + static_cast<std::size_t>(r))) continue;
      const auto x = hn::Set(d, a[static_cast<std::size_t>(r) * p.a_row + k * p.a_k]);
      for (int v = 0; v < V; ++v) {
        const auto y = hn::LoadU(d, b + k * p.b_row + static_cast<std::size_t>(v) * n);
        acc[r][v] = hn::MulAdd(x, y, acc[r][v]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      hn::StoreU(without_payload(acc[r][v]), d,
                 p.c + (r0 + static_cast<std::size_t>(r)) * p.c_row + c0 +
                     static_cast<std::size_t>(v) * n);
    }
  }
}

/// Columns [0, cols) of R rows: pairs of vectors, one vector, then single outputs.
template <int R>
HWY_INLINE void strip(const ChainProduct& p, std::size_t r0) {
  const Vector d;
  const std::size_t n = hn::Lanes(d);
  const std::size_t cols = p.mask == ChainMask::c_to_row ? std::min(p.cols, r0 + R) : p.cols;
  // Beyond the last wanted output there may be room in the row for a whole vector.
  const std::size_t room = p.cols;
  std::size_t c = 0;
  while (c < cols && c + 2 * n <= room && (c + n < cols)) {
    tile<R, 2>(p, r0, c);
    c += 2 * n;
  }
  while (c < cols && c + n <= room) {
    tile<R, 1>(p, r0, c);
    c += n;
  }
  for (; c < cols; ++c) {
    for (std::size_t r = r0; r < r0 + R; ++r) {
      float y = 0.0f;
      for (std::size_t k = first_k(p, r); k < last_k(p, r); ++k) {
        y = fused(p.a[r * p.a_row + k * p.a_k], p.b[k * p.b_row + c], y);
      }
      p.c[r * p.c_row + c] = canonical(y);
    }
  }
}

void chain_products(const ChainProduct& p) {
  std::size_t r = 0;
  for (; r + 4 <= p.rows; r += 4) strip<4>(p, r);
  for (; r < p.rows; ++r) strip<1>(p, r);
}

#else

void chain_products(const ChainProduct& p) {
  for (std::size_t r = 0; r < p.rows; ++r) {
    const std::size_t cols = p.mask == ChainMask::c_to_row ? std::min(p.cols, r + 1) : p.cols;
    for (std::size_t c = 0; c < cols; ++c) {
      float y = 0.0f;
      for (std::size_t k = first_k(p, r); k < last_k(p, r); ++k) {
        y = fma_rn(p.a[r * p.a_row + k * p.a_k], p.b[k * p.b_row + c], y);
      }
      p.c[r * p.c_row + c] = canonical(y);
    }
  }
}

#endif

HWY_INLINE float largest(const float* x, std::size_t n) {
  const hn::CappedTag<float, 16> d;
  const std::size_t lanes = hn::Lanes(d);
  float most = x[0];
  std::size_t i = 0;
  if (n >= lanes) {
    auto m = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) m = hn::Max(m, hn::LoadU(d, x + i));
    most = hn::GetLane(hn::MaxOfLanes(d, m));
  }
  for (; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

/// t = fl(fl(s * scale) - max of the row), rows one after the other without gaps.
void softmax_shift(const float* s, std::size_t n, float scale, bool causal, float* out) {
  for (std::size_t r = 0; r < n; ++r) {
    const std::size_t m = causal ? r + 1 : n;
    const float* row = s + r * n;
    for (std::size_t j = 0; j < m; ++j) out[j] = row[j] * scale;
    const float most = largest(out, m);
    for (std::size_t j = 0; j < m; ++j) out[j] -= most;
    out += m;
  }
}

/// Terms to sum for the first m of a row of n whose rest is +0: whole groups of lanes, where the
/// row has them. A term of +0 changes no lane.
HWY_INLINE std::size_t padded_terms(std::size_t m, std::size_t n) {
  return std::min(n, (m + kSumLanes - 1) / kSumLanes * kSumLanes);
}

void softmax_divide(const float* e, std::size_t n, bool causal, float* p) {
  for (std::size_t r = 0; r < n; ++r) {
    const std::size_t m = causal ? r + 1 : n;
    float* row = p + r * n;
    std::copy_n(e, m, row);
    std::fill(row + m, row + n, 0.0f);
    const float z = round_sum(lanes::RowSumOf(row, padded_terms(m, n)));
    for (std::size_t j = 0; j < m; ++j) row[j] = canonical(row[j] / z);
    e += m;
  }
}

void softmax_back(const float* p, float* dp, std::size_t n, float scale, bool causal) {
  for (std::size_t r = 0; r < n; ++r) {
    const std::size_t m = causal ? r + 1 : n;
    const float* a = p + r * n;
    float* g = dp + r * n;
    std::fill(g + m, g + n, 0.0f);
    const float d = round_sum(lanes::RowSumOfProducts(a, g, padded_terms(m, n)));
    for (std::size_t j = 0; j < m; ++j) g[j] = canonical(a[j] * (g[j] - d) * scale);
  }
}

void to_bf16(const float* x, float* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x[i]);
    const std::uint32_t up = (bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u;
    y[i] = std::bit_cast<float>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC00000u : up);
  }
}

}  // namespace fp4lab::nn::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::nn::detail {

HWY_EXPORT(chain_products);
HWY_EXPORT(softmax_shift);
HWY_EXPORT(softmax_divide);
HWY_EXPORT(softmax_back);
HWY_EXPORT(to_bf16);

void chain_product(const ChainProduct& p) {
  if (p.rows != 0 && p.cols != 0) HWY_DYNAMIC_DISPATCH(chain_products)(p);
}

void softmax_rows(float* s, std::size_t n, float scale, bool causal, std::vector<float>& work) {
  if (n == 0) return;
  work.resize(causal ? n * (n + 1) / 2 : n * n);
  HWY_DYNAMIC_DISPATCH(softmax_shift)(s, n, scale, causal, work.data());
  math::exp(work, work);
  HWY_DYNAMIC_DISPATCH(softmax_divide)(work.data(), n, causal, s);
}

void softmax_backward_rows(const float* p, float* dp, std::size_t n, float scale, bool causal) {
  HWY_DYNAMIC_DISPATCH(softmax_back)(p, dp, n, scale, causal);
}

void round_to_bf16(std::span<const float> x, std::span<float> y) {
  HWY_DYNAMIC_DISPATCH(to_bf16)(x.data(), y.data(), x.size());
}

void transpose(const float* x, std::size_t x_row, std::size_t rows, std::size_t cols, float* y) {
  // Squares of 16 keep both sides in cache lines.
  for (std::size_t r0 = 0; r0 < rows; r0 += 16) {
    const std::size_t r1 = std::min(rows, r0 + 16);
    for (std::size_t c0 = 0; c0 < cols; c0 += 16) {
      const std::size_t c1 = std::min(cols, c0 + 16);
      for (std::size_t c = c0; c < c1; ++c) {
        for (std::size_t r = r0; r < r1; ++r) y[c * rows + r] = x[r * x_row + c];
      }
    }
  }
}

}  // namespace fp4lab::nn::detail
#endif  // HWY_ONCE
