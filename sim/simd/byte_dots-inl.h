// Exact integer dots of bytes for lanes that are columns of Y: a step multiplies a quad (four k) of
// a row, the same for all lanes, with a quad of each column. Operands are packed as
// integer_panels.h says.
#if defined(FP4LAB_SIM_SIMD_BYTE_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_BYTE_DOTS_INL_H_
#undef FP4LAB_SIM_SIMD_BYTE_DOTS_INL_H_
#else
#define FP4LAB_SIM_SIMD_BYTE_DOTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "sim/tiling.h"

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

#undef FP4LAB_BYTE_DOTS
#undef FP4LAB_X86_DOTS

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Scalable vectors cannot be kept in arrays; the emulated and the scalar target are plain code's
// business.
#if (HWY_ARCH_X86 || HWY_TARGET == HWY_NEON) && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
#define FP4LAB_BYTE_DOTS 1

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using D16 = hn::Repartition<std::int16_t, DI>;
using D8 = hn::Repartition<std::uint8_t, DI>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using V16 = hn::Vec<D16>;
constexpr std::size_t kLanes = hn::MaxLanes(DF());
constexpr std::size_t kRows = kBlockRows, kPanel = kPanelCols;
constexpr int kMost = kLanes == 16 ? 12 : 6;  ///< rows of a block that registers hold

HWY_INLINE VI Quad(const std::int8_t* a) {
  std::int32_t v;
  std::memcpy(&v, a, sizeof v);
  return hn::Set(DI(), v);
}

#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
#define FP4LAB_X86_DOTS 1

HWY_INLINE bool HasQuadDot() {
  return HWY_TARGET == HWY_AVX2 ? cpu_vnni().narrow : cpu_vnni().wide;
}

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

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
