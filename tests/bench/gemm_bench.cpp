// Matrix products beside another library's SGEMM of the same shape, timed in turn with it, so that
// the ratio survives a busy machine. Counters:
//   GFps      2 M N K a second, median
//   peer      the same of the peer's SGEMM on as many threads
//   x_peer    ratio of the two, median over alternating runs
// One-thread rows use the thread's processor time, the others wall time: they need an idle machine.
//
// What limits the rows on Zen 5 (AVX-512): fp32 the two multiply-add units (nine tenths of their
// peak); block-exact per segment of 32 (16) two multiplications and a conversion on top of eight
// (four) byte dots, and writing Y; tensor-core presets the arithmetic of alignment, for FP4 once a
// group of 16, for fused sums ten operations a product.
#include <benchmark/benchmark.h>
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "bench_data.h"
#include "formats/fp4lab.h"
#include "gemm_peer.h"
#include "sim/gemm_engine.h"
#include "sim/matmul.h"

namespace {

using namespace fp4lab;

struct Shape {
  std::size_t m, n, k;
};
constexpr Shape kCube{1024, 1024, 1024};

double seconds(bool process_time) {
  timespec t;
  clock_gettime(process_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

/// Operands in every form.
struct Operands {
  Shape shape;
  std::vector<float> a, b, y;
  explicit Operands(Shape s)
      : shape(s), a(bench::bell(s.m * s.k)), b(bench::bell(s.n * s.k + 1)), y(s.m * s.n) {
    b.erase(b.begin());  // other numbers than A's
  }
  QuantizedTensor quantized(bool of_a, const char* spec) const {
    const std::size_t rows = of_a ? shape.m : shape.n;
    const std::size_t extents[] = {rows, shape.k};
    return quantize(parse_spec(spec), of_a ? a : b, extents);
  }
  MutableMatrixView out() { return MutableMatrixView::of(y.data(), shape.m, shape.n); }
};

template <class Work>
void measure(benchmark::State& state, Operands& o, Work&& work) {
  const int threads = static_cast<int>(state.range(0));
  omp_set_num_threads(threads);
  const bool process_time = threads == 1;
  std::vector<float> peer_y(o.y.size());
  const auto peer = [&] {
    bench::peer_sgemm(o.a.data(), o.b.data(), peer_y.data(), o.shape.m, o.shape.n, o.shape.k,
                      threads);
  };
  work();
  peer();
  const double flop = 2.0 * static_cast<double>(o.shape.m * o.shape.n * o.shape.k);
  // Short products are repeated, so that a clock's tick is nothing.
  const int repeats = static_cast<int>(std::max(1.0, 1e9 / flop));
  std::vector<double> times, peers, ratios;
  for (auto _ : state) {
    const double t0 = seconds(process_time);
    for (int r = 0; r < repeats; ++r) work();
    const double t1 = seconds(process_time);
    for (int r = 0; r < repeats; ++r) peer();
    const double t2 = seconds(process_time);
    state.SetIterationTime(t1 - t0);
    times.push_back((t1 - t0) / repeats);
    peers.push_back((t2 - t1) / repeats);
    ratios.push_back((t2 - t1) / (t1 - t0));
  }
  state.counters["GFps"] = 1e-9 * flop / median(times);
  state.counters["peer"] = 1e-9 * flop / median(peers);
  state.counters["x_peer"] = median(ratios);
  state.SetLabel(bench::peer_name());
}

enum class Orientation { y, dx, dw };

/// The three products of a linear layer: Y = A B^T from row-major operands, dX with B stored
/// transposed, dW with both.
void fp32(benchmark::State& state, Shape s, Orientation orientation) {
  Operands o(s);
  MatrixView a = MatrixView::of(o.a.data(), s.m, s.k), b = MatrixView::of(o.b.data(), s.n, s.k);
  if (orientation != Orientation::y) b = MatrixView::of(o.b.data(), s.k, s.n).transposed();
  if (orientation == Orientation::dw) a = MatrixView::of(o.a.data(), s.k, s.m).transposed();
  measure(state, o, [&] { matmul(a, b, o.out()); });
}

/// From codes and scales to Y, packing included.
void block_exact(benchmark::State& state, Shape s, const char* spec) {
  Operands o(s);
  const QuantizedTensor a = o.quantized(true, spec), b = o.quantized(false, spec);
  measure(state, o, [&] { matmul(QuantizedView(a), QuantizedView(b), o.out()); });
}

/// A tensor-core model on operands that were decoded and packed before.
void preset(benchmark::State& state, Shape s, const char* spec, const char* accumulator) {
  Operands o(s);
  const GemmOperand a = GemmOperand::from_quantized(o.quantized(true, spec));
  const GemmOperand b = GemmOperand::from_quantized(o.quantized(false, spec));
  const auto engine = detail::make_engine(a, b, parse_accumulator(accumulator), {});
  measure(state, o, [&] {
    std::fill(o.y.begin(), o.y.end(), 0.0f);
    if (!engine->range_product(0, s.k, o.y.data())) state.SkipWithError("no vector path");
  });
}

#define FP4LAB_GEMM(FUNCTION, NAME, ...)      \
  BENCHMARK_CAPTURE(FUNCTION, x, __VA_ARGS__) \
      ->Name("gemm/" NAME)                    \
      ->Arg(1)                                \
      ->Arg(2)                                \
      ->UseManualTime()                       \
      ->Iterations(15)                        \
      ->Unit(benchmark::kMillisecond)
FP4LAB_GEMM(fp32, "fp32-fma/1024x1024x1024", kCube, Orientation::y);
FP4LAB_GEMM(fp32, "fp32-fma/1024x1024x1024/dX", kCube, Orientation::dx);
FP4LAB_GEMM(fp32, "fp32-fma/1024x1024x1024/dW", kCube, Orientation::dw);
FP4LAB_GEMM(fp32, "fp32-fma/2048x128x128", (Shape{2048, 128, 128}), Orientation::y);
FP4LAB_GEMM(fp32, "fp32-fma/2048x384x128", (Shape{2048, 384, 128}), Orientation::y);
FP4LAB_GEMM(fp32, "fp32-fma/128x384x2048/dW", (Shape{128, 384, 2048}), Orientation::dw);
FP4LAB_GEMM(fp32, "fp32-fma/128x128x64", (Shape{128, 128, 64}), Orientation::y);
FP4LAB_GEMM(block_exact, "block-exact/mxfp4/1024x1024x1024", kCube, "mxfp4");
FP4LAB_GEMM(block_exact, "block-exact/nvfp4/1024x1024x1024", kCube, "nvfp4");
FP4LAB_GEMM(block_exact, "block-exact/e2m1/1024x1024x1024", kCube, "e2m1");
FP4LAB_GEMM(block_exact, "block-exact/mxfp4/2048x384x128", (Shape{2048, 384, 128}), "mxfp4");
FP4LAB_GEMM(preset, "sm120a.mxf4nvf4.k64/1024x1024x1024", kCube, "nvfp4", "sm120");
FP4LAB_GEMM(preset, "sm120a.mxf4.k64/1024x1024x1024", kCube, "mxfp4", "sm120");
FP4LAB_GEMM(preset, "sm90a.wgmma.bf16/512x512x1024", (Shape{512, 512, 1024}), "bf16", "sm90");
FP4LAB_GEMM(preset, "sm90a.wgmma.e4m3/512x512x1024", (Shape{512, 512, 1024}), "e4m3,scale=none",
            "sm90");

}  // namespace
