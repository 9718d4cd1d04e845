// Carries out a plan: worker processes, claims, retries, budget, interruption, progress.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "experiments/sweep/plan.h"
#include "experiments/sweep/provenance.h"
#include "experiments/sweep/state.h"

namespace fp4lab::sweep {

struct RunnerOptions {
  SweepFolder folder;
  int jobs = 1;                  ///< worker processes
  int threads = 0;               ///< of all workers together; 0 = all cores
  int retries = 1;               ///< further tries of a run whose worker died
  int max_failures = 0;          ///< give up after so many failed runs; 0 = never
  double time_budget_s = 0;      ///< take no further run after this time; 0 = no limit
  int shard = 0, shards = 1;     ///< this process does runs number shard, shard + shards, ...
  bool wait_for_others = false;  ///< wait for runs that other processes of the folder have
  bool retry_failed = true;      ///< try runs again that failed in an earlier invocation
  std::vector<std::string> worker_command;  ///< program and arguments of a worker
};

/// Something that happened, for progress lines and event streams.
struct Event {
  enum class Kind { start, progress, done, failed, stopped } kind = Kind::start;
  const PlannedRun* run = nullptr;
  std::size_t done = 0, total = 0;  ///< progress of the run
  double wall_s = 0;
  std::string message;
  int exit_code = 0;  ///< failed: 3 when the machine is to blame; the sweep stops then
  // The sweep as a whole:
  std::size_t finished = 0, failures = 0, running = 0, runs = 0;
  double eta_s = -1;  ///< seconds left; below 0: unknown
};

struct RunnerSummary {
  std::size_t finished = 0;  ///< runs done now
  std::size_t had = 0;       ///< runs that were done before
  std::size_t failed = 0;
  bool interrupted = false;
  bool out_of_time = false;
  std::string environment_error;  ///< not empty: stopped because of it
};

/// Runs what is missing. Interruption (SIGINT, SIGTERM) lets workers save and stop; a second one
/// kills them. Throws EnvironmentError when the folder cannot be used.
RunnerSummary run_plan(const Plan& plan, const RunnerOptions& options,
                       const std::function<void(const Event&)>& report);

/// The other side: takes runs from standard input, a line of JSON each, and answers on standard
/// output. Returns the exit code.
int run_worker(const SweepFolder& folder, const Program& program);

}  // namespace fp4lab::sweep
