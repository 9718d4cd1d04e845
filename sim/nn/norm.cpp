#include "sim/nn/norm.h"

#include <stdexcept>
#include <vector>

#include "sim/math.h"
#include "sim/nn/norm_body.h"
#include "sim/nn/row_tiles.h"
#include "sim/reduce.h"

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/nn/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "sim/simd/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::nn::HWY_NAMESPACE {
using namespace simd::HWY_NAMESPACE;

HWY_INLINE float Mean(double sum, std::size_t n) { return round_sum(sum / static_cast<double>(n)); }

/// Rows of a tile; bias null is RMSNorm. h may be null when nothing is kept: then y serves.
void NormTile(const float* x, const float* gain, const float* bias, float eps, std::size_t rows,
              std::size_t n, float* h, float* r_out, float* y) {
  for (std::size_t row = 0; row < rows; ++row) {
    const float* in = x + row * n;
    float* const out = y + row * n;
    float* const keep = h == nullptr ? out : h + row * n;
    if (bias != nullptr) {
      const float mean = Mean(RowSumOf(in, n), n);
      for (std::size_t i = 0; i < n; ++i) keep[i] = in[i] - mean;
      in = keep;
    }
    const float r = math::rsqrt(Mean(RowSumOfSquares(in, n), n) + eps);
    if (r_out != nullptr) r_out[row] = r;
    for (std::size_t i = 0; i < n; ++i) keep[i] = norm_scaled(in[i], r);
    if (bias != nullptr) {
      for (std::size_t i = 0; i < n; ++i) out[i] = layer_norm_out(keep[i], gain[i], bias[i]);
    } else {
      for (std::size_t i = 0; i < n; ++i) out[i] = rms_norm_out(keep[i], gain[i]);
    }
  }
}

void NormBackwardTile(const float* dy, const float* h, const float* r, const float* gain,
                      bool centred, std::size_t rows, std::size_t n, float* dx) {
  for (std::size_t row = 0; row < rows; ++row) {
    const float* const g = dy + row * n;
    const float* const hat = h + row * n;
    float* const u = dx + row * n;
    for (std::size_t i = 0; i < n; ++i) u[i] = g[i] * gain[i];
    const float b = Mean(RowSumOfProducts(u, hat, n), n);
    if (centred) {
      const float a = Mean(RowSumOf(u, n), n);
      for (std::size_t i = 0; i < n; ++i) u[i] = layer_norm_dx(u[i], hat[i], a, b, r[row]);
    } else {
      for (std::size_t i = 0; i < n; ++i) u[i] = rms_norm_dx(u[i], hat[i], b, r[row]);
    }
  }
}

}  // namespace fp4lab::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::nn {

HWY_EXPORT(NormTile);
HWY_EXPORT(NormBackwardTile);

namespace {

void check(const std::string& name, std::size_t dim, const Tensor& x) {
  if (x.cols() != dim) {
    throw std::invalid_argument(name + ": rows of " + std::to_string(x.cols()) +
                                " numbers; it normalizes " + std::to_string(dim));
  }
}

void norm_forward(bool keep, const Tensor& x, const Param& gain, const Param* bias, float eps,
                  Tensor& h, Tensor& r, Tensor& y) {
  const std::size_t rows = x.rows(), n = x.cols();
  y.resize(x.shape());
  if (keep) {
    h.resize(x.shape());
    r.resize({rows});
  }
  in_row_tiles(rows, n, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * n;
    HWY_DYNAMIC_DISPATCH(NormTile)
    (x.data() + at, gain.value.data(), bias == nullptr ? nullptr : bias->value.data(), eps, count,
     n, keep ? h.data() + at : nullptr, keep ? r.data() + first : nullptr, y.data() + at);
  });
}

void norm_backward(const Tensor& dy, const Tensor& h, const Tensor& r, Param& gain, Param* bias,
                   Tensor& dx) {
  const std::size_t rows = dy.rows(), n = dy.cols();
  dx.resize(dy.shape());
  std::vector<double> sums(n);
  column_sums_of_products(dy.span(), h.span(), n, sums);
  add_rounded(sums, gain.grad.span());
  if (bias != nullptr) {
    column_sums(dy.span(), n, sums);
    add_rounded(sums, bias->grad.span());
  }
  in_row_tiles(rows, n, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * n;
    HWY_DYNAMIC_DISPATCH(NormBackwardTile)
    (dy.data() + at, h.data() + at, r.data() + first, gain.value.data(), bias != nullptr, count, n,
     dx.data() + at);
  });
}

std::size_t positive(const std::string& name, std::size_t dim) {
  if (dim == 0) throw std::invalid_argument(name + ": no numbers to normalize");
  return dim;
}

}  // namespace

Param vector_param(const LayerInfo& info, const char* name, std::size_t n, float value) {
  Param p;
  p.name = info.name + "." + name;
  p.layer = info.index;
  p.role = info.role;
  p.value = Tensor({n});
  p.value.fill(value);
  p.grad = Tensor({n});
  p.decay = false;
  return p;
}

RmsNorm::RmsNorm(BuildContext& build, const std::string& name, int block, std::size_t dim,
                 double eps)
    : gain(vector_param(build.add(name, Role::norm, block), "gain", positive(name, dim), 1.0f)),
      eps_(static_cast<float>(eps)) {}

void RmsNorm::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  check(gain.name, gain.value.size(), x);
  norm_forward(ctx.training, x, gain, nullptr, eps_, h_, r_, y);
}
void RmsNorm::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  norm_backward(dy, h_, r_, gain, nullptr, dx);
}

LayerNorm::LayerNorm(BuildContext& build, const std::string& name, int block, std::size_t dim,
                     double eps)
    : gain(vector_param(build.add(name, Role::norm, block), "gain", positive(name, dim), 1.0f)),
      bias(vector_param(build.layers.back(), "bias", dim, 0.0f)),
      eps_(static_cast<float>(eps)) {}

void LayerNorm::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  check(gain.name, gain.value.size(), x);
  norm_forward(ctx.training, x, gain, &bias, eps_, h_, r_, y);
}
void LayerNorm::backward(const StepContext&, const Tensor& dy, Tensor& dx) {
  norm_backward(dy, h_, r_, gain, &bias, dx);
}

}  // namespace fp4lab::nn
#endif  // HWY_ONCE
