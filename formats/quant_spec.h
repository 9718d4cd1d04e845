// QuantSpec: one value that names one numerical rule for a tensor.
//
// A plain, trivially copyable record: element format, scale format, scale rule, rounding, block,
// global factor and the options of decisions.md 1. Its text form is in spec_text.h.
#pragma once

#include <cstdint>

#include "formats/element_format.h"
#include "formats/policy.h"
#include "formats/rounding.h"

namespace fp4lab {

/// What a block scale is stored in.
struct ScaleFormat {
  enum class Kind : std::uint8_t {
    none,   ///< no scale: s = 1
    fp32,   ///< any binary32
    pow2,   ///< a power of two of binary32's range, stored as binary32
    coded,  ///< the codes of `format` (e8m0, ue4m3, ue5m3, bf16, ...)
  };
  Kind kind = Kind::fp32;
  ElementFormat format{};  ///< for `coded`
  friend constexpr bool operator==(const ScaleFormat&, const ScaleFormat&) = default;
  FP4LAB_HD constexpr bool is_e8m0() const noexcept {
    return kind == Kind::coded && detail::is_e8m0(format);
  }
};

/// How the scale follows from the block (decisions.md 1, formats.md 3.3 - 3.6).
enum class ScaleRule : std::uint8_t {
  absmax,         ///< s = amax / qmax
  clip,           ///< s = c amax / qmax
  percentile,     ///< amax replaced by the p-th percentile of |x|
  mse,            ///< grid search for the least squared error
  lsq,            ///< LSQ's initial value 2 mean|x| / sqrt(qmax)
  ema,            ///< amax handed in by the caller (delayed, averaged)
  fixed,          ///< the given s
  pow2_floor,     ///< amax / qmax rounded down to a power of two
  pow2_ceil,      ///< ... up
  pow2_near,      ///< ... to the nearer one, cut at 1.5
  real_bias,      ///< LLM-FP4: s = 2^(bias - b) for a real-valued exponent bias b
  bias_search,    ///< LLM-FP4: b searched on the paper's grid for the least squared error
  floor,          ///< OCP MX: 2^(floor(log2 amax) - emax)
  ceil,           ///< torchao CEIL
  even,           ///< amax rounded to the element's mantissa first
  rceil,          ///< smallest power of two X with amax <= qmax X
  tseng34,        ///< FLOOR, elements scaled by 3/4 (arXiv:2502.20586)
  quest,          ///< 2^floor(log2(c std + 1e-8)) (QuEST)
  two_level,      ///< NVFP4: block scale under a global factor
  four_over_six,  ///< NVFP4 with the better of "map to 6" and "map to 4" (arXiv:2512.02010)
  static6,        ///< fouroversix, always map to 6
  static4,        ///< fouroversix, always map to 4
  hif4,           ///< HiF4's three levels
  dialect,        ///< BlockDialect's choice of dialect by block error
};

/// Whose arithmetic is reproduced bit for bit.
enum class Profile : std::uint8_t {
  none,
  ocp,
  microxcaling,
  microxcaling_cuda,
  torchao,
  torchao_single,
  te,
  te_4over6,
  modelopt,
  fouroversix,
  tetrajet,
  quartet,
};

/// Families of bases that share a way of scaling.
enum class Scheme : std::uint8_t {
  plain,        ///< one scale a block
  mx,           ///< E8M0 block scale
  nv,           ///< E4M3 block scale under a global binary32 factor
  if4,          ///< nv with E2M1 or INT4 chosen a block
  razer,        ///< nv with a special value in place of -0 chosen a block
  hif4,         ///< three-level power-of-two scales
  dialect,      ///< formatbook
};

/// Which elements share a scale. `rows` x `cols` counts of the stored matrix; 0 means "all".
struct BlockShape {
  std::uint32_t rows = 0, cols = 0;
  friend constexpr bool operator==(const BlockShape&, const BlockShape&) = default;
  FP4LAB_HD constexpr bool is_tensor() const noexcept { return rows == 0 && cols == 0; }
};

/// Scope of the global factor of two-level specs.
enum class GlobalScope : std::uint8_t { none, tensor, row, row_block128 };

enum class ErrorMetric : std::uint8_t { mae, mse, absmax, mse_fp16 };
enum class AmaxNan : std::uint8_t { propagate, ignore };
/// What a block scale that comes out as zero is replaced by.
enum class ZeroScale : std::uint8_t {
  code_zero,   ///< nothing: code 00
  one,         ///< ModelOpt: 1.0
  min_normal,  ///< torchao: the scale format's smallest normal
};
enum class HadamardSigns : std::uint8_t { fixed, none, per_layer_step, per_call };
enum class ClipKind : std::uint8_t { none, absolute, percentile };

/// One numerical rule. Defaults are those of the base `fp32`-scaled per-tensor absmax.
struct QuantSpec {
  char base[32] = "e2m1";  ///< base id as printed, NUL-terminated
  Profile profile = Profile::none;
  Scheme scheme = Scheme::plain;
  ElementFormat element{};
  ScaleFormat scale{};
  ScaleRule rule = ScaleRule::absmax;
  double rule_arg = 0;  ///< c, p, s or b of the rules that take one
  Rounding round{};
  BlockShape block{};
  GlobalScope global = GlobalScope::none;
  bool headroom = false;  ///< 17/16: maps amax to 6 * 16/17, so that SR never clips
  ErrorMetric error = ErrorMetric::mae;
  std::uint16_t e4m3max = 448;  ///< largest block scale the global factor aims at
  bool clamp = true;            ///< clamp scaled elements (fouroversix itself does not)
  bool flush = false;           ///< microxcaling flush_fp32_subnorms
  std::uint16_t hadamard = 0;   ///< group size, 0 = off
  HadamardSigns signs = HadamardSigns::fixed;
  ClipKind clip = ClipKind::none;
  double clip_arg = 0;
  float prescale = 1.0f;
  Policy policy = Policy::cuda;
  AmaxNan amax_nan = AmaxNan::propagate;
  ZeroScale zero_scale = ZeroScale::code_zero;

  friend constexpr bool operator==(const QuantSpec&, const QuantSpec&) = default;

  /// True when a global binary32 factor g multiplies every dequantized value of its scope.
  FP4LAB_HD constexpr bool has_global() const noexcept {
    return rule == ScaleRule::tseng34 || global != GlobalScope::none;
  }
};

/// Largest magnitude the scale rules map amax to. For the MX integers and for bases whose encoder
/// clamps, this is the largest magnitude on both sides (int4: 7, nf4: 1, radix-4: 64 or 128).
FP4LAB_HD constexpr float qmax(const ElementFormat& f) noexcept {
  return static_cast<float>(max_abs_value(f));
}

}  // namespace fp4lab
