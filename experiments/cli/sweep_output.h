// What `fp4lab sweep` prints: progress, summaries, plans, states.
#pragma once

#include <chrono>
#include <string>

#include "experiments/cli/context.h"
#include "experiments/sweep/index.h"
#include "experiments/sweep/plan.h"
#include "experiments/sweep/runner.h"

namespace fp4lab::cli {

/// One moving line on a terminal, nothing elsewhere; with JSON a line an event on standard output.
class SweepReporter {
 public:
  SweepReporter(bool json_events, bool quiet);
  ~SweepReporter() { clear(); }
  SweepReporter(const SweepReporter&) = delete;
  SweepReporter& operator=(const SweepReporter&) = delete;

  void operator()(const sweep::Event& event);
  void clear();

 private:
  bool json_, terminal_, shown_ = false;
  std::chrono::steady_clock::time_point next_{};
};

/// The last event of a stream.
void print_end_event(const sweep::Index& index, const sweep::SweepFolder& folder);

/// A table a part: its axes, the headline figure over seeds, how many runs.
void print_summary(const sweep::Plan& plan, const sweep::Index& index, Output& out);

/// The runs with their states and expected times, and the time that `jobs` workers should need.
void print_dry_run(const sweep::Plan& plan, const sweep::SweepFolder& folder, int jobs,
                   Output& out);

/// State, seed and title of every run.
void print_status(const sweep::Plan& plan, const sweep::Index& index, bool as_json, Output& out);

/// Built-in sweeps and the question that each answers.
void print_sweep_list(Output& out);

}  // namespace fp4lab::cli
