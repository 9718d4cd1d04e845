// Scalar casts: elements per second of `encode`, with the format known at compile time and not.
#include <benchmark/benchmark.h>

#include <cstring>

#include "bench_data.h"
#include "formats/fp4lab.h"

namespace {

using namespace fp4lab;

constexpr std::size_t kElements = 1 << 16;

constexpr const ElementFormat& format_of(std::string_view id) {
  for (const FormatInfo& f : kCatalog) {
    if (f.id == id) return f.format;
  }
  return kCatalog[0].format;
}

/// Format and rounding as template arguments.
template <ElementFormat F, Rounding R>
void cast_static(benchmark::State& state) {
  const auto x = bench::bell(kElements);
  std::vector<std::uint8_t> codes(kElements);
  const RandomSource random{};
  for (auto _ : state) {
    for (std::size_t i = 0; i < kElements; ++i) {
      codes[i] = static_cast<std::uint8_t>(
          encode(F, x[i] * 3.0f, R, Policy::cuda, R.is_stochastic() ? random.word(i, R) : 0));
    }
    benchmark::DoNotOptimize(codes.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kElements));
}

/// Format and rounding as run-time values, as the command line uses them.
void cast_dynamic(benchmark::State& state, const char* format, const char* rounding) {
  const auto x = bench::bell(kElements);
  std::vector<std::uint8_t> codes(kElements);
  ElementFormat f = find_format(format)->format;
  Rounding r = parse_rounding(rounding);
  benchmark::DoNotOptimize(f);
  benchmark::DoNotOptimize(r);
  const RandomSource random{};
  for (auto _ : state) {
    for (std::size_t i = 0; i < kElements; ++i) {
      codes[i] = static_cast<std::uint8_t>(
          encode(f, x[i] * 3.0f, r, Policy::cuda, random.word(i, r)));
    }
    benchmark::DoNotOptimize(codes.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kElements));
}

/// Decision thresholds of a narrow format, counted without branches.
void cast_thresholds(benchmark::State& state) {
  const auto x = bench::bell(kElements);
  std::vector<std::uint8_t> codes(kElements);
  const DecisionTable t = make_decision_table(format_of("e2m1"), kRne);
  for (auto _ : state) {
    for (std::size_t i = 0; i < kElements; ++i) {
      int n = 0;
      for (int k = 1; k < t.values.count; ++k) n += x[i] * 3.0f >= t.threshold[k];
      codes[i] = t.values.code[n];
    }
    benchmark::DoNotOptimize(codes.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kElements));
}

BENCHMARK(cast_static<format_of("e2m1"), kRne>)->Name("cast/static/e2m1/rne");
BENCHMARK(cast_static<format_of("e2m1"), kRtz>)->Name("cast/static/e2m1/rtz");
BENCHMARK(cast_static<format_of("e2m1"), stochastic(16)>)->Name("cast/static/e2m1/sr:16");
BENCHMARK(cast_static<format_of("e4m3"), kRne>)->Name("cast/static/e4m3/rne");
BENCHMARK(cast_static<format_of("nf4"), kRnLower>)->Name("cast/static/nf4/rn-lower");
BENCHMARK_CAPTURE(cast_dynamic, e2m1, "e2m1", "rne")->Name("cast/dynamic/e2m1/rne");
BENCHMARK_CAPTURE(cast_dynamic, e2m1_sr, "e2m1", "sr:16")->Name("cast/dynamic/e2m1/sr:16");
BENCHMARK_CAPTURE(cast_dynamic, nf4, "nf4", "rn-lower")->Name("cast/dynamic/nf4/rn-lower");
BENCHMARK_CAPTURE(cast_dynamic, e4m3, "e4m3", "rne")->Name("cast/dynamic/e4m3/rne");
BENCHMARK_CAPTURE(cast_dynamic, e5m2, "e5m2", "rna")->Name("cast/dynamic/e5m2/rna");
BENCHMARK(cast_thresholds)->Name("cast/thresholds/e2m1/rne");

}  // namespace
