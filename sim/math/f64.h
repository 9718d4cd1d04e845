// Binary64 arithmetic for the correctly rounded functions: one IEEE operation per operator on host
// and device, selects without branches, and the two ways of rounding a result to binary32.
#pragma once

#include <cstdint>

#include "formats/host_device.h"

/// The pieces of a function are inlined into it always: array loops are vectorised only then.
#define FP4LAB_MATH_INLINE FP4LAB_HD __attribute__((always_inline)) inline constexpr

namespace fp4lab::math::detail {

/// A binary64 number whose operators are single roundings to nearest even. On the device they are
/// the intrinsics that no compiler flag can fuse; on the host the translation unit is built with
/// -ffp-contract=off. (Results do not hang on it, intermediate values do.)
struct F64 {
  double v;
};

FP4LAB_MATH_INLINE F64 operator+(F64 a, F64 b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return {__dadd_rn(a.v, b.v)};
#endif
  return {a.v + b.v};
}
FP4LAB_MATH_INLINE F64 operator-(F64 a, F64 b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return {__dsub_rn(a.v, b.v)};
#endif
  return {a.v - b.v};
}
FP4LAB_MATH_INLINE F64 operator*(F64 a, F64 b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return {__dmul_rn(a.v, b.v)};
#endif
  return {a.v * b.v};
}
FP4LAB_MATH_INLINE F64 operator/(F64 a, F64 b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return {__ddiv_rn(a.v, b.v)};
#endif
  return {a.v / b.v};
}
FP4LAB_MATH_INLINE F64 operator-(F64 a) noexcept { return {-a.v}; }
FP4LAB_MATH_INLINE F64 operator+(F64 a, double b) noexcept { return a + F64{b}; }
FP4LAB_MATH_INLINE F64 operator+(double a, F64 b) noexcept { return F64{a} + b; }
FP4LAB_MATH_INLINE F64 operator-(F64 a, double b) noexcept { return a - F64{b}; }
FP4LAB_MATH_INLINE F64 operator-(double a, F64 b) noexcept { return F64{a} - b; }
FP4LAB_MATH_INLINE F64 operator*(F64 a, double b) noexcept { return a * F64{b}; }
FP4LAB_MATH_INLINE F64 operator*(double a, F64 b) noexcept { return F64{a} * b; }
FP4LAB_MATH_INLINE F64 operator/(double a, F64 b) noexcept { return F64{a} / b; }

/// Square root of a number >= 0, rounded once: one instruction on every target. (Where errno is
/// asked for, compilers add a call for negative arguments; none gets here.)
FP4LAB_HD __attribute__((always_inline)) inline F64 sqrt_rn(F64 a) noexcept {
#if defined(__CUDA_ARCH__)
  return {__dsqrt_rn(a.v)};
#else
  return {__builtin_sqrt(a.v)};
#endif
}

FP4LAB_MATH_INLINE std::uint64_t bits(F64 x) noexcept { return bits_as<std::uint64_t>(x.v); }
FP4LAB_MATH_INLINE F64 from_bits(std::uint64_t b) noexcept { return {bits_as<double>(b)}; }
FP4LAB_MATH_INLINE F64 widen(float x) noexcept { return {static_cast<double>(x)}; }

/// c ? a : b through a bit mask: neither side costs a branch.
FP4LAB_MATH_INLINE F64 select(bool c, F64 a, F64 b) noexcept {
  const std::uint64_t mask = c ? ~0ull : 0ull;
  return from_bits((bits(a) & mask) | (bits(b) & ~mask));
}
FP4LAB_MATH_INLINE float select(bool c, float a, float b) noexcept {
  const std::uint32_t mask = c ? ~0u : 0u;
  return bits_as<float>((bits_as<std::uint32_t>(a) & mask) | (bits_as<std::uint32_t>(b) & ~mask));
}

/// A NaN becomes the bound.
FP4LAB_MATH_INLINE F64 at_least(F64 x, double bound) noexcept {
  return {x.v > bound ? x.v : bound};
}
FP4LAB_MATH_INLINE F64 at_most(F64 x, double bound) noexcept { return {x.v < bound ? x.v : bound}; }
FP4LAB_MATH_INLINE F64 clamp(F64 x, double low, double high) noexcept {
  return at_most(at_least(x, low), high);
}

/// c0 + z*(c1 + z*(c2 + ...)).
FP4LAB_MATH_INLINE F64 horner(F64, double c0) noexcept { return {c0}; }
template <class... Rest>
FP4LAB_MATH_INLINE F64 horner(F64 z, double c0, Rest... rest) noexcept {
  return c0 + z * horner(z, rest...);
}

/// The unevaluated sum hi + lo, |hi| >= |lo| or hi = 0.
struct Sum {
  F64 hi, lo;
};

/// hi + lo rounded to nearest in binary64, then to binary32: enough for functions whose exact
/// values stay clear of the midpoints (which of them do was found out over all inputs).
FP4LAB_MATH_INLINE float round_twice(Sum s) noexcept { return static_cast<float>((s.hi + s.lo).v); }

/// hi + lo rounded once to binary32, subnormal results included: first to binary64 *to odd* (an
/// inexact sum takes the neighbour with the odd last bit), which keeps on which side of every
/// binary32 midpoint it lies.
FP4LAB_MATH_INLINE float round_once(Sum s) noexcept {
  const F64 y = s.hi + s.lo;
  const F64 e = s.lo - (y - s.hi);
  const std::uint64_t inexact = e.v != 0.0 ? ~0ull : 0ull;
  const std::uint64_t move = inexact & ~bits(y) & 1u;
  const std::uint64_t away_or_back = 1u - 2u * ((bits(e) ^ bits(y)) >> 63);
  return static_cast<float>(from_bits(bits(y) + ((0u - move) & away_or_back)).v);
}

/// v rounded to an integer, as a number and with its low bits in `word`; |v| < 2^31.
struct Integer {
  F64 k;
  std::uint64_t word;
  /// 2^k for a normal result.
  FP4LAB_MATH_INLINE F64 pow2() const noexcept {
    return from_bits((word << 52) + 0x3FF0000000000000ull);
  }
};
FP4LAB_MATH_INLINE Integer round_to_integer(F64 v) noexcept {
  const F64 w = v + 0x1.8p52;
  return {w - 0x1.8p52, bits(w)};
}

/// Every function ends with this: its NaN inputs and `invalid` ones give the one NaN.
FP4LAB_MATH_INLINE float or_nan(float y, bool invalid) noexcept {
  return select(invalid, bits_as<float>(kCanonicalNanBits), y);
}
FP4LAB_MATH_INLINE float magnitude(float x) noexcept {
  return bits_as<float>(bits_as<std::uint32_t>(x) & 0x7FFFFFFFu);
}
FP4LAB_MATH_INLINE float with_sign_of(float x, float sign) noexcept {
  return bits_as<float>((bits_as<std::uint32_t>(x) & 0x7FFFFFFFu) |
                        (bits_as<std::uint32_t>(sign) & 0x80000000u));
}

}  // namespace fp4lab::math::detail
