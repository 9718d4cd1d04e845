#include "sim/train/phase.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "formats/names.h"
#include "sim/train/policy.h"

namespace fp4lab::train {
namespace {

constexpr std::uint8_t kForward = 0x03, kBackward = 0x3C, kWeights = 0x0A, kAll = 0x3F;

std::string number_text(double value) {
  char buffer[40];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

struct PresetPhase {
  double share;  ///< of the run, at its end
  std::uint8_t mask;
};
PresetPhase preset_phase(const TrainConfig& config) {
  const bool has_decay = config.schedule.kind == optim::ScheduleKind::wsd;
  double share = 0;
  std::uint8_t mask = 0;
  switch (config.phase.preset) {
    case PhasePreset::none:
      break;
    case PhasePreset::qaf:
      share = 0.1;
      mask = kBackward;
      break;
    case PhasePreset::nv_switch:
      share = has_decay ? config.schedule.decay : 0.18;
      mask = kForward;
      break;
    case PhasePreset::tpts:
      share = 0.075;
      mask = kAll;
      break;
    case PhasePreset::fnt:
      share = 0.1;
      mask = kAll & static_cast<std::uint8_t>(~kWeights);
      break;
  }
  if (config.phase.fraction > 0) share = config.phase.fraction;
  return {share, mask};
}

}  // namespace

Phase parse_phase(std::string_view text) {
  const auto fail = [&](const std::string& why) {
    throw std::invalid_argument("phase '" + printable(text) + "': " + why +
                                "; '0.9 -> off:q3|q4|q5|q6' is a phase");
  };
  const std::size_t arrow = text.find("->");
  if (arrow == std::string_view::npos) fail("no '->' in it");
  std::string_view head = text.substr(0, arrow), action = text.substr(arrow + 2);
  const auto trim = [](std::string_view& piece) {
    while (!piece.empty() && piece.front() == ' ') piece.remove_prefix(1);
    while (!piece.empty() && piece.back() == ' ') piece.remove_suffix(1);
  };
  trim(head);
  trim(action);
  Phase phase;
  const auto [at, error] = std::from_chars(head.data(), head.data() + head.size(), phase.from);
  if (head.empty() || error != std::errc() || at != head.data() + head.size() ||
      !(phase.from >= 0 && phase.from <= 1)) {
    fail("'" + printable(head, 40) + "' is no share of the run from 0 to 1");
  }
  const std::string word = normalize_name(action);
  if (word.rfind("off:", 0) == 0) {
    phase.slots_off = parse_slot_mask(action.substr(4));
  } else if (word == "off") {
    phase.slots_off = kAll;
  } else if (word != "on") {
    fail("'" + printable(action, 40) + "' is neither 'on' nor 'off:SLOTS'");
  }
  return phase;
}

std::string to_string(const Phase& phase) {
  return number_text(phase.from) + " -> " +
         (phase.slots_off == 0 ? "on" : "off:" + slot_mask_text(phase.slots_off));
}

void resolve_phases(TrainConfig& config) {
  std::vector<Phase> phases;
  for (const auto& text : config.phase.list) phases.push_back(parse_phase(text));
  if (config.phase.preset != PhasePreset::none && phases.empty()) {
    const PresetPhase preset = preset_phase(config);
    phases.push_back({1.0 - preset.share, preset.mask});
    config.phase.fraction = preset.share;
    const bool own_rate = config.phase.preset == PhasePreset::fnt ||
                          (config.phase.preset == PhasePreset::qaf && config.phase.rewarm);
    if (own_rate && config.schedule.tail == 0) config.schedule.tail = config.phase.fraction;
  }
  std::stable_sort(phases.begin(), phases.end(),
                   [](const Phase& a, const Phase& b) { return a.from < b.from; });
  config.phase.list.clear();
  for (const Phase& phase : phases) config.phase.list.push_back(to_string(phase));
}

std::uint8_t slots_off_at(const std::vector<Phase>& phases, std::uint64_t step,
                          std::uint64_t total) {
  std::uint8_t mask = 0;
  for (const Phase& phase : phases) {
    // The first step at or after the share; a share of 0.9 of 10 steps begins with step 9.
    const double begin = phase.from * static_cast<double>(total);
    if (static_cast<double>(step) >= begin - 1e-9) mask = phase.slots_off;
  }
  return mask;
}

}  // namespace fp4lab::train
