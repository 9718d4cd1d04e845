// The index of a sweep: sweep.h5 with one column a varied key and a final figure, summary.csv and
// summary.md, all made from the run files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/sweep/plan.h"
#include "experiments/sweep/state.h"

namespace fp4lab::sweep {

/// A run with what its file says.
struct IndexRow {
  const PlannedRun* run = nullptr;
  RunStatus status;
  std::vector<Metric> metrics;
};

/// Mean and standard deviation over seeds of the runs that differ in nothing else.
struct SummaryRow {
  std::size_t part = 0;
  std::map<std::string, Value> columns;  ///< without the seed
  std::size_t runs = 0, diverged = 0, missing = 0;
  double mean = 0, sd = 0;  ///< of the part's headline figure, finished runs; sd is NaN for one run
};

struct Index {
  std::vector<IndexRow> rows;       ///< in the plan's order
  std::vector<SummaryRow> summary;  ///< in the plan's order
  std::size_t done = 0, failed = 0, running = 0, missing = 0, diverged = 0;
};

/// Reads all run files of a plan. A damaged file counts as missing.
Index read_index(const Plan& plan, const SweepFolder& folder);

/// Writes sweep.h5, summary.csv and summary.md. Throws EnvironmentError.
void write_index(const Plan& plan, const Index& index, const SweepFolder& folder);
/// A file with external links /runs/<id>, for h5py: links.h5.
void write_links(const Plan& plan, const Index& index, const SweepFolder& folder);

/// A value for a table: texts as they are, numbers in shortest form, lists joined by '+'.
std::string cell_text(const Value& value);
/// "1.2345 ± 0.0012"; without the second part for a single run.
std::string mean_text(const SummaryRow& row);

}  // namespace fp4lab::sweep
