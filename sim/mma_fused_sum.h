// The truncating fused sum that tensor cores are made of, and the decoding of what goes into it.
// Integers only. Host and device.
//
// The rules were measured on an H100 (tests/golden/h100_mma) or are those of MMA-Sim
// (arXiv:2511.10909) and of the MATLAB tensor-core models (arXiv:2512.07004); each preset says
// which (mma_presets.h).
#pragma once

#include <cstdint>

#include "formats/element_format.h"
#include "formats/host_device.h"
#include "sim/fma.h"

namespace fp4lab {

/// How a fused sum is rounded once at its end.
enum class OutRound : std::uint8_t {
  f32_rz,    ///< binary32 toward zero; below 2^-126 gradual; beyond the range infinity
  f16_rne,   ///< binary16 nearest even, straight from the exact sum
  e8m13_rz,  ///< as f32_rz with 13 fraction bits kept
  f32_rne,   ///< binary32 nearest even
};

/// What zero products and a zero c do to the largest exponent.
enum class ZeroRule : std::uint8_t {
  ignore,  ///< nothing (H100, measured)
  mmasim,  ///< a zero factor counts as exponent -126 (MMA-Sim's code; refuted on the H100)
};

/// What alignment does to bits below the kept ones.
enum class AlignRound : std::uint8_t { truncate, nearest_even };

/// No lower bound of the alignment exponent.
inline constexpr std::int32_t kNoFloor = -1000000;

/// Parameters of a truncating fused sum: `terms` products and c are aligned to the largest
/// exponent (at least `floor`), `fraction_bits` below it are kept, the integers are added, and the
/// sum is rounded once.
struct FusedSum {
  std::int32_t terms = 16;
  std::int32_t fraction_bits = 25;
  std::int32_t floor = kNoFloor;
  OutRound out = OutRound::f32_rz;
  ZeroRule zero = ZeroRule::ignore;
  AlignRound align = AlignRound::truncate;
  friend constexpr bool operator==(const FusedSum&, const FusedSum&) = default;
};

/// A decoded number, not normalised: |x| = significand * 2^(exponent - precision), where
/// subnormals keep the exponent of the lowest normal binade.
struct MmaOperand {
  std::uint32_t significand = 0;
  std::int16_t exponent = 0;
  std::uint8_t precision = 0;  ///< stored mantissa bits
  std::uint8_t flags = 0;      ///< kNegative, kInfinite, kNan

  static constexpr std::uint8_t kNegative = 1, kInfinite = 2, kNan = 4;
  FP4LAB_HD constexpr bool negative() const noexcept { return (flags & kNegative) != 0; }
  FP4LAB_HD constexpr bool infinite() const noexcept { return (flags & kInfinite) != 0; }
  FP4LAB_HD constexpr bool nan() const noexcept { return (flags & kNan) != 0; }
  FP4LAB_HD constexpr bool finite() const noexcept { return (flags & (kNan | kInfinite)) == 0; }
};

/// Decodes a code of a radix-2 minifloat with subnormals (every type a tensor core reads; TF32
/// ignores its 13 low bits). The sign bit of an unsigned format is ignored, as UE4M3's is.
FP4LAB_HD constexpr MmaOperand decode_operand(const ElementFormat& f, std::uint32_t code) noexcept {
  MmaOperand x;
  code >>= f.storage_shift;
  const ValueClass c = classify(f, (code & f.code_mask()) << f.storage_shift);
  if (f.is_signed && (code & f.sign_mask()) != 0) x.flags |= MmaOperand::kNegative;
  if (c == ValueClass::nan) x.flags |= MmaOperand::kNan;
  if (c == ValueClass::infinite) x.flags |= MmaOperand::kInfinite;
  const std::uint32_t magnitude = code & f.magnitude_mask();
  const std::uint32_t mantissa = magnitude & ((1u << f.mantissa_bits) - 1u);
  const std::uint32_t field = magnitude >> f.mantissa_bits;
  const bool hidden = field != 0 || f.low_end != LowEnd::gradual;
  x.significand = hidden ? mantissa | (1u << f.mantissa_bits) : mantissa;
  if (f.low_end == LowEnd::zero_only && magnitude == 0) x.significand = 0;
  const std::int32_t lowest =
      f.low_end == LowEnd::gradual && field == 0 ? 1 : static_cast<std::int32_t>(field);
  x.exponent = static_cast<std::int16_t>(lowest - f.bias + f.shift);
  x.precision = f.mantissa_bits;
  return x;
}

namespace detail {
inline constexpr std::uint32_t kMmaNan32 = 0x7FFFFFFFu;  ///< the NaN that tensor cores store
inline constexpr std::uint32_t kMmaNan16 = 0x7FFFu;
}  // namespace detail

/// Decodes a binary32 (accumulators and scale factors).
FP4LAB_HD constexpr MmaOperand decode_operand_f32(std::uint32_t bits) noexcept {
  MmaOperand x;
  const std::uint32_t field = (bits >> 23) & 0xFFu, mantissa = bits & 0x7FFFFFu;
  if ((bits >> 31) != 0) x.flags |= MmaOperand::kNegative;
  if (field == 0xFFu) x.flags |= mantissa != 0 ? MmaOperand::kNan : MmaOperand::kInfinite;
  x.significand = field != 0 ? mantissa | 0x800000u : mantissa;
  x.exponent = static_cast<std::int16_t>((field != 0 ? static_cast<std::int32_t>(field) : 1) - 127);
  x.precision = 23;
  return x;
}

/// Decodes a binary16.
FP4LAB_HD constexpr MmaOperand decode_operand_f16(std::uint32_t bits) noexcept {
  MmaOperand x;
  const std::uint32_t field = (bits >> 10) & 0x1Fu, mantissa = bits & 0x3FFu;
  if (((bits >> 15) & 1u) != 0) x.flags |= MmaOperand::kNegative;
  if (field == 0x1Fu) x.flags |= mantissa != 0 ? MmaOperand::kNan : MmaOperand::kInfinite;
  x.significand = field != 0 ? mantissa | 0x400u : mantissa;
  x.exponent = static_cast<std::int16_t>((field != 0 ? static_cast<std::int32_t>(field) : 1) - 15);
  x.precision = 10;
  return x;
}

/// A binary32 value as the binary16 it is equal to, decoded: FP8 widened to FP16, whose FP8
/// subnormals become normal numbers. `x` must be representable.
FP4LAB_HD constexpr MmaOperand widen_to_f16(const MmaOperand& x) noexcept {
  MmaOperand y = x;
  if (!x.finite() || x.significand == 0) return y;
  while (y.significand < (1u << y.precision) && y.exponent > -14) {
    y.significand <<= 1;
    --y.exponent;
  }
  return y;
}

/// A finite term of a fused sum: (-1)^negative * magnitude * 2^quantum, aligned as if its exponent
/// were `exponent`.
template <class Mag = std::uint64_t>
struct MmaTerm {
  Mag magnitude = 0;
  std::int32_t exponent = 0;
  std::int32_t quantum = 0;
  bool negative = false;
};

/// Exact product of two finite operands.
FP4LAB_HD constexpr MmaTerm<> product_term(const MmaOperand& a, const MmaOperand& b) noexcept {
  MmaTerm<> t;
  t.magnitude = static_cast<std::uint64_t>(a.significand) * b.significand;
  t.exponent = a.exponent + b.exponent;
  t.quantum = t.exponent - a.precision - b.precision;
  t.negative = a.negative() != b.negative();
  return t;
}
FP4LAB_HD constexpr MmaTerm<> single_term(const MmaOperand& c) noexcept {
  return {c.significand, c.exponent, c.exponent - c.precision, c.negative()};
}

/// Infinities and NaNs met on the way (rules of all kinds but those that say otherwise).
struct MmaSpecials {
  bool nan = false, plus = false, minus = false;
  FP4LAB_HD constexpr void add_infinity(bool negative) noexcept {
    (negative ? minus : plus) = true;
  }
  FP4LAB_HD constexpr void add_product(const MmaOperand& a, const MmaOperand& b) noexcept {
    if (a.nan() || b.nan()) {
      nan = true;
    } else if (a.infinite() || b.infinite()) {
      const bool zero = (a.finite() && a.significand == 0) || (b.finite() && b.significand == 0);
      if (zero) {
        nan = true;
      } else {
        add_infinity(a.negative() != b.negative());
      }
    }
  }
  FP4LAB_HD constexpr void add(const MmaOperand& c) noexcept {
    if (c.nan()) nan = true;
    if (c.infinite()) add_infinity(c.negative());
  }
  FP4LAB_HD constexpr bool any() const noexcept { return nan || plus || minus; }
  FP4LAB_HD constexpr bool is_nan() const noexcept { return nan || (plus && minus); }
  /// The result's bits, binary16 where `half`.
  FP4LAB_HD constexpr std::uint32_t bits(bool half) const noexcept {
    if (is_nan()) return half ? detail::kMmaNan16 : detail::kMmaNan32;
    return half ? (minus ? 0xFC00u : 0x7C00u) : (minus ? 0xFF800000u : 0x7F800000u);
  }
};

namespace detail {

template <class Mag>
FP4LAB_HD constexpr int bit_length(Mag m) noexcept {
  int n = 0;
  if constexpr (sizeof(Mag) > 8) {
    if ((m >> 64) != 0) {
      n = 64;
      m >>= 64;
    }
  }
  std::uint64_t v = static_cast<std::uint64_t>(m);
  for (int step = 32; step > 0; step /= 2) {
    if ((v >> step) != 0) {
      n += step;
      v >>= step;
    }
  }
  return n + (v != 0 ? 1 : 0);
}

/// magnitude * 2^shift as an integer; bits below are cut or rounded to nearest even.
template <class Mag>
FP4LAB_HD constexpr std::int64_t shifted(Mag m, int shift, AlignRound round) noexcept {
  constexpr int width = static_cast<int>(sizeof(Mag)) * 8;
  if (m == 0) return 0;  // the exponent of a zero product is anything
  if (shift >= 0) return static_cast<std::int64_t>(m << shift);
  const int right = -shift;
  if (right > width) return 0;
  if (right == width) {
    const Mag half = Mag(1) << (width - 1);
    return round == AlignRound::nearest_even && m > half ? 1 : 0;
  }
  std::int64_t kept = static_cast<std::int64_t>(m >> right);
  if (round == AlignRound::nearest_even) {
    const Mag rest = m & ((Mag(1) << right) - 1), half = Mag(1) << (right - 1);
    if (rest > half || (rest == half && (kept & 1) != 0)) ++kept;
  }
  return kept;
}

}  // namespace detail

/// Rounds (-1)^negative * m * 2^q, m != 0, to an IEEE format of `exponent_bits`, keeping `fraction`
/// of its `stored` mantissa bits; toward zero or to nearest even. Overflow gives infinity in both.
/// A magnitude that rounds to zero gives +0, or -0 where `keep_sign`.
FP4LAB_HD constexpr std::uint32_t round_sum(bool negative, std::uint64_t m, std::int32_t q,
                                            int exponent_bits, int stored, int fraction,
                                            bool nearest, bool keep_sign = false) noexcept {
  const std::int32_t bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t infinity = ((1u << exponent_bits) - 1u) << stored;
  const std::uint32_t sign = negative ? 1u << (exponent_bits + stored) : 0u;
  std::int32_t e = q + detail::bit_length(m) - 1;
  if (e > bias) return sign | infinity;
  if (e < 1 - bias) e = 1 - bias;
  const std::int32_t shift = q - (e - fraction);
  std::uint64_t kept = static_cast<std::uint64_t>(
      detail::shifted(m, shift, nearest ? AlignRound::nearest_even : AlignRound::truncate));
  if (kept == 0) return keep_sign ? sign : 0u;
  // Adding the binade's first pattern carries from subnormal to normal and into the next binade.
  const std::uint32_t binade = static_cast<std::uint32_t>(e + bias - 1) << stored;
  const std::uint32_t pattern = binade + (static_cast<std::uint32_t>(kept) << (stored - fraction));
  return sign | (pattern > infinity ? infinity : pattern);
}

/// The last step of a fused sum: S * 2^q to the output's bits.
FP4LAB_HD constexpr std::uint32_t round_output(OutRound out, std::int64_t s,
                                               std::int32_t q) noexcept {
  if (s == 0) return 0;
  const bool negative = s < 0;
  const std::uint64_t m =
      negative ? 0 - static_cast<std::uint64_t>(s) : static_cast<std::uint64_t>(s);
  switch (out) {
    case OutRound::f16_rne:
      return round_sum(negative, m, q, 5, 10, 10, true);
    case OutRound::e8m13_rz:
      return round_sum(negative, m, q, 8, 23, 13, false);
    case OutRound::f32_rne:
      return round_sum(negative, m, q, 8, 23, 23, true);
    case OutRound::f32_rz:
      break;
  }
  return round_sum(negative, m, q, 8, 23, 23, false);
}

/// What happened inside one fused sum.
struct FusedResult {
  std::int32_t exponent = 0;  ///< the largest exponent E
  std::int32_t quantum = 0;   ///< Q = E - F
  std::int64_t sum = 0;       ///< S, in units of 2^Q
  std::uint32_t bits = 0;     ///< S * 2^Q rounded to the output
};

/// One term's integer in units of 2^Q.
template <class Mag>
FP4LAB_HD constexpr std::int64_t aligned(const FusedSum& fs, const MmaTerm<Mag>& t,
                                         std::int32_t quantum) noexcept {
  const std::int64_t v = detail::shifted(t.magnitude, t.quantum - quantum, fs.align);
  return t.negative ? -v : v;
}

/// Fused sum of n finite products, `term(0)` .. `term(n - 1)`, and c. Every term's magnitude is cut
/// at 2^(E - F) on its own, the integers are added exactly, in no order, and the sum is rounded
/// once. An exact zero and a result that rounds to zero are +0.
template <class Term, class Mag>
FP4LAB_HD constexpr FusedResult fused_sum(const FusedSum& fs, Term&& term, int n,
                                          const MmaTerm<Mag>& c) noexcept {
  const bool zeros_count = fs.zero == ZeroRule::mmasim;
  std::int32_t e = fs.floor;
  bool any = c.magnitude != 0;
  if ((any || zeros_count) && c.exponent > e) e = c.exponent;
  for (int i = 0; i < n; ++i) {
    const MmaTerm<Mag> t = term(i);
    const bool nonzero = t.magnitude != 0;
    any = any || nonzero;
    if ((nonzero || zeros_count) && t.exponent > e) e = t.exponent;
  }
  FusedResult r;
  if (!any) return r;
  r.exponent = e;
  r.quantum = e - fs.fraction_bits;
  r.sum = aligned(fs, c, r.quantum);
  for (int i = 0; i < n; ++i) r.sum += aligned(fs, term(i), r.quantum);
  r.bits = round_output(fs.out, r.sum, r.quantum);
  return r;
}

/// Gives zero operands the exponent that MMA-Sim's code gives them.
FP4LAB_HD constexpr MmaOperand with_zero_rule(MmaOperand x, ZeroRule rule) noexcept {
  if (rule == ZeroRule::mmasim && x.finite() && x.significand == 0) x.exponent = -126;
  return x;
}

}  // namespace fp4lab
