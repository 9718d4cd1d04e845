// Kernels of block_exact.h, compiled once for each instruction set. Lanes are columns of Y: a step
// multiplies four k of a row, the same for all lanes, with four k of each column, so that the
// conversion and the scaling at the end of a segment are vector operations too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sim/block_exact.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/block_exact_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "sim/simd/byte_dots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Instruction sets whose MulAdd is one rounding.
#if HWY_NATIVE_FMA && defined(FP4LAB_BYTE_DOTS)

constexpr int kVectors = 2;  ///< of a row that registers hold

/// R rows by C vectors of outputs over the tile's segments; `out` has rows of a panel's width.
/// `a`, `b`, `start` and the scales are those of the first segment.
struct Operands {
  const std::int8_t* a;
  const std::int32_t* start;
  const float* scale_a;
  const std::uint8_t* b;
  const float* scale_b;
};
template <class Dot, bool kUnit, int R, int C>
HWY_NOINLINE void Segments(const BlockExactTile& t, Operands o, float* HWY_RESTRICT out) {
  const DF df;
  const DI di;
  const VF unit = hn::Set(df, t.unit);
  std::size_t at = t.from == 0 ? 0 : t.quad_ends[t.from - 1];
  for (std::size_t segment = t.from; segment < t.to; ++segment) {
    const std::size_t quads = t.quad_ends[segment] - at;
    at += quads;
    VI s[R][C];
    if constexpr (std::is_same_v<Dot, WideDot>) {
      HWY_UNROLL(16)
      for (int r = 0; r < R; ++r) {
        HWY_UNROLL(16)
        for (int c = 0; c < C; ++c) s[r][c] = hn::Zero(di);
      }
    } else {
      HWY_UNROLL(16)
      for (int r = 0; r < R; ++r) {
        HWY_UNROLL(16)
        for (int c = 0; c < C; ++c) s[r][c] = hn::Set(di, o.start[r]);
      }
    }
    Dot::template Run<R, C>(o.a, o.b, quads, t.pair_quads, s);
    VF scale[C];
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) {
      scale[c] = hn::LoadU(df, o.scale_b + static_cast<std::size_t>(c) * kLanes);
    }
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      const VF scale_a = hn::Set(df, o.scale_a[r]);
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) {
        VI sum = s[r][c];
        if constexpr (std::is_same_v<Dot, WideDot>) sum = hn::Add(sum, hn::Set(di, o.start[r]));
        VF dot = hn::ConvertTo(df, sum);
        if constexpr (kUnit) dot = hn::Mul(dot, unit);
        float* y =
            out + static_cast<std::size_t>(r) * kPanel + static_cast<std::size_t>(c) * kLanes;
        hn::Store(hn::MulAdd(dot, hn::Mul(scale_a, scale[c]), hn::Load(df, y)), df, y);
      }
    }
    o.a += quads * 4 * kRows;
    o.b += quads * 4 * kPanel;
    o.start += kRows;
    o.scale_a += kRows;
    o.scale_b += kPanel;
  }
}

template <class Dot, bool kUnit, int R>
HWY_INLINE void Columns(const BlockExactTile& t, const Operands& from, std::size_t cols,
                        float* out) {
  for (std::size_t j = 0; j < cols;) {
    Operands o = from;
    o.b += 4 * j;
    o.scale_b += j;
    if (cols - j > kLanes) {
      Segments<Dot, kUnit, R, kVectors>(t, o, out + j);
      j += kVectors * kLanes;
    } else {
      Segments<Dot, kUnit, R, 1>(t, o, out + j);
      j += kLanes;
    }
  }
}

/// A block of up to 12 rows by a panel.
template <class Dot, bool kUnit>
HWY_INLINE void Block(const BlockExactTile& t, const Operands& from, std::size_t rows,
                      std::size_t cols, float* out) {
  if constexpr (kMost == 12) {
    if (rows > 8) return Columns<Dot, kUnit, 12>(t, from, cols, out);
    if (rows > 4) return Columns<Dot, kUnit, 8>(t, from, cols, out);
    return Columns<Dot, kUnit, 4>(t, from, cols, out);
  }
  for (std::size_t i = 0; i < rows; i += 6) {
    Operands o = from;
    o.a += 4 * i;
    o.start += i;
    o.scale_a += i;
    Columns<Dot, kUnit, 6>(t, o, cols, out + i * kPanel);
  }
}

/// What a tile's `out` starts from and where it goes.
struct Destination {
  float* y;
  std::size_t stride, rows, cols;
};
HWY_INLINE void Begin(const Destination& to, bool first, float* out) {
  if (first) {
    std::memset(out, 0, kRows * kPanel * sizeof(float));
    // The lines of Y will be needed when the sums are done.
    for (std::size_t r = 0; r < to.rows; ++r) {
      __builtin_prefetch(to.y + r * to.stride, 1);
      __builtin_prefetch(to.y + r * to.stride + to.cols - 1, 1);
    }
    return;
  }
  for (std::size_t r = 0; r < to.rows; ++r) {
    std::memcpy(out + r * kPanel, to.y + r * to.stride, to.cols * sizeof(float));
  }
}

/// Global factors (of row i, column j and on) and the house's NaN on the way to memory.
HWY_INLINE void End(const BlockExactTile& t, const Destination& to, std::size_t i, std::size_t j,
                    float* out) {
  const DF d;
  const bool last = t.to == t.segments, factor = last && t.global_a != nullptr;
  const VF nan = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<DF>(), 0x7FC00000u));
  for (std::size_t r = 0; r < to.rows; ++r) {
    const VF ga = hn::Set(d, factor ? t.global_a[i + r] : 1.0f);
    for (std::size_t c = 0; c < to.cols; c += kLanes) {
      VF y = hn::Load(d, out + r * kPanel + c);
      if (factor) y = hn::Mul(hn::Mul(ga, hn::LoadU(d, t.global_b + j + c)), y);
      if (last) y = hn::IfThenElse(hn::IsNaN(y), nan, y);
      if (c + kLanes <= to.cols) {
        hn::StoreU(y, d, to.y + r * to.stride + c);
      } else {
        hn::Store(y, d, out + r * kPanel + c);
        std::memcpy(to.y + r * to.stride + c, out + r * kPanel + c, (to.cols - c) * sizeof(float));
      }
    }
  }
}

template <class Dot, bool kUnit>
HWY_NOINLINE void TileWith(const BlockExactTile& t) {
  HWY_ALIGN float out[kRows * kPanel];
  const std::size_t q0 = t.from == 0 ? 0 : t.quad_ends[t.from - 1];
  for (std::size_t j = 0; j < t.cols; j += kPanel) {
    for (std::size_t i = 0; i < t.rows; i += kRows) {
      const Destination to{t.y + i * t.row_stride + j, t.row_stride, HWY_MIN(kRows, t.rows - i),
                           HWY_MIN(kPanel, t.cols - j)};
      Begin(to, t.from == 0, out);
      Operands o;
      o.a = t.a + (i * t.quads + q0 * kRows) * 4;
      o.start = t.start + i * t.segments + t.from * kRows;
      o.scale_a = t.scale_a + i * t.segments + t.from * kRows;
      o.b = t.b + (j * t.quads + q0 * kPanel) * 4;
      o.scale_b = t.scale_b + j * t.segments + t.from * kPanel;
      Block<Dot, kUnit>(t, o, to.rows, to.cols, out);
      End(t, to, i, j, out);
    }
  }
}
template <class Dot>
HWY_INLINE void TileOf(const BlockExactTile& t) {
  t.unit == 1.0f ? TileWith<Dot, false>(t) : TileWith<Dot, true>(t);
}

bool Tile(const BlockExactTile& t) {
#ifdef FP4LAB_X86_DOTS
  if (HasQuadDot() && (t.kind == DotKind::automatic || t.kind == DotKind::quads)) {
    TileOf<QuadDot>(t);
    return true;
  }
  // A widening for every quad costs more than wide products.
  if (t.kind != DotKind::wide && t.pair_quads > 1) {
    TileOf<PairDot>(t);
    return true;
  }
#endif
  TileOf<WideDot>(t);
  return true;
}
#else

// A fused multiply-add made of several instructions would not be one: the caller's scalar code does
// it.
bool Tile(const BlockExactTile&) { return false; }

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(Tile);

bool block_exact_tile(const BlockExactTile& tile) { return HWY_DYNAMIC_DISPATCH(Tile)(tile); }

}  // namespace fp4lab::detail
#endif
