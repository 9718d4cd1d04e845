// Phase schedules: from some step on, some slots run in the compute type (training.md 8.3).
//
// An entry is a text `FROM -> off:SLOTS` or `FROM -> on`, FROM a share of the run; the last entry
// that has begun holds. Before the first one every slot is as the recipe has it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/train/config.h"

namespace fp4lab::train {

struct Phase {
  double from = 0;             ///< share of the run
  std::uint8_t slots_off = 0;  ///< bit i = slot q(i+1) in the compute type
};

/// Reads an entry. Throws std::invalid_argument.
Phase parse_phase(std::string_view text);
std::string to_string(const Phase& phase);

/// Expands the preset into `phase.list` and, where it brings a learning rate of its own,
/// `schedule.tail`; sorts the list and prints it canonically. Doing it twice changes nothing.
///   qaf        backward slots off for the last 10 % (FP4 All the Way)
///   nv-switch  forward slots off from the start of the decay; 18 % where the schedule has none
///   tpts       all slots off for the last 7.5 % (Zhou et al.)
///   fnt        all but the weights off for the last 10 %, triangular learning rate (LUQ)
void resolve_phases(TrainConfig& config);

/// The mask that holds at `step` of `total`.
std::uint8_t slots_off_at(const std::vector<Phase>& phases, std::uint64_t step,
                          std::uint64_t total);

}  // namespace fp4lab::train
