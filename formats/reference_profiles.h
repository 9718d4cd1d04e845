// Element and scale arithmetic of implementations that work on values instead of codes:
// microxcaling's Python path and TetraJet (formats.md 3.4.1), fouroversix's stochastic rounding.
#pragma once

#include <cstdint>

#include "formats/convert.h"
#include "formats/element_format.h"
#include "formats/float_log2.h"
#include "formats/host_device.h"
#include "formats/rounding.h"

namespace fp4lab {
namespace detail {

/// Round half to even to an integer, |t| < 2^22.
FP4LAB_HD constexpr float rint_even(float t) noexcept {
  const float a = abs_bits(t);
  if (!(a < 0x1p23f)) return t;  // NaN too
  float n = static_cast<float>(static_cast<std::int32_t>(a));
  const float d = sub_rn(a, n);
  if (d > 0.5f || (d == 0.5f && (static_cast<std::int32_t>(n) & 1) != 0)) n = add_rn(n, 1.0f);
  return sign_bit(t) ? -n : n;
}
FP4LAB_HD constexpr float floor_positive(float a) noexcept {
  return a < 0x1p23f ? static_cast<float>(static_cast<std::int32_t>(a)) : a;  // NaN as it is
}
/// Scaling by 2^e in binary32 arithmetic, for any e in -300..300: 2^e itself may not exist.
FP4LAB_HD constexpr float times_pow2(float x, int e) noexcept {
  return static_cast<float>(static_cast<double>(x) * pow2_f64(e));
}
FP4LAB_HD constexpr float to_bf16(float x) noexcept {
  if (!is_finite(x)) return x;
  std::uint32_t b = bits_as<std::uint32_t>(x);
  b = (b + 0x7FFFu + ((b >> 16) & 1u)) & 0xFFFF0000u;
  return bits_as<float>(b);
}
/// Fraction bits that microxcaling's `mbits - 2` counts: M, or one less than an integer's digits.
FP4LAB_HD constexpr int fraction_bits(const ElementFormat& f) noexcept {
  return f.exponent_bits == 0 ? f.mantissa_bits - 1 : f.mantissa_bits;
}

}  // namespace detail

/// microxcaling (Python path): shared exponent floor(L(amax)) - emax; kMicroxNan for a block with
/// NaN or Inf or an exponent above 127. A zero amax counts as 2^-126.
inline constexpr int kMicroxNan = 0x7FFF;
FP4LAB_HD constexpr int microxcaling_exponent(const ElementFormat& f, float amax) noexcept {
  if (!is_finite(amax)) return kMicroxNan;
  if (amax == 0.0f) amax = kFloatMinNormal;
  const int e = floor_rounded_log2(amax) - emax(f);
  return e > 127 ? kMicroxNan : e < -127 ? -127 : e;
}
/// microxcaling (C++/CUDA path): the same from the exponent field.
FP4LAB_HD constexpr int microxcaling_cuda_exponent(const ElementFormat& f, float amax) noexcept {
  const int field = static_cast<int>((bits_as<std::uint32_t>(amax) & 0x7FFFFFFFu) >> 23);
  if (field == 255) return kMicroxNan;
  const int e = field - 127 - emax(f);
  return e > 127 ? kMicroxNan : e < -127 ? -127 : e;
}

/// microxcaling (Python path): the element value of v = x / 2^e. Rounding rna ("nearest"), rne
/// ("even") or rtz ("floor"); the private exponent is floor(L(|v|)), with the same defect as the
/// scale's.
FP4LAB_HD constexpr float microxcaling_value(const ElementFormat& f, float v,
                                             const Rounding& r) noexcept {
  if (is_nan(v)) return v;
  if (is_inf(v)) return v;  // infinities pass, even with saturation
  const float a = abs_bits(v);
  int p = 0;
  if (f.exponent_bits > 0) {
    const int lowest = 2 - (1 << (f.exponent_bits - 1));
    p = a == 0.0f ? 0 : floor_rounded_log2(a);
    if (p < lowest) p = lowest;
    // 2^128 is Inf in binary32: v / Inf = 0, and 0 * Inf on the way back.
    if (p > 127) return canonical_nan();
  }
  const int fraction = detail::fraction_bits(f);
  // v / 2^p * 2^fraction: two exact scalings (p and fraction are small).
  float t = detail::times_pow2(detail::times_pow2(a, -p), fraction);
  switch (r.kind) {
    case RoundingKind::rne: {
      // floor(fl(t + 1/2)), one less at a tie above an even integer; just below 1/2 the sum rounds
      // to 1, so that half a step minus an ulp goes up.
      const bool tie_down = t < 0x1p23f && sub_rn(t, detail::floor_positive(t)) == 0.5f &&
                            (static_cast<std::int32_t>(t) & 1) == 0;
      t = tie_down ? detail::floor_positive(t) : detail::floor_positive(add_rn(t, 0.5f));
      break;
    }
    case RoundingKind::rtz:
      t = detail::floor_positive(t);
      break;
    default:
      t = detail::floor_positive(add_rn(t, 0.5f));
      break;
  }
  float q = detail::times_pow2(detail::times_pow2(t, -fraction), p);
  const float top = static_cast<float>(max_value(f));
  if (q > top) q = top;
  // sign() maps an input zero to +0; a negative that rounds to zero keeps its sign.
  return sign_bit(v) && v != 0.0f ? -q : q;
}

/// TetraJet's scale modes (its `mxscale`).
enum class TetrajetMode : std::uint8_t { real = 0, ceil = 1, floor = 2, ocp = 3 };
struct TetrajetOptions {
  TetrajetMode mode = TetrajetMode::ceil;
  bool bf16 = false;    ///< tensors in bf16: every operation is rounded to bf16
  bool triton = false;  ///< the Triton twin: ties away, -0 kept, constant division as a multiply
};

namespace detail {
struct TetrajetGrid {
  int low, high;  ///< E_low, E_high
  float top;      ///< Q_max
};
FP4LAB_HD constexpr TetrajetGrid tetrajet_grid(const ElementFormat& f) noexcept {
  TetrajetGrid g{};
  g.low = 2 - (1 << (f.exponent_bits - 1));
  g.high = g.low + (1 << f.exponent_bits) - 2;
  g.top = static_cast<float>((2.0 - pow2_f64(-f.mantissa_bits)) * pow2_f64(g.high));
  return g;
}
FP4LAB_HD constexpr float tetrajet_round(float x, bool bf16) noexcept {
  return bf16 ? to_bf16(x) : x;
}
}  // namespace detail

/// TetraJet's decode scale for a block's amax.
FP4LAB_HD constexpr float tetrajet_scale(const ElementFormat& f, float amax,
                                         const TetrajetOptions& o) noexcept {
  const detail::TetrajetGrid g = detail::tetrajet_grid(f);
  const int p = o.bf16 ? 8 : 24;
  const auto rnd = [&](float x) { return detail::tetrajet_round(x, o.bf16); };
  float a = amax;
  if (a == 0.0f) a = rnd(1e-8f);
  if (o.mode == TetrajetMode::ocp) {
    const int e = floor_rounded_log2(a, p) - g.high;
    return pow2_f32(e < -127 ? -127 : e > 127 ? 127 : e);
  }
  const float twice = rnd(mul_rn(2.0f, a));
  const float constant = mul_rn(2.0f, g.top);
  const float u = o.triton && o.mode == TetrajetMode::real
                      ? rnd(mul_rn(twice, div_rn(1.0f, constant)))
                      : rnd(div_rn(twice, constant));
  if (o.mode == TetrajetMode::real) return u;
  if (is_inf(u)) return pow2_f32(127);
  if (u == 0.0f) return pow2_f32(-127);
  int e = o.mode == TetrajetMode::ceil ? ceil_rounded_log2(u, p) : floor_rounded_log2(u, p);
  e = e < -127 ? -127 : e > 127 ? 127 : e;
  return pow2_f32(e);
}

/// How TetraJet settles the last step of an element.
enum class TetrajetElement : std::uint8_t {
  nearest,  ///< half to even of the mantissa fraction (Triton: away)
  noise,    ///< stochastic: `extra` is the noise in [-1/2, 1/2)
  ema,      ///< Q-EMA: `extra` is the EMA weight, which picks the side
};

/// TetraJet's element value q (before multiplying by the scale s) of x. `extra` as said above.
FP4LAB_HD constexpr float tetrajet_value(const ElementFormat& f, float x, float s,
                                         TetrajetElement how, float extra,
                                         const TetrajetOptions& o) noexcept {
  const detail::TetrajetGrid g = detail::tetrajet_grid(f);
  const int prec = o.bf16 ? 8 : 24;
  const auto rnd = [&](float y) { return detail::tetrajet_round(y, o.bf16); };
  const float v = rnd(div_rn(x, s));
  if (!is_finite(v)) return v;
  const float a = abs_bits(v);
  int p = floor_rounded_log2(rnd(add_rn(a, rnd(1e-8f))), prec);
  if (p < g.low) p = g.low;
  const float unit = rnd(detail::times_pow2(a, -p));
  const float n = detail::floor_positive(unit);
  const float scale_m = static_cast<float>(1 << f.mantissa_bits);
  float frac = rnd(mul_rn(rnd(sub_rn(unit, n)), scale_m));
  switch (how) {
    case TetrajetElement::nearest:
      frac = o.triton ? detail::floor_positive(add_rn(frac, 0.5f)) : detail::rint_even(frac);
      break;
    case TetrajetElement::noise:
      frac = detail::rint_even(rnd(add_rn(frac, extra)));
      if (frac < 0.0f) frac = 0.0f;
      if (frac > scale_m) frac = scale_m;
      break;
    case TetrajetElement::ema: {
      const float whole = detail::floor_positive(frac);
      float e = rnd(div_rn(extra, s));
      if (sign_bit(v)) e = -e;
      if (v == 0.0f) e = 0.0f;
      e = rnd(mul_rn(rnd(sub_rn(rnd(detail::times_pow2(e, -p)), n)), scale_m));
      frac = e >= add_rn(whole, 0.5f) ? add_rn(whole, 1.0f) : whole;
      break;
    }
  }
  float q = rnd(detail::times_pow2(rnd(add_rn(n, rnd(div_rn(frac, scale_m)))), p));
  if (q > g.top) q = g.top;
  if (v == 0.0f && !o.triton) return 0.0f;
  return sign_bit(v) ? -q : q;
}

/// fouroversix's stochastic E2M1 rounding: the noise in [-1/2, 1/2) is added in each of the three
/// ranges before rounding half to even; no clamp.
FP4LAB_HD constexpr float fouroversix_stochastic(float x, float noise) noexcept {
  const float a = abs_bits(x);
  // The source computes all three ranges and masks: 2x overflows, and Inf * 0 is NaN.
  if (!(a < 0x1p127f)) return canonical_nan();
  float q = 0.0f;
  if (a < 2.0f) {
    q = mul_rn(detail::rint_even(add_rn(mul_rn(2.0f, a), noise)), 0.5f);
  } else if (a < 4.0f) {
    q = detail::rint_even(add_rn(a, noise));
  } else {
    q = mul_rn(2.0f, detail::rint_even(add_rn(mul_rn(a, 0.5f), noise)));
  }
  return x == 0.0f ? 0.0f : (sign_bit(x) ? -q : q);
}

}  // namespace fp4lab
