// The peer: the host conversions of NVIDIA's cuda_fp4.hpp, one value at a time.
#include <benchmark/benchmark.h>
#include <cuda_fp4.h>

#include <cstdint>
#include <vector>

#include "bench_data.h"

namespace {

constexpr std::size_t kElements = 1 << 16;

void cuda_host(benchmark::State& state, cudaRoundMode mode) {
  const auto x = fp4lab::bench::bell(kElements);
  std::vector<std::uint8_t> codes(kElements);
  for (auto _ : state) {
    for (std::size_t i = 0; i < kElements; ++i) {
      codes[i] = __nv_cvt_float_to_fp4(x[i] * 3.0f, __NV_E2M1, mode);
    }
    benchmark::DoNotOptimize(codes.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kElements));
}

BENCHMARK_CAPTURE(cuda_host, rne, cudaRoundNearest)->Name("cast/cuda_fp4.hpp/e2m1/rne");
BENCHMARK_CAPTURE(cuda_host, rtz, cudaRoundZero)->Name("cast/cuda_fp4.hpp/e2m1/rtz");

}  // namespace
