// A training step of one linear layer, forward and backward, under the slots of a few recipes. The
// row `none` is the same layer in binary32: ratios to it are what quantization costs.
#include <benchmark/benchmark.h>

#include "tests/nn/linear_config.h"

namespace fp4lab {
namespace {

void step(benchmark::State& state, const test::NamedSlots& named, nn::Compute compute) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  const std::size_t d = static_cast<std::size_t>(state.range(1));
  const std::size_t c = static_cast<std::size_t>(state.range(2));
  auto layer = test::make_linear(test::layer_config(named.slots, compute), d, c, 0);
  const Tensor x = test::test_values(n, d, 1), dy = test::test_values(n, c, 2);
  Tensor y, dx;
  nn::StepContext ctx;
  for (auto _ : state) {
    layer->forward(ctx, x, y);
    layer->backward(ctx, dy, dx);
    benchmark::DoNotOptimize(dx.data());
    ++ctx.step;
  }
  state.counters["Gflop/s"] = benchmark::Counter(6.0 * static_cast<double>(n * d * c) * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const test::NamedSlots& named : test::named_slots()) {
    const std::string name = named.name;
    if (name == "mixed" || name == "one_sided_hadamard" || name == "squares_and_rows") continue;
    benchmark::RegisterBenchmark(
        ("linear_step/" + name).c_str(),
        [&named](benchmark::State& s) { step(s, named, nn::Compute::fp32); })
        ->Args({2048, 128, 512})
        ->Args({2048, 512, 128})
        ->Args({2048, 128, 128})
        ->ArgNames({"rows", "in", "out"})
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
}  // namespace fp4lab
