// The arithmetic of one matrix-multiply-accumulate instruction, for one output element: bits in,
// bits out, integers in between. Host and device.
//
// The rules were measured on an H100 (tests/golden/h100_mma) or are those of MMA-Sim
// (arXiv:2511.10909) and of the MATLAB tensor-core models (arXiv:2512.07004); each preset says
// which (mma_presets.h).
#pragma once

#include <cstdint>

#include "formats/host_device.h"
#include "sim/fma.h"
#include "sim/mma_fused_sum.h"

namespace fp4lab {

/// Families of instructions.
enum class MmaKind : std::uint8_t {
  fused_sum,         ///< K / terms fused sums in ascending k, the first takes c
  block_scaled,      ///< a fused sum whose products carry the exponents of UE8M0 scales
  fp4_groups,        ///< exact sums of 16 products, scaled, aligned by the scales' exponents
  fp8_as_f16,        ///< FP8 widened to FP16, two fused sums, then one IEEE addition of c
  fma_chain,         ///< one IEEE fma a product
  amd_tree,          ///< CDNA1: balanced tree of binary32 additions a group, then one to acc
  amd_tree_flush,    ///< CDNA2: the same with subnormals flushed
  amd_exact_group,   ///< exact sum of a group and acc, one RNE
  amd_two_stage,     ///< CDNA3 f16, bf16, xf32
  amd_two_stage_f8,  ///< CDNA3 FP8: even and odd products apart
};

/// Parameters of an instruction for one output element. A plain record, usable in kernels.
struct MmaParams {
  MmaKind kind = MmaKind::fused_sum;
  std::int32_t k = 16;  ///< products an instruction
  FusedSum fused{};
  std::int32_t scale_block = 0;  ///< k a block scale covers; 0 = no block scales
  bool f16_accumulator = false;  ///< c and the result are binary16
};

inline constexpr int kMaxInstructionK = 96;
inline constexpr int kMaxScales = 6;

namespace detail {

/// Binary32 sum of binary32 or binary16 numbers, rounded to binary32 or binary16 once.
FP4LAB_HD constexpr std::uint32_t ieee_add(bool half, std::uint32_t x, std::uint32_t y) noexcept {
  const MmaOperand a = half ? decode_operand_f16(x) : decode_operand_f32(x);
  const MmaOperand b = half ? decode_operand_f16(y) : decode_operand_f32(y);
  MmaSpecials special;
  special.add(a);
  special.add(b);
  if (special.any()) return special.bits(half);
  if (!half) {
    return bits_as<std::uint32_t>(add_rn(bits_as<float>(x), bits_as<float>(y)));
  }
  const double v =
      static_cast<double>(a.significand) * pow2_f64(a.exponent - 10) * (a.negative() ? -1.0 : 1.0) +
      static_cast<double>(b.significand) * pow2_f64(b.exponent - 10) *
          (b.negative() ? -1.0 : 1.0);  // exact: 42 bits at most
  if (v == 0.0) return a.negative() && b.negative() ? 0x8000u : 0u;
  const Magnitude m = magnitude_of(v);
  return round_sum(v < 0.0, m.sig, m.exp, 5, 10, 10, true, true);
}

/// floor(s * 2^shift), the binary point of CDNA3's second stage.
FP4LAB_HD constexpr std::int64_t floor_shift(std::int64_t s, int shift) noexcept {
  if (shift >= 0) return s * (std::int64_t{1} << shift);
  return shift <= -63 ? (s < 0 ? -1 : 0) : s >> -shift;
}

/// Products aligned to their own largest exponent and cut to F fraction bits.
struct AmdSum {
  std::int32_t exponent = 0;
  std::int64_t sum = 0;
};
FP4LAB_HD constexpr AmdSum amd_sum(const FusedSum& fs, const MmaOperand* a, const MmaOperand* b,
                                   int n, int step) noexcept {
  AmdSum r{-2000000, 0};
  for (int i = 0; i < n; i += step) {
    const bool zero = a[i].significand == 0 || b[i].significand == 0;
    if (zero && fs.zero == ZeroRule::ignore) continue;
    const std::int32_t e =
        with_zero_rule(a[i], fs.zero).exponent + with_zero_rule(b[i], fs.zero).exponent;
    if (e > r.exponent) r.exponent = e;
  }
  for (int i = 0; i < n; i += step) {
    r.sum += aligned(fs, product_term(a[i], b[i]), r.exponent - fs.fraction_bits);
  }
  return r;
}

FP4LAB_HD constexpr std::uint32_t amd_two_stage(const MmaParams& p, const MmaOperand* a,
                                                const MmaOperand* b, int n,
                                                std::uint32_t c_bits) noexcept {
  const FusedSum& fs = p.fused;
  const MmaOperand c = with_zero_rule(decode_operand_f32(c_bits), fs.zero);
  MmaSpecials special;
  special.add(c);
  MmaSpecials large;
  for (int i = 0; i < n; ++i) {
    special.add_product(a[i], b[i]);
    if (!a[i].finite() || !b[i].finite()) continue;
    const MmaTerm<> t = product_term(a[i], b[i]);
    if (t.magnitude != 0 && t.quantum + bit_length(t.magnitude) - 1 >= 128) {
      large.add_infinity(t.negative);  // a product beyond the binary32 range is an infinity here
    }
  }
  if (special.any()) return special.bits(false);
  if (large.any()) return large.bits(false);

  AmdSum s;
  if (p.kind == MmaKind::amd_two_stage_f8) {
    const AmdSum even = amd_sum(fs, a, b, n, 2), odd = amd_sum(fs, a + 1, b + 1, n - 1, 2);
    s.exponent = even.exponent > odd.exponent ? even.exponent : odd.exponent;
    s.sum = floor_shift(even.sum, even.exponent - s.exponent) +
            floor_shift(odd.sum, odd.exponent - s.exponent);
  } else {
    s = amd_sum(fs, a, b, n, 1);
  }
  const std::int32_t e = s.exponent > c.exponent ? s.exponent : c.exponent;
  // Units of 2^(e-31): the products keep 31 bits below the larger exponent, c keeps 24.
  std::int64_t total = floor_shift(s.sum, 31 - fs.fraction_bits + s.exponent - e);
  const bool drop_c = p.kind == MmaKind::amd_two_stage_f8 && c.exponent < e - 25;
  if (!drop_c) {
    const std::int64_t m = c.negative() ? -static_cast<std::int64_t>(c.significand)
                                        : static_cast<std::int64_t>(c.significand);
    total += floor_shift(m, 24 - c.precision + c.exponent - e) * 128;
  }
  if (total == 0) return 0;
  const bool negative = total < 0;
  const std::uint64_t m =
      negative ? 0 - static_cast<std::uint64_t>(total) : static_cast<std::uint64_t>(total);
  return round_sum(negative, m, e - 31, 8, 23, 23, true, true);
}

FP4LAB_HD constexpr float operand_as_float(const MmaOperand& x) noexcept {
  if (x.nan()) return canonical_nan();
  const double v = x.infinite()
                       ? static_cast<double>(kFloatInf)
                       : static_cast<double>(x.significand) * pow2_f64(x.exponent - x.precision);
  return static_cast<float>(x.negative() ? -v : v);
}

FP4LAB_HD constexpr float flush_subnormal(float x, bool flush, bool keep_sign) noexcept {
  if (!flush || !(abs_bits(x) < kFloatMinNormal)) return x;
  return keep_sign && sign_bit(x) ? -0.0f : 0.0f;
}

/// A subnormal of its own format read as +0.
FP4LAB_HD constexpr MmaOperand flush_input(MmaOperand x, bool flush) noexcept {
  if (!flush || !x.finite() || x.significand >= (1u << x.precision)) return x;
  x.significand = 0;
  x.flags = 0;
  return x;
}

/// Balanced tree over a group of 1, 2 or 4 products, every node one binary32 addition.
FP4LAB_HD constexpr float amd_tree_node(const MmaOperand* a, const MmaOperand* b, int n,
                                        bool flush) noexcept {
  float v = 0.0f;
  if (n == 1) {
    const float x = operand_as_float(flush_input(a[0], flush)),
                y = operand_as_float(flush_input(b[0], flush));
    v = fma_rn(x, y, 0.0f);
  } else {
    v = add_rn(amd_tree_node(a, b, n / 2, flush),
               amd_tree_node(a + n / 2, b + n / 2, n - n / 2, flush));
  }
  return flush_subnormal(v, flush, true);
}

}  // namespace detail

/// Product k of an instruction of kind fused_sum or block_scaled: the scales' exponents shift it.
FP4LAB_HD constexpr MmaTerm<> instruction_term(const MmaParams& p, const MmaOperand* a,
                                               const MmaOperand* b, const MmaOperand* scale_a,
                                               const MmaOperand* scale_b, int k) noexcept {
  MmaTerm<> t =
      product_term(with_zero_rule(a[k], p.fused.zero), with_zero_rule(b[k], p.fused.zero));
  if (p.kind == MmaKind::block_scaled) {
    const int shift = scale_a[k / p.scale_block].exponent + scale_b[k / p.scale_block].exponent;
    t.exponent += shift;
    t.quantum += shift;
  }
  return t;
}

/// Group g of an FP4 instruction: the exact sum of its 16 products times both scales. It is aligned
/// by the exponents of the scales alone.
FP4LAB_HD constexpr MmaTerm<> fp4_group_term(const MmaParams& p, const MmaOperand* a,
                                             const MmaOperand* b, MmaOperand scale_a,
                                             MmaOperand scale_b, int g) noexcept {
  std::int64_t quarters = 0;
  for (int k = 16 * g; k < 16 * g + 16; ++k) {
    const MmaTerm<> t = product_term(a[k], b[k]);
    const std::int64_t v = static_cast<std::int64_t>(t.magnitude << (t.quantum + 2));
    quarters += t.negative ? -v : v;
  }
  const MmaOperand sa = with_zero_rule(scale_a, p.fused.zero);
  const MmaOperand sb = with_zero_rule(scale_b, p.fused.zero);
  MmaTerm<> t;
  t.negative = quarters < 0;
  t.magnitude = static_cast<std::uint64_t>(t.negative ? -quarters : quarters) * sa.significand *
                sb.significand;
  t.exponent = sa.exponent + sb.exponent;
  t.quantum = t.exponent - sa.precision - sb.precision - 2;
  return t;
}

/// The i-th k of either half of the widened FP8 instruction: k mod 4 in {0, 1}, then {2, 3}.
FP4LAB_HD constexpr int fp8_as_f16_order(int half, int i) noexcept {
  return 4 * (i / 2) + 2 * half + i % 2;
}

namespace detail {

/// Exact sum of FP16 products and a binary32, rounded once to nearest even.
FP4LAB_HD constexpr std::uint32_t exact_f16_group(const MmaOperand* a, const MmaOperand* b, int n,
                                                  std::uint32_t c_bits) noexcept {
  MmaSpecials special;
  special.add(decode_operand_f32(c_bits));
  uint128 plus = 0, minus = 0;  // in units of 2^-48; 80 bits and a few
  for (int i = 0; i < n; ++i) {
    special.add_product(a[i], b[i]);
    const MmaTerm<> t = product_term(a[i], b[i]);
    if (!a[i].finite() || !b[i].finite()) continue;
    (t.negative ? minus : plus) += static_cast<uint128>(t.magnitude) << (t.quantum + 48);
  }
  if (special.any()) return special.bits(false);
  const bool negative = plus < minus;
  const uint128 m = negative ? minus - plus : plus - minus;
  // Two binary64 numbers hold it; the part of c + high that was lost joins the low one.
  const double sign = negative ? -0x1p-48 : 0x1p-48;
  const double high = static_cast<double>(static_cast<std::uint64_t>(m >> 40)) * 0x1p40 * sign;
  const double low = static_cast<double>(static_cast<std::uint64_t>(m & 0xFFFFFFFFFFull)) * sign;
  const double c = static_cast<double>(bits_as<float>(c_bits));
  const double t = c + high;
  const double part = t - c;
  const double lost = (c - (t - part)) + (high - part);
  const double v = add_odd(t, add_odd(lost, low));
  return v == 0.0 ? 0u : bits_as<std::uint32_t>(static_cast<float>(v));
}

}  // namespace detail

/// c + sum of one instruction's k products for one output element. `a`, `b` hold p.k decoded
/// operands (a tail is padded with zeros), `scale_a`, `scale_b` one decoded scale a scale block;
/// of fp4_groups only the first `groups` groups of 16 take part (the rest is padding).
FP4LAB_HD constexpr std::uint32_t mma_dot(const MmaParams& p, const MmaOperand* a,
                                          const MmaOperand* b, const MmaOperand* scale_a,
                                          const MmaOperand* scale_b, int groups,
                                          std::uint32_t c_bits) noexcept {
  const FusedSum& fs = p.fused;
  switch (p.kind) {
    case MmaKind::fused_sum:
    case MmaKind::block_scaled: {
      std::uint32_t acc = c_bits;
      for (std::int32_t base = 0; base < p.k; base += fs.terms) {
        const MmaOperand c = with_zero_rule(
            p.f16_accumulator ? decode_operand_f16(acc) : decode_operand_f32(acc), fs.zero);
        MmaSpecials special;
        special.add(c);
        for (std::int32_t k = base; k < base + fs.terms; ++k) {
          special.add_product(a[k], b[k]);
          if (p.kind == MmaKind::block_scaled) {
            special.nan =
                special.nan || scale_a[k / p.scale_block].nan() || scale_b[k / p.scale_block].nan();
          }
        }
        const auto term = [&](int i) {
          return instruction_term(p, a, b, scale_a, scale_b, base + i);
        };
        acc = special.any() ? special.bits(p.f16_accumulator)
                            : fused_sum(fs, term, fs.terms, single_term(c)).bits;
      }
      return acc;
    }
    case MmaKind::fp4_groups: {
      const MmaOperand c = with_zero_rule(decode_operand_f32(c_bits), fs.zero);
      MmaSpecials special;
      special.add(c);
      MmaTerm<> terms[kMaxScales];
      for (int g = 0; g < groups; ++g) {
        const MmaOperand& sa = scale_a[16 * g / p.scale_block];
        const MmaOperand& sb = scale_b[16 * g / p.scale_block];
        special.nan = special.nan || sa.nan() || sb.nan();
        terms[g] = fp4_group_term(p, a, b, sa, sb, g);
      }
      if (special.any()) return special.bits(false);
      const auto term = [&](int i) { return terms[i]; };
      return fused_sum(fs, term, groups, single_term(c)).bits;
    }
    case MmaKind::fp8_as_f16: {
      std::uint32_t acc = 0;
      for (int half = 0; half < 2; ++half) {
        const MmaOperand c = p.f16_accumulator ? decode_operand_f16(acc) : decode_operand_f32(acc);
        MmaSpecials special;
        special.add(c);
        for (int i = 0; i < p.k / 2; ++i) {
          const int k = fp8_as_f16_order(half, i);
          special.add_product(a[k], b[k]);
        }
        const auto term = [&](int i) {
          const int k = fp8_as_f16_order(half, i);
          return product_term(widen_to_f16(a[k]), widen_to_f16(b[k]));
        };
        acc = special.any() ? special.bits(p.f16_accumulator)
                            : fused_sum(fs, term, p.k / 2, single_term(c)).bits;
      }
      return detail::ieee_add(p.f16_accumulator, acc, c_bits);
    }
    case MmaKind::fma_chain: {
      float acc = bits_as<float>(c_bits);
      for (std::int32_t k = 0; k < p.k; ++k) {
        acc = fma_rn(detail::operand_as_float(a[k]), detail::operand_as_float(b[k]), acc);
      }
      return is_nan(acc) ? detail::kMmaNan32 : bits_as<std::uint32_t>(acc);
    }
    case MmaKind::amd_tree:
    case MmaKind::amd_tree_flush: {
      const bool flush = p.kind == MmaKind::amd_tree_flush;
      float acc = detail::flush_subnormal(bits_as<float>(c_bits), flush, false);
      for (std::int32_t base = 0; base < p.k; base += fs.terms) {
        acc = add_rn(acc, detail::amd_tree_node(a + base, b + base, fs.terms, flush));
        acc = detail::flush_subnormal(acc, flush, true);
      }
      return is_nan(acc) ? detail::kMmaNan32 : bits_as<std::uint32_t>(acc);
    }
    case MmaKind::amd_exact_group: {
      std::uint32_t acc = c_bits;
      for (std::int32_t base = 0; base < p.k; base += fs.terms) {
        acc = detail::exact_f16_group(a + base, b + base, fs.terms, acc);
      }
      return acc;
    }
    case MmaKind::amd_two_stage:
    case MmaKind::amd_two_stage_f8: {
      std::uint32_t acc = c_bits;
      for (std::int32_t base = 0; base < p.k; base += fs.terms) {
        acc = detail::amd_two_stage(p, a + base, b + base, fs.terms, acc);
      }
      return acc;
    }
  }
  return c_bits;
}

/// One f64 MMA output: a chain of binary64 fma, k ascending, as every generation computes it.
/// The fma is correctly rounded.
double mma_dot_f64(const double* a, const double* b, int k, double c) noexcept;

}  // namespace fp4lab
