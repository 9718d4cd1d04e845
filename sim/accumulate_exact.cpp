#include "sim/accumulate_exact.h"

#include <bit>

#include "formats/host_device.h"

namespace fp4lab {
namespace {

/// |x| = significand * 2^exponent, not normalised; x finite.
struct Split {
  std::uint32_t significand;
  int exponent;
  bool negative;
};
Split split(float x) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(x);
  const std::uint32_t field = (b >> 23) & 0xFFu;
  const std::uint32_t m = b & 0x7FFFFFu;
  if (field == 0) return {m, -149, (b >> 31) != 0};
  return {m | 0x800000u, static_cast<int>(field) - 150, (b >> 31) != 0};
}

}  // namespace

WideTerm exact_product(float a, float b, float sa, float sb) noexcept {
  WideTerm t;
  t.magnitude = 1;
  for (const float x : {a, b, sa, sb}) {
    const Split s = split(x);
    t.magnitude *= s.significand;
    t.exponent += s.exponent;
    t.negative = t.negative != s.negative;
  }
  return t;
}

void ExactSum::add(const WideTerm& t) noexcept {
  if (t.magnitude == 0) return;
  Limbs& sum = t.negative ? negative_ : positive_;
  const unsigned position = static_cast<unsigned>(t.exponent - kBase);
  unsigned limb = position / 64;
  const unsigned shift = position % 64;
  const auto low = static_cast<std::uint64_t>(t.magnitude);
  const auto high = static_cast<std::uint64_t>(t.magnitude >> 64);
  const std::uint64_t part[3] = {low << shift,
                                 (high << shift) | (shift == 0 ? 0 : low >> (64 - shift)),
                                 shift == 0 ? 0 : high >> (64 - shift)};
  unsigned carry = 0;
  for (unsigned i = 0; limb < kLimbs && (i < 3 || carry != 0); ++i, ++limb) {
    const std::uint64_t p = i < 3 ? part[i] : 0;
    const std::uint64_t s = sum[limb] + p;
    const std::uint64_t with_carry = s + carry;
    carry = (s < p ? 1u : 0u) | (with_carry < s ? 1u : 0u);
    sum[limb] = with_carry;
  }
}

void ExactSum::add(float x) noexcept {
  const Split s = split(x);
  add(WideTerm{s.significand, s.exponent, s.negative});
}

bool ExactSum::difference(Limbs& magnitude) const noexcept {
  bool negative = false;
  for (int i = kLimbs - 1; i >= 0; --i) {
    if (positive_[i] != negative_[i]) {
      negative = positive_[i] < negative_[i];
      break;
    }
  }
  const Limbs& big = negative ? negative_ : positive_;
  const Limbs& small = negative ? positive_ : negative_;
  unsigned borrow = 0;
  for (int i = 0; i < kLimbs; ++i) {
    const std::uint64_t d = big[i] - small[i];
    const std::uint64_t with_borrow = d - borrow;
    borrow = (big[i] < small[i] ? 1u : 0u) | (d < borrow ? 1u : 0u);
    magnitude[i] = with_borrow;
  }
  return negative;
}

void ExactSum::multiply(float factor) noexcept {
  const Split f = split(factor);
  Limbs m;
  const bool negative = difference(m) != f.negative;
  std::uint64_t carry = 0;
  for (std::uint64_t& limb : m) {
    const uint128 product = static_cast<uint128>(limb) * f.significand + carry;
    limb = static_cast<std::uint64_t>(product);
    carry = static_cast<std::uint64_t>(product >> 64);
  }
  // Shift by the factor's exponent.
  Limbs shifted{};
  const int limbs = f.exponent >= 0 ? f.exponent / 64 : -((-f.exponent + 63) / 64);
  const unsigned bits = static_cast<unsigned>(f.exponent - 64 * limbs);
  for (int i = 0; i < kLimbs; ++i) {
    const int from = i - limbs;
    std::uint64_t v = from >= 0 && from < kLimbs ? m[from] << bits : 0;
    if (bits != 0 && from >= 1 && from - 1 < kLimbs) v |= m[from - 1] >> (64 - bits);
    shifted[i] = v;
  }
  positive_.fill(0);
  negative_.fill(0);
  (negative ? negative_ : positive_) = shifted;
}

bool ExactSum::is_zero() const noexcept { return positive_ == negative_; }

double ExactSum::to_odd() const noexcept {
  Limbs m;
  const bool negative = difference(m);
  int top = kLimbs - 1;
  while (top >= 0 && m[top] == 0) --top;
  if (top < 0) return 0.0;
  const int width = std::bit_width(m[top]);
  // The 64 bits from the leading one down, the rest as a sticky bit.
  std::uint64_t sig = m[top] << (64 - width);
  bool sticky = false;
  if (top > 0) {
    if (width < 64) sig |= m[top - 1] >> width;
    sticky = width == 64 ? m[top - 1] != 0 : (m[top - 1] << (64 - width)) != 0;
    for (int i = 0; i + 1 < top && !sticky; ++i) sticky = m[i] != 0;
  }
  sticky = sticky || (sig & 0x7FFu) != 0;
  const std::uint64_t kept = (sig >> 11) | (sticky ? 1u : 0u);
  const int exponent = kBase + 64 * top + width - 53;
  const double v = static_cast<double>(kept) * pow2_f64(exponent);
  return negative ? -v : v;
}

float ExactSum::to_binary32() const noexcept { return static_cast<float>(to_odd()); }

}  // namespace fp4lab
