// The model's own reading of spec texts: canonical ids only, no defaults borrowed from the library.
#include <map>
#include <stdexcept>
#include <utility>

#include "tests/oracle/blocks.h"

namespace fp4lab_oracle {
namespace {

[[noreturn]] void not_covered(std::string_view what) {
  throw std::invalid_argument("the model does not cover " + std::string(what));
}

std::pair<std::string, std::string> cut(const std::string& text, char at) {
  const std::size_t i = text.find(at);
  if (i == std::string::npos) return {text, ""};
  return {text.substr(0, i), text.substr(i + 1)};
}

template <class T>
T pick(const std::map<std::string, T>& table, const std::string& name) {
  const auto row = table.find(name);
  if (row == table.end()) not_covered(name);
  return row->second;
}

BlockSpec base(const std::string& name) {
  BlockSpec s;
  const auto mx = [&](const char* element) {
    s.family = Family::kMx;
    s.element = &format(element);
    s.scale = ScaleKind::kCoded;
    s.scale_format = &format("e8m0");
    s.rule = Rule::kFloor;
    s.block_rows = 1;
    s.block_cols = 32;
  };
  const auto two_level = [&](Family family, const char* element, Rule rule) {
    s.family = family;
    s.element = &format(element);
    s.scale = ScaleKind::kCoded;
    s.scale_format = &format("ue4m3");
    s.rule = rule;
    s.block_rows = 1;
    s.block_cols = 16;
    s.global = Scope::kTensor;
  };
  if (name == "mxfp4")
    mx("e2m1");
  else if (name == "mxfp6-e2m3")
    mx("e2m3");
  else if (name == "mxfp6-e3m2")
    mx("e3m2");
  else if (name == "mxfp8-e4m3")
    mx("e4m3");
  else if (name == "mxfp8-e5m2")
    mx("e5m2");
  else if (name == "mxint8")
    mx("mxint8-elem");
  else if (name == "mxint4")
    mx("mxint4-elem");
  else if (name == "mxint2")
    mx("mxint2-elem");
  else if (name == "nvfp4")
    two_level(Family::kNv, "e2m1", Rule::kTwoLevel);
  else if (name == "nvint4")
    two_level(Family::kNv, "int4", Rule::kTwoLevel);
  else if (name == "if4")
    two_level(Family::kIf4, "e2m1", Rule::kStatic6);
  else if (name == "razer")
    two_level(Family::kRazer, "e2m1-razer", Rule::kTwoLevel);
  else if (name == "hif4") {
    s.family = Family::kHif4;
    s.element = &format("hif4-elem");
    s.scale = ScaleKind::kCoded;
    s.scale_format = &format("e6m2");
    s.rule = Rule::kHif4;
    s.block_rows = 1;
    s.block_cols = 64;
  } else {
    s.element = &format(name);
    if (s.element->is_wide) s.scale = ScaleKind::kNone;
  }
  if (name == "if4") s.error = Metric::kMse;
  // Codebooks round to nearest with ties to the lower value.
  for (const char* codebook : {"nf4", "sf4", "bnb-fp4", "apot4", "mokey", "denorm4", "dialect-",
                               "e2m1-range", "e2m1-prec", "e2m1-razer", "e1m2-nosub"}) {
    if (s.element->id.rfind(codebook, 0) == 0) s.round.mode = Mode::kRnLower;
  }
  return s;
}

void apply_profile(BlockSpec& s, const std::string& name) {
  if (name.empty() || name == "ocp") return;
  static const std::map<std::string, Profile> kProfiles = {
      {"te", Profile::kTe},
      {"te-4over6", Profile::kTe4over6},
      {"torchao", Profile::kTorchao},
      {"torchao-single", Profile::kTorchaoSingle},
      {"modelopt", Profile::kModelopt},
      {"fouroversix", Profile::kFouroversix}};
  s.profile = pick(kProfiles, name);
  if (s.family != Family::kNv && s.family != Family::kIf4) not_covered("profiles of MX bases");
  switch (s.profile) {
    case Profile::kTe4over6:
      s.rule = Rule::k4over6;
      break;
    case Profile::kTorchaoSingle:
      s.global = Scope::kNone;
      break;
    case Profile::kFouroversix:
      s.error = Metric::kMse;
      s.rule = s.family == Family::kNv && s.element->id == "e2m1" ? Rule::k4over6 : Rule::kStatic6;
      break;
    default:
      break;
  }
}

void set_rule(BlockSpec& s, const std::string& text) {
  static const std::map<std::string, Rule> kRules = {{"absmax", Rule::kAbsmax},
                                                     {"clip", Rule::kClip},
                                                     {"percentile", Rule::kPercentile},
                                                     {"mse", Rule::kMse},
                                                     {"fixed", Rule::kFixed},
                                                     {"pow2-floor", Rule::kPow2Floor},
                                                     {"pow2-ceil", Rule::kPow2Ceil},
                                                     {"pow2-near", Rule::kPow2Near},
                                                     {"floor", Rule::kFloor},
                                                     {"ceil", Rule::kCeil},
                                                     {"even", Rule::kEven},
                                                     {"rceil", Rule::kRceil},
                                                     {"tseng34", Rule::kTseng34},
                                                     {"quest", Rule::kQuest},
                                                     {"two-level", Rule::kTwoLevel},
                                                     {"4over6", Rule::k4over6},
                                                     {"static6", Rule::kStatic6},
                                                     {"static4", Rule::kStatic4}};
  const auto [name, argument] = cut(text, ':');
  s.rule = pick(kRules, name);
  if (!argument.empty()) s.rule_argument = parse_rational(argument);
  const bool power = s.rule >= Rule::kPow2Floor && s.rule <= Rule::kQuest;
  if (s.family == Family::kPlain && power) s.scale = ScaleKind::kPow2;
}

void set_rounding(BlockSpec& s, const std::string& text) {
  const auto [name, argument] = cut(text, ':');
  for (const Mode mode : kDeterministicModes) {
    if (fp4lab_oracle::name(mode) == name) {
      s.round = {ElementRounding::Kind::kMode, mode, {}, 0};
      return;
    }
  }
  if (name == "sr-uniform") {
    s.round.kind = ElementRounding::Kind::kUniform;
    return;
  }
  if (name == "luq") {
    s.round = {ElementRounding::Kind::kBits, {}, Stochastic::kFloor, 16};
    return;
  }
  for (const Stochastic model : kStochasticModels) {
    if (fp4lab_oracle::name(model) == name) {
      s.round = {
          ElementRounding::Kind::kBits, {}, model, argument.empty() ? 16 : std::stoi(argument)};
      return;
    }
  }
  not_covered(name);
}

void set_block(BlockSpec& s, const std::string& text) {
  if (text == "tensor")
    s.block_rows = s.block_cols = 0;
  else if (text == "row")
    s.block_rows = 1, s.block_cols = 0;
  else if (text == "col")
    s.block_rows = 0, s.block_cols = 1;
  else {
    const auto [rows, cols] = cut(text, 'x');
    s.block_rows = std::stoul(rows);
    s.block_cols = std::stoul(cols);
  }
}

void set_hadamard(BlockSpec& s, const std::string& text) {
  static const std::map<std::string, Signs> kSigns = {{"", Signs::kFixed},
                                                      {"fixed", Signs::kFixed},
                                                      {"none", Signs::kNone},
                                                      {"per-layer-step", Signs::kPerLayerStep},
                                                      {"per-call", Signs::kPerCall}};
  const auto [size, signs] = cut(text, ':');
  s.hadamard = std::stoul(size);
  s.signs = pick(kSigns, signs);
}

void set_scale(BlockSpec& s, const std::string& text) {
  if (text == "none")
    s.scale = ScaleKind::kNone;
  else if (text == "fp32")
    s.scale = ScaleKind::kFp32;
  else if (text == "pow2")
    s.scale = ScaleKind::kPow2;
  else {
    s.scale = ScaleKind::kCoded;
    s.scale_format = &format(text);
  }
}

void set(BlockSpec& s, const std::string& key, const std::string& value) {
  static const std::map<std::string, Scope> kScopes = {{"none", Scope::kNone},
                                                       {"tensor", Scope::kTensor},
                                                       {"row", Scope::kRow},
                                                       {"1x128", Scope::kRow128}};
  static const std::map<std::string, Metric> kMetrics = {{"mae", Metric::kMae},
                                                         {"mse", Metric::kMse},
                                                         {"absmax", Metric::kAbsmax},
                                                         {"mse-fp16", Metric::kMseFp16}};
  if (key == "rule") return;  // read before the others
  if (key == "scale")
    set_scale(s, value);
  else if (key == "round")
    set_rounding(s, value);
  else if (key == "block")
    set_block(s, value);
  else if (key == "global")
    s.global = pick(kScopes, value);
  else if (key == "headroom")
    s.headroom = value == "17/16";
  else if (key == "error")
    s.error = pick(kMetrics, value);
  else if (key == "e4m3max")
    s.e4m3_max = std::stoi(value);
  else if (key == "hadamard")
    set_hadamard(s, value);
  else if (key == "clip")
    s.clip = parse_rational(value);
  else if (key == "prescale")
    s.prescale = parse_rational(value);
  else if (key == "amax-nan")
    s.ignore_nan = value == "ignore";
  else
    not_covered(key);
}

}  // namespace

BlockSpec block_spec(std::string_view text) {
  std::vector<std::string> parts;
  for (std::string rest(text); !rest.empty();) {
    auto [head, tail] = cut(rest, ',');
    parts.push_back(head);
    rest = tail;
  }
  const auto [base_name, profile] = cut(parts.at(0), '@');
  BlockSpec s = base(base_name);
  apply_profile(s, profile);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto [key, value] = cut(parts[i], '=');
    if (key == "rule") set_rule(s, value);
  }
  if (s.rule == Rule::k4over6)
    s.e4m3_max = s.profile == Profile::kTe4over6 || s.profile == Profile::kTe ? 448 : 256;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto [key, value] = cut(parts[i], '=');
    set(s, key, value);
  }
  return s;
}

}  // namespace fp4lab_oracle
