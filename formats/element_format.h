// ElementFormat: a finite set of values with codes, as data.
//
// The record is a structural type, so that it can be a template argument in host code and kernels.
// Names, aliases and sources live in the catalogue (catalog.h); everything numerical is derived
// from the fields here.
#pragma once

#include <cstdint>

#include "formats/host_device.h"

namespace fp4lab {

enum class FormatKind : std::uint8_t {
  minifloat,  ///< [sign] exponent mantissa; also sign-magnitude integers (exponent_bits = 0)
  integer,    ///< two's complement, value = integer * 2^shift
  codebook,   ///< explicit table of at most 16 binary32 values in code order
};

/// Which codes are not numbers. "Magnitude" means the code without its sign bit.
enum class Specials : std::uint8_t {
  none,               ///< every code is a finite value
  nan_top,            ///< largest magnitude is NaN (E4M3, E8M0, UE4M3, P3109 unsigned finite)
  nan_top_inf,        ///< largest magnitude is NaN, the one below +Inf (P3109 unsigned extended)
  ieee,               ///< top exponent: mantissa 0 is Inf, the rest NaN
  nan_neg_zero,       ///< the code of -0 is NaN (fnuz types, P3109 signed finite)
  nan_neg_zero_inf,   ///< the same, and the largest magnitudes are +-Inf (P3109 signed extended)
};

/// What the lowest exponent (field 0) holds.
enum class LowEnd : std::uint8_t {
  gradual,    ///< 0 and subnormals
  zero_only,  ///< code 0 is zero, every other code is a normal number
  no_zero,    ///< only normal numbers; the format has no zero
};

/// Sixteen binary32 bit patterns in code order, two to a member. Scalars, because nvcc 13.0 cannot
/// spell an array member of a template argument in the host code it generates.
struct CodeTable {
  std::uint64_t w0 = 0, w1 = 0, w2 = 0, w3 = 0, w4 = 0, w5 = 0, w6 = 0, w7 = 0;
  FP4LAB_HD constexpr std::uint32_t operator[](unsigned i) const noexcept {
    return static_cast<std::uint32_t>(pair(i >> 1) >> (32 * (i & 1)));
  }
  FP4LAB_HD constexpr void set(unsigned i, std::uint32_t bits) noexcept {
    const std::uint64_t keep = 0xFFFFFFFFull << (32 * (1 - (i & 1)));
    const std::uint64_t v =
        (pair(i >> 1) & keep) | (static_cast<std::uint64_t>(bits) << (32 * (i & 1)));
    switch (i >> 1) {
      case 0: w0 = v; break;
      case 1: w1 = v; break;
      case 2: w2 = v; break;
      case 3: w3 = v; break;
      case 4: w4 = v; break;
      case 5: w5 = v; break;
      case 6: w6 = v; break;
      default: w7 = v; break;
    }
  }
  friend constexpr bool operator==(const CodeTable&, const CodeTable&) = default;

 private:
  FP4LAB_HD constexpr std::uint64_t pair(unsigned i) const noexcept {
    switch (i) {
      case 0: return w0;
      case 1: return w1;
      case 2: return w2;
      case 3: return w3;
      case 4: return w4;
      case 5: return w5;
      case 6: return w6;
      default: return w7;
    }
  }
};

/// A number format of 1 to 16 bits (and FP32, TF32). Only stored facts; see the functions below
/// for what follows from them.
struct ElementFormat {
  FormatKind kind = FormatKind::minifloat;
  Specials specials = Specials::none;
  LowEnd low_end = LowEnd::gradual;
  bool is_signed = true;
  std::uint8_t bits = 4;           ///< code width, sign included
  std::uint8_t exponent_bits = 2;
  std::uint8_t mantissa_bits = 1;
  std::uint8_t radix_log2 = 1;     ///< 1: radix 2, 2: radix 4 (then mantissa_bits = 0)
  std::uint8_t storage_shift = 0;  ///< zero bits below the code in its storage word (TF32: 13)
  std::uint8_t count = 0;          ///< codebook: number of codes in use (2..16)
  std::int16_t bias = 1;           ///< value = radix^(E - bias) * (1 + M / 2^mantissa_bits)
  std::int16_t shift = 0;          ///< all values are multiplied by 2^shift
  std::int16_t min_int = 0;        ///< integer: smallest integer the encoder produces
  std::int16_t max_int = 0;        ///< integer: largest
  CodeTable table{};               ///< codebook: binary32 bits of the values, code order

  friend constexpr bool operator==(const ElementFormat&, const ElementFormat&) = default;

  /// Number of codes, 2^bits (for the 32-bit words TF32 and FP32: of their significant bits).
  FP4LAB_HD constexpr std::uint64_t code_count() const noexcept { return 1ull << bits; }
  FP4LAB_HD constexpr std::uint32_t code_mask() const noexcept {
    return bits >= 32 ? 0xFFFFFFFFu : (1u << bits) - 1u;
  }
  FP4LAB_HD constexpr std::uint32_t sign_mask() const noexcept {
    return is_signed ? 1u << (bits - 1) : 0u;
  }
  /// Mask of the magnitude part of a sign-magnitude code.
  FP4LAB_HD constexpr std::uint32_t magnitude_mask() const noexcept {
    return is_signed ? (1u << (bits - 1)) - 1u : code_mask();
  }
  /// True for formats that are a sign bit and a magnitude whose values rise with the code.
  FP4LAB_HD constexpr bool is_sign_magnitude() const noexcept {
    return kind == FormatKind::minifloat;
  }
  FP4LAB_HD constexpr bool has_inf() const noexcept {
    return specials == Specials::ieee || specials == Specials::nan_top_inf ||
           specials == Specials::nan_neg_zero_inf;
  }
  FP4LAB_HD constexpr bool has_nan() const noexcept { return specials != Specials::none; }
  /// True where -0 has a code of its own.
  FP4LAB_HD constexpr bool has_negative_zero() const noexcept {
    if (kind == FormatKind::codebook) {
      for (int i = 0; i < count; ++i) {
        if (table[i] == 0x80000000u) return true;
      }
      return false;
    }
    return kind == FormatKind::minifloat && is_signed && low_end != LowEnd::no_zero &&
           specials != Specials::nan_neg_zero && specials != Specials::nan_neg_zero_inf;
  }
  FP4LAB_HD constexpr bool has_zero() const noexcept {
    if (kind == FormatKind::codebook) {
      for (int i = 0; i < count; ++i) {
        if ((table[i] & 0x7FFFFFFFu) == 0) return true;
      }
      return false;
    }
    return kind == FormatKind::integer || low_end != LowEnd::no_zero;
  }
  /// Largest magnitude code of a sign-magnitude format that holds a finite number.
  FP4LAB_HD constexpr std::uint32_t max_magnitude_code() const noexcept {
    switch (specials) {
      case Specials::none:
      case Specials::nan_neg_zero:
        return magnitude_mask();
      case Specials::nan_top:
      case Specials::nan_neg_zero_inf:
        return magnitude_mask() - 1;
      case Specials::nan_top_inf:
        return magnitude_mask() - 2;
      case Specials::ieee:
        return (((1u << exponent_bits) - 1u) << mantissa_bits) - 1u;
    }
    return 0;
  }
  /// Code of +Inf; only meaningful when has_inf(). Without the storage shift.
  FP4LAB_HD constexpr std::uint32_t inf_code() const noexcept { return max_magnitude_code() + 1; }
  /// The format's canonical NaN, sign bit clear where it has one. Without the storage shift.
  FP4LAB_HD constexpr std::uint32_t nan_code() const noexcept {
    switch (specials) {
      case Specials::none:
        return 0;
      case Specials::nan_top:
      case Specials::nan_top_inf:
        return magnitude_mask();
      case Specials::nan_neg_zero:
      case Specials::nan_neg_zero_inf:
        return sign_mask();
      case Specials::ieee:
        return inf_code() | (1u << (mantissa_bits - 1));
    }
    return 0;
  }
};

/// Value of magnitude code `m` (no sign bit) of a minifloat, as if the exponent range were
/// unbounded above; exact in binary64 for every format with exponents within binary64's range.
FP4LAB_HD constexpr double minifloat_magnitude(const ElementFormat& f, std::uint64_t m) noexcept {
  const std::uint64_t mant = m & ((1ull << f.mantissa_bits) - 1);
  int e = static_cast<int>(m >> f.mantissa_bits);
  std::uint64_t significand = mant | (1ull << f.mantissa_bits);
  if (f.exponent_bits == 0 || e == 0) {
    if (f.low_end == LowEnd::gradual) {
      if (f.exponent_bits == 0) significand = m;  // all subnormal: no hidden bit to run out of
      else significand = mant;
      e = 1;
    } else if (m == 0 && f.low_end == LowEnd::zero_only) {
      return 0.0;
    }
  }
  if (significand == 0) return 0.0;
  const int exponent = f.radix_log2 * (e - f.bias) + f.shift - f.mantissa_bits;
  return static_cast<double>(significand) * pow2_f64(exponent);
}

enum class ValueClass : std::uint8_t { finite, infinite, nan };

/// What a code is. `code` includes the storage shift; bits beyond the width are ignored, as
/// hardware ignores the sign bit of a UE4M3 scale.
FP4LAB_HD constexpr ValueClass classify(const ElementFormat& f, std::uint32_t code) noexcept {
  code = (code >> f.storage_shift) & f.code_mask();
  if (f.kind != FormatKind::minifloat || f.specials == Specials::none) return ValueClass::finite;
  const std::uint32_t m = code & f.magnitude_mask();
  if (f.specials == Specials::nan_neg_zero || f.specials == Specials::nan_neg_zero_inf) {
    if (code == f.sign_mask()) return ValueClass::nan;
    if (m > f.max_magnitude_code()) return ValueClass::infinite;
    return ValueClass::finite;
  }
  if (m <= f.max_magnitude_code()) return ValueClass::finite;
  if (f.has_inf() && m == f.inf_code()) return ValueClass::infinite;
  return ValueClass::nan;
}

/// Exact value of `code` as binary64; NaN codes give the canonical NaN, -0 keeps its sign.
FP4LAB_HD constexpr double decode_f64(const ElementFormat& f, std::uint32_t code) noexcept {
  code = (code >> f.storage_shift) & f.code_mask();
  if (f.kind == FormatKind::codebook) {
    return static_cast<double>(bits_as<float>(f.table[code < f.count ? code : f.count - 1]));
  }
  if (f.kind == FormatKind::integer) {
    std::int32_t v = static_cast<std::int32_t>(code);
    if (f.is_signed && (code & f.sign_mask()) != 0) v -= static_cast<std::int32_t>(1u << f.bits);
    return static_cast<double>(v) * pow2_f64(f.shift);
  }
  const bool negative = (code & f.sign_mask()) != 0;
  switch (classify(f, code << f.storage_shift)) {
    case ValueClass::nan:
      return static_cast<double>(canonical_nan());
    case ValueClass::infinite:
      return negative ? -__builtin_huge_val() : __builtin_huge_val();
    case ValueClass::finite:
      break;
  }
  const double v = minifloat_magnitude(f, code & f.magnitude_mask());
  return negative ? -v : v;
}

/// Value of `code` as binary32. Every catalogue format's values are binary32 numbers; a
/// user-defined one with a wider range is rounded to nearest even.
FP4LAB_HD constexpr float decode(const ElementFormat& f, std::uint32_t code) noexcept {
  return static_cast<float>(decode_f64(f, code));
}

/// Largest finite value.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr double max_value(const ElementFormat& f) noexcept {
  if (f.kind == FormatKind::minifloat) return minifloat_magnitude(f, f.max_magnitude_code());
  if (f.kind == FormatKind::integer) return static_cast<double>(f.max_int) * pow2_f64(f.shift);
  double best = bits_as<float>(f.table[0]);
  for (int i = 1; i < f.count; ++i) {
    const double v = bits_as<float>(f.table[i]);
    if (v > best) best = v;
  }
  return best;
}

/// Smallest finite value (0 or the smallest positive one for unsigned formats).
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr double min_value(const ElementFormat& f) noexcept {
  if (f.kind == FormatKind::minifloat) {
    return f.is_signed ? -max_value(f) : minifloat_magnitude(f, 0);
  }
  if (f.kind == FormatKind::integer) return static_cast<double>(f.min_int) * pow2_f64(f.shift);
  double best = bits_as<float>(f.table[0]);
  for (int i = 1; i < f.count; ++i) {
    const double v = bits_as<float>(f.table[i]);
    if (v < best) best = v;
  }
  return best;
}

/// The value that absmax scaling maps the block maximum to: the largest magnitude.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr double max_abs_value(const ElementFormat& f) noexcept {
  const double hi = max_value(f), lo = -min_value(f);
  return hi > lo ? hi : lo;
}

/// floor(log2(max_value)), the `emax` of the OCP MX scale rule.
FP4LAB_HD constexpr int emax(const ElementFormat& f) noexcept {
  return floor_log2(static_cast<float>(max_value(f)));
}

/// A format as a type. nvcc 13.0 cannot name a `__global__` template that takes a class of a
/// namespace by value, but takes it inside a type: `template <class Format> __global__ void k()`
/// with `Format::get()`, launched as `k<FormatTag<F>>`.
template <ElementFormat F>
struct FormatTag {
  FP4LAB_HD static constexpr ElementFormat get() noexcept { return F; }
};

}  // namespace fp4lab
