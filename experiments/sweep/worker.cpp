// The worker's side of a sweep: one run after the other, each computed, sealed and named here.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/toml_text.h"
#include "experiments/sweep/axes.h"
#include "experiments/sweep/runner.h"

namespace fp4lab::sweep {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t stop_requested = 0;
void request_stop(int) { stop_requested = 1; }

void say(const json& line) { std::cout << line.dump() << '\n' << std::flush; }

/// Assignments from "key = value" lines of TOML.
std::vector<Assignment> assignments_of(const Kind& kind, const std::string& text) {
  const toml::table table = parse_toml(text, "worker", "keys and values");
  const AxisReader reader(kind, [](const toml::node&) { return std::string(); });
  std::vector<Assignment> out;
  for (const auto& [key, node] : table) {
    out.push_back(reader.assignment(std::string(key.str()), node));
  }
  return out;
}

void do_run(const SweepFolder& folder, const Program& program, const json& task) {
  const std::string id = task.at("id");
  const Kind& kind = find_kind(task.at("kind").get<std::string>());
  const std::string started = utc_now();
  const auto begin = Clock::now();
  const std::unique_ptr<Experiment> experiment =
      kind.resolve(assignments_of(kind, task.at("set").get<std::string>()));
  if (run_id(*experiment) != id) {
    throw InputError("run " + id + " now resolves to " + run_id(*experiment) +
                     ": its data or the program changed since the sweep was planned");
  }
  Control control;
  control.checkpoint = folder.checkpoint(id).string();
  control.stop = [] { return stop_requested != 0; };
  auto next = begin + std::chrono::milliseconds(200);
  control.progress = [&](std::size_t done, std::size_t total) {
    const auto now = Clock::now();
    if (now < next) return;
    next = now + std::chrono::milliseconds(200);
    say({{"id", id}, {"done", done}, {"total", total}});
  };
  store::ResultFile file = experiment->execute(control);
  const std::chrono::duration<double> wall = Clock::now() - begin;
  add_provenance(file, *experiment, program, started, wall.count());
  file.write(folder.result(id).string(), folder.part(id).string());
  std::error_code ignored;
  std::filesystem::remove_all(folder.checkpoint(id), ignored);
  say({{"id", id}, {"finished", true}, {"wall_s", wall.count()}});
}

}  // namespace

int run_worker(const SweepFolder& folder, const Program& program) {
#if defined(__linux__)
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // without its owner's lock a worker must not go on
  if (::getppid() == 1) return 3;
#endif
  struct sigaction action {};
  action.sa_handler = request_stop;
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGINT, SIG_IGN);  // the terminal sends it to all; the owner decides
  std::string line;
  while (std::getline(std::cin, line)) {
    const json task = json::parse(line, nullptr, false);
    if (!task.is_object()) return 2;
    const std::string id = task.value("id", "");
    try {
      do_run(folder, program, task);
    } catch (const Stopped&) {
      say({{"id", id}, {"stopped", true}});
    } catch (const Error& e) {
      say({{"id", id}, {"error", e.what()}, {"exit_code", static_cast<int>(e.exit_code())}});
    } catch (const std::bad_alloc&) {
      say({{"id", id}, {"error", "not enough memory"}, {"exit_code", 3}});
    } catch (const std::exception& e) {
      say({{"id", id}, {"error", e.what()}, {"exit_code", 2}});
    }
  }
  return 0;
}

}  // namespace fp4lab::sweep
