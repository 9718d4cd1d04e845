// Unevaluated sums of two binary64 numbers with an error near 2^-104 an operation, without fused
// operations. Only the rare inputs that binary64 cannot decide get here. Unlike the rest of the
// functions these lose their accuracy when the host's compiler fuses products and sums: the
// translation unit has to be built with -ffp-contract=off, which the CMake targets pass on.
#pragma once

#include "sim/math/f64.h"

namespace fp4lab::math::detail {

/// a + b exactly, |a| >= |b| or a = 0.
FP4LAB_MATH_INLINE Sum quick_two_sum(F64 a, F64 b) noexcept {
  const F64 s = a + b;
  return {s, b - (s - a)};
}
/// a + b exactly.
FP4LAB_HD inline constexpr Sum two_sum(F64 a, F64 b) noexcept {
  const F64 s = a + b;
  const F64 t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
/// a * b exactly (Veltkamp's splitting, Dekker's product); magnitudes far from the ends of
/// binary64.
FP4LAB_HD inline constexpr Sum two_product(F64 a, F64 b) noexcept {
  const F64 p = a * b;
  const F64 ca = a * 0x1.0000002p27, cb = b * 0x1.0000002p27;
  const F64 ah = ca - (ca - a), bh = cb - (cb - b);
  const F64 al = a - ah, bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

FP4LAB_HD inline constexpr Sum operator+(Sum a, Sum b) noexcept {
  const Sum s = two_sum(a.hi, b.hi), t = two_sum(a.lo, b.lo);
  const Sum u = quick_two_sum(s.hi, s.lo + t.hi);
  return quick_two_sum(u.hi, u.lo + t.lo);
}
FP4LAB_HD inline constexpr Sum operator*(Sum a, Sum b) noexcept {
  const Sum p = two_product(a.hi, b.hi);
  return quick_two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}
FP4LAB_HD inline constexpr Sum operator*(Sum a, F64 b) noexcept {
  const Sum p = two_product(a.hi, b);
  return quick_two_sum(p.hi, p.lo + a.lo * b);
}
FP4LAB_HD inline constexpr Sum operator/(Sum a, F64 b) noexcept {
  const F64 q = a.hi / b;
  const Sum p = two_product(q, b);
  const F64 rest = ((a.hi - p.hi) - p.lo) + a.lo;
  return quick_two_sum(q, rest / b);
}

}  // namespace fp4lab::math::detail
