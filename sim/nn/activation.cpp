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

/// Work is done on copies of whole blocks: no tail loop, and outputs may be inputs.
struct Block {
  float v[kBlock];
  void Load(const float* p, std::size_t count) {
    std::copy_n(p, count, v);
    std::fill(v + count, v + kBlock, 0.0f);
  }
};

/// So little work that copies would show. Each element is read before anything of it is written.
void ReluForward(const float* x, float* y, float* slope, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const float v = x[i];
    y[i] = relu(v);
    if (slope != nullptr) slope[i] = relu_derivative(v);
  }
}

template <Activation kKind>
void Forward(const float* x, float* y, float* slope, std::size_t n) {
  Block in, value, derivative;
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    in.Load(x + at, count);
    if (slope == nullptr) {
      for (std::size_t i = 0; i < kBlock; ++i) value.v[i] = activate<kKind>(in.v[i]);
    } else {
      for (std::size_t i = 0; i < kBlock; ++i) {
        value.v[i] = activate<kKind>(in.v[i]);
        derivative.v[i] = activation_derivative<kKind>(in.v[i]);
      }
      std::copy_n(derivative.v, count, slope + at);
    }
    std::copy_n(value.v, count, y + at);
  }
}

template <Activation kKind>
void Backward(const float* x, const float* dy, float* dx, std::size_t n) {
  Block in, gradient, out;
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    in.Load(x + at, count);
    gradient.Load(dy + at, count);
    for (std::size_t i = 0; i < kBlock; ++i) {
      out.v[i] = activation_backward(activation_derivative<kKind>(in.v[i]), gradient.v[i]);
    }
    std::copy_n(out.v, count, dx + at);
  }
}

void ForwardOf(Activation kind, const float* x, float* y, float* slope, std::size_t n) {
  switch (kind) {
    case Activation::relu:
      return ReluForward(x, y, slope, n);
    case Activation::gelu:
      return Forward<Activation::gelu>(x, y, slope, n);
    case Activation::silu:
      return Forward<Activation::silu>(x, y, slope, n);
    case Activation::tanh:
      return Forward<Activation::tanh>(x, y, slope, n);
    case Activation::sigmoid:
      return Forward<Activation::sigmoid>(x, y, slope, n);
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

void Scale(const float* slope, const float* dy, float* dx, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) dx[i] = activation_backward(slope[i], dy[i]);
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
HWY_EXPORT(Scale);
HWY_EXPORT(Add);

void activate(Activation kind, std::span<const float> x, std::span<float> y) {
  HWY_ASSERT(x.size() == y.size());
  in_chunks(x.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(ForwardOf)(kind, x.data() + at, y.data() + at, nullptr, n);
  });
}
void activate(Activation kind, std::span<const float> x, std::span<float> y,
              std::span<float> slope) {
  HWY_ASSERT(x.size() == y.size() && x.size() == slope.size());
  in_chunks(x.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(ForwardOf)(kind, x.data() + at, y.data() + at, slope.data() + at, n);
  });
}
void activate_backward(Activation kind, std::span<const float> x, std::span<const float> dy,
                       std::span<float> dx) {
  HWY_ASSERT(x.size() == dy.size() && x.size() == dx.size());
  in_chunks(x.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(BackwardOf)(kind, x.data() + at, dy.data() + at, dx.data() + at, n);
  });
}
void activate_backward(std::span<const float> slope, std::span<const float> dy,
                       std::span<float> dx) {
  HWY_ASSERT(slope.size() == dy.size() && slope.size() == dx.size());
  in_chunks(dy.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(Scale)(slope.data() + at, dy.data() + at, dx.data() + at, n);
  });
}
void add(std::span<const float> a, std::span<const float> b, std::span<float> y) {
  HWY_ASSERT(a.size() == b.size() && a.size() == y.size());
  in_chunks(a.size(), [&](std::size_t at, std::size_t n) {
    HWY_DYNAMIC_DISPATCH(Add)(a.data() + at, b.data() + at, y.data() + at, n);
  });
}

void activate(const StepContext& ctx, Activation kind, Tensor& x, Tensor& y) {
  if (ctx.training) {
    activate(kind, x.span(), y.span(), x.span());
  } else {
    activate(kind, x.span(), y.span());
  }
}

void ActivationLayer::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  y.resize(x.shape());
  if (!ctx.training) return activate(kind_, x.span(), y.span());
  slope_.resize(x.shape());
  activate(kind_, x.span(), y.span(), slope_.span());
}
void ActivationLayer::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  dx.resize(dy.shape());
  activate_backward(slope_.span(), dy.span(), dx.span());
}

}  // namespace fp4lab::nn
#endif  // HWY_ONCE
