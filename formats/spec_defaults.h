// What a base and a profile imply: the default spec of each, the defaults that hang on a scale
// rule, and which rules go with what. Host only.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "formats/bases.h"
#include "formats/names.h"
#include "formats/quant_spec.h"
#include "formats/registry.h"

namespace fp4lab {
namespace detail {

inline bool rule_takes_argument(ScaleRule r) {
  return r == ScaleRule::clip || r == ScaleRule::percentile || r == ScaleRule::fixed ||
         r == ScaleRule::real_bias;
}

/// Sets the rule and the defaults that hang on it.
inline void set_rule(QuantSpec& s, ScaleRule rule) {
  s.rule = rule;
  const bool pow2_rule = rule == ScaleRule::pow2_floor || rule == ScaleRule::pow2_ceil ||
                         rule == ScaleRule::pow2_near || rule == ScaleRule::floor ||
                         rule == ScaleRule::ceil || rule == ScaleRule::even ||
                         rule == ScaleRule::rceil || rule == ScaleRule::quest ||
                         rule == ScaleRule::tseng34;
  if (s.scheme == Scheme::plain && pow2_rule) s.scale.kind = ScaleFormat::Kind::pow2;
  if (s.profile == Profile::tetrajet && rule == ScaleRule::absmax) {
    s.scale = ScaleFormat{};
    s.scale.kind = ScaleFormat::Kind::fp32;
  }
  if (rule == ScaleRule::four_over_six) {
    const bool te = s.profile == Profile::te || s.profile == Profile::te_4over6;
    s.e4m3max = te ? 448 : 256;
  } else {
    s.e4m3max = 448;
  }
}

inline void set_base_name(QuantSpec& s, std::string_view id) {
  std::memset(s.base, 0, sizeof s.base);
  std::memcpy(s.base, id.data(), std::min(id.size(), sizeof s.base - 1));
}

/// The default spec of a base without profile; nullopt for an unknown name.
inline std::optional<QuantSpec> base_spec(std::string_view name) {
  const std::string wanted = normalize_name(name);
  QuantSpec s;
  for (const BaseInfo& b : kBases) {
    if (b.id != wanted) continue;
    set_base_name(s, b.id);
    s.scheme = b.scheme;
    s.element = find_format(b.element)->format;
    if (b.scale == "pow2") {
      s.scale.kind = ScaleFormat::Kind::pow2;
    } else {
      s.scale.kind = ScaleFormat::Kind::coded;
      s.scale.format = find_format(b.scale)->format;
    }
    s.rule = b.rule;
    s.block = b.block;
    s.global = b.global;
    if (b.scheme == Scheme::if4) s.error = ErrorMetric::mse;
    if (s.element.kind == FormatKind::codebook && b.scheme != Scheme::dialect) s.round = kRnLower;
    return s;
  }
  const FormatInfo* f = find_format(wanted);
  if (f == nullptr || f->id.size() >= sizeof s.base) return std::nullopt;
  set_base_name(s, f->id);
  s.element = f->format;
  if (f->format.kind == FormatKind::codebook) s.round = kRnLower;
  // Formats of more than 8 bits have range enough of their own: a plain cast unless told otherwise.
  if (f->format.bits > 8) s.scale.kind = ScaleFormat::Kind::none;
  return s;
}

/// Defaults of a profile on its base.
inline void apply_profile(QuantSpec& s, Profile p) {
  s.profile = p;
  const bool mx = s.scheme == Scheme::mx;
  switch (p) {
    case Profile::none:
    case Profile::ocp:
      return;
    case Profile::microxcaling:
    case Profile::microxcaling_cuda:
      s.round = kRna;
      return;
    case Profile::torchao:
      s.policy = Policy::torchao;
      if (!mx) s.zero_scale = ZeroScale::min_normal;
      return;
    case Profile::torchao_single:
      s.policy = Policy::torchao;
      s.zero_scale = ZeroScale::min_normal;
      s.global = GlobalScope::none;
      return;
    case Profile::te:
      s.policy = Policy::te;
      if (mx) s.rule = ScaleRule::rceil;
      return;
    case Profile::te_4over6:
      s.policy = Policy::te;
      s.rule = ScaleRule::four_over_six;
      return;
    case Profile::modelopt:
      s.policy = Policy::modelopt;
      if (mx) {
        s.rule = ScaleRule::rceil;
        s.round = kRnz;
      } else {
        s.zero_scale = ZeroScale::one;
      }
      return;
    case Profile::fouroversix:
      s.policy = Policy::fouroversix;
      s.clamp = false;
      s.error = ErrorMetric::mse;
      if (s.scheme == Scheme::nv && s.element == find_format("e2m1")->format) {
        set_rule(s, ScaleRule::four_over_six);
      } else {
        s.rule = ScaleRule::static6;
      }
      return;
    case Profile::tetrajet:
      s.rule = ScaleRule::rceil;
      // TetraJet spends every code on numbers.
      s.element.specials = Specials::none;
      return;
    case Profile::quartet:
      s.rule = ScaleRule::quest;
      s.round = kRnz;
      return;
  }
}

inline bool rule_fits(const QuantSpec& s, ScaleRule r) {
  switch (s.profile) {
    case Profile::microxcaling:
    case Profile::microxcaling_cuda:
      return r == ScaleRule::floor;
    case Profile::torchao:
      if (s.scheme == Scheme::nv) return r == ScaleRule::two_level;
      return r == ScaleRule::floor || r == ScaleRule::rceil || r == ScaleRule::ceil ||
             r == ScaleRule::even;
    case Profile::torchao_single:
      return r == ScaleRule::two_level;
    case Profile::te:
      if (s.scheme == Scheme::nv) {
        return r == ScaleRule::two_level || r == ScaleRule::four_over_six;
      }
      return r == ScaleRule::rceil;
    case Profile::te_4over6:
      return r == ScaleRule::four_over_six;
    case Profile::modelopt:
      return r == (s.scheme == Scheme::nv ? ScaleRule::two_level : ScaleRule::rceil);
    case Profile::fouroversix:
      return r == ScaleRule::static6 || r == ScaleRule::static4 ||
             (r == ScaleRule::four_over_six && s.scheme == Scheme::nv);
    case Profile::tetrajet:
      return r == ScaleRule::rceil || r == ScaleRule::pow2_floor || r == ScaleRule::floor ||
             r == ScaleRule::absmax;
    case Profile::quartet:
      return r == ScaleRule::quest;
    default:
      break;
  }
  switch (s.scheme) {
    case Scheme::plain:
    case Scheme::mx:
      return r != ScaleRule::two_level && r != ScaleRule::four_over_six &&
             r != ScaleRule::static6 && r != ScaleRule::static4 && r != ScaleRule::hif4 &&
             r != ScaleRule::dialect;
    case Scheme::nv:
      return r == ScaleRule::two_level || r == ScaleRule::four_over_six ||
             r == ScaleRule::static6 || r == ScaleRule::static4 || r == ScaleRule::mse ||
             r == ScaleRule::percentile || r == ScaleRule::clip;
    case Scheme::if4:
      return r == ScaleRule::static6 || r == ScaleRule::static4;
    case Scheme::razer:
      return r == ScaleRule::two_level;
    case Scheme::hif4:
      return r == ScaleRule::hif4;
    case Scheme::dialect:
      return r == ScaleRule::dialect;
  }
  return false;
}

}  // namespace detail
}  // namespace fp4lab
