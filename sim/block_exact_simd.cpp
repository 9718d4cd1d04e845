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

#if HWY_ARCH_X86 && !defined(FP4LAB_CPU_VNNI)
#define FP4LAB_CPU_VNNI
#include <cpuid.h>
namespace fp4lab::detail {
/// Byte dot products: in 512-bit vectors, and in 256-bit vectors without AVX-512. Highway 1.0 has
/// neither the operation nor a target that always has the instruction.
struct CpuVnni {
  bool wide = false, narrow = false;
  CpuVnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) wide = (c >> 11 & 1u) != 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) narrow = (a >> 4 & 1u) != 0;
  }
};
inline const CpuVnni& cpu_vnni() {
  static const CpuVnni found;
  return found;
}
}  // namespace fp4lab::detail
#endif

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Instruction sets whose MulAdd is one rounding; scalable vectors cannot be kept in arrays.
#if HWY_NATIVE_FMA && (HWY_ARCH_X86 || HWY_TARGET == HWY_NEON)

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D16 = hn::Repartition<std::int16_t, DI>;
using D8 = hn::Repartition<std::uint8_t, DI>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using V16 = hn::Vec<D16>;
constexpr std::size_t kLanes = hn::MaxLanes(DF());
constexpr std::size_t kRows = kBlockRows, kPanel = kPanelCols;

/// Rows and vectors that a kernel keeps in registers.
constexpr int kMost = kLanes == 16 ? 12 : 6;
constexpr int kVectors = 2;

HWY_INLINE VI Quad(const std::int8_t* a) {
  std::int32_t v;
  std::memcpy(&v, a, sizeof v);
  return hn::Set(DI(), v);
}

#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
#define FP4LAB_X86_DOTS 1
/// One instruction: 32-bit lanes += sums of four products of an unsigned and a signed byte.
struct QuadDot {
  template <int R, int C>
  static HWY_INLINE void Step(const std::int8_t* a, const std::uint8_t* b, VI (&s)[R][C]) {
    VI x[C];
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) {
      x[c] = hn::BitCast(DI(), hn::LoadU(D8(), b + static_cast<std::size_t>(c) * 4 * kLanes));
    }
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      const VI f = Quad(a + 4 * r);
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) {
#if HWY_TARGET == HWY_AVX2
        asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s[r][c].raw) : "x"(x[c].raw), "x"(f.raw));
#else
        asm("vpdpbusd %2, %1, %0" : "+v"(s[r][c].raw) : "v"(x[c].raw), "v"(f.raw));
#endif
      }
    }
  }
  template <int N, int R, int C>
  static HWY_INLINE void Steps(const std::int8_t* a, const std::uint8_t* b, VI (&s)[R][C]) {
    HWY_UNROLL(8)
    for (int n = 0; n < N; ++n) Step<R, C>(a + n * 4 * kRows, b + n * 4 * kPanel, s);
  }
  template <int R, int C>
  static HWY_INLINE void Run(const std::int8_t* a, const std::uint8_t* b, std::size_t quads,
                             std::size_t, VI (&s)[R][C]) {
    // Without a loop for the segments of 16 and 32 that hardware formats have.
    if (R == kMost && quads == 8) return Steps<8, R, C>(a, b, s);
    if (R == kMost && quads == 4) return Steps<4, R, C>(a, b, s);
    for (std::size_t q = 0; q < quads; ++q, a += 4 * kRows, b += 4 * kPanel) Step<R, C>(a, b, s);
  }
};

HWY_INLINE V16 SumsOfPairs(VI unsigned_bytes, VI signed_bytes) {
#if HWY_TARGET == HWY_AVX2
  return V16{_mm256_maddubs_epi16(unsigned_bytes.raw, signed_bytes.raw)};
#else
  return V16{_mm512_maddubs_epi16(unsigned_bytes.raw, signed_bytes.raw)};
#endif
}
HWY_INLINE VI AddNeighbours(V16 v, VI sum) {
  VI unused = hn::Zero(DI());
  return hn::ReorderWidenMulAccumulate(DI(), v, hn::Set(D16(), std::int16_t{1}), sum, unused);
}

/// Sums of two products in 16 bits, added there for as many quads as fit, then widened.
struct PairDot {
  template <int R, int C>
  static HWY_INLINE void Run(const std::int8_t* a, const std::uint8_t* b, std::size_t quads,
                             std::size_t most, VI (&s)[R][C]) {
    const DI d;
    for (std::size_t q = 0; q < quads;) {
      const std::size_t end = HWY_MIN(quads, q + most);
      V16 t[R][C];
      HWY_UNROLL(16)
      for (int r = 0; r < R; ++r) {
        HWY_UNROLL(16)
        for (int c = 0; c < C; ++c) t[r][c] = hn::Zero(D16());
      }
      for (; q < end; ++q, a += 4 * kRows, b += 4 * kPanel) {
        VI x[C];
        HWY_UNROLL(16)
        for (int c = 0; c < C; ++c) {
          x[c] = hn::BitCast(d, hn::LoadU(D8(), b + static_cast<std::size_t>(c) * 4 * kLanes));
        }
        HWY_UNROLL(16)
        for (int r = 0; r < R; ++r) {
          const VI f = Quad(a + 4 * r);
          HWY_UNROLL(16)
          for (int c = 0; c < C; ++c) t[r][c] = hn::Add(t[r][c], SumsOfPairs(x[c], f));
        }
      }
      HWY_UNROLL(16)
      for (int r = 0; r < R; ++r) {
        HWY_UNROLL(16)
        for (int c = 0; c < C; ++c) s[r][c] = AddNeighbours(t[r][c], s[r][c]);
      }
    }
  }
};
#endif

/// Bytes widened to 16 bits: even and odd ones apart.
struct WideDot {
  template <int R, int C>
  static HWY_INLINE void Run(const std::int8_t* a, const std::uint8_t* b, std::size_t quads,
                             std::size_t, VI (&s)[R][C]) {
    const DI d;
    const D16 d16;
    VI rest[R][C];
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) rest[r][c] = hn::Zero(d);
    }
    const V16 low_byte = hn::Set(d16, std::int16_t{0xFF});
    const hn::RebindToUnsigned<D16> du;
    for (std::size_t q = 0; q < quads; ++q, a += 4 * kRows, b += 4 * kPanel) {
      V16 even[C], odd[C];
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) {
        const auto x = hn::LoadU(D8(), b + static_cast<std::size_t>(c) * 4 * kLanes);
        even[c] = hn::And(hn::BitCast(d16, x), low_byte);
        odd[c] = hn::BitCast(d16, hn::ShiftRight<8>(hn::BitCast(du, x)));
      }
      HWY_UNROLL(16)
      for (int r = 0; r < R; ++r) {
        const V16 f = hn::BitCast(d16, Quad(a + 4 * r));
        const V16 f_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(f)), f_odd = hn::ShiftRight<8>(f);
        HWY_UNROLL(16)
        for (int c = 0; c < C; ++c) {
          s[r][c] = hn::ReorderWidenMulAccumulate(d, even[c], f_even, s[r][c], rest[r][c]);
          s[r][c] = hn::ReorderWidenMulAccumulate(d, odd[c], f_odd, s[r][c], rest[r][c]);
        }
      }
    }
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) s[r][c] = hn::RearrangeToOddPlusEven(s[r][c], rest[r][c]);
    }
  }
};

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
  const bool quads = HWY_TARGET == HWY_AVX2 ? cpu_vnni().narrow : cpu_vnni().wide;
  if (quads && (t.kind == DotKind::automatic || t.kind == DotKind::quads)) {
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
#undef FP4LAB_X86_DOTS

void LookUp(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table, std::int8_t* to) {
  const D8 d;
  const auto entries = hn::LoadDup128(d, reinterpret_cast<const std::uint8_t*>(table));
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::TableLookupBytes(entries, hn::LoadU(d, bytes + i)), d,
               reinterpret_cast<std::uint8_t*>(to + i));
  }
  for (; i < n; ++i) to[i] = table[bytes[i]];
}

/// Sixteen rows and columns in four rounds: byte 0 of all rows, byte 1 of all rows ...
HWY_INLINE void TransposeSixteen(const std::uint8_t* from, std::size_t stride, std::uint8_t* to,
                                 std::size_t to_stride) {
  const hn::FixedTag<std::uint8_t, 16> d;
  hn::Vec<decltype(d)> x[16], z[16];
  HWY_UNROLL(16)
  for (std::size_t i = 0; i < 16; ++i) x[i] = hn::LoadU(d, from + i * stride);
  HWY_UNROLL(4)
  for (int round = 0; round < 4; ++round) {
    // A perfect shuffle of the 256 bytes; four of them swap the halves of the index.
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < 8; ++i) {
      z[2 * i] = hn::InterleaveLower(d, x[i], x[i + 8]);
      z[2 * i + 1] = hn::InterleaveUpper(d, x[i], x[i + 8]);
    }
    HWY_UNROLL(16)
    for (std::size_t i = 0; i < 16; ++i) x[i] = z[i];
  }
  HWY_UNROLL(16)
  for (std::size_t i = 0; i < 16; ++i) hn::StoreU(x[i], d, to + i * to_stride);
}

void Transpose(const std::uint8_t* from, std::size_t rows, std::size_t cols, std::size_t stride,
               std::uint8_t* to, std::size_t to_stride) {
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    std::size_t r = 0;
    for (; r + 16 <= rows; r += 16) {
      TransposeSixteen(from + r * stride + c, stride, to + c * to_stride + r, to_stride);
    }
    for (; r < rows; ++r) {
      for (std::size_t i = c; i < c + 16; ++i) to[i * to_stride + r] = from[r * stride + i];
    }
  }
  for (; c < cols; ++c) {
    for (std::size_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * stride + c];
  }
}

#else

// A fused multiply-add made of several instructions would not be one: the caller's scalar code does
// it.
bool Tile(const BlockExactTile&) { return false; }

void LookUp(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table, std::int8_t* to) {
  for (std::size_t i = 0; i < n; ++i) to[i] = table[bytes[i]];
}
void Transpose(const std::uint8_t* from, std::size_t rows, std::size_t cols, std::size_t stride,
               std::uint8_t* to, std::size_t to_stride) {
  for (std::size_t c = 0; c < cols; ++c) {
    for (std::size_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * stride + c];
  }
}

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(Tile);
HWY_EXPORT(LookUp);
HWY_EXPORT(Transpose);

bool block_exact_tile(const BlockExactTile& tile) { return HWY_DYNAMIC_DISPATCH(Tile)(tile); }
void look_up_nibbles(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table,
                     std::int8_t* to) {
  HWY_DYNAMIC_DISPATCH(LookUp)(bytes, n, table, to);
}
void transpose_bytes(const std::uint8_t* from, std::size_t rows, std::size_t cols,
                     std::size_t stride, std::uint8_t* to, std::size_t to_stride) {
  HWY_DYNAMIC_DISPATCH(Transpose)(from, rows, cols, stride, to, to_stride);
}

}  // namespace fp4lab::detail
#endif
