// IEEE-754 arithmetic on bit patterns, for the model of block quantization: every operation is the
// exact result rounded once to nearest even. Integers only; no floating-point unit takes part.
#pragma once

#include <cstdint>

#include "tests/oracle/rational.h"

namespace fp4lab_oracle {

/// A binary32 number as its pattern. NaN results are 7FC00000.
using F32 = std::uint32_t;
/// A binary64 number as its pattern.
using F64 = std::uint64_t;

inline constexpr F32 kOne32 = 0x3F800000u;
inline constexpr F32 kInf32 = 0x7F800000u;
inline constexpr F32 kMax32 = 0x7F7FFFFFu;
inline constexpr F32 kNan32 = 0x7FC00000u;
inline constexpr F32 kSign32 = 0x80000000u;

F32 add(F32 a, F32 b);
F32 sub(F32 a, F32 b);
F32 mul(F32 a, F32 b);
F32 div(F32 a, F32 b);
/// fl(a * 2^exponent), also where 2^exponent is no binary32 number.
F32 scale_by_pow2(F32 a, int exponent);

inline F32 abs32(F32 a) { return a & ~kSign32; }
inline F32 negate(F32 a) { return a ^ kSign32; }
inline bool is_nan(F32 a) { return abs32(a) > kInf32; }
inline bool is_finite(F32 a) { return abs32(a) < kInf32; }
/// a < b as numbers; false if either is a NaN; zeros are equal.
bool less(F32 a, F32 b);
/// The smaller number; b where a is a NaN.
inline F32 min_of(F32 a, F32 b) { return less(b, a) || is_nan(a) ? b : a; }
inline F32 max_of(F32 a, F32 b) { return less(a, b) || is_nan(a) ? b : a; }

F64 add64(F64 a, F64 b);
F64 sub64(F64 a, F64 b);
F64 mul64(F64 a, F64 b);
F64 div64(F64 a, F64 b);
/// Of a number >= +0.
F64 sqrt64(F64 a);
F64 widen(F32 a);
F32 narrow(F64 a);
bool less64(F64 a, F64 b);
/// The binary64 number nearest to an exact one.
F64 to_binary64(const Rational& r);

/// floor(log2 |a|) of a finite non-zero number, subnormals included.
int exponent_of(F32 a);
int exponent_of64(F64 a);
/// 2^e as binary32, e in -149..127.
F32 pow2_32(int e);

}  // namespace fp4lab_oracle
