// fp4lab sweep, sweep status, merge, config schema.
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/atomic_file.h"
#include "data/byte_source.h"
#include "experiments/cli/context.h"
#include "experiments/cli/names.h"
#include "experiments/cli/table.h"
#include "experiments/cli/version.h"
#include "experiments/sweep/index.h"
#include "experiments/sweep/plan.h"
#include "experiments/sweep/runner.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
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

std::string time_text(double seconds) {
  char text[40];
  if (seconds < 90) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else if (seconds < 5400) {
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  } else {
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  }
  return text;
}

/// The rank of this process in an MPI job; 0 of 1 outside. Runs are handed out through claims in
/// the sweep's folder, so that no message has to pass and no MPI library is needed.
struct Rank {
  int rank = 0, size = 1;
};
Rank mpi_rank() {
  for (const auto& [rank, size] : {std::pair{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                   std::pair{"PMI_RANK", "PMI_SIZE"}}) {
    const char* const r = std::getenv(rank);
    const char* const s = std::getenv(size);
    if (r != nullptr && s != nullptr) return {std::atoi(r), std::max(1, std::atoi(s))};
  }
  return {};
}

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

/// One moving line on a terminal, nothing elsewhere; with --json a line of JSON an event.
class Reporter {
 public:
  Reporter(bool json_events, bool quiet)
      : json_(json_events), terminal_(!quiet && !json_events && ::isatty(2) != 0) {}
  ~Reporter() { clear(); }

  void operator()(const Event& event) {
    if (json_) return print_json(event);
    if (event.kind == Event::Kind::failed) {
      clear();
      std::fprintf(stderr, "fp4lab: run %s failed: %s\n", event.run->id.c_str(),
                   printable(event.message, 400).c_str());
    }
    if (!terminal_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    std::string line = std::to_string(event.finished) + "/" + std::to_string(event.runs) + " runs";
    if (event.failures != 0) line += ", " + std::to_string(event.failures) + " failed";
    if (event.eta_s >= 0) line += ", " + time_text(event.eta_s) + " left";
    line += "  " + event.run->title;
    if (event.total != 0) line += " " + std::to_string(100 * event.done / event.total) + " %";
    std::fprintf(stderr, "\r\033[K%s", printable(line, 110).c_str());
    std::fflush(stderr);
    shown_ = true;
  }

  void clear() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
    shown_ = false;
  }

 private:
  static void print_json(const Event& event) {
    static constexpr const char* kNames[] = {"start", "progress", "done", "failed", "stopped"};
    json line = {{"event", kNames[static_cast<int>(event.kind)]},
                 {"run", event.run->id},
                 {"title", event.run->title},
                 {"finished", event.finished},
                 {"failed", event.failures},
                 {"runs", event.runs}};
    if (event.kind == Event::Kind::progress) {
      line["done"] = event.done;
      line["total"] = event.total;
    }
    if (event.kind == Event::Kind::done) line["wall_s"] = event.wall_s;
    if (event.kind == Event::Kind::failed) line["message"] = event.message;
    if (event.eta_s >= 0) line["eta_s"] = event.eta_s;
    std::cout << line.dump() << '\n' << std::flush;
  }

  bool json_, terminal_, shown_ = false;
  std::chrono::steady_clock::time_point next_{};
};

void print_summary(const Plan& plan, const Index& index, Output& out) {
  for (std::size_t p = 0; p < plan.parts.size(); ++p) {
    const Part& part = plan.parts[p];
    std::vector<Table::Column> columns;
    std::vector<std::string> keys;
    for (const std::string& key : part.columns) {
      if (key == "seed") continue;
      keys.push_back(key);
      columns.push_back({key, Align::kLeft});
    }
    columns.push_back({part.kind->headline(), Align::kRight});
    columns.push_back({"runs", Align::kRight});
    Table table(columns);
    for (const SummaryRow& row : index.summary) {
      if (row.part != p) continue;
      std::vector<std::string> cells;
      for (const std::string& key : keys) {
        const auto found = row.columns.find(key);
        cells.push_back(found == row.columns.end() ? "" : cell_text(found->second));
      }
      cells.push_back(mean_text(row));
      cells.push_back(
          std::to_string(row.runs) +
          (row.diverged != 0 ? " (" + std::to_string(row.diverged) + " diverged)" : "") +
          (row.missing != 0 ? " of " + std::to_string(row.runs + row.missing) : ""));
      table.add(cells);
    }
    if (p != 0) out.line();
    if (plan.parts.size() > 1) out.line(out.bold(part.name));
    table.print(out);
  }
}

void print_dry_run(const Plan& plan, const SweepFolder& folder, int jobs, Output& out) {
  CostModel costs;
  double left = 0;
  std::size_t todo = 0;
  for (const PlannedRun& run : plan.runs) {
    if (run_status(folder, run.id).state != RunState::done) continue;
    try {
      const auto file = store::ResultFile::read(folder.result(run.id).string());
      const auto wall = file.attributes.find("wall_s");
      if (wall != file.attributes.end()) {
        if (const auto* s = std::get_if<double>(&wall->second)) costs.learn(run.kind, run.cost, *s);
      }
    } catch (const InputError&) {
    }
  }
  Table table({{"run"}, {"state"}, {"expected", Align::kRight}, {"seed", Align::kRight}, {"what"}});
  for (const PlannedRun& run : plan.runs) {
    const RunState state = run_status(folder, run.id).state;
    const double seconds = costs.seconds(run.kind, run.cost);
    if (state != RunState::done) {
      left += seconds;
      ++todo;
    }
    std::string what = run.title;
    for (const auto& [key, value] : run.columns) {
      if (key != "seed") what += "  " + key + "=" + cell_text(value);
    }
    table.add(
        {run.id, state_name(state), general(seconds, 3) + " s", std::to_string(run.seed), what});
  }
  table.print(out);
  out.line();
  out.line(std::to_string(plan.runs.size()) + " runs, " + std::to_string(todo) + " to do, about " +
           time_text(left / jobs) + " with " + std::to_string(jobs) +
           (jobs == 1 ? " worker" : " workers"));
  if (plan.duplicates != 0) {
    out.line(std::to_string(plan.duplicates) +
             " points of the axes came down to a run listed already");
  }
}

std::string read_text(const fs::path& path) {
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
  std::error_code error;
  fs::create_directories(folder.runs(), error);
  if (error) {
    throw EnvironmentError("cannot make '" + folder.runs().string() + "': " + error.message());
  }
  const std::string text = plan_text(plan);
  if (fs::is_regular_file(folder.config())) {
    const std::string before = read_text(folder.config());
    if (before == text) return plan;
    if (!a.extend) {
      throw InputError(
          "'" + folder.root.string() +
          "' holds another sweep; give a new folder with --out, or --extend to add these "
          "runs to it");
    }
    Plan both = read_plan(folder.config().string());
    const std::size_t shift = both.parts.size();
    for (Part& part : plan.parts) both.parts.push_back(std::move(part));
    for (PlannedRun& run : plan.runs) {
      const bool there = std::any_of(both.runs.begin(), both.runs.end(),
                                     [&](const PlannedRun& r) { return r.id == run.id; });
      if (there) continue;
      run.part += shift;
      both.runs.push_back(std::move(run));
    }
    plan = std::move(both);
  }
  const std::string final_text = plan_text(plan);
  AtomicFile file(folder.config().string());
  file.write(final_text.data(), final_text.size());
  file.finish();
  file.publish();
  return plan;
}

ExitCode list_sweeps(Output& out) {
  Table table({{"sweep"}, {"what"}});
  for (const BuiltinSweep& sweep : builtin_sweeps()) {
    // Each opens with a comment that says what question it answers.
    const std::string first = sweep.toml.substr(2, sweep.toml.find('\n') - 2);
    table.add({sweep.name, first});
  }
  table.print(out);
  return ExitCode::kDone;
}

ExitCode run_sweep(Context& context, const SweepArguments& a) {
  Output& out = context.out;
  if (a.list) return list_sweeps(out);
  if (!a.worker.empty()) {
    return static_cast<ExitCode>(run_worker(SweepFolder{a.worker}, this_program()));
  }
  const Rank rank = mpi_rank();
  RunnerOptions options;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.threads = a.threads > 0 ? a.threads : cores;
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
    Reporter reporter(a.json_events && rank.rank == 0, rank.rank != 0);
    summary = run_plan(plan, options, [&](const Event& event) { reporter(event); });
  }
  if (rank.rank != 0) {
    return summary.interrupted ? ExitCode::kInterrupted : ExitCode::kDone;
  }
  const Index index = read_index(plan, options.folder);
  write_index(plan, index, options.folder);
  if (a.json_events) {
    const json line = {{"event", "end"},
                       {"done", index.done},
                       {"failed", index.failed},
                       {"diverged", index.diverged},
                       {"left", index.missing + index.running},
                       {"folder", options.folder.root.string()}};
    std::cout << line.dump() << '\n' << std::flush;
  } else {
    print_summary(plan, index, out);
    out.line();
    std::string line = std::to_string(index.done) + " of " + std::to_string(plan.runs.size()) +
                       " runs done (" + std::to_string(summary.finished) + " now)";
    if (index.diverged != 0) line += ", " + std::to_string(index.diverged) + " diverged";
    if (index.failed != 0) line += ", " + std::to_string(index.failed) + " failed";
    out.line(line + "; results in " + options.folder.root.string());
  }
  if (!summary.environment_error.empty()) throw EnvironmentError(summary.environment_error);
  if (summary.interrupted) return ExitCode::kInterrupted;
  return index.failed != 0 ? ExitCode::kCheckFailed : ExitCode::kDone;
}

SweepFolder existing_folder(const std::string& path) {
  SweepFolder folder{path};
  if (!fs::is_regular_file(folder.config())) {
    throw InputError("'" + printable(path, 200) + "' is no sweep: it has no sweep.toml");
  }
  return folder;
}

ExitCode show_status(Context& context, const std::string& path, bool as_json) {
  const SweepFolder folder = existing_folder(path);
  const Plan plan = read_plan(folder.config().string());
  const Index index = read_index(plan, folder);
  if (as_json) {
    json runs = json::array();
    for (const IndexRow& row : index.rows) {
      runs.push_back({{"run", row.run->id},
                      {"state", state_name(row.status.state)},
                      {"outcome", row.status.outcome},
                      {"detail", row.status.detail},
                      {"title", row.run->title},
                      {"seed", row.run->seed}});
    }
    context.out.line(json{
        {"title", plan.title},
        {"done", index.done},
        {"failed", index.failed},
        {"running", index.running},
        {"missing", index.missing},
        {"runs", runs}}.dump(2));
    return ExitCode::kDone;
  }
  Table table({{"run"}, {"state"}, {"seed", Align::kRight}, {"what"}, {"detail"}});
  for (const IndexRow& row : index.rows) {
    table.add({row.run->id, state_name(row.status.state), std::to_string(row.run->seed),
               row.run->title,
               row.status.outcome == "diverged" ? "diverged" : printable(row.status.detail, 80)});
  }
  table.print(context.out);
  context.out.line();
  context.out.line(std::to_string(index.done) + " done, " + std::to_string(index.failed) +
                   " failed, " + std::to_string(index.running) + " running, " +
                   std::to_string(index.missing) + " missing");
  return ExitCode::kDone;
}

ExitCode merge(Context& context, const std::string& path, bool links) {
  const SweepFolder folder = existing_folder(path);
  const Plan plan = read_plan(folder.config().string());
  const Index index = read_index(plan, folder);
  write_index(plan, index, folder);
  if (links) write_links(plan, index, folder);
  context.out.line(folder.index().string() + ": " + std::to_string(index.done) + " of " +
                   std::to_string(plan.runs.size()) + " runs");
  return ExitCode::kDone;
}

ExitCode print_schema(Context& context, const std::string& which, bool as_json) {
  json all = json::object();
  bool first = true;
  for (const Kind* kind : kinds()) {
    if (!which.empty() && find_kind(which).name() != kind->name()) continue;
    if (as_json) {
      json keys = json::array();
      for (const KeyInfo& key : kind->keys()) {
        keys.push_back({{"key", key.name},
                        {"type", config::type_name(key.type)},
                        {"default", key.default_text},
                        {"allowed", key.allowed},
                        {"meaning", key.meaning}});
      }
      all[kind->name()] = keys;
      continue;
    }
    if (!first) context.out.line();
    first = false;
    context.out.line(context.out.bold("kind = \"" + kind->name() + "\"") + ": " + kind->meaning());
    Table table({{"key"}, {"default"}, {"allowed"}, {"meaning"}});
    for (const KeyInfo& key : kind->keys()) {
      table.add(
          {key.name, printable(key.default_text, 40), printable(key.allowed, 70), key.meaning});
    }
    table.print(context.out, 2);
  }
  if (as_json) context.out.line(all.dump(2));
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
  command->add_option("-j,--jobs", a->jobs, "Worker processes (one a core)")->type_name("N");
  command->add_option("--threads", a->threads, "Threads of all workers together (all cores)")
      ->type_name("N");
  command->add_option("--shard", a->shard, "Do only every n-th run, beginning with the i-th")
      ->type_name("i/n");
  command->add_option("--retry", a->retries, "Further tries of a run whose process died (1)")
      ->type_name("N");
  command->add_option("--max-failures", a->max_failures, "Give up after so many failed runs")
      ->type_name("N");
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

void add_merge_command(CLI::App& app, Context& context) {
  auto folder = std::make_shared<std::string>();
  auto links = std::make_shared<bool>(false);
  CLI::App* const command = add_command(
      app, context, "merge", "Make the index of a sweep again from its run files",
      "  fp4lab merge results/default          after shards were copied together\n"
      "  fp4lab merge results/default --links  and links.h5, one file with all runs for h5py\n",
      [=, &context] { return merge(context, *folder, *links); });
  command->add_option("folder", *folder, "Folder of the sweep")->required()->type_name("DIR");
  command->add_flag("--links", *links, "Also write links.h5 with external links /runs/<id>");
}

void add_config_command(CLI::App& app, Context& context) {
  auto kind = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  CLI::App* const command =
      add_command(app, context, "config", "Everything that can be configured",
                  "  fp4lab config schema          every key of every kind of experiment\n"
                  "  fp4lab config schema train    of one kind\n",
                  [=, &context] { return print_schema(context, *kind, *as_json); });
  command->require_subcommand(1);
  CLI::App* const schema =
      command->add_subcommand("schema", "Keys with default, range and meaning");
  schema->add_option("kind", *kind, "train, error, gemm or rounding")->type_name("KIND");
  schema->add_flag("--json", *as_json, "Print as JSON");
}

}  // namespace fp4lab::cli
