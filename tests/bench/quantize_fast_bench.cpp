// Quantization at the speed of memory: 2^24 floats, each row beside a non-temporal copy of the same
// data that is timed in turn with it, so that their ratio survives a busy machine. Counters:
//   of_copy    time of the copy / time of the work, medians of alternating runs, same threads
//   copy_GBps  bytes read and written by that copy
//   x_cuda     elements a second over those of cuda_fp4.hpp's host conversion on one thread
// One-thread rows use the thread's processor time, the others wall time: they need an idle machine.
//
// What limits the rows on Zen 5 (AVX-512, one thread): casts and MXFP4 the memory system (compute
// alone runs at two to four times the rate); a scale for the whole tensor (e2m1, nvfp4) a first pass
// that reads everything, which costs six tenths of a copy; packed rows reading and the narrowing of
// codes; stochastic rounding Philox's products; columns the 256-byte pieces in which memory is
// visited; the generic path four dependent table look-ups a vector.
#include <benchmark/benchmark.h>
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "bench_data.h"
#include "formats/fp4lab.h"
#include "sim/quantize_fast.h"
#include "sim/simd/kernels.h"
#include "sim/tensor.h"

#ifdef FP4LAB_BENCH_CUDA
#include <cuda_fp4.h>
#endif

namespace {

using namespace fp4lab;

constexpr std::size_t kRows = 4096, kCols = 4096, kElements = kRows * kCols;
constexpr std::size_t kShape[2] = {kRows, kCols};

double seconds(bool process_time) {
  timespec t;
  clock_gettime(process_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Input and output as the library makes tensors (huge pages where the system grants them), touched
/// once.
struct Buffers {
  Tensor in = Tensor::uninitialized({kRows, kCols}), out{kRows, kCols};
  Buffers() {
    const auto x = bench::bell(kElements);
    std::copy(x.begin(), x.end(), in.begin());
  }
};
Buffers& buffers() {
  static Buffers b;
  return b;
}

void copy(int threads) {
  Buffers& b = buffers();
  constexpr std::size_t kPart = kElements / 256;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::size_t k = 0; k < 256; ++k) {
    simd::stream_copy(b.in.data() + k * kPart, kPart, b.out.data() + k * kPart);
  }
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

#ifdef FP4LAB_BENCH_CUDA
/// Elements a second of NVIDIA's host conversion, best of a few runs.
double cuda_host_rate() {
  static const double rate = [] {
    constexpr std::size_t n = 1 << 18;
    const float* x = buffers().in.data();
    std::vector<std::uint8_t> codes(n);
    double best = 1e9;
    for (int run = 0; run < 15; ++run) {
      const double t = seconds(true);
      for (std::size_t i = 0; i < n; ++i) {
        codes[i] = __nv_cvt_float_to_fp4(x[i], __NV_E2M1, cudaRoundNearest);
      }
      benchmark::DoNotOptimize(codes.data());
      best = std::min(best, seconds(true) - t);
    }
    return static_cast<double>(n) / best;
  }();
  return rate;
}
#endif

template <class Work>
void measure(benchmark::State& state, Work&& work) {
  const int threads = static_cast<int>(state.range(0));
  omp_set_num_threads(threads);
  const bool process_time = threads == 1;
  std::vector<double> ratios, copies, times;
  work();
  copy(threads);
  for (auto _ : state) {
    const double t0 = seconds(process_time);
    work();
    const double t1 = seconds(process_time);
    copy(threads);
    const double t2 = seconds(process_time);
    state.SetIterationTime(t1 - t0);
    times.push_back(t1 - t0);
    copies.push_back(t2 - t1);
    ratios.push_back((t2 - t1) / (t1 - t0));
  }
  const double n = static_cast<double>(kElements);
  state.counters["Gelem/s"] = 1e-9 * n / median(times);
  state.counters["best"] = 1e-9 * n / *std::min_element(times.begin(), times.end());
  state.counters["of_copy"] = median(ratios);
  state.counters["copy_GBps"] = 1e-9 * 2 * sizeof(float) * n / median(copies);
#ifdef FP4LAB_BENCH_CUDA
  state.counters["x_cuda"] = n / median(times) / cuda_host_rate();
#endif
  state.SetLabel(simd::target_name());
}

void fake(benchmark::State& state, const char* text) {
  const QuantSpec spec = parse_spec(text);
  if (!has_fast_path(spec, kRows, kCols)) return state.SkipWithError("no vector path");
  Buffers& b = buffers();
  measure(state, [&] {
    fake_quantize_into(spec, {b.in.data(), kElements}, kShape, {b.out.data(), kElements});
  });
}

void packed(benchmark::State& state, const char* text) {
  const QuantSpec spec = parse_spec(text);
  if (!has_fast_path(spec, kRows, kCols)) return state.SkipWithError("no vector path");
  PackedTensor p;
  measure(state, [&] { quantize_packed(spec, {buffers().in.data(), kElements}, kShape, p); });
}

#define FP4LAB_FAST(FUNCTION, NAME, TEXT) \
  BENCHMARK_CAPTURE(FUNCTION, NAME, TEXT) \
      ->Name("fast/" #FUNCTION "/" TEXT)  \
      ->Arg(1)                            \
      ->Arg(2)                            \
      ->UseManualTime()                   \
      ->Iterations(31)                    \
      ->Unit(benchmark::kMillisecond)
FP4LAB_FAST(fake, e2m1_cast, "e2m1,scale=none");
FP4LAB_FAST(fake, e2m1_tensor, "e2m1");
FP4LAB_FAST(fake, mxfp4, "mxfp4");
FP4LAB_FAST(fake, mxfp4_rceil, "mxfp4,rule=rceil");
FP4LAB_FAST(fake, nvfp4, "nvfp4");
FP4LAB_FAST(fake, nvfp4_single, "nvfp4,global=none");
FP4LAB_FAST(packed, mxfp4_packed, "mxfp4");
FP4LAB_FAST(packed, nvfp4_packed, "nvfp4");
FP4LAB_FAST(fake, mxfp4_sr8, "mxfp4,round=sr:8");
FP4LAB_FAST(fake, mxfp4_sr16, "mxfp4,round=sr:16");
FP4LAB_FAST(fake, mxfp4_columns, "mxfp4,block=32x1");
FP4LAB_FAST(fake, nf4, "nf4,block=1x64");
FP4LAB_FAST(fake, mxfp4_rtp, "mxfp4,round=rtp");
FP4LAB_FAST(fake, radix4, "radix4-even,block=1x32,round=odd");
FP4LAB_FAST(fake, int4_cast, "int4,scale=none,round=rn-upper");

}  // namespace
