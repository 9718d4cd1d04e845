// fp4lab sweep and sweep status.
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "data/error.h"
#include "experiments/cli/context.h"
#include "experiments/cli/sweep_output.h"
#include "experiments/cli/version.h"
#include "experiments/sweep/collect.h"
#include "experiments/sweep/index.h"
#include "experiments/sweep/plan.h"
#include "experiments/sweep/runner.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

namespace fs = std::filesystem;
using namespace sweep;

struct SweepArguments {
  std::string config;
  std::vector<std::string> sets;
  std::string out;
  int jobs = 0, threads = 0, retries = 1, max_failures = 0;
  std::string shard, budget, worker;
  bool status_json = false, dry_run = false, json_events = false, keep_failed = false,
       extend = false, list = false;
  std::string status_folder;
};

/// "90", "90s", "15m", "2h" as seconds. Throws InputError.
double duration_of(const std::string& text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  const std::string unit(at, end);
  const double factor = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (error != std::errc() || factor == 0 || !(value > 0)) {
    throw InputError("--time-budget '" + printable(text, 40) +
                     "' is no time; 90s, 15m or 2h would be");
  }
  return value * factor;
}

void shard_of(const std::string& text, int& shard, int& shards) {
  if (text.empty()) return;
  const std::size_t slash = text.find('/');
  const auto number = [&](std::string_view part, int& out) {
    const auto [at, error] = std::from_chars(part.data(), part.data() + part.size(), out);
    return error == std::errc() && at == part.data() + part.size() && !part.empty();
  };
  const std::string_view all(text);
  if (slash == std::string::npos || !number(all.substr(0, slash), shard) ||
      !number(all.substr(slash + 1), shards) || shards < 1 || shard < 0 || shard >= shards) {
    throw InputError("--shard '" + printable(text, 40) +
                     "' is not i/n with i from 0 to n - 1, such as 0/4");
  }
}

/// The place of this process in an MPI job, from what its launcher says; 0 of 1 outside. Runs are
/// handed out through claims in the sweep's folder, so that no message has to pass and no MPI
/// library is needed.
struct Rank {
  int rank = 0, size = 1;
  int on_machine = 1;  ///< ranks on this machine
};
Rank mpi_rank() {
  struct Launcher {
    const char *rank, *size, *on_machine;
  };
  for (const Launcher& names :
       {Launcher{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
        Launcher{"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"}}) {
    const char* const rank = std::getenv(names.rank);
    const char* const size = std::getenv(names.size);
    const char* const here = std::getenv(names.on_machine);
    if (rank == nullptr || size == nullptr) continue;
    return {std::atoi(rank), std::max(1, std::atoi(size)),
            here == nullptr ? 1 : std::max(1, std::atoi(here))};
  }
  return {};
}

/// Cores for this process: those it may run on. Ranks that their launcher has not bound to cores
/// of their own share those of the machine.
int own_cores(const Rank& rank) {
  const int usable = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const bool bound = usable < static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  return bound ? usable : std::max(1, usable / rank.on_machine);
}

std::string file_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

/// The plan of this invocation; sweep.toml of its folder is written or compared.
Plan planned(const SweepArguments& a, SweepFolder& folder, bool write) {
  const bool resume =
      a.config.empty() && !a.out.empty() && fs::is_regular_file(fs::path(a.out) / "sweep.toml");
  if (resume && a.sets.empty()) {
    folder.root = a.out;
    return read_plan(folder.config().string());
  }
  const std::string config = a.config.empty() ? "default" : a.config;
  Plan plan = load_plan(config, a.sets);
  const std::string name = fs::path(config).stem().string();
  folder.root = a.out.empty() ? fs::path("results") / name : fs::path(a.out);
  if (!write) return plan;
  if (has_plan(folder)) {
    Plan stored;
    try {
      stored = stored_plan(folder);
    } catch (const InputError&) {
      if (a.extend) throw;
      stored = plan;  // damaged: written again
    }
    if (a.extend) {
      add_runs(stored, plan);
      plan = std::move(stored);
    } else if (!same_runs(stored, plan)) {
      throw InputError(
          "'" + folder.root.string() +
          "' holds another sweep; give a new folder with --out, or --extend to add these "
          "runs to it");
    }
    if (file_text(folder.config()) == plan_text(plan)) return plan;
  }
  save_plan(plan, folder);
  return plan;
}

/// What the results say about the program that made them.
Program this_program() {
  Program program;
  program.version = version_number();
  program.commit = build_commit();
  program.dirty = !program.commit.empty() && program.commit.back() == '+';
  if (program.dirty) program.commit.pop_back();
#if defined(__clang__)
  program.compiler = "clang " __clang_version__;
#else
  program.compiler = "g++ " __VERSION__;
#endif
  program.flags = "-ffp-contract=off";
  std::ifstream command("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(command)), std::istreambuf_iterator<char>());
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  program.command_line = text;
  return program;
}

ExitCode run_sweep(Context& context, const SweepArguments& a) {
  Output& out = context.out;
  if (a.list) {
    print_sweep_list(out);
    return ExitCode::kDone;
  }
  if (!a.worker.empty()) {
    return static_cast<ExitCode>(run_worker(SweepFolder{a.worker}, this_program()));
  }
  const Rank rank = mpi_rank();
  RunnerOptions options;
  options.threads = a.threads > 0 ? a.threads : own_cores(rank);
  options.jobs = a.jobs > 0 ? a.jobs : rank.size > 1 ? 1 : options.threads;
  options.retries = a.retries;
  options.max_failures = a.max_failures;
  options.retry_failed = !a.keep_failed;
  if (!a.budget.empty()) options.time_budget_s = duration_of(a.budget);
  shard_of(a.shard, options.shard, options.shards);
  if (a.dry_run) {
    SweepFolder folder;
    const Plan plan = planned(a, folder, false);
    print_dry_run(plan, folder, options.jobs, out);
    return ExitCode::kDone;
  }
  Plan plan;
  if (rank.rank == 0) {
    plan = planned(a, options.folder, true);
  } else {  // the first rank writes the folder's plan; the others resolve the same one
    plan = planned(a, options.folder, false);
    std::error_code ignored;
    fs::create_directories(options.folder.runs(), ignored);
  }
  options.wait_for_others = rank.size > 1 && rank.rank == 0;
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  options.worker_command = {self};
  for (const std::string& file : context.format_files) {
    options.worker_command.insert(options.worker_command.end(), {"--formats", file});
  }
  options.worker_command.insert(options.worker_command.end(),
                                {"sweep", "--worker", options.folder.root.string()});
  RunnerSummary summary;
  {
    SweepReporter reporter(a.json_events && rank.rank == 0, rank.rank != 0);
    summary = run_plan(plan, options, [&](const Event& event) { reporter(event); });
  }
  if (rank.rank != 0) {
    return summary.interrupted ? ExitCode::kInterrupted : ExitCode::kDone;
  }
  const Index index = read_index(plan, options.folder);
  write_index(plan, index, options.folder);
  if (a.json_events) {
    print_end_event(index, options.folder);
  } else {
    print_summary(plan, index, out);
    out.line();
    std::string line = std::to_string(index.done) + " of " + std::to_string(plan.runs.size()) +
                       " runs done (" + std::to_string(summary.finished) + " now)";
    if (index.diverged != 0) line += ", " + std::to_string(index.diverged) + " diverged";
    if (index.failed != 0) line += ", " + std::to_string(index.failed) + " failed";
    out.line(line + "; results in " + options.folder.root.string());
    if (summary.out_of_time) out.line("The time budget is spent; the same command goes on.");
  }
  if (!summary.environment_error.empty()) throw EnvironmentError(summary.environment_error);
  if (summary.interrupted) return ExitCode::kInterrupted;
  return index.failed != 0 ? ExitCode::kCheckFailed : ExitCode::kDone;
}

ExitCode show_status(Context& context, const std::string& path, bool as_json) {
  const SweepFolder folder{path};
  const Plan plan = stored_plan(folder);
  print_status(plan, read_index(plan, folder), as_json, context.out);
  return ExitCode::kDone;
}

}  // namespace

void add_sweep_command(CLI::App& app, Context& context) {
  auto a = std::make_shared<SweepArguments>();
  CLI::App* const command = add_command(
      app, context, "sweep", "Run a grid of experiments; what is there already is not done again",
      "  fp4lab sweep                          the built-in default ablation, results/default\n"
      "  fp4lab sweep formats --jobs 2         another built-in sweep (--list names them)\n"
      "  fp4lab sweep my.toml --out results/a --set train.steps=500\n"
      "  fp4lab sweep my.toml --dry-run        its runs and the time they should take\n"
      "  fp4lab sweep my.toml --shard 0/4      a quarter of it; the others elsewhere, then merge\n"
      "  mpirun -n 4 fp4lab sweep my.toml      four processes share the runs\n"
      "  fp4lab sweep status results/a         what is done, failed, running, missing\n",
      [a, &context] {
        return a->status_folder.empty() ? run_sweep(context, *a)
                                        : show_status(context, a->status_folder, a->status_json);
      });
  command
      ->add_option(
          "config", a->config,
          "Built-in sweep or TOML file (without it and with --out of a sweep: go on there)")
      ->type_name("SWEEP");
  command->add_option("--set", a->sets, "Give a key a value in every run (repeatable)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("-o,--out", a->out, "Folder of the results (results/NAME)")->type_name("DIR");
  command->add_option("-j,--jobs", a->jobs, "Worker processes (one a core)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command->add_option("--threads", a->threads, "Threads of all workers together (all cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 65536));
  command->add_option("--shard", a->shard, "Do only every n-th run, beginning with the i-th")
      ->type_name("i/n");
  command->add_option("--retry", a->retries, "Further tries of a run whose process died (1)")
      ->type_name("N")
      ->check(CLI::Range(0, 1000000));
  command->add_option("--max-failures", a->max_failures, "Give up after so many failed runs")
      ->type_name("N")
      ->check(CLI::Range(1, 1000000));
  command
      ->add_option("--time-budget", a->budget,
                   "Stop after 90s, 15m, 2h; unfinished runs checkpoint")
      ->type_name("TIME");
  command->add_flag("--dry-run", a->dry_run, "List the runs and the expected time");
  command->add_flag("--extend", a->extend, "Add the runs to the sweep that the folder holds");
  command->add_flag("--keep-failed", a->keep_failed, "Leave runs alone that failed before");
  command->add_flag("--json", a->json_events, "A line of JSON an event on standard output");
  command->add_flag("--list", a->list, "List the built-in sweeps");
  command->add_option("--worker", a->worker, "")->group("");

  CLI::App* const status = command->add_subcommand("status", "Show the state of a sweep's runs");
  status->add_option("folder", a->status_folder, "Folder of the sweep")
      ->required()
      ->type_name("DIR");
  status->add_flag("--json", a->status_json, "Print as JSON");
}

}  // namespace fp4lab::cli
