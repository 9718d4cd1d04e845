#include "experiments/cli/interrupt.h"

namespace fp4lab::cli {
namespace {

volatile sig_atomic_t raised_flag = 0;

extern "C" void raise_flag(int) { raised_flag = 1; }

}  // namespace

InterruptFlag::InterruptFlag() {
  raised_flag = 0;
  struct sigaction action {};
  action.sa_handler = raise_flag;
  // Back to the handler before it, which ends the program, as soon as one signal has arrived.
  ::sigaction(SIGINT, nullptr, &old_int_);
  ::sigaction(SIGTERM, nullptr, &old_term_);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

InterruptFlag::~InterruptFlag() {
  ::sigaction(SIGINT, &old_int_, nullptr);
  ::sigaction(SIGTERM, &old_term_, nullptr);
}

bool InterruptFlag::raised() noexcept { return raised_flag != 0; }

}  // namespace fp4lab::cli
