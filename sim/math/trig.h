// sin, cos over the full range: the argument is reduced by three pieces of pi/2 below 2^18 and by
// a window of the bits of 2/pi from there on.
#pragma once

#include "sim/math/f64.h"

namespace fp4lab::math::detail {

/// x = quadrant * pi/2 + r.hi + r.lo, |r| <= pi/4 and a little; only the low two bits of
/// `quadrant` count.
struct Reduced {
  Sum r;
  std::uint64_t quadrant;
};

inline constexpr float kTrigSmall = 0x1p18f;

/// |x| < 2^18.
FP4LAB_MATH_INLINE Reduced reduce_small(F64 x) noexcept {
  const Integer n = round_to_integer(x * 0x1.45f306dc9c883p-1);
  const F64 r = x - n.k * 0x1.921fb544p+0;  // exact
  const F64 b = n.k * 0x1.0b4611a6p-34;     // exact
  const F64 hi = r - b;
  return {{hi, ((r - hi) - b) - n.k * 0x1.3198a2e037073p-69}, n.word};
}

/// Word i of the fraction 2/pi, most significant first; zero outside the words that are needed.
FP4LAB_HD inline constexpr std::uint32_t two_over_pi_word(int i) noexcept {
  switch (i) {
    case 0:
      return 0xA2F9836Eu;
    case 1:
      return 0x4E441529u;
    case 2:
      return 0xFC2757D1u;
    case 3:
      return 0xF534DDC0u;
    case 4:
      return 0xDB629599u;
    case 5:
      return 0x3C439041u;
    case 6:
      return 0xFE5163ABu;
    case 7:
      return 0xDEBBC561u;
    default:
      return 0;
  }
}

/// 2^18 <= x, finite.
FP4LAB_HD inline constexpr Reduced reduce_large(float x) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(x);
  const std::uint64_t m = (b & 0x7FFFFFu) | 0x800000u;
  // x = m * 2^e. Bits of 2/pi whose product with 2^e is a multiple of 4 do not matter; the 128 bits
  // that start with the first one that does (the product has weight 2) suffice.
  const int e = static_cast<int>(b >> 23) - 150;
  const int first = e - 2 + 32;  // counted from the most significant bit of word -1
  const int word = first / 32 - 1, shift = first % 32;
  std::uint64_t product[4] = {};  // 32-bit words, most significant first, modulo 2^128
  std::uint64_t carry = 0;
  for (int i = 3; i >= 0; --i) {
    const std::uint64_t pair = static_cast<std::uint64_t>(two_over_pi_word(word + i)) << 32 |
                               two_over_pi_word(word + i + 1);
    carry += m * static_cast<std::uint32_t>(pair >> (32 - shift));
    product[i] = carry & 0xFFFFFFFFu;
    carry >>= 32;
  }
  const std::uint64_t high = product[0] << 32 | product[1], low = product[2] << 32 | product[3];
  // Two bits of quadrant, then the fraction, taken to [-1/2, 1/2).
  const std::int64_t fraction = static_cast<std::int64_t>(high << 2) >> 2;
  const std::uint64_t quadrant = (high >> 62) + (fraction < 0 ? 1u : 0u);
  const std::int64_t top = (fraction + (std::int64_t{1} << 34)) >> 35;  // 27 bits
  const std::int64_t below = fraction - top * (std::int64_t{1} << 35);
  const F64 a = F64{static_cast<double>(top)} * 0x1p-27;
  const F64 rest =
      F64{static_cast<double>(below)} * 0x1p-62 + F64{static_cast<double>(low)} * 0x1p-126;
  // pi/2 in two pieces; the first product is exact.
  const F64 p = a * 0x1.921fb5p+0;
  const F64 l = a * 0x1.110b4611a6263p-26 + rest * 0x1.921fb54442d18p+0;
  const F64 hi = p + l;
  return {{hi, l - (hi - p)}, quadrant};
}

/// sin(r + quadrant * pi/2).
FP4LAB_MATH_INLINE Sum sine_of(Sum r, std::uint64_t quadrant) noexcept {
  const F64 z = r.hi * r.hi;
  const F64 cs = horner(z, -0x1.5555555555555p-3, 0x1.1111111110c84p-7, -0x1.a01a019ea17c2p-13,
                        0x1.71de37b23547fp-19, -0x1.ae60217780e89p-26, 0x1.5e11ba1fa10abp-33);
  const F64 cc = horner(z, 0x1.5555555555555p-5, -0x1.6c16c16c168ccp-10, 0x1.a01a019f38ba3p-16,
                        -0x1.27e4fa03840bbp-22, 0x1.1eeb586ee19b9p-29, -0x1.9073ed6bdc18fp-37);
  const F64 sine_lo = r.lo + r.hi * (z * cs);
  const F64 cosine_lo = -(0.5 * z - (z * z * cc - r.hi * r.lo));
  const std::uint64_t odd = 0u - (quadrant & 1u);  // all ones or none
  const std::uint64_t sign = (quadrant & 2u) << 62;
  const std::uint64_t hi = (bits(F64{1.0}) & odd) | (bits(r.hi) & ~odd);
  const std::uint64_t lo = (bits(cosine_lo) & odd) | (bits(sine_lo) & ~odd);
  return {from_bits(hi ^ sign), from_bits(lo ^ sign)};
}

/// sin and cos for |x| < 2^18.
FP4LAB_MATH_INLINE float sin_small(float x) noexcept {
  const Reduced s = reduce_small(widen(x));
  return select(x == 0.0f, x, round_once(sine_of(s.r, s.quadrant)));
}
FP4LAB_MATH_INLINE float cos_small(float x) noexcept {
  const Reduced s = reduce_small(widen(x));
  return round_once(sine_of(s.r, s.quadrant + 1));
}

/// sin and cos for |x| >= 2^18, Inf and NaN.
FP4LAB_HD inline constexpr float sin_large(float x) noexcept {
  if (!is_finite(x)) return canonical_nan();
  const Reduced s = reduce_large(magnitude(x));
  // sin(-x) = -sin(x) = sin(x + pi), two quadrants on.
  return round_once(sine_of(s.r, s.quadrant + (sign_bit(x) ? 2u : 0u)));
}
FP4LAB_HD inline constexpr float cos_large(float x) noexcept {
  if (!is_finite(x)) return canonical_nan();
  const Reduced s = reduce_large(magnitude(x));
  return round_once(sine_of(s.r, s.quadrant + 1));
}

}  // namespace fp4lab::math::detail

namespace fp4lab::math {

/// Sine of x radians, any finite x. sin(+-0) = +-0, NaN for +-Inf.
FP4LAB_HD inline constexpr float sin(float x) noexcept {
  return detail::magnitude(x) < detail::kTrigSmall ? detail::sin_small(x) : detail::sin_large(x);
}
/// Cosine of x radians, any finite x. NaN for +-Inf.
FP4LAB_HD inline constexpr float cos(float x) noexcept {
  return detail::magnitude(x) < detail::kTrigSmall ? detail::cos_small(x) : detail::cos_large(x);
}

}  // namespace fp4lab::math
