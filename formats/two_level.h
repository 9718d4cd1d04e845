// Two-level scaling: a block scale in E4M3 (or another coded format) under one binary32 factor per
// tensor, row or 1x128 span. formats.md 3.5 and 3.6; the order of operations is what tells the
// implementations apart, so each is written out.
#pragma once

#include <cstdint>

#include "formats/block.h"
#include "formats/convert.h"
#include "formats/host_device.h"
#include "formats/quant_spec.h"
#include "formats/scale_rule.h"

namespace fp4lab {

/// What the global amax A turns into. `decode` is g, the factor stored in files and multiplied
/// last; the others feed the block scale.
struct GlobalFactor {
  float amax = 0.0f;    ///< A
  float encode = 1.0f;  ///< S_enc
  float decode = 1.0f;  ///< g = S_dec
  float mult = 1.0f;    ///< factor of a block's amax
};

namespace detail {

FP4LAB_HD constexpr float min_max_float(float x) noexcept { return x > kFloatMax ? kFloatMax : x; }

/// Largest value of the block scale's format, the 448 of E4M3.
FP4LAB_HD constexpr float scale_max(const QuantSpec& spec) noexcept {
  return spec.scale.kind == ScaleFormat::Kind::coded
             ? static_cast<float>(max_value(spec.scale.format))
             : kFloatMax;
}

/// The numerator of S_enc: scale bound times element maximum, 2688 for NVFP4.
FP4LAB_HD constexpr double encode_numerator(const QuantSpec& spec) noexcept {
  const double q = spec.rule == ScaleRule::static4 ? 4.0 : static_cast<double>(qmax(spec.element));
  // The block scale's bound: e4m3max for E4M3, the format's own maximum otherwise.
  const bool e4m3 = spec.scale.kind == ScaleFormat::Kind::coded && scale_max(spec) == 448.0f;
  const double bound =
      e4m3 ? static_cast<double>(spec.e4m3max) : static_cast<double>(scale_max(spec));
  return q * bound * (spec.headroom ? 16.0 / 17.0 : 1.0);
}

/// torch's E4M3 cast: nearest even, no saturation (beyond 464: NaN 7F).
FP4LAB_HD constexpr std::uint32_t torch_scale_code(const QuantSpec& spec, float s) noexcept {
  if (is_nan(s)) return spec.scale.format.nan_code();
  return encode_any(spec.scale.format, s, nearest_even(), Policy::torch);
}

}  // namespace detail

/// The global factor for amax `a` of its scope (finite elements only, see finite_amax).
FP4LAB_HD constexpr GlobalFactor global_factor(const QuantSpec& spec, float a) noexcept {
  GlobalFactor g;
  g.amax = a;
  if (spec.rule == ScaleRule::tseng34) {
    g.decode = div_rn(4.0f, 3.0f);
    return g;
  }
  const double numerator = detail::encode_numerator(spec);
  const float num = static_cast<float>(numerator);
  const double q = spec.rule == ScaleRule::static4 ? 4.0 : static_cast<double>(qmax(spec.element));
  const double per_block = (spec.headroom ? 17.0 / 16.0 : 1.0) / q;  // 1/6 or 17/96
  switch (spec.profile) {
    case Profile::torchao:
      g.decode = div_rn(a, num);
      g.encode = div_rn(1.0f, g.decode);
      return g;
    case Profile::torchao_single:
      return g;
    case Profile::modelopt:
      g.decode = div_rn(a, num);
      return g;
    case Profile::fouroversix:
      // S_enc runs into Inf for tiny A, and so does everything after it.
      g.encode = div_rn(num, a);
      g.decode = div_rn(1.0f, g.encode);
      return g;
    default:
      break;
  }
  if (spec.global == GlobalScope::none) {
    g.mult = static_cast<float>(per_block);
    return g;
  }
  g.encode = detail::min_max_float(div_rn(num, a));
  if (a == 0.0f || g.encode == 0.0f) g.encode = 1.0f;
  if (is_nan(a)) g.encode = canonical_nan();
  g.decode = div_rn(1.0f, g.encode);
  g.mult = mul_rn(g.encode, static_cast<float>(per_block));
  return g;
}

namespace detail {

/// enc_b = min(1 / (s * S_dec), FLT_MAX): what Transformer Engine multiplies elements by.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale te_block(const QuantSpec& spec,
                                                               const GlobalFactor& g,
                                                               std::uint32_t code) noexcept {
  BlockScale b;
  b.code = code;
  b.decode = decode_any(spec.scale.format, code);
  b.factor = min_max_float(div_rn(1.0f, mul_rn(b.decode, g.decode)));
  b.apply = Apply::multiply;
  return b;
}

/// Plain NVFP4 and nvfp4@te: s = E4M3(sat(amax_b * mult)).
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale te_scale(const QuantSpec& spec,
                                                               const GlobalFactor& g,
                                                               float amax) noexcept {
  const float s = min_max_float(mul_rn(amax, g.mult));
  std::uint32_t code = encode_any(spec.scale.format, s, nearest_even());
  if (spec.global == GlobalScope::none && amax > 0.0f && code == 0) code = 1;
  if (code == 0 && amax > 0.0f) {
    if (spec.zero_scale == ZeroScale::one)
      code = encode_any(spec.scale.format, 1.0f, nearest_even());
    if (spec.zero_scale == ZeroScale::min_normal) code = 1u << spec.scale.format.mantissa_bits;
  }
  return te_block(spec, g, code);
}

/// torchao: (amax_b / 6) / g, clamped to [2^-6, 448]; elements times (1/g)/s.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale torchao_scale(const QuantSpec& spec,
                                                                    const GlobalFactor& g,
                                                                    float amax) noexcept {
  const bool single = spec.profile == Profile::torchao_single;
  float s = div_rn(amax, qmax(spec.element));
  if (!single) s = div_rn(s, g.decode);
  // Clamping leaves a NaN (0/0 of the all-zero tensor) alone.
  const float lowest = static_cast<float>(
      minifloat_magnitude(spec.scale.format, 1u << spec.scale.format.mantissa_bits));
  if (s < lowest) s = lowest;
  if (s > scale_max(spec)) s = scale_max(spec);
  BlockScale b;
  b.code = torch_scale_code(spec, s);
  b.decode = decode_any(spec.scale.format, b.code);
  b.factor = div_rn(single ? 1.0f : g.encode, b.decode);
  b.apply = Apply::multiply;
  return b;
}

/// ModelOpt: s = amax_b / (6 g), zeros replaced by 1; elements divided by s * g.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale modelopt_scale(const QuantSpec& spec,
                                                                     const GlobalFactor& g,
                                                                     float amax) noexcept {
  float s = div_rn(amax, mul_rn(qmax(spec.element), g.decode));
  if (s == 0.0f || is_nan(s)) s = 1.0f;
  BlockScale b;
  b.code = encode_any(spec.scale.format, s, nearest_even());
  b.decode = decode_any(spec.scale.format, b.code);
  b.factor = mul_rn(b.decode, g.decode);
  b.apply = Apply::divide;
  return b;
}

/// fouroversix: the scale code's reciprocal under dec = 1/S_enc; a zero scale zeroes the block.
FP4LAB_HD constexpr BlockScale fouroversix_block(const QuantSpec& spec, const GlobalFactor& g,
                                                 std::uint32_t code) noexcept {
  BlockScale b;
  b.code = code;
  b.decode = decode_any(spec.scale.format, code);
  b.zero_codes = b.decode == 0.0f;
  b.factor = div_rn(1.0f, mul_rn(g.decode, b.decode));
  b.apply = b.zero_codes ? Apply::none : Apply::multiply;
  return b;
}

/// static6 and static4: s = E4M3(fl(amax_b / q) * S_enc), q = 6 or 4 (7 for NVINT4).
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr BlockScale static_scale(const QuantSpec& spec,
                                                                   const GlobalFactor& g,
                                                                   float amax) noexcept {
  const double q = spec.rule == ScaleRule::static4 ? 4.0 : static_cast<double>(qmax(spec.element));
  const float divisor = static_cast<float>(q * (spec.headroom ? 16.0 / 17.0 : 1.0));
  const float s = mul_rn(div_rn(amax, divisor), g.encode);
  if (spec.profile == Profile::fouroversix) {
    if (g.amax == 0.0f) return fouroversix_block(spec, g, 0);
    return fouroversix_block(spec, g, torch_scale_code(spec, s));
  }
  return te_block(spec, g, encode_any(spec.scale.format, min_max_float(s), nearest_even()));
}

/// Sums and maxima of error terms with the shapes of the two Four Over Six implementations
/// (formats.md 3.6); binary32 throughout.
class ErrorSum {
 public:
  FP4LAB_HD constexpr ErrorSum(ErrorMetric metric, bool lanes8, std::uint32_t rows,
                               std::uint32_t cols) noexcept
      : metric_(metric), lanes8_(lanes8), rows_(rows), cols_(cols) {}

  /// Adds the error of the element in row-major position i.
  FP4LAB_HD constexpr void add(std::uint32_t i, float e) noexcept {
    const float a = abs_bits(e);
    const float term =
        metric_ == ErrorMetric::mse || metric_ == ErrorMetric::mse_fp16 ? mul_rn(e, e) : a;
    if (metric_ == ErrorMetric::absmax) {
      if (term > lane_[0] || is_nan(term)) lane_[0] = term;
      return;
    }
    if (lanes8_) {
      // torch's inner-dimension sum with 8-wide vectors: 16 elements use one accumulator row and
      // fold i with i + 8; longer runs go round four accumulators.
      const std::uint32_t accumulators = rows_ * cols_ > 16 ? 4u : 1u;
      const std::uint32_t lane = (i / 8 % accumulators) * 8 + i % 8;
      lane_[lane] = add_rn(lane_[lane], term);
      return;
    }
    const std::uint32_t row = i / cols_ % kRows;
    lane_[row] = add_rn(lane_[row], term);
  }
  FP4LAB_HD constexpr float total() noexcept {
    if (metric_ == ErrorMetric::absmax) return lane_[0];
    if (lanes8_) {
      for (int a = 1; a < 4; ++a) {
        for (int l = 0; l < 8; ++l) lane_[l] = add_rn(lane_[l], lane_[a * 8 + l]);
      }
      float sum = lane_[0];
      for (int l = 1; l < 8; ++l) sum = add_rn(sum, lane_[l]);
      return sum;
    }
    for (std::uint32_t h = kRows / 2; h >= 1; h /= 2) {
      for (std::uint32_t r = 0; r < h; ++r) lane_[r] = add_rn(lane_[r], lane_[r + h]);
    }
    return lane_[0];
  }

 private:
  static constexpr std::uint32_t kRows = 32;
  ErrorMetric metric_;
  bool lanes8_;
  std::uint32_t rows_, cols_;
  float lane_[kRows] = {};
};

}  // namespace detail
}  // namespace fp4lab
