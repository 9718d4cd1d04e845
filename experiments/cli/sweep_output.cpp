#include "experiments/cli/sweep_output.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "experiments/cli/names.h"
#include "experiments/cli/table.h"
#include "experiments/sweep/cost_model.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

using nlohmann::json;
using namespace sweep;

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

void print_json(const Event& event) {
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

}  // namespace

SweepReporter::SweepReporter(bool json_events, bool quiet)
    : json_(json_events), terminal_(!quiet && !json_events && ::isatty(2) != 0) {}

void SweepReporter::operator()(const Event& event) {
  if (json_) return print_json(event);
  if (event.kind == Event::Kind::failed && event.exit_code != 3) {  // that ends the sweep
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

void SweepReporter::clear() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
  shown_ = false;
}

void print_end_event(const Index& index, const SweepFolder& folder) {
  const json line = {{"event", "end"},
                     {"done", index.done},
                     {"failed", index.failed},
                     {"diverged", index.diverged},
                     {"left", index.missing + index.running},
                     {"folder", folder.root.string()}};
  std::cout << line.dump() << '\n' << std::flush;
}

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
  std::size_t open = 0;
  std::vector<RunState> states;
  for (const PlannedRun& run : plan.runs) {
    states.push_back(run_status(folder, run.id).state);
    if (states.back() == RunState::done) costs.learn_from(folder, run);
  }
  Table table({{"run"}, {"state"}, {"expected", Align::kRight}, {"seed", Align::kRight}, {"what"}});
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    const RunState state = states[i];
    const double seconds = costs.seconds(run);
    if (state != RunState::done) {
      left += seconds;
      ++open;
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
  out.line(std::to_string(plan.runs.size()) + " runs, " + std::to_string(open) + " to do, about " +
           time_text(left / jobs) + " with " + std::to_string(jobs) +
           (jobs == 1 ? " worker" : " workers"));
  if (plan.duplicates != 0) {
    out.line(std::to_string(plan.duplicates) +
             " points of the axes came down to a run listed already");
  }
}

void print_status(const Plan& plan, const Index& index, bool as_json, Output& out) {
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
    out.line(json{
        {"title", plan.title},
        {"done", index.done},
        {"failed", index.failed},
        {"running", index.running},
        {"missing", index.missing},
        {"runs",
         runs}}.dump(2));
    return;
  }
  Table table({{"run"}, {"state"}, {"seed", Align::kRight}, {"what"}, {"detail"}});
  for (const IndexRow& row : index.rows) {
    table.add({row.run->id, state_name(row.status.state), std::to_string(row.run->seed),
               row.run->title,
               row.status.outcome == "diverged" ? "diverged" : printable(row.status.detail, 80)});
  }
  table.print(out);
  out.line();
  out.line(std::to_string(index.done) + " done, " + std::to_string(index.failed) + " failed, " +
           std::to_string(index.running) + " running, " + std::to_string(index.missing) +
           " missing");
}

void print_sweep_list(Output& out) {
  Table table({{"sweep"}, {"what"}});
  for (const BuiltinSweep& sweep : builtin_sweeps()) {
    // Each opens with a comment that says what question it answers.
    const std::string first = sweep.toml.substr(2, sweep.toml.find('\n') - 2);
    table.add({sweep.name, first});
  }
  table.print(out);
}

}  // namespace fp4lab::cli
