#include "sim/mma_model.h"

namespace fp4lab {
namespace {

/// A non-zero magnitude as a 128-bit integer whose leading bit is bit 125, and its exponent.
struct Wide {
  uint128 m;
  int exponent;
};
Wide normalized(uint128 m, int exponent) noexcept {
  const int shift = 126 - detail::bit_length(m);
  return {m << shift, exponent - shift};
}
/// m / 2^n with the bits lost kept as a sticky lowest bit.
uint128 shift_right_jam(uint128 m, int n) noexcept {
  if (n <= 0) return m;
  if (n >= 127) return m != 0 ? 1 : 0;
  const bool lost = (m & ((uint128{1} << n) - 1)) != 0;
  return (m >> n) | (lost ? 1u : 0u);
}

/// Correctly rounded a b + c. Both parts are brought to the same exponent with a sticky bit: a
/// product of 106 bits in 126 leaves 20 below it, so that only parts far apart ever lose bits.
double fma64(double a, double b, double c) noexcept {
  const double rough = a * b;
  const auto special = [](double x) {
    return (bits_as<std::uint64_t>(x) & 0x7FF0000000000000ull) == 0x7FF0000000000000ull;
  };
  if (special(a) || special(b)) return rough + c;
  // The exact product of finite factors is finite even where `rough` overflowed.
  if (special(c)) return c + c;
  if (a == 0.0 || b == 0.0) return rough + c;
  const Magnitude x = magnitude_of(a), y = magnitude_of(b);
  Wide p = normalized(static_cast<uint128>(x.sig) * y.sig, x.exp + y.exp);
  const bool p_negative = (a < 0.0) != (b < 0.0);
  bool negative = p_negative;
  if (c != 0.0) {
    const Magnitude z = magnitude_of(c);
    Wide q = normalized(z.sig, z.exp);
    const bool c_negative = c < 0.0;
    const int e = p.exponent > q.exponent ? p.exponent : q.exponent;
    const uint128 m = shift_right_jam(p.m, e - p.exponent),
                  n = shift_right_jam(q.m, e - q.exponent);
    if (p_negative == c_negative) {
      p = {m + n, e};
    } else {
      if (m == n) return 0.0;
      negative = m > n ? p_negative : c_negative;
      p = {m > n ? m - n : n - m, e};
    }
  }
  // Round to 53 bits or to the subnormal quantum.
  const int top = p.exponent + detail::bit_length(p.m) - 1;
  const double sign = negative ? -1.0 : 1.0;
  if (top > 1023) return sign * __builtin_huge_val();
  const int quantum = (top < -1022 ? -1022 : top) - 52;
  const std::int64_t kept = detail::shifted(p.m, p.exponent - quantum, AlignRound::nearest_even);
  // kept <= 2^53 and 2^quantum are binary64 numbers; their product is exact or overflows.
  return sign * (static_cast<double>(kept) * pow2_f64(quantum));
}

}  // namespace

double mma_dot_f64(const double* a, const double* b, int k, double c) noexcept {
  for (int i = 0; i < k; ++i) c = fma64(a[i], b[i], c);
  return c;
}

}  // namespace fp4lab
