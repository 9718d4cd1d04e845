// A training step in binary32, and under two FP4 recipes, on 1 and 2 threads.
#include <benchmark/benchmark.h>
#include <omp.h>

#include "tests/bench/gpt_step.h"

namespace {

using fp4lab_bench::GptStep;

void step(benchmark::State& state, const char* recipe) {
  GptStep one(recipe);
  const int before = omp_get_max_threads();
  omp_set_num_threads(static_cast<int>(state.range(0)));
  one.run();  // memory that later steps use again
  for (auto _ : state) benchmark::DoNotOptimize(one.run());
  omp_set_num_threads(before);
  state.SetItemsProcessed(static_cast<std::int64_t>(
      state.iterations() * fp4lab_bench::kStepItems * fp4lab_bench::kStepLength));
}

#define FP4LAB_STEP(NAME, RECIPE)       \
  BENCHMARK_CAPTURE(step, NAME, RECIPE) \
      ->Name("gpt-mini/" RECIPE)        \
      ->Arg(1)                          \
      ->Arg(2)                          \
      ->UseRealTime()                   \
      ->Unit(benchmark::kMillisecond)
FP4LAB_STEP(fp32, "fp32");
FP4LAB_STEP(bf16, "bf16");
FP4LAB_STEP(mxfp4, "mxfp4-baseline");
FP4LAB_STEP(nvfp4, "nvfp4-nvidia");

}  // namespace
