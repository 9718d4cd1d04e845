// floor and ceil of a binary32 log2: the defect that microxcaling, TetraJet and Transformer
// Engine's power-of-two scales share (formats.md 3.4.1). L(v) = log2(v) rounded to nearest in p
// bits becomes the integer k already for neighbours of 2^k, so its floor or ceil is off by one
// there. No logarithm is computed: the neighbourhoods are compared by mantissa.
#pragma once

#include <cstdint>

#include "formats/host_device.h"

namespace fp4lab {
namespace detail {

/// floor(2^63 (1 - 2^(-2^-n))) for n = 1..40 would need a table; the series is exact enough: with
/// t = ln2 * 2^-n, 1 - e^-t = t - t^2/2 + t^3/6 - ..., in 2^-63 units.
FP4LAB_HD constexpr std::uint64_t one_minus_exp2_neg(int n) noexcept {
  const double t = 0.69314718055994530942 * pow2_f64(-n);
  double term = t, sum = 0.0;
  for (int i = 1; i < 24; ++i) {
    sum += term;
    term *= -t / (i + 1);
  }
  return static_cast<std::uint64_t>(sum * 0x1p63);
}
/// The same for 2^(2^-n) - 1.
FP4LAB_HD constexpr std::uint64_t exp2_pos_minus_one(int n) noexcept {
  const double t = 0.69314718055994530942 * pow2_f64(-n);
  double term = t, sum = 0.0;
  for (int i = 1; i < 24; ++i) {
    sum += term;
    term *= t / (i + 1);
  }
  return static_cast<std::uint64_t>(sum * 0x1p63);
}

FP4LAB_HD constexpr int log2_of_int(int k) noexcept {
  int j = 0;
  while ((k >> (j + 1)) != 0) ++j;
  return j;
}

/// Half the spacing of p-bit floats on the side of the integer k that v's logarithm lies on:
/// 2^-n, returned as n. `toward_zero` tells that |log2 v| < |k|.
FP4LAB_HD constexpr int half_spacing(int k, bool toward_zero, int p) noexcept {
  const int a = k < 0 ? -k : k;
  const int j = log2_of_int(a);
  const bool power = (a & (a - 1)) == 0;
  return p - j + (toward_zero && power ? 1 : 0);
}

}  // namespace detail

/// floor(RN_p(log2 v)) for a positive finite v; p = 24 for binary32, 8 for bf16. `v` must itself
/// be representable in p bits or more; 0 is not allowed.
FP4LAB_HD constexpr int floor_rounded_log2(float v, int p = 24) noexcept {
  const Magnitude m = magnitude_of(v);
  const int e = m.exponent();
  const int k = e + 1;
  if (k == 0) return e;  // log2 v is tiny and negative, and never rounds to 0 short of v = 1
  // v = 2^k (1 - delta), delta in (0, 1/2]; L(v) = k iff log2(1 - delta) > -2^-n.
  const std::uint64_t delta = (1ull << 63) - (m.sig << (63 - m.width));
  const int n = detail::half_spacing(k, k > 0, p);
  return delta <= detail::one_minus_exp2_neg(n) ? k : e;
}

/// ceil(RN_p(log2 v)).
FP4LAB_HD constexpr int ceil_rounded_log2(float v, int p = 24) noexcept {
  const Magnitude m = magnitude_of(v);
  const int k = m.exponent();
  // v = 2^k (1 + delta), delta in [0, 1).
  const std::uint64_t delta = (m.sig << (63 - (m.width - 1))) - (1ull << 63);
  if (delta == 0) return k;
  if (k == 0) return 1;
  const int n = detail::half_spacing(k, k < 0, p);
  return delta <= detail::exp2_pos_minus_one(n) ? k : k + 1;
}

}  // namespace fp4lab
