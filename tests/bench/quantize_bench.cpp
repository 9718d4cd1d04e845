// Tensor quantization by the reference engine: elements per second, beside a plain copy of the same
// data so that machines can be compared.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <cstring>

#include "bench_data.h"
#include "formats/fp4lab.h"
#include "sim/quantize.h"

namespace {

using namespace fp4lab;

constexpr std::size_t kRows = 512, kCols = 1024;

void copy(benchmark::State& state) {
  const auto x = bench::bell(kRows * kCols);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    std::memcpy(y.data(), x.data(), x.size() * sizeof(float));
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * x.size()));
}

void quantize_spec(benchmark::State& state, const char* text) {
  const auto x = bench::bell(kRows * kCols);
  const QuantSpec spec = parse_spec(text);
  const std::size_t shape[2] = {kRows, kCols};
  omp_set_num_threads(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    const QuantizedTensor q = quantize(spec, x, shape);
    benchmark::DoNotOptimize(q.codes.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * x.size()));
}

BENCHMARK(copy)->Name("copy/fp32");
#define FP4LAB_QUANTIZE(NAME, TEXT) \
  BENCHMARK_CAPTURE(quantize_spec, NAME, TEXT)->Name("quantize/" TEXT)->Arg(1)->Arg(2)->UseRealTime()
FP4LAB_QUANTIZE(tensor, "e2m1");
FP4LAB_QUANTIZE(mxfp4, "mxfp4");
FP4LAB_QUANTIZE(mxfp4_sr, "mxfp4,rule=rceil,round=sr:16");
FP4LAB_QUANTIZE(nvfp4, "nvfp4");
FP4LAB_QUANTIZE(nvfp4_46, "nvfp4,rule=4over6");
FP4LAB_QUANTIZE(microxcaling, "mxfp4@microxcaling");
FP4LAB_QUANTIZE(nf4, "nf4,block=1x64");

}  // namespace
