// Where and by what a result was made: attributes of every result file.
#pragma once

#include <string>
#include <vector>

#include "experiments/store/result_file.h"
#include "experiments/sweep/kind.h"

namespace fp4lab::sweep {

/// What the program knows about itself, handed down from the command line.
struct Program {
  std::string version, commit, compiler, flags;
  bool dirty = false;
  std::string command_line;
};

/// UTC, "2026-11-22T10:00:00Z".
std::string utc_now();
/// Name of this machine.
std::string host_name();

/// Adds identity and provenance of a finished run: run_id, config, hashes, seed, software, machine.
void add_provenance(store::ResultFile& file, const Experiment& experiment, const Program& program,
                    const std::string& started, double wall_seconds);

}  // namespace fp4lab::sweep
