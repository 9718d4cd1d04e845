#include "tests/oracle/blocks_arith.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace fp4lab_oracle {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr F64 kNan64 = 0x7FF8000000000000ull;

// significand * 2^exponent with a sign; finite values only.
struct Parts {
  bool negative = false;
  Wide significand = 0;
  int exponent = 0;
};

constexpr std::uint64_t sign_of(IeeeLayout l) {
  return std::uint64_t{1} << (l.exponent_bits + l.mantissa_bits);
}
constexpr std::uint64_t infinity(IeeeLayout l) {
  return ((std::uint64_t{1} << l.exponent_bits) - 1) << l.mantissa_bits;
}
bool nan_in(std::uint64_t a, IeeeLayout l) { return (a & (sign_of(l) - 1)) > infinity(l); }
bool inf_in(std::uint64_t a, IeeeLayout l) { return (a & (sign_of(l) - 1)) == infinity(l); }
bool zero_in(std::uint64_t a, IeeeLayout l) { return (a & (sign_of(l) - 1)) == 0; }
std::uint64_t nan_of(IeeeLayout l) { return l.mantissa_bits == 23 ? kNan32 : kNan64; }

Parts unpack(std::uint64_t a, IeeeLayout l) {
  const std::uint64_t magnitude = a & (sign_of(l) - 1);
  const std::uint64_t field = magnitude >> l.mantissa_bits;
  const std::uint64_t fraction = magnitude & ((std::uint64_t{1} << l.mantissa_bits) - 1);
  Parts p;
  p.negative = (a & sign_of(l)) != 0;
  p.significand = field == 0 ? fraction : fraction | std::uint64_t{1} << l.mantissa_bits;
  p.exponent = static_cast<int>(field == 0 ? 1 : field) - l.bias() - l.mantissa_bits;
  return p;
}

int top_bit(Wide w) {
  const auto high = static_cast<std::uint64_t>(w >> 64);
  return high != 0 ? 127 - std::countl_zero(high)
                   : 63 - std::countl_zero(static_cast<std::uint64_t>(w));
}

// Rounds (significand + rest) * 2^exponent, rest in (0, 1) if `more` and 0 otherwise.
std::uint64_t round(Parts p, bool more, IeeeLayout l) {
  const std::uint64_t sign = p.negative ? sign_of(l) : 0;
  if (p.significand == 0) {
    if (more) throw std::logic_error("round: nothing but a rest");
    return sign;
  }
  const int lowest = 1 - l.bias() - l.mantissa_bits;
  const int unit = std::max(top_bit(p.significand) + p.exponent - l.mantissa_bits, lowest);
  Wide kept = p.significand;
  if (unit > p.exponent) {
    const int shift = unit - p.exponent;
    if (shift > 120) return sign;  // far below half of the smallest number
    kept = p.significand >> shift;
    const Wide rest = p.significand - (kept << shift);
    const Wide half = Wide{1} << (shift - 1);
    if (rest > half || (rest == half && (more || (kept & 1) != 0))) ++kept;
  } else {
    if (more) throw std::logic_error("round: a rest below the last bit");
    kept <<= p.exponent - unit;
  }
  const auto pattern = (static_cast<std::uint64_t>(unit - lowest) << l.mantissa_bits) +
                       static_cast<std::uint64_t>(kept);
  if (unit - lowest >= (1 << l.exponent_bits)) return sign | infinity(l);
  return sign | std::min(pattern, infinity(l));
}

std::uint64_t add_in(std::uint64_t a, std::uint64_t b, IeeeLayout l) {
  if (nan_in(a, l) || nan_in(b, l)) return nan_of(l);
  if (inf_in(a, l)) return inf_in(b, l) && a != b ? nan_of(l) : a;
  if (inf_in(b, l)) return b;
  if (zero_in(a, l) && zero_in(b, l)) return a == b ? a : 0;
  if (zero_in(a, l)) return b;
  if (zero_in(b, l)) return a;
  Parts x = unpack(a, l), y = unpack(b, l);
  if (x.exponent < y.exponent) std::swap(x, y);
  const int distance = x.exponent - y.exponent;
  bool more = false;
  if (distance <= 70) {
    x.significand <<= distance;
    x.exponent = y.exponent;
  } else {
    // y is less than one unit of x shifted by a few bits more than y's own length.
    const int shift = l.mantissa_bits + 5;
    x.significand <<= shift;
    x.exponent -= shift;
    more = true;
    if (x.negative != y.negative) --x.significand;
    return round(x, more, l);
  }
  if (x.negative == y.negative) {
    x.significand += y.significand;
  } else if (x.significand >= y.significand) {
    x.significand -= y.significand;
  } else {
    x.significand = y.significand - x.significand;
    x.negative = y.negative;
  }
  if (x.significand == 0) return 0;  // exact cancellation: +0
  return round(x, more, l);
}

std::uint64_t mul_in(std::uint64_t a, std::uint64_t b, IeeeLayout l) {
  if (nan_in(a, l) || nan_in(b, l)) return nan_of(l);
  const std::uint64_t sign = (a ^ b) & sign_of(l);
  if (inf_in(a, l) || inf_in(b, l)) {
    return zero_in(a, l) || zero_in(b, l) ? nan_of(l) : sign | infinity(l);
  }
  const Parts x = unpack(a, l), y = unpack(b, l);
  return round({sign != 0, x.significand * y.significand, x.exponent + y.exponent}, false, l);
}

std::uint64_t div_in(std::uint64_t a, std::uint64_t b, IeeeLayout l) {
  if (nan_in(a, l) || nan_in(b, l)) return nan_of(l);
  const std::uint64_t sign = (a ^ b) & sign_of(l);
  if (inf_in(a, l)) return inf_in(b, l) ? nan_of(l) : sign | infinity(l);
  if (inf_in(b, l)) return sign;
  if (zero_in(b, l)) return zero_in(a, l) ? nan_of(l) : sign | infinity(l);
  if (zero_in(a, l)) return sign;
  Parts x = unpack(a, l);
  const Parts y = unpack(b, l);
  const int shift = 120 - top_bit(x.significand);
  x.significand <<= shift;
  const Wide quotient = x.significand / y.significand;
  const bool more = quotient * y.significand != x.significand;
  return round({sign != 0, quotient, x.exponent - shift - y.exponent}, more, l);
}

bool less_in(std::uint64_t a, std::uint64_t b, IeeeLayout l) {
  if (nan_in(a, l) || nan_in(b, l)) return false;
  const auto key = [&](std::uint64_t v) {
    const auto magnitude = static_cast<std::int64_t>(v & (sign_of(l) - 1));
    return (v & sign_of(l)) != 0 ? -magnitude : magnitude;
  };
  return key(a) < key(b);
}

F32 short_of(std::uint64_t a) { return static_cast<F32>(a); }

}  // namespace

F32 add(F32 a, F32 b) { return short_of(add_in(a, b, kBinary32)); }
F32 sub(F32 a, F32 b) { return short_of(add_in(a, negate(b), kBinary32)); }
F32 mul(F32 a, F32 b) { return short_of(mul_in(a, b, kBinary32)); }
F32 div(F32 a, F32 b) { return short_of(div_in(a, b, kBinary32)); }
bool less(F32 a, F32 b) { return less_in(a, b, kBinary32); }

F32 scale_by_pow2(F32 a, int exponent) {
  if (is_nan(a)) return kNan32;
  if (abs32(a) == kInf32 || abs32(a) == 0) return a;
  Parts p = unpack(a, kBinary32);
  p.exponent += exponent;
  return short_of(round(p, false, kBinary32));
}

F64 add64(F64 a, F64 b) { return add_in(a, b, kBinary64); }
F64 sub64(F64 a, F64 b) { return add_in(a, b ^ sign_of(kBinary64), kBinary64); }
F64 mul64(F64 a, F64 b) { return mul_in(a, b, kBinary64); }
F64 div64(F64 a, F64 b) { return div_in(a, b, kBinary64); }
bool less64(F64 a, F64 b) { return less_in(a, b, kBinary64); }

F64 sqrt64(F64 a) {
  if (zero_in(a, kBinary64) || nan_in(a, kBinary64) || inf_in(a, kBinary64)) return a;
  Parts p = unpack(a, kBinary64);
  int shift = 120 - top_bit(p.significand);
  if (((p.exponent - shift) & 1) != 0) --shift;
  p.significand <<= shift;
  p.exponent -= shift;
  Wide root = 0;  // floor(sqrt), one bit at a time
  for (int bit = 60; bit >= 0; --bit) {
    const Wide candidate = root | Wide{1} << bit;
    if (candidate * candidate <= p.significand) root = candidate;
  }
  return round({false, root, p.exponent / 2}, root * root != p.significand, kBinary64);
}

F64 widen(F32 a) {
  if (is_nan(a)) return kNan64;
  const std::uint64_t sign = (a & kSign32) != 0 ? sign_of(kBinary64) : 0;
  if (abs32(a) == kInf32) return sign | infinity(kBinary64);
  return round(unpack(a, kBinary32), false, kBinary64);
}

F32 narrow(F64 a) {
  if (nan_in(a, kBinary64)) return kNan32;
  const F32 sign = (a & sign_of(kBinary64)) != 0 ? kSign32 : 0;
  if (inf_in(a, kBinary64)) return sign | kInf32;
  return short_of(round(unpack(a, kBinary64), false, kBinary32));
}

F64 to_binary64(const Rational& r) { return encode_ieee_rne(r, kBinary64); }

int exponent_of(F32 a) {
  const Parts p = unpack(abs32(a), kBinary32);
  return top_bit(p.significand) + p.exponent;
}
int exponent_of64(F64 a) {
  const Parts p = unpack(a, kBinary64);
  return top_bit(p.significand) + p.exponent;
}

F32 pow2_32(int e) { return short_of(round({false, 1, e}, false, kBinary32)); }

}  // namespace fp4lab_oracle
