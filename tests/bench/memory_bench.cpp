// Peak memory of the training step under each recipe, each in a process of its own, beside the
// binary32 step's. Exit status 1 when a recipe needs three times as much.
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/bench/gpt_step.h"

extern char** environ;

namespace {

constexpr const char* kRecipes[] = {"fp32", "bf16", "mxfp4-baseline", "nvfp4-nvidia"};
constexpr int kSteps = 3;
constexpr double kLimit = 3.0;

/// Runs this program for one recipe and gives its peak resident memory in KiB; 0 when it failed.
long peak_of(const char* program, const char* recipe) {
  std::string flag = "--measure", name = recipe, self = program;
  char* const arguments[] = {self.data(), flag.data(), name.data(), nullptr};
  pid_t child = 0;
  if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments, environ) != 0) return 0;
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) return 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? usage.ru_maxrss : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--measure") == 0) {
    if (std::strcmp(argv[2], "nothing") == 0) return 0;
    fp4lab_bench::GptStep step(argv[2]);
    for (int i = 0; i < kSteps; ++i) step.run();
    return 0;
  }
  const long empty = peak_of(argv[0], "nothing");
  std::printf("peak memory of a gpt-mini step (program alone: %.1f MiB)\n", empty / 1024.0);
  long base = 0;
  bool small = empty > 0;
  for (const char* recipe : kRecipes) {
    const long peak = peak_of(argv[0], recipe);
    if (base == 0) base = peak;
    const double ratio = static_cast<double>(peak - empty) / static_cast<double>(base - empty);
    std::printf("%-16s %8.1f MiB  %.2f of fp32, %.2f without the program\n", recipe, peak / 1024.0,
                static_cast<double>(peak) / static_cast<double>(base), ratio);
    small = small && peak > 0 && ratio < kLimit;
  }
  if (!small) std::fprintf(stderr, "memory: a recipe needs %.0f times the fp32 step's\n", kLimit);
  return small ? 0 : 1;
}
