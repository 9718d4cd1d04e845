// The layers that are no products, at the sizes of a small language model: what a training step
// spends beside its GEMMs. Counters:
//   GBps      bytes that must be read and written, over the time
//   of_copy   the time over that of memcpy moving as many bytes on one thread, both best of many
//   plain     where present: the time of the same operation as a plain loop with <cmath> over ours
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "sim/nn/activation.h"
#include "sim/nn/batch_norm.h"
#include "sim/nn/embedding.h"
#include "sim/nn/loss.h"
#include "sim/nn/norm.h"
#include "sim/nn/softmax.h"
#include "sim/reduce.h"

namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

Tensor ramp(Shape shape) {
  Tensor x(std::move(shape));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 16 & 0xFFFF) - 32768) * 0x1p-13f;
  }
  return x;
}

template <class Work>
double best_seconds(const Work& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 15; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> t = std::chrono::steady_clock::now() - start;
    best = std::min(best, t.count());
  }
  return best;
}

/// Runs `work`, which reads and writes `bytes`; `plain` (may be null) is the peer.
template <class Work>
void measure(benchmark::State& state, std::size_t bytes, const Work& work,
             void (*plain)(const Tensor&, Tensor&) = nullptr, const Tensor* x = nullptr) {
  for (auto _ : state) {
    work();
    benchmark::ClobberMemory();
  }
  std::vector<char> from(bytes / 2, 1), to(bytes / 2);
  const double ours = best_seconds(work);
  const double copy = best_seconds([&] {
    std::memcpy(to.data(), from.data(), to.size());
    benchmark::ClobberMemory();
  });
  state.counters["GBps"] = static_cast<double>(bytes) / ours * 1e-9;
  state.counters["of_copy"] = ours / copy;
  if (plain != nullptr) {
    Tensor y(x->shape());
    state.counters["plain"] = best_seconds([&] { plain(*x, y); }) / ours;
  }
}

constexpr std::size_t kRows = 2048;

void activation(benchmark::State& state, Activation kind, bool backward) {
  const Tensor x = ramp({kRows, 512}), dy = ramp({kRows, 512});
  Tensor y(x.shape());
  using Plain = void (*)(const Tensor&, Tensor&);
  const Plain gelu = [](const Tensor& in, Tensor& out) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      out[i] = 0.5f * in[i] * (1 + std::erf(in[i] * 0.70710678f));
    }
  };
  const Plain silu = [](const Tensor& in, Tensor& out) {
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = in[i] / (1 + std::exp(-in[i]));
  };
  const bool peer = !backward && (kind == Activation::gelu || kind == Activation::silu);
  measure(
      state, x.size() * (backward ? 12 : 8),
      [&] {
        backward ? activate_backward(kind, x.span(), dy.span(), y.span())
                 : activate(kind, x.span(), y.span());
      },
      !peer                      ? nullptr
      : kind == Activation::gelu ? gelu
                                 : silu,
      &x);
}
BENCHMARK_CAPTURE(activation, gelu, Activation::gelu, false)->UseRealTime();
BENCHMARK_CAPTURE(activation, gelu_backward, Activation::gelu, true)->UseRealTime();
BENCHMARK_CAPTURE(activation, silu, Activation::silu, false)->UseRealTime();
BENCHMARK_CAPTURE(activation, silu_backward, Activation::silu, true)->UseRealTime();
BENCHMARK_CAPTURE(activation, relu, Activation::relu, false)->UseRealTime();

void activation_with_slope(benchmark::State& state, Activation kind) {
  const Tensor x = ramp({kRows, 512});
  Tensor y(x.shape()), slope(x.shape());
  measure(state, x.size() * 12, [&] { activate(kind, x.span(), y.span(), slope.span()); });
}
BENCHMARK_CAPTURE(activation_with_slope, gelu, Activation::gelu)->UseRealTime();
BENCHMARK_CAPTURE(activation_with_slope, silu, Activation::silu)->UseRealTime();

void residual_add(benchmark::State& state) {
  const Tensor a = ramp({kRows, 128}), b = ramp({kRows, 128});
  Tensor y(a.shape());
  measure(state, a.size() * 12, [&] { add(a.span(), b.span(), y.span()); });
}
BENCHMARK(residual_add)->UseRealTime();

void plain_softmax(const Tensor& x, Tensor& y) {
  for (std::size_t r = 0; r < x.rows(); ++r) {
    const auto in = x.row(r);
    const auto out = y.row(r);
    const float largest = *std::max_element(in.begin(), in.end());
    float s = 0;
    for (std::size_t c = 0; c < in.size(); ++c) s += out[c] = std::exp(in[c] - largest);
    for (float& v : out) v /= s;
  }
}

void softmax(benchmark::State& state) {
  const std::size_t columns = static_cast<std::size_t>(state.range(0));
  const Tensor x = ramp({kRows, columns});
  Tensor p(x.shape());
  measure(
      state, x.size() * 8, [&] { softmax_rows(x.span(), columns, p.span()); }, plain_softmax, &x);
}
BENCHMARK(softmax)->Arg(96)->Arg(128)->Arg(1024)->UseRealTime();

void softmax_backward(benchmark::State& state) {
  const std::size_t columns = static_cast<std::size_t>(state.range(0));
  const Tensor dp = ramp({kRows, columns});
  Tensor p = dp, dx(dp.shape());
  softmax_rows(p.span(), columns, p.span());
  measure(state, p.size() * 12,
          [&] { softmax_rows_backward(p.span(), dp.span(), columns, dx.span()); });
}
BENCHMARK(softmax_backward)->Arg(128)->UseRealTime();

void plain_rms_norm(const Tensor& x, Tensor& y) {
  for (std::size_t r = 0; r < x.rows(); ++r) {
    float s = 0;
    for (const float v : x.row(r)) s += v * v;
    const float scale = 1 / std::sqrt(s / static_cast<float>(x.cols()) + 1e-5f);
    for (std::size_t c = 0; c < x.cols(); ++c) y(r, c) = x(r, c) * scale;
  }
}

template <class Norm>
void norm(benchmark::State& state, bool backward) {
  const std::size_t columns = static_cast<std::size_t>(state.range(0));
  BuildContext build;
  Norm layer(build, "norm", 0, columns, 1e-5);
  const Tensor x = ramp({kRows, columns});
  Tensor y, dx;
  layer.forward({}, x, y);
  if (backward) {
    measure(state, x.size() * 12, [&] { layer.backward({}, x, dx); });
  } else {
    measure(
        state, x.size() * 12, [&] { layer.forward({}, x, y); }, plain_rms_norm, &x);
  }
}
void rms_norm(benchmark::State& state, bool backward) { norm<RmsNorm>(state, backward); }
void layer_norm(benchmark::State& state, bool backward) { norm<LayerNorm>(state, backward); }
BENCHMARK_CAPTURE(rms_norm, forward, false)->Arg(128)->Arg(1024)->UseRealTime();
BENCHMARK_CAPTURE(rms_norm, backward, true)->Arg(128)->UseRealTime();
BENCHMARK_CAPTURE(layer_norm, forward, false)->Arg(128)->UseRealTime();
BENCHMARK_CAPTURE(layer_norm, backward, true)->Arg(128)->UseRealTime();

void batch_norm(benchmark::State& state) {
  BuildContext build;
  BatchNorm layer(build, "bn", 0, 64);
  const Tensor x = ramp({64, 16, 16, 64});
  Tensor y, dx;
  measure(state, x.size() * 24, [&] {
    layer.forward({}, x, y);
    layer.backward({}, x, dx);
  });
}
BENCHMARK(batch_norm)->UseRealTime();

void cross_entropy(benchmark::State& state) {
  const Tensor x = ramp({kRows, 96});
  std::vector<std::int32_t> targets(kRows);
  for (std::size_t i = 0; i < kRows; ++i) targets[i] = static_cast<std::int32_t>(i * 7 % 96);
  SoftmaxCrossEntropy loss;
  Tensor dx;
  measure(
      state, x.size() * 12,
      [&] {
        loss.forward({}, x, targets);
        loss.backward(1.0f, dx);
      },
      plain_softmax, &x);
}
BENCHMARK(cross_entropy)->UseRealTime();

void embedding(benchmark::State& state) {
  BuildContext build;
  Embedding layer(build, "embedding", 96, 128, 0.02);
  std::vector<std::int32_t> tokens(kRows);
  for (std::size_t i = 0; i < kRows; ++i) tokens[i] = static_cast<std::int32_t>(i * i % 96);
  const Tensor dy = ramp({kRows, 128});
  Tensor y;
  measure(state, dy.size() * 12, [&] {
    layer.forward({}, tokens, y);
    layer.backward({}, dy);
  });
}
BENCHMARK(embedding)->UseRealTime();

void sums(benchmark::State& state) {
  const Tensor x = ramp({kRows, 512});
  double s = 0;
  measure(state, x.size() * 4, [&] { benchmark::DoNotOptimize(s = sum_squares(x.span())); });
}
BENCHMARK(sums)->UseRealTime();

void sums_of_columns(benchmark::State& state) {
  const Tensor x = ramp({kRows, 512});
  std::vector<double> out(512);
  measure(state, x.size() * 4, [&] { column_sums(x.span(), 512, out); });
}
BENCHMARK(sums_of_columns)->UseRealTime();

}  // namespace
