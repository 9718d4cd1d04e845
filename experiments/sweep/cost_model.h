// How long runs take: what a kind expects, corrected by what finished runs took.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "experiments/sweep/plan.h"
#include "experiments/sweep/state.h"

namespace fp4lab::sweep {

/// Seconds a run takes on one worker: its cost times a factor learned from finished runs, first of
/// its kind, then of its part, then value by value of the part's axes: a recipe or a source that is
/// slow is slow in the runs to come.
class CostModel {
 public:
  void learn(const PlannedRun& run, double wall_s);
  /// From the file of a finished run; nothing where it cannot be read.
  void learn_from(const SweepFolder& folder, const PlannedRun& run);
  double seconds(const PlannedRun& run) const;
  bool empty() const noexcept { return kinds_.empty(); }

 private:
  /// Mean of logarithms of seconds over cost.
  struct Mean {
    double sum = 0;
    std::size_t n = 0;
    void add(double value) {
      sum += value;
      ++n;
    }
    double value() const { return sum / static_cast<double>(n); }
  };
  struct Part {
    Mean all;
    std::map<std::string, std::map<std::string, Mean>> axes;  ///< by column and value
  };
  std::map<const Kind*, Mean> kinds_;
  std::map<std::size_t, Part> parts_;
};

}  // namespace fp4lab::sweep
