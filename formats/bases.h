// The bases of QuantSpecs and what each implies: data behind the spec text.
#pragma once

#include <array>
#include <string_view>

#include "formats/quant_spec.h"

namespace fp4lab {

/// A named starting point of a spec. Every element format is one too (a plain block=tensor spec).
struct BaseInfo {
  std::string_view id;
  std::string_view title;
  Scheme scheme;
  std::string_view element;
  std::string_view scale;
  ScaleRule rule;
  BlockShape block;
  GlobalScope global;
};

inline constexpr auto kBases = std::to_array<BaseInfo>({
    {"mxfp4", "OCP MXFP4", Scheme::mx, "e2m1", "e8m0", ScaleRule::floor, {1, 32},
     GlobalScope::none},
    {"mxfp6-e2m3", "OCP MXFP6", Scheme::mx, "e2m3", "e8m0", ScaleRule::floor, {1, 32},
     GlobalScope::none},
    {"mxfp6-e3m2", "OCP MXFP6", Scheme::mx, "e3m2", "e8m0", ScaleRule::floor, {1, 32},
     GlobalScope::none},
    {"mxfp8-e4m3", "OCP MXFP8", Scheme::mx, "e4m3", "e8m0", ScaleRule::floor, {1, 32},
     GlobalScope::none},
    {"mxfp8-e5m2", "OCP MXFP8", Scheme::mx, "e5m2", "e8m0", ScaleRule::floor, {1, 32},
     GlobalScope::none},
    {"mxint8", "OCP MXINT8", Scheme::mx, "mxint8-elem", "e8m0", ScaleRule::floor, {1, 32},
     GlobalScope::none},
    {"mxint4", "MXINT4 (microxcaling)", Scheme::mx, "mxint4-elem", "e8m0", ScaleRule::floor,
     {1, 32}, GlobalScope::none},
    {"mxint2", "MXINT2 (microxcaling)", Scheme::mx, "mxint2-elem", "e8m0", ScaleRule::floor,
     {1, 32}, GlobalScope::none},
    {"nvfp4", "NVFP4, two-level", Scheme::nv, "e2m1", "ue4m3", ScaleRule::two_level, {1, 16},
     GlobalScope::tensor},
    {"nvint4", "NVINT4 (fouroversix)", Scheme::nv, "int4", "ue4m3", ScaleRule::two_level, {1, 16},
     GlobalScope::tensor},
    {"if4", "E2M1 or INT4 a block (fouroversix)", Scheme::if4, "e2m1", "ue4m3", ScaleRule::static6,
     {1, 16}, GlobalScope::tensor},
    {"razer", "NVFP4 with -0 re-used (RaZeR)", Scheme::razer, "e2m1-razer", "ue4m3",
     ScaleRule::two_level, {1, 16}, GlobalScope::tensor},
    {"hif4", "HiF4, three levels", Scheme::hif4, "hif4-elem", "e6m2", ScaleRule::hif4, {1, 64},
     GlobalScope::none},
    {"blockdialect", "BlockDialect: one of 16 dialects a block", Scheme::dialect, "dialect-7",
     "pow2", ScaleRule::dialect, {1, 32}, GlobalScope::none},
});

/// A profile: whose bits, and of which schemes it speaks.
struct ProfileInfo {
  std::string_view id;
  Profile profile;
  bool mx, nv;  ///< families it speaks of: MX bases; nvfp4 and nvint4
  bool if4;     ///< ... and the base if4
  std::string_view source;
};

inline constexpr auto kProfiles = std::to_array<ProfileInfo>({
    {"ocp", Profile::ocp, true, false, false, "OCP MX v1.0: the plain MX bases"},
    {"microxcaling", Profile::microxcaling, true, false, false,
     "microsoft/microxcaling 7bc4195, Python path"},
    {"microxcaling-cuda", Profile::microxcaling_cuda, true, false, false,
     "microsoft/microxcaling 7bc4195, C++/CUDA path"},
    {"torchao", Profile::torchao, true, true, false, "pytorch/ao 36027d8"},
    {"torchao-single", Profile::torchao_single, false, true, false,
     "pytorch/ao 36027d8, no tensor scale"},
    {"te", Profile::te, true, true, false,
     "NVIDIA/TransformerEngine d0067d0, Python reference quantizer"},
    {"te-4over6", Profile::te_4over6, false, true, false,
     "NVIDIA/TransformerEngine d0067d0, nvfp4_use_4over6"},
    {"modelopt", Profile::modelopt, true, true, false, "NVIDIA/TensorRT-Model-Optimizer 5a4242f"},
    {"fouroversix", Profile::fouroversix, true, true, true, "mit-han-lab/fouroversix dadfad6"},
    {"tetrajet", Profile::tetrajet, true, false, false,
     "thu-ml/TetraJet-MXFP4Training bbe9bd6, Torch path"},
    {"quartet", Profile::quartet, true, false, false, "IST-DASLab/Quartet 00ccd38, Triton forward"},
});

/// A name of an enumerator, and what else it is called on input.
template <class E>
struct NameRow {
  E value;
  std::string_view id;
  std::string_view aliases;
};

inline constexpr auto kRuleNames = std::to_array<NameRow<ScaleRule>>({
    {ScaleRule::absmax, "absmax", "max"},
    {ScaleRule::clip, "clip", "absmax-clip"},
    {ScaleRule::percentile, "percentile", "quantile"},
    {ScaleRule::mse, "mse", "mse-grid"},
    {ScaleRule::lsq, "lsq", "learned"},
    {ScaleRule::ema, "ema", "delayed"},
    {ScaleRule::fixed, "fixed", ""},
    {ScaleRule::pow2_floor, "pow2-floor", ""},
    {ScaleRule::pow2_ceil, "pow2-ceil", ""},
    {ScaleRule::pow2_near, "pow2-near", ""},
    {ScaleRule::real_bias, "real-bias", "bias"},
    {ScaleRule::bias_search, "bias-search", "llm-fp4"},
    {ScaleRule::floor, "floor", "mx-floor ocp"},
    {ScaleRule::ceil, "ceil", ""},
    {ScaleRule::even, "even", "mx-even oas"},
    {ScaleRule::rceil, "rceil", "mx-ceil mx-rceil truncation-free mx-tetrajet tetrajet"},
    {ScaleRule::tseng34, "tseng34", "mx-floor-34 mx-tseng34"},
    {ScaleRule::quest, "quest", "mx-quest"},
    {ScaleRule::two_level, "two-level", "nv nv-te"},
    {ScaleRule::four_over_six, "4over6", "nv-46 four-over-six fouroversix"},
    {ScaleRule::static6, "static6", "static-6"},
    {ScaleRule::static4, "static4", "static-4 nv-static4"},
    {ScaleRule::hif4, "hif4", ""},
    {ScaleRule::dialect, "dialect", ""},
});

inline constexpr auto kRoundingNames = std::to_array<NameRow<RoundingKind>>({
    {RoundingKind::rne, "rne", "nearest-even even"},
    {RoundingKind::rna, "rna", "nearest-away away"},
    {RoundingKind::rnz, "rnz", "nearest-to-zero"},
    {RoundingKind::rtz, "rtz", "toward-zero truncate"},
    {RoundingKind::rtp, "rtp", "toward-positive ceil"},
    {RoundingKind::rtn, "rtn", "toward-negative floor"},
    {RoundingKind::odd, "odd", "rto to-odd"},
    {RoundingKind::rn_lower, "rn-lower", ""},
    {RoundingKind::rn_upper, "rn-upper", ""},
    {RoundingKind::sr, "sr", "sr-floor stochastic"},
    {RoundingKind::sr_fast, "sr-fast", ""},
    {RoundingKind::sr_rne, "sr-rne", ""},
    {RoundingKind::sr_rno, "sr-rno", ""},
    {RoundingKind::sr_uniform, "sr-uniform", ""},
    {RoundingKind::sr_noise, "sr-noise", ""},
    {RoundingKind::sr_hw, "sr-hw", "sr-hw-e2m1"},
    {RoundingKind::luq, "luq", "luq-log"},
    {RoundingKind::luq_sr, "luq-sr", ""},
    {RoundingKind::luq_su, "luq-su", ""},
    {RoundingKind::rdnp, "rdnp", ""},
});

inline constexpr auto kPolicyNames = std::to_array<NameRow<Policy>>({
    {Policy::cuda, "cuda", ""},
    {Policy::cuda_nosat, "cuda-nosat", ""},
    {Policy::ml_dtypes, "ml-dtypes", ""},
    {Policy::jax, "jax", "xla"},
    {Policy::torch, "torch", ""},
    {Policy::torchao, "torchao", ""},
    {Policy::te, "te", ""},
    {Policy::modelopt, "modelopt", ""},
    {Policy::fouroversix, "fouroversix", ""},
    {Policy::gfloat_sat, "gfloat-sat", ""},
    {Policy::gfloat_nosat, "gfloat-nosat", ""},
});

inline constexpr auto kGlobalNames = std::to_array<NameRow<GlobalScope>>({
    {GlobalScope::none, "none", ""},
    {GlobalScope::tensor, "tensor", ""},
    {GlobalScope::row, "row", ""},
    {GlobalScope::row_block128, "1x128", ""},
});
inline constexpr auto kErrorNames = std::to_array<NameRow<ErrorMetric>>({
    {ErrorMetric::mae, "mae", ""},
    {ErrorMetric::mse, "mse", ""},
    {ErrorMetric::absmax, "absmax", "abs-max"},
    {ErrorMetric::mse_fp16, "mse-fp16", ""},
});
inline constexpr auto kSignNames = std::to_array<NameRow<HadamardSigns>>({
    {HadamardSigns::fixed, "fixed", "fixed-global"},
    {HadamardSigns::none, "none", ""},
    {HadamardSigns::per_layer_step, "per-layer-step", ""},
    {HadamardSigns::per_call, "per-call", ""},
});
inline constexpr auto kAmaxNanNames = std::to_array<NameRow<AmaxNan>>({
    {AmaxNan::propagate, "propagate", ""},
    {AmaxNan::ignore, "ignore", ""},
});
inline constexpr auto kZeroScaleNames = std::to_array<NameRow<ZeroScale>>({
    {ZeroScale::code_zero, "zero", "code-zero zero-scale0 minscale"},
    {ZeroScale::one, "one", "zero-scale1"},
    {ZeroScale::min_normal, "min-normal", "zero-scalemin"},
});

}  // namespace fp4lab
