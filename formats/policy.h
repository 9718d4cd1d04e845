// Special-value policies: what NaN, infinities, overflow and -0 become where implementations
// differ (formats.md 2.2, 2.6, 3.2). Everything in range is the rounding's business, not ours.
#pragma once

#include <cstdint>

#include "formats/element_format.h"
#include "formats/rounding.h"

namespace fp4lab {

enum class Policy : std::uint8_t {
  cuda,          ///< CUDA headers, saturating: the default of the house
  cuda_nosat,    ///< CUDA headers, __NV_NOSAT
  ml_dtypes,     ///< ml_dtypes (numpy)
  jax,           ///< XLA on CPU: as ml_dtypes, but FP6 overflows to zero
  torch,         ///< torch CPU casts
  torchao,       ///< torchao: NaN bits pushed through the FP4/FP6 arithmetic
  te,            ///< Transformer Engine's Python reference: -0 and NaN become code 0
  modelopt,      ///< ModelOpt NVFP4: -0 becomes code 0
  fouroversix,   ///< fouroversix packer: no clamp, 8 packs to the code of -0
  gfloat_sat,    ///< gfloat with sat=True
  gfloat_nosat,  ///< gfloat with sat=False
};

/// Returned by `encode` when a policy refuses the input (gfloat: NaN or overflow into a format
/// that has no code for it).
inline constexpr std::uint32_t kRefused = 0xFFFFFFFFu;

namespace detail {

FP4LAB_HD constexpr bool is_e8m0(const ElementFormat& f) noexcept {
  return f.kind == FormatKind::minifloat && !f.is_signed && f.bits == 8 && f.mantissa_bits == 0 &&
         f.low_end == LowEnd::no_zero && f.bias == 127;
}
FP4LAB_HD constexpr bool is_ieee16(const ElementFormat& f) noexcept {
  return f.specials == Specials::ieee && f.bits == 16;
}
FP4LAB_HD constexpr bool is_ieee32(const ElementFormat& f) noexcept {
  return f.specials == Specials::ieee && f.bits > 16;
}
FP4LAB_HD constexpr bool is_sub8_ocp(const ElementFormat& f) noexcept {
  return f.kind == FormatKind::minifloat && f.specials == Specials::none && f.is_signed &&
         f.bits <= 6;
}

/// Policies that keep the sign of a NaN in formats with room for it.
FP4LAB_HD constexpr bool keeps_nan_sign(Policy p) noexcept {
  return p == Policy::ml_dtypes || p == Policy::jax || p == Policy::torch || p == Policy::torchao;
}

/// torchao's FP4/FP6 arithmetic on the bits of a NaN (formats.md 2.6). The extra bit taken is the
/// lowest mantissa bit that survives.
FP4LAB_HD constexpr std::uint32_t torchao_nan_code(const ElementFormat& f, std::uint32_t bits) {
  const std::uint32_t a = bits & 0x7FFFFFFFu;
  const int m = f.mantissa_bits;
  const std::uint32_t bias_shift = static_cast<std::uint32_t>(f.bias - 127) << 23;
  const std::uint32_t odd = (a >> (23 - m)) & 1u;
  const std::uint32_t v = a + bias_shift + ((1u << (22 - m)) - 1u) + odd;
  return ((v >> (23 - m)) & 0xFFu) | ((bits >> 31) != 0 ? f.sign_mask() : 0u);
}

}  // namespace detail

/// Does overflow (|x| beyond the largest value after rounding) give the largest finite value?
FP4LAB_HD constexpr bool saturates(const ElementFormat& f, Policy p) noexcept {
  if (f.kind != FormatKind::minifloat) return true;
  switch (p) {
    case Policy::gfloat_sat:
      return true;
    case Policy::gfloat_nosat:
      return false;
    case Policy::cuda:
    case Policy::te:
    case Policy::modelopt:
    case Policy::torchao:
    case Policy::fouroversix:
      return f.bits <= 8;
    case Policy::jax:
      return f.specials == Specials::none && !(detail::is_sub8_ocp(f) && f.bits == 6);
    default:
      return f.specials == Specials::none;
  }
}

/// Code of a NaN. `bits` are the input's as binary32 and `payload` its mantissa left-aligned to 52
/// bits; `is_f64` tells that the source was binary64, where CUDA's conversions keep the sign.
FP4LAB_HD constexpr std::uint32_t nan_result(const ElementFormat& f, Policy p, bool negative,
                                             std::uint64_t payload, std::uint32_t bits,
                                             bool is_f64) noexcept {
  const std::uint32_t sign = negative ? f.sign_mask() : 0u;
  if (f.kind != FormatKind::minifloat || f.specials == Specials::none) {
    switch (p) {
      case Policy::gfloat_sat:
      case Policy::gfloat_nosat:
        return kRefused;
      case Policy::ml_dtypes:
        if (detail::is_sub8_ocp(f)) return sign ^ f.sign_mask();
        break;
      case Policy::jax:
        if (detail::is_sub8_ocp(f)) return f.bits == 4 ? f.sign_mask() : sign;
        break;
      case Policy::te:
        if (f.bits == 4) return 0;
        break;
      case Policy::torchao:
        if (detail::is_sub8_ocp(f) && f.mantissa_bits > 0) return detail::torchao_nan_code(f, bits);
        break;
      case Policy::fouroversix:
        // The packer takes the sign (set, for NaNs of either sign) and the low bits of the bf16
        // exponent field 255: (255 - 126) << 1 | 1 in a nibble. NVINT4's integer cast gives 0.
        if (f.bits == 4) return f.kind == FormatKind::integer ? 0u : 0xBu;
        break;
      default:
        break;
    }
    if (f.kind == FormatKind::minifloat) return f.max_magnitude_code();
    if (f.kind == FormatKind::integer) return static_cast<std::uint32_t>(f.max_int) & f.code_mask();
    std::uint32_t best = 0;
    for (std::uint32_t i = 1; i < f.count; ++i) {
      if (bits_as<float>(f.table[i]) > bits_as<float>(f.table[best])) best = i;
    }
    return best;
  }
  if (f.specials == Specials::nan_neg_zero || f.specials == Specials::nan_neg_zero_inf ||
      !f.is_signed) {
    return f.nan_code() << f.storage_shift;
  }
  const std::uint32_t kept = detail::keeps_nan_sign(p) ? sign : 0u;
  if (f.specials == Specials::nan_top) {
    if (p == Policy::gfloat_sat || p == Policy::gfloat_nosat) return f.code_mask();
    if (is_f64 && (p == Policy::cuda || p == Policy::cuda_nosat)) return f.nan_code() | sign;
    return f.nan_code() | kept;
  }
  // IEEE-like formats.
  if (p == Policy::gfloat_sat || p == Policy::gfloat_nosat) return f.code_mask() << f.storage_shift;
  if (detail::is_ieee32(f)) return kCanonicalNanBits;
  const std::uint32_t top_payload =
      static_cast<std::uint32_t>(payload >> (52 - f.mantissa_bits)) & ((1u << f.mantissa_bits) - 1u);
  if (detail::is_ieee16(f)) {
    if (f.mantissa_bits == 7) {  // BF16
      if (p == Policy::torch || p == Policy::torchao) return 0xFFFFu;
      if (detail::keeps_nan_sign(p)) return f.nan_code() | sign;
      return 0x7FFFu;
    }
    if (p == Policy::ml_dtypes) {  // numpy: payload kept, not quietened, but never all zero
      return f.inf_code() | (top_payload != 0 ? top_payload : 1u) | sign;
    }
    if (detail::keeps_nan_sign(p)) return f.nan_code() | top_payload | sign;
    return 0x7FFFu;
  }
  if (f.exponent_bits == 5 && f.mantissa_bits == 2) {  // E5M2
    if (p == Policy::cuda || p == Policy::cuda_nosat || p == Policy::te || p == Policy::modelopt) {
      return is_f64 ? (f.nan_code() | top_payload | sign) : 0x7Fu;
    }
    if (p == Policy::torch || p == Policy::torchao) return 0x7Fu | sign;
  }
  return f.nan_code() | kept;
}

/// Code of an overflow, infinities included, for a policy that does not saturate. Formats without
/// Inf give NaN, formats with neither saturate, or are refused by gfloat.
FP4LAB_HD constexpr std::uint32_t overflow_result(const ElementFormat& f, Policy p,
                                                  bool negative) noexcept {
  const std::uint32_t sign = negative ? f.sign_mask() : 0u;
  if (p == Policy::jax && detail::is_sub8_ocp(f) && f.bits == 6) return sign;
  if (f.has_inf()) return (f.inf_code() | sign) << f.storage_shift;
  if (f.has_nan()) {
    if (f.specials == Specials::nan_neg_zero || !f.is_signed) return f.nan_code();
    if (p == Policy::gfloat_nosat) return f.code_mask();
    return f.nan_code() | sign;
  }
  if (p == Policy::gfloat_nosat) return kRefused;
  return f.max_magnitude_code() | sign;
}

/// Code of a zero, or of a value that rounded to zero; `exact_zero` tells the two apart.
/// Formats without a zero never come here.
FP4LAB_HD constexpr std::uint32_t zero_result(const ElementFormat& f, Policy p, bool negative,
                                              bool exact_zero) noexcept {
  if (f.kind == FormatKind::codebook) {
    std::uint32_t plus = 0, minus = 16;
    for (std::uint32_t i = f.count; i-- > 0;) {
      if (f.table[i] == 0) plus = i;
      if (f.table[i] == 0x80000000u) minus = i;
    }
    return negative && minus != 16 ? minus : plus;
  }
  if (!negative || !f.has_negative_zero()) return 0;
  if (exact_zero && f.bits == 4 &&
      (p == Policy::te || p == Policy::modelopt || p == Policy::fouroversix)) {
    return 0;
  }
  return f.sign_mask() << f.storage_shift;
}

}  // namespace fp4lab
