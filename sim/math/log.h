// log, log2, log1p: an exponent plus the logarithm of a number in [sqrt(1/2), sqrt(2)).
#pragma once

#include "sim/math/f64.h"

namespace fp4lab::math::detail {

/// u = 2^e * (1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1), exact. Arguments that are no positive
/// number give garbage, never trouble; the callers replace it.
struct LogSplit {
  F64 e, f;
};
FP4LAB_MATH_INLINE LogSplit log_split(F64 u) noexcept {
  constexpr std::uint64_t kOne = 0x3FF0000000000000ull;
  const std::uint64_t biased = (bits(u) - 0x3FE6A09E667F3BCDull + kOne) >> 52;  // e + 1023
  const F64 e = from_bits(0x4330000000000000ull | biased) - (0x1p52 + 1023.0);
  return {e, from_bits(bits(u) - (biased << 52) + kOne) - 1.0};
}

/// ln(1 + f) = f - (half_square - s_part), the difference being small beside f.
struct LogTail {
  F64 half_square;  ///< f*f/2, exact where f has 26 bits
  F64 s_part;
};
FP4LAB_MATH_INLINE LogTail log_tail(F64 f) noexcept {
  const F64 s = f / (2.0 + f);
  const F64 z = s * s;
  const F64 r = z * horner(z, 0x1.5555555555558p-1, 0x1.99999999952d7p-2, 0x1.2492492df79dfp-2,
                           0x1.c71c62dbbd737p-3, 0x1.7462b78a4d054p-3, 0x1.39fe025e7b96ap-3,
                           0x1.2b5cae0358e9fp-3);
  const F64 h = 0.5 * f * f;
  return {h, s * (h + r)};
}

/// a + b for |a| >= |b| or a = 0, with the rounding error.
FP4LAB_MATH_INLINE Sum fast_two_sum(F64 a, F64 b) noexcept {
  const F64 y = a + b;
  return {y, select(a.v != 0.0, b - (y - a), F64{0.0})};
}

/// e*ln(2) + ln(1 + f).
FP4LAB_MATH_INLINE Sum log_sum(F64 e, F64 f) noexcept {
  const LogTail tail = log_tail(f);
  const Sum y = fast_two_sum(e * 0x1.62e42fefa3800p-1, f);  // the product is exact
  return {y.hi, y.lo - (tail.half_square - (tail.s_part + e * 0x1.ef35793c76730p-45))};
}

/// log2 of a positive binary32.
FP4LAB_MATH_INLINE Sum log2_sum(F64 u) noexcept {
  const LogSplit split = log_split(u);
  const LogTail tail = log_tail(split.f);
  // 1/ln(2) cut after 25 bits, so that its product with f is exact, and the rest.
  const F64 b =
      split.f * -0x1.6a3e80f444178p-27 - (tail.half_square - tail.s_part) * 0x1.71547652b82fep+0;
  const Sum y = fast_two_sum(split.e, split.f * 0x1.7154768p+0);
  return {y.hi, y.lo + b};
}

/// The results of log and log2 at and beyond the ends of their domain.
FP4LAB_MATH_INLINE float log_ends(float y, float x) noexcept {
  y = select(x == 0.0f, -kFloatInf, y);
  y = select(x == kFloatInf, kFloatInf, y);
  return or_nan(y, !(x >= 0.0f));
}

FP4LAB_MATH_INLINE float log(float x) noexcept {
  const LogSplit split = log_split(widen(x));
  return log_ends(round_once(log_sum(split.e, split.f)), x);
}

FP4LAB_MATH_INLINE float log2(float x) noexcept {
  return log_ends(round_twice(log2_sum(widen(x))), x);
}

FP4LAB_MATH_INLINE float log1p(float x) noexcept {
  const F64 wide = widen(x);
  const F64 u = 1.0 + wide;
  const LogSplit split = log_split(u);
  const F64 f = select(split.e.v == 0.0, wide, split.f);  // exact where 1 + x was not
  float y = round_once(log_sum(split.e, f));
  y = select(x == 0.0f, x, y);
  y = select(x == -1.0f, -kFloatInf, y);
  y = select(x == kFloatInf, kFloatInf, y);
  return or_nan(y, !(x >= -1.0f));
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// Natural logarithm. log(+-0) = -Inf, log(1) = +0, NaN below 0.
FP4LAB_HD inline constexpr float log(float x) noexcept { return detail::log(x); }
/// Logarithm to base 2. log2(+-0) = -Inf, log2(1) = +0, NaN below 0.
FP4LAB_HD inline constexpr float log2(float x) noexcept { return detail::log2(x); }
/// ln(1 + x). log1p(+-0) = +-0, log1p(-1) = -Inf, NaN below -1.
FP4LAB_HD inline constexpr float log1p(float x) noexcept { return detail::log1p(x); }

}  // namespace fp4lab::math
