// pow: 2^(y * log2 x) in binary64 where that decides the rounding, in double-double where it does
// not, in integers where x^y may lie exactly between two binary32.
#pragma once

#include "sim/math/double_double.h"
#include "sim/math/exp.h"
#include "sim/math/log.h"

namespace fp4lab::math::detail {

/// x^y in binary64 with a relative error below 2^-45, mostly that of the logarithm: less than
/// 2^-53, relative, times 160 * ln 2. Far beyond the range of binary32 it stays there. x > 0 and
/// finite, y finite.
FP4LAB_MATH_INLINE F64 pow_value(float x, float y) noexcept {
  const Sum parts = log2_sum(widen(x));  // their second half need not be small
  const Sum log = quick_two_sum(parts.hi, parts.lo);
  // The upper 24 bits of the logarithm times y are exact.
  const F64 top = from_bits(bits(log.hi) & ~((1ull << 29) - 1));
  const F64 wide = widen(y);
  const F64 product = wide * top;
  const bool in_range = (product.v > -160.0) & (product.v < 140.0);
  const F64 t = clamp(product, -160.0, 140.0);
  const F64 rest = select(in_range, wide * ((log.hi - top) + log.lo), F64{0.0});
  const Integer n = round_to_integer(t);
  const F64 scale = n.pow2();
  return scale + scale * exp2_minus_1((t - n.k) + rest);
}

/// A result of pow_value as a binary32, and whether another one is possible.
struct PowTry {
  float value;
  bool doubt;
};
FP4LAB_MATH_INLINE PowTry pow_rounded(F64 v) noexcept {
  const float low = static_cast<float>((v * (1 - 0x1p-43)).v);
  const float high = static_cast<float>((v * (1 + 0x1p-43)).v);
  return {low, bits_as<std::uint32_t>(low) != bits_as<std::uint32_t>(high)};
}

/// x^y with an error near 2^-96, relative, for results that pow_value leaves open.
FP4LAB_HD inline constexpr Sum pow_accurate(float x, float y) noexcept {
  const LogSplit split = log_split(widen(x));
  // ln(1 + f) = 2 atanh(s), s = f/(2 + f), s*s < 2^-5: 21 terms leave less than 2^-111.
  const Sum s = Sum{split.f, {0.0}} / (2.0 + split.f);
  const Sum z = s * s;
  Sum series{{0.0}, {0.0}};
  for (int k = 20; k >= 0; --k) {
    series = Sum{{1.0}, {0.0}} / F64{static_cast<double>(2 * k + 1)} + z * series;
  }
  constexpr Sum kTwoOverLn2{{0x1.71547652b82fep+1}, {0x1.777d0ffda0d24p-55}};
  constexpr Sum kLn2{{0x1.62e42fefa39efp-1}, {0x1.abc9e3b39803fp-56}};
  const Sum log2 = Sum{split.e, {0.0}} + s * series * kTwoOverLn2;
  const Sum t = log2 * widen(y);
  const Integer n = round_to_integer(t.hi);
  const Sum u = quick_two_sum(t.hi - n.k, t.lo) * kLn2;
  // e^u = 1 + u/1 * (1 + u/2 * (1 + u/3 * ...)), |u| < 0.35: 24 terms leave less than 2^-115.
  Sum e{{1.0}, {0.0}};
  for (int k = 24; k >= 1; --k) e = Sum{{1.0}, {0.0}} + u * e / F64{static_cast<double>(k)};
  const F64 scale = n.pow2();
  return {scale * e.hi, scale * e.lo};
}

/// x^y if it is a number of up to 25 significant bits other than a power of two, else 0: the only
/// way to hit the middle between two binary32 exactly. (Powers of powers of two come out exact by
/// themselves.) x > 0 is m * 2^e with m odd; then y must be positive, a root of 2^j-th order must
/// divide out exactly, and m^y stays below 2^25 only for y <= 15.
FP4LAB_HD inline constexpr F64 pow_exact(float x, float y) noexcept {
  const Magnitude mx = magnitude_of(x);
  std::uint64_t m = mx.sig;
  int e = mx.exp;
  while ((m & 1u) == 0) {
    m >>= 1;
    ++e;
  }
  if (m == 1 || !(y > 0.0f && y < 16.0f)) return {0.0};
  for (int j = 0; j < 3 && y != static_cast<float>(static_cast<int>(y)); ++j) {
    std::uint64_t root = 0;
    for (std::uint64_t bit = 1u << 12; bit != 0; bit >>= 1) {
      if ((root + bit) * (root + bit) <= m) root += bit;
    }
    if (root * root != m || e % 2 != 0) return {0.0};
    m = root;
    e /= 2;
    y = mul_rn(y, 2.0f);
  }
  const int n = static_cast<int>(y);
  if (y != static_cast<float>(n)) return {0.0};
  std::uint64_t power = 1;
  for (int i = 0; i < n; ++i) {
    power *= m;
    if (power >= 1u << 25) return {0.0};
  }
  return F64{static_cast<double>(power)} * pow2_f64(e * n);
}

/// x > 0 and finite, y finite.
FP4LAB_HD inline constexpr float pow_positive(float x, float y) noexcept {
  const PowTry fast = pow_rounded(pow_value(x, y));
  if (!fast.doubt) return fast.value;
  const F64 exact = pow_exact(x, y);
  if (exact.v != 0.0) return static_cast<float>(exact.v);
  return round_once(pow_accurate(x, y));
}

enum class Parity { kNotInteger, kEven, kOdd };
FP4LAB_HD inline constexpr Parity parity_of(float y) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(magnitude(y));
  const int field = static_cast<int>(b >> 23);
  if (field > 127 + 23) return Parity::kEven;  // infinity too
  if (field < 127) return b == 0 ? Parity::kEven : Parity::kNotInteger;
  const std::uint32_t sig = (b & 0x7FFFFFu) | 0x800000u;
  const int fraction_bits = 150 - field;  // 0 .. 23
  if ((sig & ((1u << fraction_bits) - 1)) != 0) return Parity::kNotInteger;
  return ((sig >> fraction_bits) & 1u) != 0 ? Parity::kOdd : Parity::kEven;
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// x^y, special cases as in IEEE 754: pow(x, +-0) = pow(1, y) = 1 for every x and y, NaN included;
/// pow(-1, +-Inf) = 1; a negative finite x with a y that is no integer gives NaN; zeros and
/// infinities keep their sign for odd integer y.
///
/// Correct rounding: cases that lie exactly between two binary32 are decided in integers, all
/// others by a value with a relative error near 2^-96. Among the about 2^60 pairs of arguments
/// whose result is neither constant nor next to 1, one that comes closer than that to a midpoint is
/// expected with a probability near 2^-11; no pair is known. Unlike for the functions of one
/// argument, this is not proven.
FP4LAB_HD inline constexpr float pow(float x, float y) noexcept {
  using detail::magnitude;
  if (y == 0.0f || x == 1.0f) return 1.0f;
  if (is_nan(x) || is_nan(y)) return canonical_nan();
  const float a = magnitude(x);
  const detail::Parity parity = detail::parity_of(y);
  const bool negative = sign_bit(x) && parity == detail::Parity::kOdd;
  float r = 0.0f;
  if (is_inf(y)) {
    if (a == 1.0f) return 1.0f;
    r = (a > 1.0f) == (y > 0.0f) ? kFloatInf : 0.0f;
  } else if (a == 0.0f || is_inf(a)) {
    r = (a == 0.0f) == (y < 0.0f) ? kFloatInf : 0.0f;
  } else if (sign_bit(x) && parity == detail::Parity::kNotInteger) {
    return canonical_nan();
  } else {
    r = detail::pow_positive(a, y);
  }
  return negative ? -r : r;
}

}  // namespace fp4lab::math
