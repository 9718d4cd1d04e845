// Exact numbers for the oracle: what a bit pattern stands for, and the correctly rounded way back.
//
// Everything is a quotient of two big integers. No floating-point operation takes part, so nothing
// here can round by accident.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace fp4lab_oracle {

using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

/// A number as an IEEE-754 pattern can hold it: a finite rational whose zero keeps its sign, an
/// infinity, or a NaN.
struct Number {
  enum class Kind { kFinite, kInfinite, kNan };
  Kind kind = Kind::kFinite;
  bool negative = false;
  Rational value = 0;  // signed; 0 unless finite
};

/// The parameters of an IEEE-754 binary interchange format (all-ones exponent = Inf and NaN).
struct IeeeLayout {
  int exponent_bits;
  int mantissa_bits;

  constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  constexpr int width() const { return 1 + exponent_bits + mantissa_bits; }
};

inline constexpr IeeeLayout kBinary16{5, 10};
inline constexpr IeeeLayout kBfloat16{8, 7};
inline constexpr IeeeLayout kTf32{8, 10};
inline constexpr IeeeLayout kBinary32{8, 23};
inline constexpr IeeeLayout kBinary64{11, 52};

/// 2^exponent.
Rational pow2(int exponent);

/// floor(log2(positive)), by integer comparison only. Precondition: positive > 0.
int floor_log2(const Rational& positive);

/// Largest integer <= r.
Integer floor_integer(const Rational& r);

/// The number that `bits` stands for in `layout`.
Number decode_ieee(std::uint64_t bits, IeeeLayout layout);

/// Nearest-even rounding of an exact number into `layout`: gradual underflow, overflow to Inf, zero
/// with the sign `negative_zero`.
std::uint64_t encode_ieee_rne(const Rational& r, IeeeLayout layout, bool negative_zero = false);

/// The number that a binary32 pattern stands for.
Number from_binary32(std::uint32_t bits);

/// Nearest-even binary32 pattern of an exact number.
std::uint32_t to_binary32(const Rational& r);

/// Nearest-even binary64 neighbour of an exact number, as an exact number. Precondition: in range.
Rational round_to_binary64(const Rational& r);

/// The largest binary32 pattern (sign 0) whose value is <= r, for 0 <= r <= the binary32 maximum.
std::uint32_t binary32_floor(const Rational& r);

/// "-0.125", "3", "8/12" or "-0" as an exact rational (the sign of a zero is lost).
Rational parse_rational(std::string_view text);

/// A short readable decimal form for messages; exact for short dyadic numbers, else 9 digits.
std::string to_text(const Rational& r);

}  // namespace fp4lab_oracle
