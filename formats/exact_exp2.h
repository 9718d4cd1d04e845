// 2^x and log2 x without a library: bit-by-bit integer algorithms, the same bits everywhere. They
// serve scale rules that are defined with real exponents (LLM-FP4); the error is below 2^-50
// relative, and callers round once to binary32.
#pragma once

#include <cstdint>

#include "formats/host_device.h"

namespace fp4lab {
namespace detail {

/// High 64 bits of a 64 x 64 bit product.
FP4LAB_HD constexpr std::uint64_t mul_high(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t a0 = a & 0xFFFFFFFFu, a1 = a >> 32, b0 = b & 0xFFFFFFFFu, b1 = b >> 32;
  const std::uint64_t mid = a1 * b0 + ((a0 * b0) >> 32);
  const std::uint64_t low = (mid & 0xFFFFFFFFu) + a0 * b1;
  return a1 * b1 + (mid >> 32) + (low >> 32);
}

}  // namespace detail

/// log2 of a positive finite binary64: digits of the fraction by repeated squaring of the
/// significand in 1.63 fixed point.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr double exact_log2(double x) noexcept {
  const Magnitude m = magnitude_of(x);
  std::uint64_t s = m.sig << (64 - m.width);  // 1.63, top bit set
  std::uint64_t fraction = 0;
  for (int i = 0; i < 60; ++i) {
    const std::uint64_t high = detail::mul_high(s, s);  // 2.62
    fraction <<= 1;
    if ((high >> 63) != 0) {
      fraction |= 1;
      s = high;
    } else {
      s = high << 1;
    }
  }
  return static_cast<double>(m.exponent()) + static_cast<double>(fraction) * 0x1p-60;
}

/// 2^x of a finite binary64. The fraction's exponential is the Taylor series of e^(f ln 2), whose
/// terms are all positive; f in [0, 1).
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr double exact_exp2(double x) noexcept {
  if (x >= 1024.0) return __builtin_huge_val();
  if (x < -1080.0) return 0.0;
  int e = static_cast<int>(x);
  if (static_cast<double>(e) > x) --e;
  const double t = (x - static_cast<double>(e)) * 0.69314718055994530942;
  double sum = 1.0;
  for (int i = 28; i >= 1; --i) sum = 1.0 + sum * t / i;
  return e < -1000 ? sum * pow2_f64(e + 1000) * pow2_f64(-1000) : sum * pow2_f64(e);
}

}  // namespace fp4lab
