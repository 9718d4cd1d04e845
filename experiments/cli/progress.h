// A progress line with remaining time, on a terminal only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace fp4lab::cli {

/// Shows `label  42 %  3.1 s left` on standard error. Silent unless standard error is a terminal
/// and the work has taken more than two seconds; redrawn at most ten times a second; erased at the
/// end.
class Progress {
 public:
  Progress(std::string label, std::uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` units are finished.
  void update(std::uint64_t done);
  /// The same with another label from here on.
  void update(std::uint64_t done, const std::string& label) {
    label_ = label;
    update(done);
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  std::uint64_t total_;
  Clock::time_point start_;
  Clock::time_point next_;
  bool terminal_;
  bool shown_ = false;
};

/// Shows `label  3 s` on standard error while it lives, for work that cannot say how far it is.
/// Silent as Progress is: on a terminal only, and only after two seconds.
class Heartbeat {
 public:
  explicit Heartbeat(std::string label);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  void beat();

  std::string label_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;
  std::thread thread_;  ///< none unless standard error is a terminal
};

/// The line for `done` of `total` after `elapsed` seconds, without control characters.
std::string progress_text(const std::string& label, std::uint64_t done, std::uint64_t total,
                          double elapsed);

}  // namespace fp4lab::cli
