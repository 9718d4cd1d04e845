#include "experiments/sweep/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "data/atomic_file.h"
#include "data/error.h"
#include "experiments/sweep/cost_model.h"

extern char** environ;

namespace fp4lab::sweep {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t interruptions = 0;
void count_interruption(int) { interruptions = interruptions + 1; }

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A worker process and the run it has.
struct Worker {
  pid_t pid = -1;
  int to = -1, from = -1;
  std::string pending;  ///< an unfinished line
  const PlannedRun* run = nullptr;
  std::unique_ptr<RunLock> lock;
  Clock::time_point since;
  int attempt = 0;
  std::size_t done = 0, total = 0;
};

std::string task_line(const PlannedRun& run) {
  std::string set;
  std::map<std::string, Value> last;
  for (const Assignment& a : run.assignments) last[a.key] = a.value;
  for (const auto& [key, value] : last) {
    set += config::toml_text(Value(key)) + " = " + config::toml_text(value) + "\n";
  }
  return json{{"id", run.id}, {"kind", run.kind->name()}, {"set", set}}.dump() + "\n";
}

class Runner {
 public:
  Runner(const Plan& plan, const RunnerOptions& options,
         const std::function<void(const Event&)>& report)
      : plan_(plan), options_(options), report_(report) {}

  RunnerSummary run() {
    prepare();
    struct sigaction action {
    }, old_int{}, old_term{}, old_pipe{};
    action.sa_handler = count_interruption;
    interruptions = 0;
    ::sigaction(SIGINT, &action, &old_int);
    ::sigaction(SIGTERM, &action, &old_term);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, &old_pipe);
    try {
      loop();
    } catch (...) {
      kill_all(SIGKILL);
      restore(old_int, old_term, old_pipe);
      throw;
    }
    kill_all(0);
    restore(old_int, old_term, old_pipe);
    return summary_;
  }

 private:
  static void restore(const struct sigaction& i, const struct sigaction& t,
                      const struct sigaction& p) {
    ::sigaction(SIGINT, &i, nullptr);
    ::sigaction(SIGTERM, &t, nullptr);
    ::sigaction(SIGPIPE, &p, nullptr);
  }

  void prepare() {
    std::error_code error;
    std::filesystem::create_directories(options_.folder.runs(), error);
    if (error) {
      throw EnvironmentError("cannot make '" + options_.folder.runs().string() +
                             "': " + error.message());
    }
    std::vector<const PlannedRun*> finished;
    for (std::size_t i = 0; i < plan_.runs.size(); ++i) {
      const PlannedRun& run = plan_.runs[i];
      const RunStatus status = run_status(options_.folder, run.id);
      if (status.state == RunState::done) {
        ++summary_.had;
        finished.push_back(&run);
        continue;
      }
      if (static_cast<int>(i % static_cast<std::size_t>(options_.shards)) != options_.shard)
        continue;
      if (status.state == RunState::failed && !options_.retry_failed) {
        ++summary_.failed;
        continue;
      }
      queue_.push_back({&run, 0});
    }
    if (queue_.empty()) return;
    // How long runs took before; a few hundred say enough.
    const std::size_t step = finished.size() / 200 + 1;
    for (std::size_t i = 0; i < finished.size(); i += step) {
      costs_.learn_from(options_.folder, *finished[i]);
    }
  }

  void loop() {
    start_ = Clock::now();
    int seen_interruptions = 0;
    while (true) {
      if (interruptions > seen_interruptions) {
        seen_interruptions = interruptions;
        summary_.interrupted = true;
        // First: save and stop. Second: now.
        kill_all(seen_interruptions >= 2 ? SIGKILL : SIGTERM);
        if (seen_interruptions >= 2) return;
      }
      const bool over_budget =
          options_.time_budget_s > 0 && seconds_since(start_) > options_.time_budget_s;
      if (over_budget && !summary_.out_of_time) {
        summary_.out_of_time = true;
        kill_all(SIGTERM);
      }
      const bool taking = !summary_.interrupted && !summary_.out_of_time &&
                          summary_.environment_error.empty() && !too_many_failures();
      if (taking) hand_out();
      const std::size_t busy = busy_workers();
      if (busy == 0) {
        if (!taking) return;
        if (queue_.empty() && waiting_.empty()) return;
        if (queue_.empty()) wait_for_others();
        continue;
      }
      listen();
    }
  }

  bool too_many_failures() const {
    return options_.max_failures > 0 &&
           summary_.failed >= static_cast<std::size_t>(options_.max_failures);
  }

  std::size_t busy_workers() const {
    std::size_t busy = 0;
    for (const Worker& w : workers_) busy += w.run != nullptr;
    return busy;
  }

  /// Gives runs to idle workers; starts workers as needed.
  void hand_out() {
    while (!queue_.empty()) {
      Worker* idle = nullptr;
      for (Worker& w : workers_) {
        if (w.run == nullptr) idle = &w;
      }
      if (idle == nullptr) {
        if (workers_.size() >= static_cast<std::size_t>(options_.jobs)) return;
        workers_.emplace_back();
        spawn(workers_.back());
        idle = &workers_.back();
      }
      const auto [run, attempt] = queue_.front();
      queue_.pop_front();
      auto lock = std::make_unique<RunLock>(options_.folder, run->id);
      if (!lock->acquire()) {
        waiting_.push_back(run);
        continue;
      }
      // Another process may have finished it between our look and our claim.
      if (run_status(options_.folder, run->id).state == RunState::done) {
        continue;
      }
      idle->run = run;
      idle->lock = std::move(lock);
      idle->since = Clock::now();
      idle->attempt = attempt;
      idle->done = idle->total = 0;
      Event event = event_of(Event::Kind::start, *run);
      report_(event);
      const std::string line = task_line(*run);
      if (write_all(idle->to, line.data(), line.size()) != 0) died(*idle);
    }
  }

  /// Runs that other processes have: done soon, or to be taken over.
  void wait_for_others() {
    std::vector<const PlannedRun*> still;
    for (const PlannedRun* run : waiting_) {
      const RunState state = run_status(options_.folder, run->id).state;
      if (state == RunState::running) {
        still.push_back(run);
      } else if (state == RunState::missing) {
        queue_.push_back({run, 0});
      }
    }
    waiting_ = std::move(still);
    if (queue_.empty() && !waiting_.empty()) {
      if (!options_.wait_for_others) {
        waiting_.clear();
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  void spawn(Worker& worker) {
    int down[2], up[2];
    if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) {
      throw EnvironmentError(std::string("cannot start a worker: ") + std::strerror(errno));
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, down[0], 0);
    posix_spawn_file_actions_adddup2(&actions, up[1], 1);
    std::vector<char*> arguments;
    for (const std::string& a : options_.worker_command) {
      arguments.push_back(const_cast<char*>(a.c_str()));
    }
    arguments.push_back(nullptr);
    const int cores = options_.threads > 0 ? options_.threads
                                           : static_cast<int>(std::thread::hardware_concurrency());
    const std::string threads =
        "OMP_NUM_THREADS=" + std::to_string(std::max(1, cores / std::max(1, options_.jobs)));
    std::vector<char*> environment;
    for (char** e = environ; *e != nullptr; ++e) {
      const std::string_view entry(*e);
      // Workers are no ranks of an MPI job and share cores among themselves.
      if (entry.rfind("OMP_NUM_THREADS=", 0) == 0 || entry.rfind("OMPI_", 0) == 0 ||
          entry.rfind("PMI_", 0) == 0 || entry.rfind("PMIX_", 0) == 0) {
        continue;
      }
      environment.push_back(*e);
    }
    environment.push_back(const_cast<char*>(threads.c_str()));
    static char passive[] = "OMP_WAIT_POLICY=passive";
    environment.push_back(passive);  // spinning threads of one worker would starve the others
    environment.push_back(nullptr);
    const int error = ::posix_spawn(&worker.pid, arguments[0], &actions, nullptr, arguments.data(),
                                    environment.data());
    posix_spawn_file_actions_destroy(&actions);
    ::close(down[0]);
    ::close(up[1]);
    if (error != 0) {
      ::close(down[1]);
      ::close(up[0]);
      throw EnvironmentError("cannot start '" + options_.worker_command[0] +
                             "': " + std::strerror(error));
    }
    worker.to = down[1];
    worker.from = up[0];
    worker.pending.clear();
  }

  /// Waits for words of the workers, a fifth of a second at most.
  void listen() {
    std::vector<pollfd> polls;
    for (const Worker& w : workers_) polls.push_back({w.from, POLLIN, 0});
    const int ready = ::poll(polls.data(), polls.size(), 200);
    if (seconds_since(touched_) > 10) {
      touched_ = Clock::now();
      for (const Worker& w : workers_) {
        if (w.lock) w.lock->touch();
      }
    }
    if (ready <= 0) return;
    for (std::size_t i = 0; i < polls.size(); ++i) {
      if (polls[i].revents == 0) continue;
      Worker& worker = workers_[i];
      char bytes[4096];
      const ssize_t got = ::read(worker.from, bytes, sizeof bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        died(worker);  // and with it its place in the list
        return;
      }
      worker.pending.append(bytes, static_cast<std::size_t>(got));
      std::size_t end = 0;
      while ((end = worker.pending.find('\n')) != std::string::npos) {
        const std::string line = worker.pending.substr(0, end);
        worker.pending.erase(0, end + 1);
        heard(worker, json::parse(line, nullptr, false));
      }
    }
  }

  void heard(Worker& worker, const json& word) {
    if (worker.run == nullptr || !word.is_object() || word.value("id", "") != worker.run->id)
      return;
    const PlannedRun& run = *worker.run;
    if (word.contains("total")) {
      worker.done = word.value("done", std::size_t{0});
      worker.total = word.value("total", std::size_t{0});
      Event event = event_of(Event::Kind::progress, run);
      event.done = worker.done;
      event.total = worker.total;
      report_(event);
      return;
    }
    if (word.value("finished", false)) {
      const double wall = word.value("wall_s", 0.0);
      costs_.learn(run, wall);
      std::error_code ignored;
      std::filesystem::remove(options_.folder.error(run.id), ignored);
      ++summary_.finished;
      settle(worker);
      Event event = event_of(Event::Kind::done, run);
      event.wall_s = wall;
      report_(event);
      return;
    }
    if (word.value("stopped", false)) {
      settle(worker);
      report_(event_of(Event::Kind::stopped, run));
      return;
    }
    const int code = word.value("exit_code", 2);
    failed(worker, word.value("error", "unknown error"), code);
    if (code == 3) summary_.environment_error = word.value("error", "unknown error");
  }

  /// The worker is gone. A run that takes its process down is tried again, but not for ever.
  void died(Worker& worker) {
    int status = 0;
    ::waitpid(worker.pid, &status, 0);
    ::close(worker.to);
    ::close(worker.from);
    worker.pid = -1;
    const PlannedRun* const run = worker.run;
    if (run != nullptr) {
      const std::string how =
          WIFSIGNALED(status)
              ? std::string("its worker was ended by signal ") + std::to_string(WTERMSIG(status)) +
                    " (" + ::strsignal(WTERMSIG(status)) + ")"
              : "its worker ended with status " + std::to_string(WEXITSTATUS(status));
      // It may have died right after it had named its result.
      if (run_status(options_.folder, run->id).state == RunState::done) {
        ++summary_.finished;
        settle(worker);
        report_(event_of(Event::Kind::done, *run));
      } else if (worker.attempt < options_.retries && !summary_.interrupted) {
        queue_.push_front({run, worker.attempt + 1});
        worker.run = nullptr;
        worker.lock.reset();
      } else {
        failed(worker, how, 1);
      }
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if (&workers_[i] == &worker) {
        workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
    }
  }

  void failed(Worker& worker, const std::string& message, int code) {
    const PlannedRun& run = *worker.run;
    const RunStatus before = run_status(options_.folder, run.id);
    try {
      write_failure(options_.folder, run.id, message, code, before.attempts + 1 + worker.attempt);
    } catch (const EnvironmentError& e) {
      summary_.environment_error = e.what();
    }
    ++summary_.failed;
    settle(worker);
    Event event = event_of(Event::Kind::failed, run);
    event.message = message;
    event.exit_code = code;
    report_(event);
  }

  void settle(Worker& worker) {
    worker.run = nullptr;
    worker.lock.reset();
  }

  /// signal 0: close the pipes and let workers end by themselves.
  void kill_all(int signal) {
    for (Worker& w : workers_) {
      if (w.pid <= 0) continue;
      if (signal != 0) ::kill(w.pid, signal);
      if (signal == SIGTERM) continue;  // they answer first
      ::close(w.to);
      ::close(w.from);
      int status = 0;
      ::waitpid(w.pid, &status, 0);
      w.pid = -1;
      w.lock.reset();
    }
    if (signal != SIGTERM) workers_.clear();
  }

  Event event_of(Event::Kind kind, const PlannedRun& run) {
    Event event;
    event.kind = kind;
    event.run = &run;
    event.runs = plan_.runs.size();
    event.finished = summary_.had + summary_.finished;
    event.failures = summary_.failed;
    event.running = busy_workers();
    if (seconds_since(estimated_) > 0.2) {
      estimated_ = Clock::now();
      eta_s_ = estimate();
    }
    event.eta_s = eta_s_;
    return event;
  }

  /// Seconds left, below 0 before anything is known. Looks at every open run.
  double estimate() const {
    if (costs_.empty()) return -1;
    double left = 0;
    for (const auto& [queued, attempt] : queue_) left += costs_.seconds(*queued);
    for (const Worker& w : workers_) {
      if (w.run == nullptr) continue;
      const double gone =
          w.total > 0 ? static_cast<double>(w.done) / static_cast<double>(w.total) : 0;
      left += costs_.seconds(*w.run) * (1 - gone);
    }
    return left / std::max(1, options_.jobs);
  }

  const Plan& plan_;
  const RunnerOptions& options_;
  const std::function<void(const Event&)>& report_;
  std::deque<std::pair<const PlannedRun*, int>> queue_;
  std::vector<const PlannedRun*> waiting_;
  std::deque<Worker> workers_;
  CostModel costs_;
  RunnerSummary summary_;
  Clock::time_point start_, touched_ = Clock::now(), estimated_{};
  double eta_s_ = -1;
};

}  // namespace

RunnerSummary run_plan(const Plan& plan, const RunnerOptions& options,
                       const std::function<void(const Event&)>& report) {
  return Runner(plan, options, report).run();
}

}  // namespace fp4lab::sweep
