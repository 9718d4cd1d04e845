// Scale rules that look at one block: the real-valued ones (formats.md 3.3) and the power-of-two
// rules of the MX formats (3.4). Two-level formats are in two_level.h.
#pragma once

#include <cstdint>

#include "formats/block.h"
#include "formats/convert.h"
#include "formats/element_format.h"
#include "formats/host_device.h"
#include "formats/quant_spec.h"

namespace fp4lab {

/// What scaling does to an element before its cast.
enum class Apply : std::uint8_t {
  multiply,     ///< v = fl(x * factor)
  divide,       ///< v = fl(x / factor)
  multiply_34,  ///< v = fl(0.75 * fl(x * factor)) (tseng34)
  none,         ///< v = x
};

/// The scale chosen for a block. `decode` is s of "value * s (* g)".
struct BlockScale {
  std::uint32_t code = 0;  ///< scale code; binary32 bits for fp32 and pow2 scales
  float decode = 0.0f;
  float factor = 1.0f;
  Apply apply = Apply::none;
  bool poisoned = false;        ///< the block holds NaN or Inf: codes are those of x itself
  bool zero_codes = false;      ///< every element becomes code 0 (fouroversix, zero scale)
  std::uint8_t choice = 0;      ///< candidate taken: if4 1 = INT4, razer and dialect their index
  std::int32_t zero_point = 0;  ///< uint4-asym

  /// x under the scale. A NaN stays the one it is, made quiet, whatever the factor: of two NaNs a
  /// product takes the operand that the compiler put first, and some policies look at its bits.
  FP4LAB_HD constexpr float scaled(float x) const noexcept {
    if (is_nan(x)) return bits_as<float>(bits_as<std::uint32_t>(x) | 0x00400000u);
    switch (apply) {
      case Apply::multiply:
        return mul_rn(x, factor);
      case Apply::divide:
        return div_rn(x, factor);
      case Apply::multiply_34:
        return mul_rn(0.75f, mul_rn(x, factor));
      case Apply::none:
        return x;
    }
    return x;
  }
};

/// Constants of the MSE grid search (formats.md 3.3): factors lo + i (hi - lo) / n, i = 0..n.
inline constexpr double kMseLow = 0.35, kMseHigh = 1.0;
inline constexpr int kMseSteps = 100;

/// QuEST's clip constant: the scale is this times the standard deviation.
inline constexpr double kQuestConstant = 2.92247856 / 6.0;

namespace detail {

/// amax = m 2^k against qmax = q 2^kq: the exact floor, ceiling and nearest power of two of
/// amax / qmax, as exponents. `amax` positive and finite.
struct Ratio {
  int exponent;       ///< k - kq
  int order;          ///< sign of m - q
  bool at_least_3_2;  ///< ratio >= 1.5 * 2^floor
};
FP4LAB_HD constexpr Ratio ratio_to_qmax(float amax, float q) noexcept {
  const Magnitude a = magnitude_of(amax), b = magnitude_of(q);
  Ratio r{a.exponent() - b.exponent(), 0, false};
  r.order = a.sig > b.sig ? 1 : a.sig < b.sig ? -1 : 0;
  // ratio / 2^floor = a.sig / b.sig, doubled when it is below 1
  const std::uint64_t num = r.order < 0 ? 2 * a.sig : a.sig;
  r.at_least_3_2 = 2 * num >= 3 * b.sig;
  return r;
}

FP4LAB_HD constexpr int clamp_e8m0(int e) noexcept { return e < -127 ? -127 : e > 127 ? 127 : e; }

/// Population standard deviation of a block: binary64, row-major order.
FP4LAB_HD inline double block_std(const BlockView& b) {
  const double n = static_cast<double>(b.size());
  double sum = 0.0;
  for_each_element(b, [&](float x, std::uint64_t) { sum += static_cast<double>(x); });
  const double mean = sum / n;
  double squares = 0.0;
  for_each_element(b, [&](float x, std::uint64_t) {
    const double d = static_cast<double>(x) - mean;
    squares += d * d;
  });
  return __builtin_sqrt(squares / n);
}

/// Bits of the scale format's NaN (its largest code where it has none).
FP4LAB_HD constexpr std::uint32_t poison_scale_code(const ScaleFormat& s) noexcept {
  if (s.kind != ScaleFormat::Kind::coded) return kCanonicalNanBits;
  return s.format.has_nan() ? s.format.nan_code() : s.format.max_magnitude_code();
}

}  // namespace detail

/// Exponent e of the power-of-two scale 2^e of an MX rule, before clamping to E8M0's range.
/// `amax` positive; Inf counts as exponent 128.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr int mx_exponent(ScaleRule rule, const ElementFormat& f,
                                                           float amax) noexcept {
  if (is_inf(amax)) return 128 - emax(f);
  const int k = floor_log2(amax);
  const Magnitude m = magnitude_of(amax);
  const std::uint64_t one = 1ull << (m.width - 1);
  switch (rule) {
    case ScaleRule::ceil:
      return k - emax(f) + (m.sig > one ? 1 : 0);
    case ScaleRule::even: {
      // Adding half a unit of the element's mantissa carries into the next binade. The leading bit
      // of a sign-magnitude integer is stored, not hidden.
      const int man =
          f.exponent_bits == 0 && f.mantissa_bits > 0 ? f.mantissa_bits - 1 : f.mantissa_bits;
      return k - emax(f) + (m.sig + (one >> (man + 1)) >= 2 * one ? 1 : 0);
    }
    case ScaleRule::rceil: {
      const detail::Ratio r = detail::ratio_to_qmax(amax, qmax(f));
      return r.exponent + (r.order > 0 ? 1 : 0);
    }
    default:
      return k - emax(f);
  }
}

/// Exponent of the power of two for amax / qmax under pow2-floor, pow2-ceil, pow2-near.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr int pow2_exponent(ScaleRule rule, float amax,
                                                             float q) noexcept {
  const detail::Ratio r = detail::ratio_to_qmax(amax, q);
  const int below = r.exponent + (r.order < 0 ? -1 : 0);
  const bool exact = r.order == 0;
  switch (rule) {
    case ScaleRule::pow2_floor:
      return below;
    case ScaleRule::pow2_near:
      return below + (r.at_least_3_2 ? 1 : 0);
    default:
      return below + (exact ? 0 : 1);
  }
}

/// A power-of-two scale 2^e: multiplied in as 2^-e, which is exact but for subnormal results.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale pow2_scale(int e,
                                                                 const ScaleFormat& s) noexcept {
  BlockScale b;
  if (s.is_e8m0()) {
    e = detail::clamp_e8m0(e);
    b.code = static_cast<std::uint32_t>(e + 127);
  } else {
    if (e < -149) e = -149;
    if (e > 127) e = 127;
    b.code = bits_as<std::uint32_t>(pow2_f32(e));
  }
  b.decode = pow2_f32(e);
  if (e >= -127) {
    b.apply = Apply::multiply;
    b.factor = pow2_f32(-e);
  } else {  // 2^-e is beyond binary32: divide
    b.apply = Apply::divide;
    b.factor = b.decode;
  }
  return b;
}

/// A positive real scale put into its format. Coded formats round to nearest even, saturating;
/// E8M0 and pow2 take the next power of two up unless `near`. Underflow to zero gives the smallest
/// positive scale.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale real_scale(float s, const ScaleFormat& f,
                                                                 ZeroScale zero,
                                                                 bool near = false) noexcept {
  BlockScale b;
  switch (f.kind) {
    case ScaleFormat::Kind::none:
      b.decode = 1.0f;
      b.code = bits_as<std::uint32_t>(1.0f);
      b.apply = Apply::none;
      return b;
    case ScaleFormat::Kind::fp32:
      if (s == 0.0f) s = 0x1p-149f;
      b.decode = s;
      b.code = bits_as<std::uint32_t>(s);
      break;
    case ScaleFormat::Kind::pow2: {
      if (s == 0.0f) s = 0x1p-149f;
      if (is_inf(s)) s = kFloatMax;
      return pow2_scale(pow2_exponent(near ? ScaleRule::pow2_near : ScaleRule::pow2_ceil, s, 1.0f),
                        f);
    }
    case ScaleFormat::Kind::coded:
      if (f.is_e8m0()) {
        if (s == 0.0f) s = 0x1p-149f;
        const std::uint32_t code = encode_any(
            f.format, s, near ? Rounding{RoundingKind::rna} : Rounding{RoundingKind::rtp});
        return pow2_scale(static_cast<int>(code) - 127, f);
      }
      b.code = encode_any(f.format, s, nearest_even());
      if (decode_any(f.format, b.code) == 0.0f) {
        if (zero == ZeroScale::one) {
          b.code = encode_any(f.format, 1.0f, nearest_even());
        } else {
          b.code = 1;  // the smallest positive code
        }
      }
      if (zero == ZeroScale::min_normal) {
        const std::uint32_t normal = 1u << f.format.mantissa_bits;
        if (b.code < normal) b.code = normal;
      }
      b.decode = decode_any(f.format, b.code);
      break;
  }
  b.factor = b.decode;
  b.apply = Apply::divide;
  return b;
}

/// Scale of an all-zero block: code 00 (binary32 0); codes keep the sign of zero and nothing is
/// divided.
FP4LAB_HD constexpr BlockScale zero_block_scale(const ScaleFormat& f) noexcept {
  BlockScale b;
  b.apply = Apply::none;
  b.code = 0;
  if (f.kind == ScaleFormat::Kind::none) {
    b.code = bits_as<std::uint32_t>(1.0f);
    b.decode = 1.0f;
  } else if (f.kind == ScaleFormat::Kind::coded) {
    b.decode = decode_any(f.format, 0);
  }
  return b;
}

/// Scale of a block that holds NaN or Inf.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale poisoned_scale(
    const ScaleFormat& f) noexcept {
  BlockScale b;
  b.poisoned = true;
  b.apply = Apply::none;
  b.code = detail::poison_scale_code(f);
  b.decode = f.kind == ScaleFormat::Kind::coded && !f.format.has_nan()
                 ? decode_any(f.format, b.code)
                 : canonical_nan();
  if (f.kind == ScaleFormat::Kind::none) {
    b.code = bits_as<std::uint32_t>(1.0f);
    b.decode = 1.0f;
  }
  return b;
}

}  // namespace fp4lab
