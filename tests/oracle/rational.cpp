#include "tests/oracle/rational.h"

#include <cstdio>
#include <stdexcept>

namespace fp4lab_oracle {

namespace mp = boost::multiprecision;

Rational pow2(int exponent) {
  const Integer power = Integer(1) << (exponent < 0 ? -exponent : exponent);
  return exponent < 0 ? Rational(Integer(1), power) : Rational(power);
}

Integer floor_integer(const Rational& r) {
  const Integer n = mp::numerator(r);
  const Integer d = mp::denominator(r);
  Integer quotient = n / d;  // truncates toward zero
  if (n < 0 && quotient * d != n) --quotient;
  return quotient;
}

int floor_log2(const Rational& positive) {
  if (positive <= 0) throw std::logic_error("floor_log2 needs a positive number");
  int guess = static_cast<int>(mp::msb(mp::numerator(positive))) -
              static_cast<int>(mp::msb(mp::denominator(positive)));
  // n/d lies in (2^(guess-1), 2^(guess+1)), so at most one step down is needed.
  if (pow2(guess) > positive) --guess;
  return guess;
}

Number decode_ieee(std::uint64_t bits, IeeeLayout layout) {
  const std::uint64_t mantissa_mask = (std::uint64_t{1} << layout.mantissa_bits) - 1;
  const std::uint64_t exponent_mask = (std::uint64_t{1} << layout.exponent_bits) - 1;
  const std::uint64_t mantissa = bits & mantissa_mask;
  const std::uint64_t exponent = (bits >> layout.mantissa_bits) & exponent_mask;
  Number x;
  x.negative = ((bits >> (layout.exponent_bits + layout.mantissa_bits)) & 1) != 0;
  if (exponent == exponent_mask) {
    x.kind = mantissa != 0 ? Number::Kind::kNan : Number::Kind::kInfinite;
    return x;
  }
  const int scale = static_cast<int>(exponent == 0 ? 1 : exponent) - layout.bias();
  const Integer significand(exponent == 0 ? mantissa
                                          : mantissa + (std::uint64_t{1} << layout.mantissa_bits));
  x.value = Rational(significand) * pow2(scale - layout.mantissa_bits);
  if (x.negative) x.value = -x.value;
  return x;
}

std::uint64_t encode_ieee_rne(const Rational& r, IeeeLayout layout, bool negative_zero) {
  const bool negative = r < 0 || (r == 0 && negative_zero);
  const std::uint64_t sign = static_cast<std::uint64_t>(negative)
                             << (layout.exponent_bits + layout.mantissa_bits);
  const Rational magnitude = r < 0 ? Rational(-r) : r;
  if (magnitude == 0) return sign;
  const int min_exponent = 1 - layout.bias();
  int exponent = floor_log2(magnitude);
  if (exponent < min_exponent) exponent = min_exponent;
  const Rational in_ulps = magnitude * pow2(layout.mantissa_bits - exponent);
  Integer ulps = floor_integer(in_ulps);
  const Rational rest = in_ulps - Rational(ulps);
  const Rational half(1, 2);
  if (rest > half || (rest == half && (ulps & 1) != 0)) ++ulps;
  // Counting ulps from the bottom of the binade and adding the binade's first pattern carries
  // into the exponent, and from the subnormals into the normals, by itself.
  const std::uint64_t binade = static_cast<std::uint64_t>(exponent + layout.bias() - 1)
                               << layout.mantissa_bits;
  const std::uint64_t pattern = binade + static_cast<std::uint64_t>(ulps);
  const std::uint64_t infinity = ((std::uint64_t{1} << layout.exponent_bits) - 1)
                                 << layout.mantissa_bits;
  return sign | (exponent > layout.bias() || pattern > infinity ? infinity : pattern);
}

Number from_binary32(std::uint32_t bits) { return decode_ieee(bits, kBinary32); }

std::uint32_t to_binary32(const Rational& r) {
  return static_cast<std::uint32_t>(encode_ieee_rne(r, kBinary32));
}

Rational round_to_binary64(const Rational& r) {
  return decode_ieee(encode_ieee_rne(r, kBinary64), kBinary64).value;
}

std::uint32_t binary32_floor(const Rational& r) {
  if (r < 0) throw std::logic_error("binary32_floor needs a number >= 0");
  std::uint32_t bits = to_binary32(r);
  if (bits >= 0x7F800000u) return 0x7F7FFFFFu;
  if (from_binary32(bits).value > r) --bits;
  return bits;
}

Rational parse_rational(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  Integer numerator = 0;
  Integer denominator = 1;
  bool after_point = false;
  std::size_t i = 0;
  for (; i < text.size() && text[i] != '/'; ++i) {
    if (text[i] == '.' && !after_point) {
      after_point = true;
      continue;
    }
    if (text[i] < '0' || text[i] > '9') {
      throw std::logic_error("not a number: " + std::string(text));
    }
    numerator = numerator * 10 + (text[i] - '0');
    if (after_point) denominator *= 10;
  }
  Rational result(numerator, denominator);
  if (i < text.size()) result /= parse_rational(text.substr(i + 1));
  return negative ? Rational(-result) : result;
}

std::string to_text(const Rational& r) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.9g", static_cast<double>(r));
  return buffer;
}

}  // namespace fp4lab_oracle
