#include "sim/nn/activation.h"

#include <algorithm>
#include <cstddef>

#include "sim/nn/row_tiles.h"

// The bodies are free of branches, so the compiler vectorises loops over them. SSSE3 adds nothing
// to SSE2 here, nor do the later AVX-512 parts to the first.
#include <hwy/detect_targets.h>
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/nn/activation.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace fp4lab::nn::HWY_NAMESPACE {

constexpr std::size_t kBlock = 256;

/// Works on copies of whole blocks: no tail loop, and y may be x.
template <Activation kKind>
void Forward(const float* x, float* y, std::size_t n) {
  float in[kBlock], out[kBlock];
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    std::copy_n(x + at, count, in);
    std::fill(in + count, in + kBlock, 0.0f);
    for (std::size_t i = 0; i < kBlock; ++i) out[i] = activate<kKind>(in[i]);
    std::copy_n(out, count, y + at);
  }
}

template <Activation kKind>
void Backward(const float* x, const float* dy, float* dx, std::size_t n) {
  float in[kBlock], gradient[kBlock], out[kBlock];
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    std::copy_n(x + at, count, in);
    std::copy_n(dy + at, count, gradient);
    std::fill(in + count, in + kBlock, 0.0f);
    std::fill(gradient + count, gradient + kBlock, 0.0f);
    for (std::size_t i = 0; i < kBlock; ++i)
      out[i] = activation_backward<kKind>(in[i], gradient[i]);
    std::copy_n(out, count, dx + at);
  }
}

void ForwardOf(Activation kind, const float* x, float* y, std::size_t n) {
  switch (kind) {
    case Activation::relu:
      return Forward<Activation::relu>(x, y, n);
    case Activation::gelu:
      return Forward<Activation::gelu>(x, y, n);
    case Activation::silu:
      return Forward<Activation::silu>(x, y, n);
    case Activation::tanh:
      return Forward<Activation::tanh>(x, y, n);
    case Activation::sigmoid:
      return Forward<Activation::sigmoid>(x, y, n);
  }
}
void BackwardOf(Activation kind, const float* x, const float* dy, float* dx, std::size_t n) {
  switch (kind) {
    case Activation::relu:
      return Backward<Activation::relu>(x, dy, dx, n);
    case Activation::gelu:
      return Backward<Activation::gelu>(x, dy, dx, n);
    case Activation::silu:
      return Backward<Activation::silu>(x, dy, dx, n);
    case Activation::tanh:
      return Backward<Activation::tanh>(x, dy, dx, n);
    case Activation::sigmoid:
      return Backward<Activation::sigmoid>(x, dy, dx, n);
  }
}

void Add(const float* a, const float* b, float* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = canonical(a[i] + b[i]);
}

}  // namespace fp4lab::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::nn {

HWY_EXPORT(ForwardOf);
HWY_EXPORT(BackwardOf);
HWY_EXPORT(Add);

void activate(Activation kind, std::span<const float> x, std::span<float> y) {
  HWY_ASSERT(x.size() == y.size());
  in_chunks(x.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(ForwardOf)(kind, x.data() + at, y.data() + at, n);
  });
}
void activate_backward(Activation kind, std::span<const float> x, std::span<const float> dy,
                       std::span<float> dx) {
  HWY_ASSERT(x.size() == dy.size() && x.size() == dx.size());
  in_chunks(x.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(BackwardOf)(kind, x.data() + at, dy.data() + at, dx.data() + at, n);
  });
}
void add(std::span<const float> a, std::span<const float> b, std::span<float> y) {
  HWY_ASSERT(a.size() == b.size() && a.size() == y.size());
  in_chunks(a.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(Add)(a.data() + at, b.data() + at, y.data() + at, n);
  });
}

void ActivationLayer::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  if (ctx.training) x_ = x;
  y.resize(x.shape());
  activate(kind_, x.span(), y.span());
}
void ActivationLayer::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  dx.resize(dy.shape());
  activate_backward(kind_, x_.span(), dy.span(), dx.span());
}

}  // namespace fp4lab::nn
#endif  // HWY_ONCE
