// The oracle's dot products: every way of summing, written from its definition with exact numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "tests/oracle/rational.h"

namespace fp4lab_oracle {

/// One element of an operand's row.
struct Factor {
  Number value;           // v
  Number scale;           // s, 1 without scales
  std::size_t block = 0;  // which scale it has
  int value_emin = -126;  // exponent of the lowest normal binade of the value's format
  int scale_emin = -126;  // ... of the scale's
};
using Row = std::vector<Factor>;

/// A finite number; a zero is +0.
Number finite(const Rational& r);
/// IEEE-754 operations in `layout`: one rounding to nearest even, signed zeros, infinities, NaN.
Number add(const Number& a, const Number& b, IeeeLayout layout);
Number multiply(const Number& a, const Number& b, IeeeLayout layout);
Number fma(const Number& a, const Number& b, const Number& c, IeeeLayout layout);
/// The pattern of a number of that layout; NaN gives 7FC00000 in binary32, 7FFF in 16 bits.
std::uint32_t pattern(const Number& x, IeeeLayout layout);

/// Every factor exactly, c too, one rounding to binary32.
Number sum_exact(const Row& a, const Row& b, const Number& ga, const Number& gb, const Number& c);
/// y = fma(RN32(S), fl(sA sB), y) a segment; S a binary64 sum.
Number sum_block_exact(const Row& a, const Row& b);
/// y = fl(y + fl(fl(sA sB) d)); d a binary32 sum of fl(vA vB).
Number sum_fp32_block(const Row& a, const Row& b);
Number sum_fp32_seq(const Row& a, const Row& b, const Number& c);
Number sum_fp32_fma(const Row& a, const Row& b, const Number& c);
Number sum_fp32_tree(const Row& a, const Row& b, std::size_t leaf);
Number sum_fp32_split(const Row& a, const Row& b, std::size_t parts);
/// `inner` on each run of n, partial sums added in binary32 from +0.
Number sum_promote(const Row& a, const Row& b, std::size_t n,
                   const std::function<Number(const Row&, const Row&)>& inner);
/// s = RN(s + RN(x)) a chunk, chunk sums added, all in `layout`.
Number sum_chunk(const Row& a, const Row& b, IeeeLayout layout, std::size_t length);
/// s = RN(s + x), x exact.
Number sum_short(const Row& a, const Row& b, IeeeLayout layout, const Number& c);
/// The same with stochastic rounding: the discarded part of the magnitude, cut to `bits` bits of
/// the last place, plus word(k), carries away from zero.
Number sum_short_stochastic(const Row& a, const Row& b, IeeeLayout layout, int bits,
                            const Number& c, const std::function<std::uint32_t(std::size_t)>& word);

/// Parameters of a truncating fused sum.
struct Fused {
  int fraction_bits = 25;
  bool has_floor = false;
  int floor = 0;
  enum class Out { kF32Rz, kF16Rne, kE8m13Rz, kF32Rne } out = Out::kF32Rz;
  bool nearest_alignment = false;
};
/// One fused sum of all of a, b and c; bits of binary32 or binary16.
std::uint32_t fused_sum(const Row& a, const Row& b, const Number& c, const Fused& f);
/// Runs of `terms`, the result of one being the c of the next.
std::uint32_t fused_chain(const Row& a, const Row& b, const Number& c, const Fused& f,
                          std::size_t terms);
/// FP4: exact sums of 16 products times both scales, aligned by the scales' exponents; groups of
/// one instruction are fused, instructions of k chained.
std::uint32_t fp4_chain(const Row& a, const Row& b, const Number& c, const Fused& f, std::size_t k);
/// FP8 through FP16: k mod 4 in {0, 1}, then {2, 3}, from +0; then c is added by IEEE rules.
std::uint32_t fp8_through_f16(const Row& a, const Row& b, const Number& c, const Fused& f);

/// A binary32 pattern with the NaN that tensor cores store.
std::uint32_t hardware_pattern(const Number& x);
/// CDNA1: balanced trees of binary32 additions over groups, each added to the accumulator; CDNA2
/// (`flush`) with subnormal inputs read as +0 and subnormal sums as zeros of their sign.
std::uint32_t amd_tree(const Row& a, const Row& b, const Number& c, std::size_t group, bool flush);
/// Exact sum of each group and the accumulator, one rounding.
std::uint32_t amd_exact(const Row& a, const Row& b, const Number& c, std::size_t group);
/// CDNA3: products cut below their own largest exponent, then floored together with c. FP8 (`fp8`)
/// sums even and odd places apart. Zero factors count as exponent -126.
std::uint32_t amd_two_stage(const Row& a, const Row& b, const Number& c, std::size_t group,
                            bool fp8);

}  // namespace fp4lab_oracle
