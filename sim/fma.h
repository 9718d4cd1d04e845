// Fused multiply-add and round-to-odd addition without a fused instruction and without libm.
//
// Rounding a sum to odd in binary64 keeps every bit that a later rounding to at most 51 bits can
// depend on (S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums: proved
// algorithms using rounding to odd", IEEE Trans. Comput. 57(4), 2008).
#pragma once

#include <cstdint>

#include "formats/host_device.h"

namespace fp4lab {

__extension__ typedef unsigned __int128 uint128;

/// a + b as binary64 rounded to odd: exact where it fits, else the neighbour with an odd
/// significand. Not-a-number and infinite sums come out as IEEE says. |a|, |b| below 2^1000 and no
/// partial result below 2^-1000 other than zero.
FP4LAB_HD constexpr double add_odd(double a, double b) noexcept {
  const double s = a + b;
  const std::uint64_t bits = bits_as<std::uint64_t>(s);
  if ((bits & 0x7FF0000000000000ull) == 0x7FF0000000000000ull) return s;
  const double part = s - a;
  const double rest = (a - (s - part)) + (b - part);
  if (rest == 0.0 || (bits & 1) != 0) return s;
  // The exact sum lies between s (even) and its neighbour on the side of `rest` (odd).
  const bool away = (rest > 0.0) == (s > 0.0);
  return bits_as<double>(away ? bits + 1 : bits - 1);
}

/// fl(a b + c) in binary32, rounded once.
FP4LAB_HD constexpr float fma_rn(float a, float b, float c) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return __fmaf_rn(a, b, c);
#endif
  return static_cast<float>(
      add_odd(static_cast<double>(a) * static_cast<double>(b), static_cast<double>(c)));
}

/// The house's one NaN in place of any other.
FP4LAB_HD constexpr float canonical(float x) noexcept { return is_nan(x) ? canonical_nan() : x; }

}  // namespace fp4lab
