// One block: choose its scale, encode its elements, decode them again. The dispatch over schemes,
// rules and profiles lives here; the arithmetic of each in scale_rule.h, two_level.h and
// reference_profiles.h.
#pragma once

#include <cstdint>

#include "formats/block.h"
#include "formats/catalog.h"
#include "formats/convert.h"
#include "formats/host_device.h"
#include "formats/quant_spec.h"
#include "formats/reference_profiles.h"
#include "formats/scale_rule.h"
#include "formats/two_level.h"

namespace fp4lab {

/// IF4's integer candidates are scaled by 7/6 going in and 6/7 coming out; both constants are the
/// decimals of the reference code, not the fractions.
inline constexpr float kIf4In = 1.16666666f;
inline constexpr float kIf4Out = 0.8571428571f;

namespace detail {

/// The element format a block's choice selects.
FP4LAB_HD constexpr ElementFormat chosen_element(const QuantSpec& spec, std::uint8_t choice) {
  switch (spec.scheme) {
    case Scheme::if4:
      return choice != 0 ? twos_complement(4, -7, 7) : minifloat(2, 1, 1);
    case Scheme::razer: {
      // E2M1 with the code of -0 re-used: +5, -5, +8, -8.
      ElementFormat f = spec.element;
      const float special = choice < 2 ? 5.0f : 8.0f;
      f.table.set(8, bits_as<std::uint32_t>((choice & 1) != 0 ? -special : special));
      return f;
    }
    default:
      return spec.element;
  }
}

/// DialectFP4's magnitude of index i in half-units.
FP4LAB_HD constexpr int dialect_half_units(unsigned id, unsigned i) noexcept {
  constexpr std::uint64_t packed[16] = {0xFB643210ull, 0xF9643210ull, 0xEB643210ull, 0xE9643210ull,
                                        0xDA643210ull, 0xD8643210ull, 0xCA643210ull, 0xC8643210ull,
                                        0xB9643210ull, 0xB7643210ull, 0xA9643210ull, 0xA7643210ull,
                                        0x98643210ull, 0x97643210ull, 0x87643210ull, 0x86543210ull};
  return static_cast<int>((packed[id] >> (4 * i)) & 15u);
}

/// The rounding a candidate is judged with: stochastic modes are judged by nearest-even.
FP4LAB_HD constexpr Rounding trial_rounding(const Rounding& r) noexcept {
  return r.is_stochastic() ? nearest_even() : r;
}

/// Bit positions of HiF4's micro-exponents in its 32-bit scale word: bits 0..7 E6M2, bits 8..15 one
/// a group of 8, bits 16..31 one a group of 4.
FP4LAB_HD constexpr float hif4_scale(const QuantSpec& spec, std::uint32_t word,
                                     std::uint32_t column) noexcept {
  const int shift = static_cast<int>((word >> (8 + column / 8)) & 1u) +
                    static_cast<int>((word >> (16 + column / 4)) & 1u);
  return mul_rn(fp4lab::decode_any(spec.scale.format, word & 0xFFu), pow2_f32(shift));
}

}  // namespace detail

/// Code of element `x` (column `c` of its block) under a chosen scale; `word` is its random word.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr std::uint32_t encode_element(const QuantSpec& spec,
                                                                        const BlockScale& b,
                                                                        float x, std::uint32_t c,
                                                                        const Rounding& r,
                                                                        std::uint32_t word) {
  if (b.poisoned)
    return encode_any(detail::chosen_element(spec, b.choice), x, r, spec.policy, word);
  if (b.zero_codes) return 0;
  switch (spec.scheme) {
    case Scheme::hif4: {
      if (b.apply == Apply::none) return encode_any(spec.element, x, r, spec.policy, word);
      const float s = detail::hif4_scale(spec, b.code, c);
      return encode_any(spec.element, div_rn(x, s), r, spec.policy, word);
    }
    case Scheme::if4:
      if (b.choice != 0) {
        return encode_any(detail::chosen_element(spec, 1), mul_rn(b.scaled(x), kIf4In), r,
                          spec.policy, word);
      }
      return encode_any(detail::chosen_element(spec, 0), b.scaled(x), r, spec.policy, word);
    case Scheme::razer:
      return encode_any(detail::chosen_element(spec, b.choice), b.scaled(x), r, spec.policy, word);
    case Scheme::dialect: {
      // Half-units first, then the nearest entry of the dialect, the lower one on a tie.
      const float half = mul_rn(2.0f, abs_bits(b.scaled(x)));
      int units = static_cast<int>(detail::rint_even(half > 15.0f ? 15.0f : half));
      unsigned best = 0;
      int best_distance = 99;
      for (unsigned i = 0; i < 8; ++i) {
        int d = detail::dialect_half_units(b.choice, i) - units;
        d = d < 0 ? -d : d;
        if (d < best_distance) {
          best_distance = d;
          best = i;
        }
      }
      return best | (sign_bit(x) ? 8u : 0u);
    }
    default:
      break;
  }
  const float v = b.scaled(x);
  switch (spec.profile) {
    case Profile::microxcaling:
      return encode_any(spec.element, microxcaling_value(spec.element, v, r), nearest_even(),
                        spec.policy);
    case Profile::microxcaling_cuda: {
      const std::uint32_t code = encode_any(spec.element, v, r, spec.policy, word);
      return code == spec.element.sign_mask() && spec.element.has_negative_zero() ? 0u : code;
    }
    case Profile::tetrajet: {
      const bool noise = r.is_stochastic();
      const float u = mul_rn(static_cast<float>(word >> 8), 0x1p-24f);
      const float q = tetrajet_value(spec.element, x, b.decode,
                                     noise ? TetrajetElement::noise : TetrajetElement::nearest,
                                     noise ? sub_rn(u, 0.5f) : 0.0f, TetrajetOptions{});
      return encode_any(spec.element, q, nearest_even(), spec.policy);
    }
    case Profile::modelopt:
    case Profile::quartet:
      // Their sign is taken from comparisons that count zero as negative.
      if (spec.scheme == Scheme::mx && x == 0.0f) return spec.element.sign_mask();
      break;
    case Profile::fouroversix:
      if (spec.clamp) {
        const float top = qmax(spec.element);
        return encode_any(spec.element, v > top ? top : v < -top ? -top : v, r, spec.policy, word);
      }
      break;
    default:
      break;
  }
  if (spec.element.kind == FormatKind::minifloat && !spec.element.is_signed &&
      spec.element.exponent_bits == 0 && spec.scheme == Scheme::plain && b.apply == Apply::divide) {
    // Asymmetric integers: round the signed quotient, then add the zero point.
    const float top = max_value(spec.element);
    float magnitude = abs_bits(v);
    if (magnitude > 65536.0f) magnitude = 65536.0f;
    const ElementFormat wide = detail::twos_complement(16, -32767, 32767);
    const std::int32_t q = static_cast<std::int32_t>(decode_f64(
        wide, encode_any(wide, sign_bit(v) ? -magnitude : magnitude, r, Policy::cuda, word)));
    const std::int32_t z = q + b.zero_point;
    return static_cast<std::uint32_t>(z < 0                       ? 0
                                      : z > static_cast<int>(top) ? static_cast<int>(top)
                                                                  : z);
  }
  return encode_any(spec.element, v, r, spec.policy, word);
}

/// A block's scale as its stored code says it, for decoding: `decode`, `choice`, `poisoned`.
FP4LAB_HD constexpr BlockScale scale_from_code(const QuantSpec& spec, std::uint32_t code,
                                               std::int32_t zero_point = 0) {
  BlockScale b;
  b.code = code;
  b.zero_point = zero_point;
  b.apply = Apply::divide;
  switch (spec.scheme) {
    case Scheme::dialect:
      b.choice = static_cast<std::uint8_t>(code >> 5 & 15u);
      b.decode = pow2_f32(static_cast<int>(code & 31u) - 15);
      return b;
    case Scheme::razer:
      b.choice = static_cast<std::uint8_t>(
          (code >> 7 & 1u) | (spec.scale.format.bits <= 6 ? code >> 6 & 1u : 0u) << 1);
      break;
    case Scheme::if4:
      b.choice = static_cast<std::uint8_t>(code >> 7 & 1u);
      break;
    case Scheme::hif4:
      b.decode = decode_any(spec.scale.format, code & 0xFFu);
      b.poisoned = is_nan(b.decode);
      return b;
    default:
      break;
  }
  b.decode = spec.scale.kind == ScaleFormat::Kind::coded ? decode_any(spec.scale.format, code)
                                                         : bits_as<float>(code);
  b.poisoned = is_nan(b.decode);
  return b;
}

/// Value of a code under its scale, without the global factor.
FP4LAB_HD constexpr float scaled_value(const QuantSpec& spec, const BlockScale& b,
                                       std::uint32_t code, std::uint32_t c) {
  switch (spec.scheme) {
    case Scheme::hif4:
      if (b.apply == Apply::none) break;
      return mul_rn(decode_any(spec.element, code), detail::hif4_scale(spec, b.code, c));
    case Scheme::if4: {
      const float value = decode_any(detail::chosen_element(spec, b.choice), code);
      return mul_rn(value, b.choice != 0 ? mul_rn(b.decode, kIf4Out) : b.decode);
    }
    case Scheme::razer:
      return mul_rn(decode_any(detail::chosen_element(spec, b.choice), code), b.decode);
    case Scheme::dialect: {
      const float m = 0.5f * static_cast<float>(detail::dialect_half_units(b.choice, code & 7u));
      return mul_rn((code & 8u) != 0 ? -m : m, b.decode);
    }
    default:
      break;
  }
  if (b.zero_point != 0) {
    const int q = static_cast<int>(code) - b.zero_point;
    return mul_rn(static_cast<float>(q), b.decode);
  }
  return mul_rn(decode_any(spec.element, code), b.decode);
}

/// Dequantized value of a code: fl(fl(value s) g), torchao fl(value fl(g s)). NaNs come out
/// canonical.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr float dequantize_element(const QuantSpec& spec,
                                                                    const BlockScale& b,
                                                                    const GlobalFactor& g,
                                                                    std::uint32_t code,
                                                                    std::uint32_t c) {
  float y;
  if (spec.profile == Profile::torchao && spec.scheme == Scheme::nv) {
    y = mul_rn(decode_any(spec.element, code), mul_rn(g.decode, b.decode));
  } else if (spec.global == GlobalScope::row_block128) {
    // A global factor that varies along k belongs to the block scale.
    BlockScale folded = b;
    folded.decode = mul_rn(b.decode, g.decode);
    y = scaled_value(spec, folded, code, c);
  } else {
    y = scaled_value(spec, b, code, c);
    if (spec.has_global()) y = mul_rn(y, g.decode);
  }
  return is_nan(y) ? canonical_nan() : y;
}

/// Squared error of a block under a candidate scale: binary64, row-major order.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr double squared_error(const QuantSpec& spec,
                                                                const BlockScale& b,
                                                                const GlobalFactor& g,
                                                                const BlockView& view) {
  const Rounding r = detail::trial_rounding(spec.round);
  double sum = 0.0;
  for (std::uint32_t i = 0; i < view.rows; ++i) {
    for (std::uint32_t c = 0; c < view.cols; ++c) {
      const float x = view.at(i, c);
      const std::uint32_t code = encode_element(spec, b, x, c, r, 0);
      const double e =
          static_cast<double>(x) - static_cast<double>(dequantize_element(spec, b, g, code, c));
      sum += e * e;
    }
  }
  return sum;
}

}  // namespace fp4lab
