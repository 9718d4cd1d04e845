#include "sim/train/policy.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "formats/names.h"

namespace fp4lab::train {
namespace {

constexpr std::uint8_t kAllSlots = 0x3F;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> pieces(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const std::size_t at = text.find(separator);
    out.push_back(trimmed(text.substr(0, at)));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

[[noreturn]] void fail(std::string_view rule, const std::string& why) {
  throw std::invalid_argument("policy rule '" + printable(rule) + "': " + why);
}

template <class Number>
Number number_of(std::string_view rule, std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || at != end) {
    fail(rule, "'" + printable(text, 40) + "' is no number");
  }
  return value;
}

/// `from..to`, or one number for both.
template <class Number>
std::pair<Number, Number> range_of(std::string_view rule, std::string_view text) {
  const std::size_t at = text.find("..");
  if (at == std::string_view::npos) {
    const Number one = number_of<Number>(rule, text);
    return {one, one};
  }
  return {number_of<Number>(rule, text.substr(0, at)),
          number_of<Number>(rule, text.substr(at + 2))};
}

double share_of(std::string_view rule, std::string_view text) {
  const double share = number_of<double>(rule, text);
  if (!(share > 0 && share <= 1)) fail(rule, "a share of blocks is above 0 and at most 1");
  return share;
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  for (int i = 0;; ++i) {
    const std::string name = nn::role_name(static_cast<nn::Role>(i));
    if (name.empty()) return names;
    names.push_back(name);
  }
}

void parse_roles(PolicyRule& rule, std::string_view whole, std::string_view text) {
  const auto known = role_names();
  for (const std::string_view piece : pieces(text, '|')) {
    const std::string id = normalize_name(piece);
    const bool found = std::any_of(known.begin(), known.end(),
                                   [&](const std::string& name) { return glob_matches(id, name); });
    if (!found) fail(whole, "no role '" + printable(piece, 40) + "'" + nearest_hint(id, known));
    rule.roles.push_back(id);
  }
}

void parse_selector(PolicyRule& rule, std::string_view whole, std::string_view text) {
  if (text == "*") return;
  const std::size_t equals = text.find('=');
  static const std::vector<std::string> kSelectors{"role",  "name",  "block",
                                                   "depth", "first", "last"};
  const std::string key = normalize_name(trimmed(text.substr(0, equals)));
  if (equals == std::string_view::npos ||
      std::find(kSelectors.begin(), kSelectors.end(), key) == kSelectors.end()) {
    fail(whole, "'" + printable(text, 40) +
                    "' is no selector (role= name= block= depth= first= "
                    "last= or *)" +
                    nearest_hint(key, kSelectors));
  }
  const std::string_view value = trimmed(text.substr(equals + 1));
  if (key == "role") {
    parse_roles(rule, whole, value);
  } else if (key == "name") {
    for (const auto piece : pieces(value, '|')) rule.names.emplace_back(piece);
  } else if (key == "block") {
    rule.has_block = true;
    std::tie(rule.block_from, rule.block_to) = range_of<int>(whole, value);
  } else if (key == "depth") {
    rule.has_depth = true;
    std::tie(rule.depth_from, rule.depth_to) = range_of<double>(whole, value);
  } else {
    (key == "first" ? rule.first : rule.last) = share_of(whole, value);
  }
}

void parse_action(PolicyRule& rule, std::string_view whole, std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string word = normalize_name(trimmed(text.substr(0, colon)));
  const std::string_view argument =
      colon == std::string_view::npos ? std::string_view() : trimmed(text.substr(colon + 1));
  if (word == "off") {
    rule.action = PolicyRule::Action::off;
    rule.off_mask = colon == std::string_view::npos ? kAllSlots : parse_slot_mask(argument);
  } else if (word == "on" && colon == std::string_view::npos) {
    rule.action = PolicyRule::Action::on;
  } else if (word == "recipe" && !argument.empty()) {
    rule.action = PolicyRule::Action::recipe;
    rule.recipe = normalize_name(argument);
  } else {
    fail(whole, "'" + printable(text, 40) + "' is no action (off, off:q3|q4, on, recipe:NAME)");
  }
}

/// Number of blocks that a share stands for.
int blocks_of_share(double share, int blocks) {
  return static_cast<int>(std::ceil(share * static_cast<double>(blocks) - 1e-9));
}

}  // namespace

std::uint8_t parse_slot_mask(std::string_view text) {
  std::uint8_t mask = 0;
  for (const std::string_view piece : pieces(text, '|')) {
    const std::string name = normalize_name(piece);
    if (name == "all") {
      mask |= kAllSlots;
    } else if (name == "forward") {
      mask |= 0x03;
    } else if (name == "backward") {
      mask |= 0x3C;
    } else if (name == "weights") {
      mask |= 0x0A;
    } else if (name.size() == 2 && name[0] == 'q' && name[1] >= '1' && name[1] <= '6') {
      mask = static_cast<std::uint8_t>(mask | 1u << (name[1] - '1'));
    } else {
      throw std::invalid_argument("'" + printable(piece, 40) +
                                  "' is no slot (q1 .. q6, forward, backward, weights, all)");
    }
  }
  return mask;
}

std::string slot_mask_text(std::uint8_t mask) {
  if (mask == kAllSlots) return "all";
  std::string text;
  for (unsigned i = 0; i < nn::kSlots; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    text += (text.empty() ? "q" : "|q") + std::to_string(i + 1);
  }
  return text;
}

bool PolicyRule::matches(const nn::LayerInfo& layer) const {
  const auto any_glob = [](const std::vector<std::string>& patterns, std::string_view text) {
    return patterns.empty() ||
           std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return glob_matches(pattern, text); });
  };
  if (!any_glob(roles, nn::role_name(layer.role)) || !any_glob(names, layer.name)) return false;
  const bool positional = has_block || has_depth || first > 0 || last > 0;
  if (!positional) return true;
  if (layer.block < 0) return false;
  if (has_block) {
    const int from = block_from < 0 ? layer.blocks + block_from : block_from;
    const int to = block_to < 0 ? layer.blocks + block_to : block_to;
    if (layer.block < from || layer.block > to) return false;
  }
  if (has_depth) {
    const double depth = static_cast<double>(layer.block + 1) / static_cast<double>(layer.blocks);
    if (!(depth >= depth_from && depth <= depth_to)) return false;
  }
  if (first > 0 && layer.block >= blocks_of_share(first, layer.blocks)) return false;
  if (last > 0 && layer.block < layer.blocks - blocks_of_share(last, layer.blocks)) return false;
  return true;
}

PolicyRule parse_policy_rule(std::string_view text) {
  const std::size_t arrow = text.find("->");
  if (arrow == std::string_view::npos) {
    fail(text, "no '->' in it; 'role=head -> off' is a rule");
  }
  PolicyRule rule;
  for (const std::string_view piece : pieces(text.substr(0, arrow), ',')) {
    parse_selector(rule, text, piece);
  }
  parse_action(rule, text, trimmed(text.substr(arrow + 2)));
  return rule;
}

std::vector<std::string> policy_rules(PolicyKind kind) {
  if (kind == PolicyKind::all) return {};
  if (kind == PolicyKind::none) return {"* -> off"};
  // Embeddings, routers, heads and norms stay in high precision, and with them the products inside
  // attention and the scan (training.md 8.1).
  std::vector<std::string> rules{
      "role=embedding|pos|norm|head|patch-embed|router|attn-bmm|ssm-scan|ssm-conv -> off"};
  if (kind == PolicyKind::attn_protect) {
    rules.emplace_back("role=attn-q|attn-k|attn-v|attn-o -> recipe:fp8");
  }
  if (kind == PolicyKind::nemotron3) rules.emplace_back("role=attn-*|ssm-out -> off");
  if (kind == PolicyKind::nvidia || kind == PolicyKind::nemotron3) {
    rules.emplace_back("last=0.15 -> off");
  }
  return rules;
}

LayerPolicy::LayerPolicy(const TrainConfig& config, const RecipeSlots& recipes,
                         const std::vector<std::string>& found)
    : own_(config.slots) {
  plain_.compute = config.compute;
  plain_.accumulate = config.accumulate;
  plain_.bias_grad = config.bias_grad;
  const auto append = [&](const std::string& text) {
    Resolved resolved{parse_policy_rule(text), own_};
    if (resolved.rule.action == PolicyRule::Action::recipe) {
      resolved.slots = recipes(resolved.rule.recipe);
    }
    rules_.push_back(std::move(resolved));
  };
  for (const auto& text : config.policy_rules) append(text);
  for (const auto& text : found) append(text);
  for (const auto& text : policy_rules(config.policy)) append(text);
}

nn::LayerConfig LayerPolicy::operator()(const nn::LayerInfo& layer) const {
  nn::LayerConfig out = plain_;
  const auto at = std::find_if(rules_.begin(), rules_.end(), [&](const Resolved& resolved) {
    return resolved.rule.matches(layer);
  });
  if (at == rules_.end()) {
    out.slot = own_;
    return out;
  }
  out.slot = at->slots;
  if (at->rule.action == PolicyRule::Action::off) {
    for (unsigned i = 0; i < nn::kSlots; ++i) {
      if ((at->rule.off_mask >> i & 1u) != 0) out.slot[i] = nn::SlotConfig{};
    }
  }
  return out;
}

}  // namespace fp4lab::train
