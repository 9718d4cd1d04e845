// The text form of a QuantSpec: BASE[@PROFILE][,key=value]... Parsing accepts any order, case and
// alias; printing gives the one canonical form, which parses back to the same value. Host only.
// Keys, ids and their order: decisions.md 1.
#pragma once

#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "formats/bases.h"
#include "formats/hadamard.h"
#include "formats/names.h"
#include "formats/quant_spec.h"
#include "formats/registry.h"
#include "formats/spec_defaults.h"

namespace fp4lab {

/// A spec, rounding or policy text that cannot be read: what was found, where, and what is near.
class SpecError : public std::invalid_argument {
 public:
  SpecError(std::string_view text, std::size_t position, const std::string& what)
      : std::invalid_argument("'" + printable(text) + "', position " +
                              std::to_string(position + 1) + ": " + what),
        position_(position) {}
  /// Index of the offending character.
  std::size_t position() const noexcept { return position_; }

 private:
  std::size_t position_;
};

namespace detail {

/// A piece of the text being parsed, with its place in the whole.
struct Piece {
  std::string_view whole;  ///< everything, for messages
  std::string_view text;
  std::size_t at = 0;

  [[noreturn]] void fail(const std::string& what) const { throw SpecError(whole, at, what); }
  Piece sub(std::size_t from, std::size_t n = std::string_view::npos) const {
    return {whole, text.substr(from, n), at + from};
  }
  /// Splits at the first `c`; the second piece is absent when there is none.
  std::pair<Piece, std::optional<Piece>> split(char c) const {
    const std::size_t i = text.find(c);
    if (i == std::string_view::npos) return {*this, std::nullopt};
    return {sub(0, i), sub(i + 1)};
  }
};

template <class Rows>
std::vector<std::string> ids_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& r : rows) names.emplace_back(r.id);
  return names;
}

template <class E, std::size_t N>
E lookup(const Piece& p, const std::array<NameRow<E>, N>& rows, const char* kind) {
  const std::string wanted = normalize_name(p.text);
  for (const auto& r : rows) {
    if (r.id == wanted || has_alias(r.aliases, wanted)) return r.value;
  }
  p.fail("unknown " + std::string(kind) + " '" + printable(p.text) + "'" +
         nearest_hint(wanted, ids_of(rows)));
}
template <class E, std::size_t N>
std::string_view id_of(E value, const std::array<NameRow<E>, N>& rows) {
  for (const auto& r : rows) {
    if (r.value == value) return r.id;
  }
  return "?";
}

inline double parse_number(const Piece& p, double low, double high, const char* what) {
  double v = 0;
  const char* end = p.text.data() + p.text.size();
  const auto [at, error] = std::from_chars(p.text.data(), end, v);
  if (p.text.empty() || error != std::errc() || at != end || !(v >= low && v <= high)) {
    const auto show = [](double d) {
      char buffer[40];
      return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, d).ptr);
    };
    p.fail("'" + printable(p.text) + "' is not " + what + " (a number from " + show(low) + " to " +
           show(high) + ")");
  }
  return v;
}
/// Shortest text that reads back to the same number, as binary32 where `single` is set.
inline std::string print_number(double v, bool single = false) {
  char buffer[40];
  char* end = buffer + sizeof buffer;
  const auto r = single ? std::to_chars(buffer, end, static_cast<float>(v))
                        : std::to_chars(buffer, end, v);
  return std::string(buffer, r.ptr);
}
inline int parse_int(const Piece& p, int low, int high, const char* what) {
  int v = 0;
  const char* end = p.text.data() + p.text.size();
  const auto [at, error] = std::from_chars(p.text.data(), end, v);
  if (p.text.empty() || error != std::errc() || at != end || v < low || v > high) {
    p.fail("'" + printable(p.text) + "' is not " + what + " (a whole number from " +
           std::to_string(low) + " to " + std::to_string(high) + ")");
  }
  return v;
}
inline bool parse_switch(const Piece& p) {
  const std::string v = normalize_name(p.text);
  if (v == "on" || v == "true" || v == "1") return true;
  if (v == "off" || v == "false" || v == "0") return false;
  p.fail("'" + printable(p.text) + "' is neither 'on' nor 'off'");
}

inline Rounding parse_rounding(const Piece& p) {
  const auto [head, argument] = p.split(':');
  if (normalize_name(head.text) == "tpr") {
    head.fail("'tpr' is no rounding: it is format radix4-even in one slot and radix4-odd in the "
              "other");
  }
  Rounding r;
  r.kind = lookup(head, kRoundingNames, "rounding");
  switch (r.kind) {
    case RoundingKind::sr:
    case RoundingKind::sr_fast:
    case RoundingKind::sr_rne:
    case RoundingKind::sr_rno:
      r.bits = 16;
      if (argument) {
        r.bits = static_cast<std::uint8_t>(parse_int(*argument, 1, 32, "a number of random bits"));
      }
      return r;
    case RoundingKind::sr_hw: {
      r.bits = 16;
      if (argument) {
        const auto [slice, lane] = argument->split(':');
        r.bits = static_cast<std::uint8_t>(parse_int(slice, 8, 16, "a slice width, 8 or 16"));
        if (r.bits != 8 && r.bits != 16) slice.fail("a slice has 8 or 16 bits");
        if (lane) {
          const std::string l = normalize_name(lane->text);
          if (l == "first") r.forward = HwForwardLane::first;
          else if (l == "second") r.forward = HwForwardLane::second;
          else if (l == "none") r.forward = HwForwardLane::none;
          else lane->fail("unknown lane '" + printable(lane->text) + "'; first, second or none");
        }
      }
      return r;
    }
    default:
      if (argument) argument->fail("rounding '" + printable(head.text) + "' takes no argument");
      return r;
  }
}

inline ScaleFormat parse_scale(const Piece& p) {
  const std::string name = normalize_name(p.text);
  ScaleFormat s;
  if (name == "none") s.kind = ScaleFormat::Kind::none;
  else if (name == "fp32") s.kind = ScaleFormat::Kind::fp32;
  else if (name == "pow2") s.kind = ScaleFormat::Kind::pow2;
  else {
    s.kind = ScaleFormat::Kind::coded;
    const FormatInfo* f = find_format(name == "e4m3" ? "ue4m3" : name);
    if (f == nullptr) {
      auto names = all_format_names();
      names.insert(names.end(), {"none", "fp32", "pow2"});
      p.fail("unknown scale format '" + printable(p.text) + "'" + nearest_hint(name, names));
    }
    const bool wide = f->format.kind == FormatKind::minifloat && f->format.bits == 16;
    if (f->format.kind != FormatKind::minifloat || (f->format.is_signed && !wide)) {
      p.fail("'" + std::string(f->id) +
             "' cannot hold scales; none, fp32, pow2, bf16, fp16 or an unsigned format such as "
             "e8m0, ue4m3, ue5m3");
    }
    s.format = f->format;
  }
  return s;
}
inline std::string print_scale(const ScaleFormat& s) {
  switch (s.kind) {
    case ScaleFormat::Kind::none:
      return "none";
    case ScaleFormat::Kind::fp32:
      return "fp32";
    case ScaleFormat::Kind::pow2:
      return "pow2";
    case ScaleFormat::Kind::coded:
      break;
  }
  for (const FormatInfo* f : all_formats()) {
    if (f->format == s.format) return std::string(f->id);
  }
  return "?";
}

inline BlockShape parse_block(const Piece& p) {
  const std::string name = normalize_name(p.text);
  if (name == "tensor") return {0, 0};
  if (name == "row") return {1, 0};
  if (name == "col") return {0, 1};
  const auto [rows, cols] = p.split(p.text.find('x') != std::string_view::npos ? 'x' : 'X');
  if (!cols) {
    p.fail("unknown block '" + printable(p.text) + "'; tensor, row, col or ROWSxCOLS as in 1x32");
  }
  return {static_cast<std::uint32_t>(parse_int(rows, 1, 1 << 20, "a number of rows")),
          static_cast<std::uint32_t>(parse_int(*cols, 1, 1 << 20, "a number of columns"))};
}
inline std::string print_block(const BlockShape& b) {
  if (b.is_tensor()) return "tensor";
  if (b.rows == 1 && b.cols == 0) return "row";
  if (b.rows == 0 && b.cols == 1) return "col";
  return std::to_string(b.rows) + "x" + std::to_string(b.cols);
}

}  // namespace detail

/// Reads a rounding rule: `rne`, `sr:8`, `luq` ...
inline Rounding parse_rounding(std::string_view text) {
  return detail::parse_rounding(detail::Piece{text, text, 0});
}
/// The canonical text of a rounding rule.
inline std::string to_string(const Rounding& r) {
  std::string s(detail::id_of(r.kind, kRoundingNames));
  switch (r.kind) {
    case RoundingKind::sr:
    case RoundingKind::sr_fast:
    case RoundingKind::sr_rne:
    case RoundingKind::sr_rno:
      return s + ":" + std::to_string(r.bits);
    case RoundingKind::sr_hw:
      if (r.bits == 8) return s + ":8";
      if (r.forward == HwForwardLane::second) return s + ":16:second";
      if (r.forward == HwForwardLane::none) return s + ":16:none";
      return s;
    default:
      return s;
  }
}
/// Reads a special-value policy.
inline Policy parse_policy(std::string_view text) {
  return detail::lookup(detail::Piece{text, text, 0}, kPolicyNames, "policy");
}
inline std::string to_string(Policy p) { return std::string(detail::id_of(p, kPolicyNames)); }

/// Names that can stand first in a spec: bases and element formats.
inline std::vector<std::string> all_base_names() {
  std::vector<std::string> names = detail::ids_of(kBases);
  for (auto& n : all_format_names()) names.push_back(std::move(n));
  return names;
}

/// Reads a spec. Throws SpecError with the position, what was found and the nearest valid name.
inline QuantSpec parse_spec(std::string_view text) {
  using detail::Piece;
  const Piece whole{text, text, 0};
  std::vector<Piece> parts;
  for (Piece rest = whole;;) {
    auto [head, tail] = rest.split(',');
    parts.push_back(head);
    if (!tail) break;
    rest = *tail;
  }
  const auto [base, profile] = parts[0].split('@');
  if (base.text.empty()) base.fail("a spec begins with a format or a base such as mxfp4");
  auto found = detail::base_spec(base.text);
  if (!found) {
    base.fail("unknown base '" + printable(base.text) + "'" +
              nearest_hint(normalize_name(base.text), all_base_names()));
  }
  QuantSpec s = *found;
  if (profile) {
    const std::string wanted = normalize_name(profile->text);
    const ProfileInfo* row = nullptr;
    for (const ProfileInfo& p : kProfiles) {
      if (p.id == wanted) row = &p;
    }
    if (row == nullptr) {
      profile->fail("unknown profile '" + printable(profile->text) + "'" +
                    nearest_hint(wanted, detail::ids_of(kProfiles)));
    }
    const bool fits = (s.scheme == Scheme::mx && row->mx) || (s.scheme == Scheme::nv && row->nv) ||
                      (s.scheme == Scheme::if4 && row->if4);
    if (!fits) {
      profile->fail("profile '" + std::string(row->id) + "' says nothing about base '" +
                    std::string(s.base) + "'");
    }
    if (row->profile == Profile::tetrajet && s.element.exponent_bits == 0) {
      profile->fail("profile 'tetrajet' needs a floating-point element");
    }
    detail::apply_profile(s, row->profile);
    if (row->profile == Profile::te_4over6) detail::set_rule(s, ScaleRule::four_over_six);
  }

  static const std::vector<std::string> keys = {
      "scale", "rule",     "round", "block",    "global", "headroom", "error",    "e4m3max", "clamp",
      "flush", "hadamard", "clip",  "prescale", "policy", "amax-nan", "zero-scale"};
  struct Entry {
    std::string key;
    Piece name, value;
  };
  std::vector<Entry> entries;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto [name, value] = parts[i].split('=');
    const std::string key = normalize_name(name.text);
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      name.fail(key.empty() ? "an empty option"
                            : "unknown key '" + printable(name.text) + "'" +
                                  nearest_hint(key, keys));
    }
    if (!value || value->text.empty()) name.fail("key '" + key + "' needs '=' and a value");
    for (const Entry& e : entries) {
      if (e.key == key) name.fail("key '" + key + "' stands twice");
    }
    entries.push_back({key, name, *value});
  }
  // The rule comes first: other defaults hang on it.
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return (a.key == "rule") > (b.key == "rule");
  });
  for (const Entry& e : entries) {
    const Piece& v = e.value;
    const std::string value = normalize_name(v.text);
    if (e.key == "rule") {
      const auto [head, argument] = v.split(':');
      const ScaleRule rule = detail::lookup(head, kRuleNames, "scale rule");
      if (!detail::rule_fits(s, rule)) {
        std::vector<std::string> fitting;
        for (const auto& r : kRuleNames) {
          if (detail::rule_fits(s, r.value)) fitting.emplace_back(r.id);
        }
        std::string list;
        for (const auto& f : fitting) list += (list.empty() ? "" : " ") + f;
        head.fail("rule '" + std::string(detail::id_of(rule, kRuleNames)) + "' does not go with '" +
                  printable(parts[0].text) + "'; valid: " + list);
      }
      detail::set_rule(s, rule);
      const bool takes = detail::rule_takes_argument(rule);
      if (takes != argument.has_value()) {
        head.fail(takes ? "rule '" + printable(head.text) + "' needs an argument, as in rule=" +
                              std::string(detail::id_of(rule, kRuleNames)) +
                              (rule == ScaleRule::percentile ? ":99.9" : ":0.9")
                        : "rule '" + printable(head.text) + "' takes no argument");
      }
      if (rule == ScaleRule::clip) {
        s.rule_arg = detail::parse_number(*argument, 1e-6, 1e6, "a clip ratio");
      } else if (rule == ScaleRule::percentile) {
        s.rule_arg = detail::parse_number(*argument, 0.0, 100.0, "a percentile");
      } else if (rule == ScaleRule::fixed) {
        s.rule_arg = detail::parse_number(*argument, 0x1p-149, 3e38, "a scale");
      } else if (rule == ScaleRule::real_bias) {
        s.rule_arg = detail::parse_number(*argument, -200.0, 200.0, "an exponent bias");
      }
    } else if (e.key == "scale") {
      s.scale = detail::parse_scale(v);
    } else if (e.key == "round") {
      s.round = detail::parse_rounding(v);
    } else if (e.key == "block") {
      s.block = detail::parse_block(v);
    } else if (e.key == "global") {
      s.global = detail::lookup(v, kGlobalNames, "scope of the global factor");
    } else if (e.key == "headroom") {
      if (value == "17/16") s.headroom = true;
      else if (value == "none") s.headroom = false;
      else v.fail("headroom is '17/16' or 'none', not '" + printable(v.text) + "'");
    } else if (e.key == "error") {
      s.error = detail::lookup(v, kErrorNames, "error metric");
    } else if (e.key == "e4m3max") {
      s.e4m3max = static_cast<std::uint16_t>(detail::parse_int(v, 1, 448, "a scale bound"));
      if (s.e4m3max != 448 && s.e4m3max != 256) v.fail("e4m3max is 448 or 256");
    } else if (e.key == "clamp") {
      s.clamp = detail::parse_switch(v);
    } else if (e.key == "flush") {
      s.flush = detail::parse_switch(v);
    } else if (e.key == "hadamard") {
      const auto [size, signs] = v.split(':');
      if (normalize_name(size.text) == "none") {
        s.hadamard = 0;
        continue;
      }
      const int n = detail::parse_int(size, 2, kMaxHadamard, "a Hadamard size");
      if ((n & (n - 1)) != 0) size.fail("a Hadamard size is a power of two");
      s.hadamard = static_cast<std::uint16_t>(n);
      if (signs) s.signs = detail::lookup(*signs, kSignNames, "Hadamard signs");
    } else if (e.key == "clip") {
      const auto [head, argument] = v.split(':');
      if (argument && normalize_name(head.text) == "percentile") {
        s.clip = ClipKind::percentile;
        s.clip_arg = detail::parse_number(*argument, 0.0, 100.0, "a percentile");
      } else if (value == "none") {
        s.clip = ClipKind::none;
        s.clip_arg = 0;
      } else {
        s.clip = ClipKind::absolute;
        s.clip_arg = detail::parse_number(v, 0x1p-149, 3e38, "a clipping bound");
      }
    } else if (e.key == "prescale") {
      s.prescale = static_cast<float>(detail::parse_number(v, 0x1p-126, 0x1p126, "a factor"));
    } else if (e.key == "policy") {
      s.policy = detail::lookup(v, kPolicyNames, "policy");
    } else if (e.key == "amax-nan") {
      s.amax_nan = detail::lookup(v, kAmaxNanNames, "treatment of NaN");
    } else if (e.key == "zero-scale") {
      s.zero_scale = detail::lookup(v, kZeroScaleNames, "zero-scale policy");
    }
  }

  const auto place = [&](const char* key) {
    for (const Entry& e : entries) {
      if (e.key == key) return e.value;
    }
    return parts[0];
  };
  const bool two_level = s.scheme == Scheme::nv || s.scheme == Scheme::if4 ||
                         s.scheme == Scheme::razer;
  if (!two_level && s.global != GlobalScope::none) {
    place("global").fail("a global factor belongs to two-level bases (nvfp4, nvint4, if4, razer)");
  }
  if (two_level && s.scale.kind != ScaleFormat::Kind::coded) {
    place("scale").fail("a two-level base needs a coded block scale such as ue4m3 or ue5m3");
  }
  if (s.scheme == Scheme::hif4 && s.block != BlockShape{1, 64}) {
    place("block").fail("hif4 is defined for block=1x64");
  }
  if (s.scheme == Scheme::hif4 || s.scheme == Scheme::dialect) {
    if (s.scale != detail::base_spec(s.base)->scale) {
      place("scale").fail("the scale of '" + std::string(s.base) + "' is part of its definition");
    }
  }
  if (s.scheme == Scheme::mx && s.profile != Profile::none && s.profile != Profile::ocp &&
      s.profile != Profile::tetrajet && !s.scale.is_e8m0()) {
    place("scale").fail("this profile's scale is e8m0");
  }
  if (s.profile == Profile::microxcaling && s.round != kRna && s.round != kRne && s.round != kRtz) {
    place("round").fail("microxcaling rounds rna (its 'nearest'), rne ('even') or rtz ('floor')");
  }
  if (s.profile == Profile::tetrajet && s.round != kRne &&
      s.round.kind != RoundingKind::sr_noise) {
    place("round").fail("TetraJet rounds rne or sr-noise");
  }
  return s;
}

/// The canonical text of a spec: the keys that differ from the base's defaults, in fixed order.
inline std::string to_string(const QuantSpec& s) {
  const std::string base(s.base);
  std::string out = base;
  QuantSpec d = detail::base_spec(base).value_or(QuantSpec{});
  if (s.profile != Profile::none) {
    for (const ProfileInfo& p : kProfiles) {
      if (p.profile == s.profile) out += "@" + std::string(p.id);
    }
    detail::apply_profile(d, s.profile);
    if (s.profile == Profile::te_4over6) detail::set_rule(d, ScaleRule::four_over_six);
  }
  const ScaleRule default_rule = d.rule;
  if (s.rule != d.rule) detail::set_rule(d, s.rule);
  const auto put = [&](const char* key, const std::string& value) {
    out += std::string(",") + key + "=" + value;
  };
  const auto on_off = [](bool b) { return std::string(b ? "on" : "off"); };
  if (s.scale != d.scale) put("scale", detail::print_scale(s.scale));
  if (s.rule != default_rule || s.rule_arg != d.rule_arg) {
    std::string v(detail::id_of(s.rule, kRuleNames));
    if (detail::rule_takes_argument(s.rule)) v += ":" + detail::print_number(s.rule_arg);
    put("rule", v);
  }
  if (s.round != d.round) put("round", to_string(s.round));
  if (s.block != d.block) put("block", detail::print_block(s.block));
  if (s.global != d.global) put("global", std::string(detail::id_of(s.global, kGlobalNames)));
  if (s.headroom != d.headroom) put("headroom", s.headroom ? "17/16" : "none");
  if (s.error != d.error) put("error", std::string(detail::id_of(s.error, kErrorNames)));
  if (s.e4m3max != d.e4m3max) put("e4m3max", std::to_string(s.e4m3max));
  if (s.clamp != d.clamp) put("clamp", on_off(s.clamp));
  if (s.flush != d.flush) put("flush", on_off(s.flush));
  if (s.hadamard != d.hadamard || s.signs != d.signs) {
    std::string v = s.hadamard == 0 ? "none" : std::to_string(s.hadamard);
    if (s.signs != HadamardSigns::fixed) v += ":" + std::string(detail::id_of(s.signs, kSignNames));
    put("hadamard", v);
  }
  if (s.clip != d.clip || s.clip_arg != d.clip_arg) {
    put("clip", s.clip == ClipKind::none         ? "none"
                : s.clip == ClipKind::percentile ? "percentile:" + detail::print_number(s.clip_arg)
                                                 : detail::print_number(s.clip_arg));
  }
  if (s.prescale != d.prescale) put("prescale", detail::print_number(s.prescale, true));
  if (s.policy != d.policy) put("policy", to_string(s.policy));
  if (s.amax_nan != d.amax_nan) {
    put("amax-nan", std::string(detail::id_of(s.amax_nan, kAmaxNanNames)));
  }
  if (s.zero_scale != d.zero_scale) {
    put("zero-scale", std::string(detail::id_of(s.zero_scale, kZeroScaleNames)));
  }
  return out;
}

}  // namespace fp4lab
