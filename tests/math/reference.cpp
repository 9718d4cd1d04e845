#include "tests/math/reference.h"

#include <mpfr.h>

#include <bit>
#include <cmath>
#include <limits>

namespace fp4lab_test {
namespace {

constexpr std::uint32_t kNan = 0x7FC00000u, kInf = 0x7F800000u, kMinusInf = 0xFF800000u, kZero = 0u,
                        kMinusZero = 0x80000000u, kOne = 0x3F800000u, kMinusOne = 0xBF800000u,
                        kHalf = 0x3F000000u;

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

/// An mpfr_t that frees itself.
class Big {
 public:
  explicit Big(mpfr_prec_t precision) { mpfr_init2(v_, precision); }
  Big(const Big&) = delete;
  Big& operator=(const Big&) = delete;
  ~Big() { mpfr_clear(v_); }
  operator mpfr_ptr() { return v_; }

 private:
  mpfr_t v_;
};

/// y = f(x) to within 2^-(precision - slack) relative; 0 if y is exact.
int evaluate(Function f, mpfr_ptr y, mpfr_ptr x) {
  constexpr mpfr_rnd_t rn = MPFR_RNDN;
  const mpfr_prec_t p = mpfr_get_prec(y);
  switch (f) {
    case Function::kExp:
      return mpfr_exp(y, x, rn);
    case Function::kExp2:
      return mpfr_exp2(y, x, rn);
    case Function::kExpm1:
      return mpfr_expm1(y, x, rn);
    case Function::kLog:
      return mpfr_log(y, x, rn);
    case Function::kLog2:
      return mpfr_log2(y, x, rn);
    case Function::kLog1p:
      return mpfr_log1p(y, x, rn);
    case Function::kTanh:
      return mpfr_tanh(y, x, rn);
    case Function::kErf:
      return mpfr_erf(y, x, rn);
    case Function::kRsqrt:
      return mpfr_rec_sqrt(y, x, rn);
    case Function::kSqrt:
      return mpfr_sqrt(y, x, rn);
    case Function::kSin:
      return mpfr_sin(y, x, rn);
    case Function::kCos:
      return mpfr_cos(y, x, rn);
    case Function::kSigmoid:
    case Function::kSilu:
      mpfr_neg(y, x, rn);
      mpfr_exp(y, y, rn);
      mpfr_add_ui(y, y, 1, rn);
      if (f == Function::kSigmoid) {
        mpfr_ui_div(y, 1, y, rn);
      } else {
        mpfr_div(y, x, y, rn);
      }
      return 1;
    case Function::kGelu: {
      Big t(p);
      mpfr_set_ui(t, 2, rn);
      mpfr_rec_sqrt(t, t, rn);
      mpfr_mul(t, t, x, rn);
      mpfr_neg(t, t, rn);
      mpfr_erfc(y, t, rn);
      mpfr_mul(y, y, x, rn);
      mpfr_div_2ui(y, y, 1, rn);
      return 1;
    }
  }
  return 1;
}

/// erfc magnifies the error of its argument by up to 2z^2 + 2 < 2^12 for the |x| < 20 it sees here.
constexpr int kSlackBits = 16;

/// The binary32 that all of y * (1 +- 2^-(precision - slack)) rounds to, if it is one.
std::optional<std::uint32_t> decided(mpfr_ptr y) {
  const mpfr_prec_t p = mpfr_get_prec(y);
  Big error(p), edge(p + 64);
  mpfr_abs(error, y, MPFR_RNDU);
  mpfr_div_2ui(error, error, static_cast<unsigned long>(p - kSlackBits), MPFR_RNDU);
  mpfr_sub(edge, y, error, MPFR_RNDD);
  const std::uint32_t low = bits_of(mpfr_get_flt(edge, MPFR_RNDN));
  mpfr_add(edge, y, error, MPFR_RNDU);
  const std::uint32_t high = bits_of(mpfr_get_flt(edge, MPFR_RNDN));
  if (low != high) return std::nullopt;
  return low;
}

/// Far ends where the result is known and MPFR would over- or underflow.
std::optional<std::uint32_t> saturated_bits(Function f, float x) {
  switch (f) {
    case Function::kExp:
    case Function::kExp2:
      if (x > 200) return kInf;
      if (x < -200) return kZero;
      break;
    case Function::kExpm1:
      if (x > 200) return kInf;
      if (x < -200) return kMinusOne;
      break;
    case Function::kTanh:
    case Function::kErf:
      if (x > 200) return kOne;
      if (x < -200) return kMinusOne;
      break;
    case Function::kSigmoid:
      if (x > 200) return kOne;
      if (x < -200) return kZero;
      break;
    case Function::kSilu:
      if (x > 200) return bits_of(x);
      if (x < -200) return kMinusZero;
      break;
    case Function::kGelu:
      if (x > 20) return bits_of(x);
      if (x < -20) return kMinusZero;
      break;
    default:
      break;
  }
  return std::nullopt;
}

}  // namespace

double libm_value(Function f, float xf) {
  const double x = xf;
  switch (f) {
    case Function::kExp:
      return std::exp(x);
    case Function::kExp2:
      return std::exp2(x);
    case Function::kExpm1:
      return std::expm1(x);
    case Function::kLog:
      return std::log(x);
    case Function::kLog2:
      return std::log2(x);
    case Function::kLog1p:
      return std::log1p(x);
    case Function::kTanh:
      return std::tanh(x);
    case Function::kErf:
      return std::erf(x);
    case Function::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Function::kSilu:
    case Function::kGelu:
      if (f == Function::kSilu) return x / (1 + std::exp(-x));
      return 0.5 * x * std::erfc(x * -kSqrtHalf);
    case Function::kRsqrt:
      return 1 / std::sqrt(x);
    case Function::kSqrt:
      return std::sqrt(x);
    case Function::kSin:
      return std::sin(x);
    case Function::kCos:
      return std::cos(x);
  }
  return 0;
}

std::optional<std::uint32_t> special_bits(Function f, float x) {
  const std::uint32_t b = bits_of(x);
  if ((b & 0x7FFFFFFFu) > kInf) return kNan;
  struct Row {
    std::uint32_t at_zero, at_minus_zero, at_inf, at_minus_inf;
  };
  constexpr Row rows[kFunctionCount] = {
      {kOne, kOne, kInf, kZero},              // exp
      {kOne, kOne, kInf, kZero},              // exp2
      {kZero, kMinusZero, kInf, kMinusOne},   // expm1
      {kMinusInf, kMinusInf, kInf, kNan},     // log
      {kMinusInf, kMinusInf, kInf, kNan},     // log2
      {kZero, kMinusZero, kInf, kNan},        // log1p
      {kZero, kMinusZero, kOne, kMinusOne},   // tanh
      {kZero, kMinusZero, kOne, kMinusOne},   // erf
      {kHalf, kHalf, kOne, kZero},            // sigmoid
      {kZero, kMinusZero, kInf, kMinusZero},  // silu
      {kZero, kMinusZero, kInf, kMinusZero},  // gelu
      {kInf, kMinusInf, kZero, kNan},         // rsqrt
      {kZero, kMinusZero, kInf, kNan},        // sqrt
      {kZero, kMinusZero, kNan, kNan},        // sin
      {kOne, kOne, kNan, kNan},               // cos
  };
  const Row& row = rows[static_cast<int>(f)];
  if (b == kZero) return row.at_zero;
  if (b == kMinusZero) return row.at_minus_zero;
  if (b == kInf) return row.at_inf;
  if (b == kMinusInf) return row.at_minus_inf;
  switch (f) {
    case Function::kLog:
    case Function::kLog2:
      if (x == 1) return kZero;
      if (x < 0) return kNan;
      break;
    case Function::kRsqrt:
    case Function::kSqrt:
      if (x < 0) return kNan;
      break;
    case Function::kLog1p:
      if (x == -1) return kMinusInf;
      if (x < -1) return kNan;
      break;
    default:
      break;
  }
  return std::nullopt;
}

std::uint32_t mpfr_bits(Function f, float x) {
  if (const auto special = special_bits(f, x)) return *special;
  if (const auto saturated = saturated_bits(f, x)) return *saturated;
  Big argument(24);
  mpfr_set_flt(argument, x, MPFR_RNDN);
  for (mpfr_prec_t precision = 96;; precision *= 2) {
    Big y(precision);
    if (evaluate(f, y, argument) == 0) return bits_of(mpfr_get_flt(y, MPFR_RNDN));
    if (const auto result = decided(y)) return *result;
  }
}

double relative_error(Function f, float x, double value) {
  Big argument(24), y(400), difference(400);
  mpfr_set_flt(argument, x, MPFR_RNDN);
  evaluate(f, y, argument);
  mpfr_d_sub(difference, value, y, MPFR_RNDN);
  mpfr_div(difference, difference, y, MPFR_RNDN);
  return std::fabs(mpfr_get_d(difference, MPFR_RNDA));
}

std::uint32_t mpfr_pow_bits(float x, float y) {
  const double log2 = std::log2(static_cast<double>(x)) * y;
  if (log2 > 200) return kInf;
  if (log2 < -200) return kZero;
  Big base(24), exponent(24);
  mpfr_set_flt(base, x, MPFR_RNDN);
  mpfr_set_flt(exponent, y, MPFR_RNDN);
  for (mpfr_prec_t precision = 96;; precision *= 2) {
    Big z(precision);
    if (mpfr_pow(z, base, exponent, MPFR_RNDN) == 0) return bits_of(mpfr_get_flt(z, MPFR_RNDN));
    if (const auto result = decided(z)) return *result;
  }
}

std::uint32_t reference_bits(Function f, float x, std::uint64_t& by_mpfr) {
  if (const auto special = special_bits(f, x)) return *special;
  Interval interval;
  filter(f, &x, &interval, 1);
  if (bits_of(interval.low) == bits_of(interval.high)) return bits_of(interval.low);
  ++by_mpfr;
  return mpfr_bits(f, x);
}

}  // namespace fp4lab_test
