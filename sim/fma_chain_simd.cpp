// Kernels of fma_chain.h, compiled once for each instruction set.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sim/fma_chain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/fma_chain_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Instruction sets whose MulAdd is one rounding; scalable vectors cannot be kept in arrays.
#if HWY_NATIVE_FMA && (HWY_ARCH_X86 || HWY_TARGET == HWY_NEON)

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr std::size_t kLanes = hn::MaxLanes(D());
constexpr int kMaxRows = kBlockRows, kPanel = kPanelCols;

/// The part of Y that a kernel keeps in registers: 12 x 2 vectors of 32 registers, 6 x 2 of 16.
constexpr bool kManyRegisters = HWY_TARGET != HWY_AVX2;
constexpr int kRows = kLanes == 16 ? 12 : 6;
constexpr int kVectors = kManyRegisters && kLanes < 16 ? 4 : 2;

HWY_INLINE V Canonical(V v) {
  return hn::IfThenElse(hn::IsNaN(v),
                        hn::BitCast(D(), hn::Set(hn::RebindToUnsigned<D>(), 0x7FC00000u)), v);
}

/// R rows by C vectors of Y.
template <int R, int C>
HWY_INLINE void Micro(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::size_t depth,
                      float* HWY_RESTRICT y, std::size_t stride, bool first, bool last) {
  const D d;
  V s[R][C];
  HWY_UNROLL(16)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) {
      s[r][c] = first ? hn::Zero(d)
                      : hn::LoadU(d, y + static_cast<std::size_t>(r) * stride +
                                         static_cast<std::size_t>(c) * kLanes);
    }
  }
  for (std::size_t k = 0; k < depth; ++k, a += kMaxRows, b += kPanel) {
    V x[C];
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) x[c] = hn::LoadU(d, b + static_cast<std::size_t>(c) * kLanes);
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      const V f = hn::Set(d, a[r]);
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) s[r][c] = hn::MulAdd(f, x[c], s[r][c]);
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) {
      hn::StoreU(last ? Canonical(s[r][c]) : s[r][c], d,
                 y + static_cast<std::size_t>(r) * stride + static_cast<std::size_t>(c) * kLanes);
    }
  }
}

template <int R>
HWY_NOINLINE void Rows(const float* a, const float* b, const FmaTile& t, float* y,
                       std::size_t stride, std::size_t cols) {
  // Whole groups of vectors, then single ones.
  std::size_t j = 0;
  for (; j + (kVectors - 1) * kLanes < cols; j += kVectors * kLanes) {
    Micro<R, kVectors>(a, b + j, t.depth, y + j, stride, t.first, t.last);
  }
  for (; j < cols; j += kLanes) {
    Micro<R, 1>(a, b + j, t.depth, y + j, stride, t.first, t.last);
  }
}

/// The fewest rows that a kernel exists for and that cover `rows`.
HWY_INLINE void SomeRows(std::size_t rows, const float* a, const float* b, const FmaTile& t,
                         float* y, std::size_t stride, std::size_t cols) {
  if constexpr (kRows == 12) {
    if (rows > 8) return Rows<12>(a, b, t, y, stride, cols);
    if (rows > 4) return Rows<8>(a, b, t, y, stride, cols);
    return Rows<4>(a, b, t, y, stride, cols);
  } else {
    if (rows > 4) return Rows<6>(a, b, t, y, stride, cols);
    return Rows<4>(a, b, t, y, stride, cols);
  }
}

bool Tile(const FmaTile& t) {
  HWY_ALIGN float edge[kMaxRows * kPanel];
  for (std::size_t j = 0; j < t.cols; j += kPanelCols) {
    const float* b = t.b + j / kPanelCols * t.panel_stride;
    const std::size_t cols = std::min(kPanelCols, t.cols - j);
    for (std::size_t i = 0; i < t.rows; i += kRows) {
      const float* a = t.a + i / kBlockRows * t.depth * kBlockRows + i % kBlockRows;
      const std::size_t rows = std::min<std::size_t>(kRows, t.rows - i);
      float* y = t.y + i * t.row_stride + j;
      if (cols % kLanes == 0 && (rows == kRows || rows % 4 == 0)) {
        SomeRows(rows, a, b, t, y, t.row_stride, cols);
        continue;
      }
      for (std::size_t r = 0; r < rows && !t.first; ++r) {
        std::copy_n(y + r * t.row_stride, cols, edge + r * kPanel);
      }
      SomeRows(rows, a, b, t, edge, kPanel, cols);
      for (std::size_t r = 0; r < rows; ++r)
        std::copy_n(edge + r * kPanel, cols, y + r * t.row_stride);
    }
  }
  return true;
}

/// to[k * width + r] = from[r * stride + k] for four rows.
HWY_INLINE void TransposeFour(const float* from, std::size_t stride, std::size_t depth,
                              std::size_t width, float* to) {
  const hn::FixedTag<float, 4> d;
  std::size_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    const auto r0 = hn::LoadU(d, from + k), r1 = hn::LoadU(d, from + stride + k);
    const auto r2 = hn::LoadU(d, from + 2 * stride + k), r3 = hn::LoadU(d, from + 3 * stride + k);
    const auto even_low = hn::InterleaveLower(d, r0, r2), odd_low = hn::InterleaveLower(d, r1, r3);
    const auto even_high = hn::InterleaveUpper(d, r0, r2),
               odd_high = hn::InterleaveUpper(d, r1, r3);
    hn::StoreU(hn::InterleaveLower(d, even_low, odd_low), d, to + k * width);
    hn::StoreU(hn::InterleaveUpper(d, even_low, odd_low), d, to + (k + 1) * width);
    hn::StoreU(hn::InterleaveLower(d, even_high, odd_high), d, to + (k + 2) * width);
    hn::StoreU(hn::InterleaveUpper(d, even_high, odd_high), d, to + (k + 3) * width);
  }
  for (; k < depth; ++k) {
    for (std::size_t r = 0; r < 4; ++r) to[k * width + r] = from[r * stride + k];
  }
}

/// to[k * width + r] = from[k * stride + r] for N rows, without a call for each k.
template <std::size_t N>
HWY_INLINE void CopyRows(const float* from, std::size_t stride, std::size_t depth,
                         std::size_t width, float* to) {
  constexpr std::size_t kStep = N % kLanes == 0 ? kLanes : 4;
  static_assert(N % kStep == 0);
  const hn::CappedTag<float, kStep> d;
  for (std::size_t k = 0; k < depth; ++k) {
    HWY_UNROLL(8)
    for (std::size_t r = 0; r < N; r += kStep) {
      hn::StoreU(hn::LoadU(d, from + k * stride + r), d, to + k * width + r);
    }
  }
}

bool Pack(const MatrixView& m, std::size_t row0, std::size_t width, std::size_t k0,
          std::size_t depth, float* to) {
  const float* from = m.data + row0 * m.row_stride + k0 * m.col_stride;
  const std::size_t rows = std::min(width, m.rows - row0);
  if (rows < width) std::fill_n(to, depth * width, 0.0f);
  if (m.row_stride == 1) {
    if (rows == kPanelCols) {
      CopyRows<kPanelCols>(from, m.col_stride, depth, width, to);
    } else if (rows == kBlockRows) {
      CopyRows<kBlockRows>(from, m.col_stride, depth, width, to);
    } else {
      for (std::size_t k = 0; k < depth; ++k) {
        std::copy_n(from + k * m.col_stride, rows, to + k * width);
      }
    }
    return true;
  }
  std::size_t r = 0;
  if (m.col_stride == 1) {
    for (; r + 4 <= rows; r += 4) {
      TransposeFour(from + r * m.row_stride, m.row_stride, depth, width, to + r);
    }
  }
  for (; r < rows; ++r) {
    for (std::size_t k = 0; k < depth; ++k) {
      to[k * width + r] = from[r * m.row_stride + k * m.col_stride];
    }
  }
  return true;
}

#else

bool Tile(const FmaTile&) { return false; }
bool Pack(const MatrixView&, std::size_t, std::size_t, std::size_t, std::size_t, float*) {
  return false;
}

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(Tile);
HWY_EXPORT(Pack);

bool fma_tile(const FmaTile& tile) { return HWY_DYNAMIC_DISPATCH(Tile)(tile); }
bool fma_pack(const MatrixView& m, std::size_t row0, std::size_t width, std::size_t k0,
              std::size_t depth, float* to) {
  return HWY_DYNAMIC_DISPATCH(Pack)(m, row0, width, k0, depth, to);
}

}  // namespace fp4lab::detail
#endif
