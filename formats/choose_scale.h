// choose_scale: the scale of one block under a QuantSpec, searches included.
#pragma once

#include <cstdint>

#include "formats/block_quantize.h"
#include "formats/exact_exp2.h"

namespace fp4lab {
namespace detail {

/// Four Over Six: the error of one candidate, in the metric and sum shape of the profile.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr float four_over_six_error(const QuantSpec& spec,
                                                                     const BlockScale& b,
                                                                     const GlobalFactor& g,
                                                                     const BlockView& view) {
  const bool lanes8 = spec.profile == Profile::fouroversix;
  const float divisor = static_cast<float>(static_cast<double>(qmax(spec.element)) *
                                           static_cast<double>(spec.e4m3max));
  ErrorSum sum(spec.error, lanes8, view.rows, view.cols);
  std::uint32_t i = 0;
  for (std::uint32_t r = 0; r < view.rows; ++r) {
    for (std::uint32_t c = 0; c < view.cols; ++c, ++i) {
      const float x = view.at(r, c);
      const float v = b.scaled(x);
      float q;
      if (lanes8 && !spec.clamp) {  // an 8 enters the error as 8
        q = static_cast<float>(fouroversix_magnitude(static_cast<double>(abs_bits(v))));
        if (is_nan(v)) q = v;
        if (sign_bit(v)) q = -q;
      } else {
        q = decode_any(spec.element, encode_element(spec, b, x, c, trial_rounding(spec.round), 0));
      }
      const float scaled = mul_rn(q, b.decode);
      if (spec.error == ErrorMetric::mse_fp16) {
        sum.add(i, sub_rn(scaled, mul_rn(x, g.encode)));
      } else {
        sum.add(i, sub_rn(div_rn(mul_rn(scaled, g.amax), divisor), x));
      }
    }
  }
  return sum.total();
}

FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale four_over_six_scale(const QuantSpec& spec,
                                                                          const GlobalFactor& g,
                                                                          float amax,
                                                                          const BlockView& view) {
  const float base = mul_rn(div_rn(amax, qmax(spec.element)), g.encode);
  const float expanded = mul_rn(1.5f, base);
  BlockScale six, four;
  if (spec.profile == Profile::fouroversix) {
    if (g.amax == 0.0f) return fouroversix_block(spec, g, 0);
    six = fouroversix_block(spec, g, torch_scale_code(spec, base));
    four = fouroversix_block(spec, g, torch_scale_code(spec, expanded));
  } else {
    const float top = scale_max(spec);
    six = te_block(spec, g, encode_any(spec.scale.format, base > top ? top : base, nearest_even()));
    four = te_block(spec, g,
                    encode_any(spec.scale.format, expanded > top ? top : expanded, nearest_even()));
  }
  const bool pick4 =
      four_over_six_error(spec, four, g, view) < four_over_six_error(spec, six, g, view);
  if (pick4) four.choice = 1;
  return pick4 ? four : six;
}

/// IF4: the integer candidate wins iff its error is smaller. The error sums are those of Four Over
/// Six, the divisor 6 * 448.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale if4_scale(const QuantSpec& spec,
                                                                const GlobalFactor& g, float amax,
                                                                const BlockView& view) {
  BlockScale b = static_scale(spec, g, amax);
  const bool lanes8 = spec.profile == Profile::fouroversix;
  const float divisor = static_cast<float>(6.0 * static_cast<double>(spec.e4m3max));
  ErrorSum fp(spec.error, lanes8, view.rows, view.cols);
  ErrorSum in(spec.error, lanes8, view.rows, view.cols);
  std::uint32_t i = 0;
  BlockScale integer = b;
  integer.choice = 1;
  integer.code |= 0x80u;  // the spare bit of the scale says which
  for (std::uint32_t r = 0; r < view.rows; ++r) {
    for (std::uint32_t c = 0; c < view.cols; ++c, ++i) {
      const float x = view.at(r, c);
      const float v = b.zero_codes ? 0.0f : b.scaled(x);
      float q;
      if (lanes8 && !spec.clamp) {
        q = static_cast<float>(fouroversix_magnitude(static_cast<double>(abs_bits(v))));
        if (is_nan(v)) q = v;
        if (sign_bit(v)) q = -q;
      } else {
        q = decode_any(minifloat(2, 1, 1),
                       encode_element(spec, b, x, c, trial_rounding(spec.round), 0));
      }
      float y = mul_rn(v, kIf4In);
      y = y > 7.0f ? 7.0f : y < -7.0f ? -7.0f : y;
      const float k = rint_even(y);
      fp.add(i, sub_rn(div_rn(mul_rn(mul_rn(q, b.decode), g.amax), divisor), x));
      in.add(i, sub_rn(div_rn(mul_rn(mul_rn(mul_rn(k, b.decode), g.amax), kIf4Out), divisor), x));
    }
  }
  return in.total() < fp.total() ? integer : b;
}

FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale razer_scale(const QuantSpec& spec,
                                                                  const GlobalFactor& g, float amax,
                                                                  const BlockView& view) {
  BlockScale best = te_scale(spec, g, amax);
  const int candidates = spec.scale.format.bits <= 6 ? 4 : 2;
  double best_error = squared_error(spec, best, g, view);
  const BlockScale base = best;
  for (int i = 1; i < candidates; ++i) {
    BlockScale b = base;
    b.choice = static_cast<std::uint8_t>(i);
    const double e = squared_error(spec, b, g, view);
    if (e < best_error) {
      best_error = e;
      best = b;
    }
  }
  // Selector: bit 7 the sign, bit 6 (six-bit scales) 5 or 8.
  best.code |= (best.choice & 1u) << 7 | (best.choice >> 1 & 1u) << 6;
  return best;
}

FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale dialect_scale(const QuantSpec& spec,
                                                                    const GlobalFactor& g,
                                                                    float amax,
                                                                    const BlockView& view) {
  int e = floor_log2(amax) - 2;
  e = e < -15 ? -15 : e > 16 ? 16 : e;
  ScaleFormat pow2;
  pow2.kind = ScaleFormat::Kind::pow2;
  BlockScale best = pow2_scale(e, pow2);
  const BlockScale base = best;
  double best_error = 0.0;
  for (unsigned id = 0; id < 16; ++id) {
    BlockScale b = base;
    b.choice = static_cast<std::uint8_t>(id);
    const double err = squared_error(spec, b, g, view);
    if (id == 0 || err < best_error) {
      best_error = err;
      best = b;
    }
  }
  best.code = static_cast<std::uint32_t>(best.choice) << 5 | static_cast<std::uint32_t>(e + 15);
  return best;
}

FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale hif4_block_scale(const QuantSpec& spec,
                                                                       float amax,
                                                                       const BlockView& view) {
  BlockScale b;
  b.apply = Apply::divide;
  b.code = encode_any(spec.scale.format, div_rn(amax, 7.0f), nearest_even());
  const float s = decode_any(spec.scale.format, b.code);
  b.decode = b.factor = s;
  const auto group_amax = [&](std::uint32_t first, std::uint32_t n) {
    if (first >= view.cols) return 0.0f;
    return block_amax(view.columns(first, view.cols - first < n ? view.cols - first : n));
  };
  std::uint32_t word = b.code;
  for (std::uint32_t i = 0; i < 8; ++i) {
    const bool b8 = div_rn(group_amax(8 * i, 8), s) >= 4.0f;
    if (b8) word |= 1u << (8 + i);
    const float s8 = mul_rn(s, b8 ? 2.0f : 1.0f);
    for (std::uint32_t j = 2 * i; j < 2 * i + 2; ++j) {
      if (div_rn(group_amax(4 * j, 4), s8) >= 2.0f) word |= 1u << (16 + j);
    }
  }
  b.code = word;
  return b;
}

/// LLM-FP4: the scale 2^(bias - b) of a real-valued exponent bias b.
FP4LAB_HD constexpr float real_bias_scale(const ElementFormat& f, double b) noexcept {
  return static_cast<float>(exact_exp2(static_cast<double>(f.bias) - b));
}

FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale bias_search_scale(const QuantSpec& spec,
                                                                        const GlobalFactor& g,
                                                                        float amax,
                                                                        const BlockView& view) {
  // b0 maps amax to the largest value; candidates b0 (alpha + i (beta - alpha) / n).
  const double b0 =
      static_cast<double>(spec.element.bias) -
      (exact_log2(static_cast<double>(amax)) - exact_log2(static_cast<double>(qmax(spec.element))));
  constexpr double alpha = 0.01, beta = 1.2;
  constexpr int n = 100;
  BlockScale best;
  double best_error = 0.0;
  for (int i = 0; i <= n; ++i) {
    const double bias = b0 * (alpha + i * (beta - alpha) / n);
    const BlockScale c =
        real_scale(real_bias_scale(spec.element, bias), spec.scale, spec.zero_scale);
    if (is_inf(c.decode)) continue;
    const double e = squared_error(spec, c, g, view);
    if (best.apply == Apply::none || e < best_error) {
      best = c;
      best_error = e;
    }
  }
  return best;
}

/// Grid search over shrunken scales; the first minimum wins. Coded scales are rounded to their
/// format first; powers of two upward, so that the scale that clips nothing is a candidate.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale mse_scale(const QuantSpec& spec,
                                                                const GlobalFactor& g, float amax,
                                                                const BlockView& view) {
  BlockScale best;
  double best_error = 0.0;
  for (int i = 0; i <= kMseSteps; ++i) {
    const double factor = kMseLow + i * (kMseHigh - kMseLow) / kMseSteps;
    BlockScale c;
    if (spec.scheme == Scheme::nv) {
      c = te_scale(spec, g, static_cast<float>(static_cast<double>(amax) * factor));
    } else {
      const double s = static_cast<double>(amax) / static_cast<double>(qmax(spec.element));
      c = real_scale(static_cast<float>(s * factor), spec.scale, spec.zero_scale);
    }
    const double e = squared_error(spec, c, g, view);
    if (i == 0 || e < best_error) {
      best = c;
      best_error = e;
    }
  }
  return best;
}

/// Asymmetric unsigned integers: s = (hi - lo) / levels, zero point rne(-lo / s).
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale asymmetric_scale(const QuantSpec& spec,
                                                                       const BlockView& view) {
  float lo = 0.0f, hi = 0.0f;
  for_each_element(view, [&](float x, std::uint64_t) {
    if (x < lo) lo = x;
    if (x > hi) hi = x;
  });
  if (lo == 0.0f && hi == 0.0f) {
    lo = -1.0f;
    hi = 1.0f;
  }
  BlockScale b =
      real_scale(div_rn(sub_rn(hi, lo), qmax(spec.element)), spec.scale, spec.zero_scale);
  const float z = rint_even(div_rn(-lo, b.decode));
  b.zero_point = static_cast<std::int32_t>(z);
  return b;
}

FP4LAB_HD constexpr bool is_asymmetric(const QuantSpec& spec) noexcept {
  return spec.scheme == Scheme::plain && spec.element.kind == FormatKind::minifloat &&
         !spec.element.is_signed && spec.element.exponent_bits == 0;
}

/// Largest magnitude a block's amax is mapped to; int4-full uses its extra code when the block's
/// extreme is negative.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr float block_qmax(const QuantSpec& spec,
                                                            const BlockView& view) {
  const ElementFormat& f = spec.element;
  if (f.kind != FormatKind::integer || -f.min_int == f.max_int) return qmax(f);
  float lo = 0.0f, hi = 0.0f;
  for_each_element(view, [&](float x, std::uint64_t) {
    if (x < lo) lo = x;
    if (x > hi) hi = x;
  });
  return static_cast<float>(-lo > hi ? -min_value(f) : max_value(f));
}

/// Scale exponents of the profiles of the MX family.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale mx_profile_scale(const QuantSpec& spec,
                                                                       float amax) noexcept {
  const ScaleFormat& sf = spec.scale;
  const float q = qmax(spec.element);
  switch (spec.profile) {
    case Profile::microxcaling:
    case Profile::microxcaling_cuda: {
      const bool python = spec.profile == Profile::microxcaling;
      const int e = python ? microxcaling_exponent(spec.element, amax)
                           : microxcaling_cuda_exponent(spec.element, amax);
      if (e == kMicroxNan) return poisoned_scale(sf);
      BlockScale b = pow2_scale(e, sf);
      b.apply = Apply::divide;
      b.factor = b.decode;
      if (spec.flush) {
        const bool subnormal =
            python ? amax == 0.0f || floor_rounded_log2(amax) <= -127 : amax < kFloatMinNormal;
        if (subnormal) {
          b.apply = Apply::multiply;
          b.factor = 0.0f;
        }
      }
      return b;
    }
    case Profile::torchao: {
      if (!is_finite(amax)) return poisoned_scale(sf);
      const std::uint32_t bits = bits_as<std::uint32_t>(amax);
      int e = 0;
      if (spec.rule == ScaleRule::rceil) {
        const float descale = mul_rn(amax, div_rn(1.0f, q));
        const std::uint32_t d = bits_as<std::uint32_t>(descale);
        const int field = static_cast<int>(d >> 23);
        const std::uint32_t mantissa = d & 0x7FFFFFu;
        int code = field;
        if (field == 0) {
          code = mantissa <= 0x400000u ? 0 : 1;
        } else if (mantissa != 0) {
          ++code;
        }
        e = code - 127;
      } else if (spec.rule == ScaleRule::even) {
        const std::uint32_t rounded = bits + (1u << (22 - spec.element.mantissa_bits));
        if ((rounded >> 23) == 255) return poisoned_scale(sf);
        e = static_cast<int>(rounded >> 23) - 127 - emax(spec.element);
      } else {
        e = static_cast<int>(bits >> 23) - 127 - emax(spec.element);
        if (spec.rule == ScaleRule::ceil && (bits & 0x7FFFFFu) != 0) ++e;
      }
      BlockScale b = pow2_scale(clamp_e8m0(e), sf);
      b.apply = Apply::divide;
      b.factor = b.decode;
      return b;
    }
    case Profile::te: {
      const float u = div_rn(amax, q);
      const int e = u == 0.0f ? -127 : is_inf(u) ? 127 : clamp_e8m0(ceil_rounded_log2(u));
      BlockScale b = pow2_scale(e, sf);
      b.factor = div_rn(1.0f, b.decode);
      b.apply = Apply::multiply;
      return b;
    }
    case Profile::modelopt: {
      const float u = div_rn(amax, q);
      int e = u == 0.0f ? -127 : is_inf(u) ? 127 : ceil_rounded_log2(u);
      BlockScale b = pow2_scale(clamp_e8m0(e), sf);
      b.apply = Apply::divide;
      b.factor = b.decode;
      return b;
    }
    case Profile::fouroversix: {
      const float u = div_rn(amax, spec.rule == ScaleRule::static4 ? 4.0f : q);
      const std::uint32_t bits = bits_as<std::uint32_t>(u);
      const int code = static_cast<int>(bits >> 23) + ((bits & 0x7FFFFFu) != 0 ? 1 : 0);
      BlockScale b = pow2_scale(code - 127, sf);
      b.zero_codes = code == 0;
      return b;
    }
    default:
      break;
  }
  return pow2_scale(0, sf);
}

}  // namespace detail

/// The scale of a block. `external_amax` serves the rule `ema` (negative: the block's own amax).
FP4LAB_HD constexpr BlockScale choose_scale(const QuantSpec& spec, const GlobalFactor& g,
                                            const BlockView& view, float external_amax = -1.0f) {
  const ScaleFormat& sf = spec.scale;
  if (sf.kind == ScaleFormat::Kind::none) return real_scale(1.0f, sf, spec.zero_scale);
  float amax = block_amax(view, spec.amax_nan);

  if (spec.profile == Profile::tetrajet) {
    if (!is_finite(amax)) return poisoned_scale(sf);
    TetrajetOptions o;
    o.mode = spec.rule == ScaleRule::absmax       ? TetrajetMode::real
             : spec.rule == ScaleRule::pow2_floor ? TetrajetMode::floor
             : spec.rule == ScaleRule::floor      ? TetrajetMode::ocp
                                                  : TetrajetMode::ceil;
    const float s = tetrajet_scale(spec.element, amax, o);
    if (o.mode == TetrajetMode::real) {
      BlockScale b;
      b.code = bits_as<std::uint32_t>(s);
      b.decode = b.factor = s;
      b.apply = Apply::divide;
      return b;
    }
    return pow2_scale(floor_log2(s), sf);
  }
  if (spec.scheme == Scheme::mx) {
    switch (spec.profile) {
      case Profile::none:
      case Profile::ocp:
      case Profile::quartet:
        break;
      default:
        return detail::mx_profile_scale(spec, amax);
    }
  }
  if (spec.scheme == Scheme::nv || spec.scheme == Scheme::if4) {
    switch (spec.profile) {
      case Profile::torchao:
      case Profile::torchao_single:
        return detail::torchao_scale(spec, g, amax);
      case Profile::modelopt:
        return detail::modelopt_scale(spec, g, amax);
      default:
        break;
    }
  }

  if (spec.amax_nan == AmaxNan::propagate && !is_finite(amax)) return poisoned_scale(sf);
  if (spec.scheme == Scheme::nv || spec.scheme == Scheme::if4 || spec.scheme == Scheme::razer) {
    if (spec.scheme == Scheme::if4) return detail::if4_scale(spec, g, amax, view);
    if (spec.scheme == Scheme::razer) return detail::razer_scale(spec, g, amax, view);
    switch (spec.rule) {
      case ScaleRule::four_over_six:
        return detail::four_over_six_scale(spec, g, amax, view);
      case ScaleRule::static6:
      case ScaleRule::static4:
        return detail::static_scale(spec, g, amax);
      case ScaleRule::mse:
        return amax == 0.0f ? detail::te_scale(spec, g, amax)
                            : detail::mse_scale(spec, g, amax, view);
      case ScaleRule::percentile:
        return detail::te_scale(spec, g, abs_percentile(view, spec.rule_arg));
      case ScaleRule::clip:
        return detail::te_scale(spec, g, mul_rn(static_cast<float>(spec.rule_arg), amax));
      default:
        return detail::te_scale(spec, g, amax);
    }
  }
  if (spec.rule == ScaleRule::fixed) {
    return real_scale(static_cast<float>(spec.rule_arg), sf, spec.zero_scale, true);
  }
  if (spec.rule == ScaleRule::real_bias) {
    return real_scale(detail::real_bias_scale(spec.element, spec.rule_arg), sf, spec.zero_scale,
                      true);
  }
  if (detail::is_asymmetric(spec) && spec.rule == ScaleRule::absmax) {
    return detail::asymmetric_scale(spec, view);
  }
  if (spec.rule == ScaleRule::ema && external_amax >= 0.0f) amax = external_amax;
  if (spec.rule == ScaleRule::quest && (amax != 0.0f || spec.profile == Profile::quartet)) {
    // std = 0 gives 1e-8: everything of a constant block clips. Quartet itself scales a block of
    // zeros too; the plain rule leaves it to the zero block below.
    const double s = kQuestConstant * detail::block_std(view) + 1e-8;
    const int e = static_cast<int>((bits_as<std::uint64_t>(s) >> 52) & 0x7FF) - 1023;
    return pow2_scale(e, sf);
  }
  if (amax == 0.0f) return zero_block_scale(sf);

  const float q = detail::block_qmax(spec, view);
  switch (spec.rule) {
    case ScaleRule::clip:
      amax = mul_rn(static_cast<float>(spec.rule_arg), amax);
      break;
    case ScaleRule::percentile:
      amax = abs_percentile(view, spec.rule_arg);
      if (amax == 0.0f) return real_scale(0.0f, sf, spec.zero_scale);
      break;
    case ScaleRule::mse:
      return detail::mse_scale(spec, g, amax, view);
    case ScaleRule::bias_search:
      return detail::bias_search_scale(spec, g, amax, view);
    case ScaleRule::lsq: {
      double sum = 0.0;
      for_each_element(view,
                       [&](float x, std::uint64_t) { sum += static_cast<double>(abs_bits(x)); });
      const double mean = sum / static_cast<double>(view.size());
      return real_scale(static_cast<float>(2.0 * mean / __builtin_sqrt(static_cast<double>(q))), sf,
                        spec.zero_scale, true);
    }
    case ScaleRule::floor:
    case ScaleRule::ceil:
    case ScaleRule::even:
    case ScaleRule::rceil:
      return pow2_scale(mx_exponent(spec.rule, spec.element, amax), sf);
    case ScaleRule::tseng34: {
      BlockScale b = pow2_scale(mx_exponent(ScaleRule::floor, spec.element, amax), sf);
      b.apply = Apply::multiply_34;
      b.factor = pow2_f32(-floor_log2(b.decode));
      return b;
    }
    case ScaleRule::pow2_floor:
    case ScaleRule::pow2_ceil:
    case ScaleRule::pow2_near:
      return pow2_scale(pow2_exponent(spec.rule, amax, q), sf);
    case ScaleRule::hif4:
      return detail::hif4_block_scale(spec, amax, view);
    case ScaleRule::dialect:
      return detail::dialect_scale(spec, g, amax, view);
    default:
      break;
  }
  return real_scale(div_rn(amax, q), sf, spec.zero_scale);
}

/// The random words of a block's chosen candidate: those of Four Over Six draw their own, so that
/// the choice does not bias them.
FP4LAB_HD constexpr RandomSource candidate_source(const QuantSpec& spec, const BlockScale& b,
                                                  const RandomSource& random) noexcept {
  return spec.rule == ScaleRule::four_over_six && spec.scheme == Scheme::nv
             ? random.repeat(b.choice)
             : random;
}

/// True when the scaled element lies beyond the largest value, before any clamping.
FP4LAB_HD constexpr bool is_saturated(const QuantSpec& spec, const BlockScale& b, float x) {
  if (b.poisoned || b.zero_codes || spec.scheme == Scheme::hif4) return false;
  const ElementFormat f = detail::chosen_element(spec, b.choice);
  float y = b.scaled(x);
  if (spec.scheme == Scheme::if4 && b.choice != 0) y = mul_rn(y, kIf4In);
  if (b.zero_point != 0) y = add_rn(y, static_cast<float>(b.zero_point));
  return y > static_cast<float>(max_value(f)) || y < static_cast<float>(min_value(f));
}

/// True when a block's scale follows from its amax alone, not from the other elements.
FP4LAB_HD constexpr bool needs_only_amax(const QuantSpec& spec) noexcept {
  if (spec.scheme == Scheme::if4 || spec.scheme == Scheme::razer || spec.scheme == Scheme::hif4 ||
      spec.scheme == Scheme::dialect) {
    return false;
  }
  if (spec.scheme == Scheme::plain && detail::is_asymmetric(spec)) return false;
  const ElementFormat& f = spec.element;
  if (f.kind == FormatKind::integer && -f.min_int != f.max_int) return false;
  switch (spec.rule) {
    case ScaleRule::percentile:
    case ScaleRule::mse:
    case ScaleRule::lsq:
    case ScaleRule::bias_search:
    case ScaleRule::quest:
    case ScaleRule::four_over_six:
      return false;
    default:
      return true;
  }
}

/// Quantizes one block: chooses its scale and writes the code of element (r, c) to
/// `codes[view.index(r, c)]`.
template <class Code>
FP4LAB_HD constexpr BlockScale quantize_block(const QuantSpec& spec, const GlobalFactor& g,
                                              const BlockView& view, const RandomSource& random,
                                              Code* codes, float external_amax = -1.0f) {
  const BlockScale b = choose_scale(spec, g, view, external_amax);
  const RandomSource source = candidate_source(spec, b, random);
  for (std::uint32_t r = 0; r < view.rows; ++r) {
    for (std::uint32_t c = 0; c < view.cols; ++c) {
      const std::uint64_t i = view.index(r, c);
      codes[i] = static_cast<Code>(
          encode_element(spec, b, view.data[i], c, spec.round, source.word(i, spec.round)));
    }
  }
  return b;
}

}  // namespace fp4lab
