#include "sim/nn/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "sim/fma.h"
#include "sim/math_array.h"
#include "sim/nn/attention_kernel.h"

namespace fp4lab::nn {
namespace {

/// A share of an array that is worth a thread.
constexpr std::size_t kRun = 8192;

template <class F>
void for_runs(std::size_t n, const F& f) {
#pragma omp parallel for schedule(static) if (n > 2 * kRun)
  for (std::size_t at = 0; at < n; at += kRun) f(at, std::min(kRun, n - at));
}

}  // namespace

void multiply(std::span<const float> x, std::span<const float> y, std::span<float> z) {
  for_runs(x.size(), [&](std::size_t at, std::size_t n) {
    const float *a = x.data() + at, *b = y.data() + at;
    float* c = z.data() + at;
    for (std::size_t i = 0; i < n; ++i) c[i] = canonical(a[i] * b[i]);
  });
}

void softplus(std::span<const float> x, std::span<float> y) {
  for_runs(x.size(), [&](std::size_t at, std::size_t n) {
    std::vector<float> t(n);
    const float* a = x.data() + at;
    for (std::size_t i = 0; i < n; ++i) t[i] = -std::fabs(a[i]);
    math::exp(t, t);
    math::log1p(t, t);
    float* to = y.data() + at;
    for (std::size_t i = 0; i < n; ++i) to[i] = canonical((a[i] > 0.0f ? a[i] : 0.0f) + t[i]);
  });
}

void softplus_backward(std::span<const float> x, std::span<const float> dy, std::span<float> dx) {
  for_runs(x.size(), [&](std::size_t at, std::size_t n) {
    std::vector<float> t(n);
    math::sigmoid(x.subspan(at, n), t);
    const float* g = dy.data() + at;
    float* to = dx.data() + at;
    for (std::size_t i = 0; i < n; ++i) to[i] = canonical(g[i] * t[i]);
  });
}

void round_to_bf16(std::span<const float> x, std::span<float> y) {
  for_runs(x.size(), [&](std::size_t at, std::size_t n) {
    detail::round_to_bf16(x.subspan(at, n), y.subspan(at, n));
  });
}

}  // namespace fp4lab::nn
