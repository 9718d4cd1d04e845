#include "experiments/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "experiments/cli/terminal.h"

namespace fp4lab::cli {
namespace {

std::string duration_text(double seconds) {
  if (seconds < 99.95) return general(seconds, seconds < 9.995 ? 2 : 3) + " s";
  const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
  const std::uint64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) return std::to_string(hours) + " h " + std::to_string(minutes) + " min";
  return std::to_string(minutes) + " min " + std::to_string(whole % 60) + " s";
}

}  // namespace

std::string progress_text(const std::string& label, std::uint64_t done, std::uint64_t total,
                          double elapsed) {
  if (total == 0 || done == 0) return label;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  return label + "  " + std::to_string(static_cast<int>(100.0 * share)) + " %  " +
         duration_text(elapsed * (1.0 - share) / share) + " left";
}

Progress::Progress(std::string label, std::uint64_t total)
    : label_(std::move(label)),
      total_(total),
      start_(Clock::now()),
      next_(start_ + std::chrono::seconds(2)),
      terminal_(::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(std::uint64_t done) {
  if (!terminal_) return;
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(100);
  shown_ = true;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const std::string text = progress_text(label_, done, total_, elapsed);
  std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
  std::fflush(stderr);
}

Heartbeat::Heartbeat(std::string label) : label_(std::move(label)) {
  if (::isatty(STDERR_FILENO) != 0) thread_ = std::thread([this] { beat(); });
}

Heartbeat::~Heartbeat() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Heartbeat::beat() {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  auto wait = std::chrono::milliseconds(2000);
  bool shown = false;
  while (!wake_.wait_for(lock, wait, [this] { return over_; })) {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::fprintf(stderr, "\r\x1b[K%s  %s", label_.c_str(), duration_text(seconds).c_str());
    std::fflush(stderr);
    wait = std::chrono::milliseconds(200);
    shown = true;
  }
  if (shown) std::fputs("\r\x1b[K", stderr);
}

}  // namespace fp4lab::cli
