// Which layer gets which slots: ordered rules over role, name, block and depth (training.md 8.1).
//
// A rule is a text `SELECTORS -> ACTION`. Selectors, joined by commas, must all hold:
//   *                       every layer
//   role=attn-q|attn-k      one of these roles; `*` at the end matches any ending: role=attn-*
//   name=blocks.0.*|head    one of these names; * stands for any characters
//   block=0..1  block=-2..-1  residual blocks from .. to, negative ones counted from the end
//   depth=0.85..1           (block + 1) / blocks within these bounds, ends included
//   first=0.15  last=0.15   the first or last ceil(0.15 * blocks) blocks
// Actions:
//   off            all six slots in the compute type
//   off:q3|q4      these slots in the compute type, the others as the run's recipe has them
//   on             as the run's recipe has it
//   recipe:fp8     the slots of another recipe
// The first rule that matches decides; a layer without one is `on`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/nn/context.h"
#include "sim/train/config.h"

namespace fp4lab::train {

using Slots = std::array<nn::SlotConfig, nn::kSlots>;

/// A rule as parsed.
struct PolicyRule {
  enum class Action : std::uint8_t { off, on, recipe };

  std::vector<std::string> roles;  ///< ids or prefixes ending in '*'; empty = any
  std::vector<std::string> names;  ///< patterns; empty = any
  bool has_block = false, has_depth = false;
  int block_from = 0, block_to = 0;
  double depth_from = 0, depth_to = 1;
  double first = 0, last = 0;  ///< shares of the blocks; 0 = no such selector
  Action action = Action::on;
  std::uint8_t off_mask = 0;  ///< action off: bit i = slot q(i+1)
  std::string recipe;

  bool matches(const nn::LayerInfo& layer) const;
};

/// Reads a rule. Throws std::invalid_argument: what was found, what would do.
PolicyRule parse_policy_rule(std::string_view text);

/// The rules that a named policy stands for, as text.
std::vector<std::string> policy_rules(PolicyKind kind);

/// Slots of a recipe by name; throws for an unknown one.
using RecipeSlots = std::function<Slots(const std::string&)>;

/// The run's policy: the configuration's own rules first, then `found` (what policy auto found),
/// then those of its named policy.
class LayerPolicy {
 public:
  LayerPolicy(const TrainConfig& config, const RecipeSlots& recipes,
              const std::vector<std::string>& found = {});
  nn::LayerConfig operator()(const nn::LayerInfo& layer) const;

 private:
  struct Resolved {
    PolicyRule rule;
    Slots slots;  ///< of the recipe that the rule names, else the run's
  };
  nn::LayerConfig plain_;  ///< compute type, accumulator, bias gradient; no slots
  Slots own_;
  std::vector<Resolved> rules_;
};

/// A set of slots by name: `q1|q3`, `forward` (q1 q2), `backward` (q3..q6), `weights` (q2 q4),
/// `all`. Throws std::invalid_argument.
std::uint8_t parse_slot_mask(std::string_view text);
/// `q1|q3`; `all` for all six.
std::string slot_mask_text(std::uint8_t mask);

}  // namespace fp4lab::train
