// SIGINT and SIGTERM as a question that long work asks between its steps.
#pragma once

#include <signal.h>

namespace fp4lab::cli {

/// While it lives, the first SIGINT or SIGTERM only sets a flag, so that work can stop at a good
/// place and save; a second one ends the program as usual.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  static bool raised() noexcept;

 private:
  struct sigaction old_int_ {
  }, old_term_{};
};

}  // namespace fp4lab::cli
