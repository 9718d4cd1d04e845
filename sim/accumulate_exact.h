// ExactSum: a fixed-point number wide enough for any dot product of scaled binary32 factors.
#pragma once

#include <array>
#include <cstdint>

#include "sim/fma.h"

namespace fp4lab {

/// A binary number as sign, integer magnitude and exponent: (-1)^negative * magnitude * 2^exponent.
struct WideTerm {
  uint128 magnitude = 0;
  int exponent = 0;
  bool negative = false;
};

/// The finite value of a product of up to four binary32 factors, exactly (at most 96 bits).
WideTerm exact_product(float a, float b, float sa = 1.0f, float sb = 1.0f) noexcept;

/// Sum of terms without any rounding. Bit 0 weighs 2^-896, the top 2^895: products of six binary32
/// factors (two values, two block scales, two global factors) fit, and 2^60 of them.
class ExactSum {
 public:
  /// Adds a term; its exponent must be at least -896 and its top bit below 2^832.
  void add(const WideTerm& t) noexcept;
  /// Adds a finite binary32 number.
  void add(float x) noexcept;
  /// Multiplies the sum by a finite binary32 factor. Exact as long as the lowest set bit stays at
  /// or above 2^-896, which holds for sums of four-factor products multiplied twice.
  void multiply(float factor) noexcept;
  bool is_zero() const noexcept;
  /// The sum as binary64, rounded to odd: every bit that a rounding to 51 bits or fewer needs.
  double to_odd() const noexcept;
  /// The sum rounded once to binary32, nearest even; +0 for an exact zero.
  float to_binary32() const noexcept;

 private:
  static constexpr int kLimbs = 28;
  static constexpr int kBase = -896;
  using Limbs = std::array<std::uint64_t, kLimbs>;
  /// |sum| and its sign.
  bool difference(Limbs& magnitude) const noexcept;

  // Positive and negative terms apart: no borrow ever runs through the whole number.
  Limbs positive_{}, negative_{};
};

}  // namespace fp4lab
