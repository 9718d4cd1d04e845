// The state of a sweep, derived from its folder alone: no database that could be wrong.
//
//   runs/<id>.h5           done: sealed, with a status
//   runs/<id>.lock         running: pid, host and start; touched while the owner lives
//   runs/<id>.error.json   failed: what happened, how often
//   nothing of these       missing
#pragma once

#include <filesystem>
#include <string>

namespace fp4lab::sweep {

enum class RunState { missing, running, failed, done };
const char* state_name(RunState state) noexcept;

/// What is known about a run.
struct RunStatus {
  RunState state = RunState::missing;
  std::string detail;   ///< failed: the message; running: host and pid
  int attempts = 0;     ///< failed: how often it was tried
  std::string outcome;  ///< done: complete or diverged
};

/// Paths of a sweep's folder.
struct SweepFolder {
  std::filesystem::path root;
  std::filesystem::path runs() const { return root / "runs"; }
  std::filesystem::path result(const std::string& id) const { return runs() / (id + ".h5"); }
  std::filesystem::path part(const std::string& id) const { return runs() / (id + ".h5.part"); }
  std::filesystem::path lock(const std::string& id) const { return runs() / (id + ".lock"); }
  std::filesystem::path error(const std::string& id) const { return runs() / (id + ".error.json"); }
  std::filesystem::path checkpoint(const std::string& id) const {
    return root / "checkpoints" / id;
  }
  std::filesystem::path index() const { return root / "sweep.h5"; }
  std::filesystem::path config() const { return root / "sweep.toml"; }
};

/// The state of one run. A final name whose content is damaged counts as missing, with the damage
/// in `detail`; a lock whose owner is gone counts for nothing.
RunStatus run_status(const SweepFolder& folder, const std::string& id);

/// The same for a run whose result is not there or cannot be used.
RunStatus unfinished_status(const SweepFolder& folder, const std::string& id);

/// Cheap check of a finished file: its seal and nothing else. Empty when it holds, else a line.
std::string seal_problem(const std::filesystem::path& file);

/// A claim on a run: the lock file, created by exactly one process of all that share the folder.
class RunLock {
 public:
  RunLock(const SweepFolder& folder, std::string id) : folder_(folder), id_(std::move(id)) {}
  ~RunLock() { release(); }
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  /// False when somebody else has it. A stale lock is taken over. Throws EnvironmentError when the
  /// folder cannot be written.
  bool acquire();
  /// Shows that the owner lives: processes on other machines go by the file's time.
  void touch() const;
  void release() noexcept;

 private:
  SweepFolder folder_;
  std::string id_;
  bool held_ = false;
};

/// Writes the error file of a run: message, exit code, attempts.
void write_failure(const SweepFolder& folder, const std::string& id, const std::string& message,
                   int exit_code, int attempts);

}  // namespace fp4lab::sweep
