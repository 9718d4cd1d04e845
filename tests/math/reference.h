// What the functions of sim/math.h must return, decided apart from them: by the platform's binary64
// functions where their error cannot matter, by MPFR with growing precision where it might, and
// from a written list at zeros, infinities and NaN.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fp4lab_test {

enum class Function {
  kExp,
  kExp2,
  kExpm1,
  kLog,
  kLog2,
  kLog1p,
  kTanh,
  kErf,
  kSigmoid,
  kSilu,
  kGelu,
  kRsqrt,
  kSqrt,
  kSin,
  kCos,
};
inline constexpr int kFunctionCount = 15;
inline constexpr std::array<std::string_view, kFunctionCount> kFunctionNames = {
    "exp",     "exp2", "expm1", "log",   "log2", "log1p", "tanh", "erf",
    "sigmoid", "silu", "gelu",  "rsqrt", "sqrt", "sin",   "cos"};

/// Half the width of the filter's window, relative: a binary64 result decides when everything
/// within it rounds to one binary32. The binary64 functions would have to be wrong by 2^12 units in
/// the last place to mislead it (glibc states at most 9 for these; what is composed of them stays
/// below 300).
inline constexpr double kFilterWindow = 0x1p-40;
inline constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

/// The value in binary64 by the platform's functions, not correctly rounded.
double libm_value(Function f, float x);

/// silu and gelu below this magnitude: the exact value lies between x/2 and x/2 + x*x, and x/2 is a
/// binary32 or a midpoint of two, so the binary64 number just above x/2 rounds as the value does.
inline constexpr double kHalfRuleBelow = 0x1p-40;
/// x != 0.
constexpr double just_above_half(double x) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x / 2) +
                               (x > 0 ? 1 : ~std::uint64_t{0}));
}

/// Everything within the filter's window rounds to binary32 numbers from low to high.
struct Interval {
  float low, high;
};
/// The values of n arguments in binary64 that the filter goes by, from the platform's vector
/// functions where it has them.
void filter_values(Function f, const float* x, double* g, std::size_t n);
/// |value - f(x)| / |f(x)| by MPFR; f(x) finite and not 0.
double relative_error(Function f, float x, double value);
/// The intervals of n arguments, from these values. At zeros, infinities, NaN and outside of
/// the domain they mean nothing.
void filter(Function f, const float* x, Interval* y, std::size_t n);

/// The bits of the correctly rounded result, by MPFR alone. Any x.
std::uint32_t mpfr_bits(Function f, float x);

/// The written list: results at NaN, infinities, zeros and outside of the domain.
std::optional<std::uint32_t> special_bits(Function f, float x);

/// The correctly rounded result by the list, the filter or MPFR, in that order; `by_mpfr` counts
/// the last.
std::uint32_t reference_bits(Function f, float x, std::uint64_t& by_mpfr);

/// Correctly rounded x^y by MPFR; x > 0 finite, x != 1, y finite, y != 0.
std::uint32_t mpfr_pow_bits(float x, float y);

}  // namespace fp4lab_test
