// The plan of a sweep's folder, and runs that move from one folder to another.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep/plan.h"
#include "experiments/sweep/state.h"

namespace fp4lab::sweep {

/// Whether there is a sweep in the folder.
bool has_plan(const SweepFolder& folder);
/// Its plan. Throws InputError where there is none.
Plan stored_plan(const SweepFolder& folder);
/// Makes the folder and writes its plan. Throws EnvironmentError.
void save_plan(const Plan& plan, const SweepFolder& folder);

/// Whether two plans have the same runs.
bool same_runs(const Plan& a, const Plan& b);
/// Adds the runs of `more` that `plan` lacks, with the parts they are in.
void add_runs(Plan& plan, const Plan& more);

/// What was found in another folder.
struct Collected {
  std::size_t taken = 0, had = 0, failed = 0;
  std::vector<std::string> damaged;    ///< ids of files whose seal is broken
  std::vector<std::string> differing;  ///< ids whose content is not that of the run that was there
};

/// Takes the finished runs of `plan` in `from` that `into` lacks: as further names of the same
/// files where the file system allows it, else as copies. Failures come along where `into` knows
/// nothing of the run. Throws EnvironmentError.
Collected collect_runs(const Plan& plan, const SweepFolder& from, const SweepFolder& into);

}  // namespace fp4lab::sweep
