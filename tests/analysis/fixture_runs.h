// Training runs for the tests of analysis/: every group of the schema, through the real writer,
// with numbers from seeded formulas that stand for no measurement.
#pragma once

#include <cstdint>
#include <string>

#include "experiments/store/result_file.h"

namespace fp4lab::fixture {

/// What a run is made of.
struct RunShape {
  std::string recipe = "bf16";
  std::int64_t seed = 0;
  double lr = 0.002;
  std::string only_slot;  ///< single-slot sensitivity: the one quantized slot
  double gap = 0;         ///< what the recipe costs at the end, nat
  std::int64_t steps = 120;
  std::int64_t diverges_at = -1;  ///< step from which the loss is NaN
  bool instruments = true;        ///< /layers, /gemms, /oscillation, ...
};

/// A complete (or diverged) result of kind `run` with its config and provenance.
store::ResultFile make_run(const RunShape& shape);

/// Sets config, config_sha256 and run_id from `key = value` lines; returns the id.
std::string set_identity(store::ResultFile& file, const std::string& config);

}  // namespace fp4lab::fixture
