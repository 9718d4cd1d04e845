#include "sim/nn/feed_forward.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sim/fma.h"
#include "sim/nn/output_init.h"

namespace fp4lab::nn {
namespace {

double hidden(std::size_t dim, double ratio) {
  const double width = ratio * static_cast<double>(dim);
  if (!(ratio > 0.0) || !(width <= 0x1p24)) {
    throw std::invalid_argument(
        "model.ffn_ratio: must be positive and keep the hidden width below "
        "2^24; found " +
        std::to_string(ratio));
  }
  return width;
}

/// Element-wise work in runs that stay in the first cache from one loop to the next.
template <class F>
void for_runs(std::size_t n, const F& f) {
  constexpr std::size_t kRun = 2048;
#pragma omp parallel for schedule(static) if (n > 4 * kRun)
  for (std::size_t at = 0; at < n; at += kRun) f(at, std::min(kRun, n - at));
}

}  // namespace

std::size_t swiglu_width(std::size_t dim, double ratio) {
  const double width = std::ceil(hidden(dim, ratio) * 2.0 / 3.0 / 32.0) * 32.0;
  return static_cast<std::size_t>(width);
}

std::size_t mlp_width(std::size_t dim, double ratio) {
  return static_cast<std::size_t>(std::fmax(1.0, std::nearbyint(hidden(dim, ratio))));
}

SwiGlu::SwiGlu(BuildContext& build, const std::string& name, int block, std::size_t dim,
               std::size_t width, const SwiGluRoles& roles)
    : gate_(build, name + ".gate", roles.gate, block, dim, width, {.bias = false}),
      up_(build, name + ".up", roles.up, block, dim, width, {.bias = false}),
      down_(build, name + ".down", roles.down, block, width, dim,
            {.bias = false, .init_std = output_std(build, width)}) {}

void SwiGlu::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  gate_.forward(ctx, x, g_);
  up_.forward(ctx, x, u_);
  s_.resize(g_.shape());
  h_.resize(g_.shape());
  for_runs(g_.size(), [&](std::size_t at, std::size_t n) {
    const std::span<float> g = g_.span().subspan(at, n), s = s_.span().subspan(at, n);
    if (ctx.training) {
      activate(Activation::silu, g, s, g);  // g keeps the slope
    } else {
      activate(Activation::silu, g, s);
    }
    const float* u = u_.data() + at;
    float* h = h_.data() + at;
    for (std::size_t i = 0; i < n; ++i) h[i] = canonical(s[i] * u[i]);
  });
  down_.forward(ctx, h_, y);
}

void SwiGlu::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  down_.backward(ctx, dy, dh_);
  for_runs(g_.size(), [&](std::size_t at, std::size_t n) {
    const float *slope = g_.data() + at, *s = s_.data() + at, *u = u_.data() + at;
    float *d = dh_.data() + at, *du = h_.data() + at;
    for (std::size_t i = 0; i < n; ++i) {
      const float dh = d[i];
      du[i] = canonical(dh * s[i]);
      d[i] = canonical(dh * u[i] * slope[i]);
    }
  });
  up_.backward(ctx, h_, part_);
  gate_.backward(ctx, dh_, dx);
  add(dx.span(), part_.span(), dx.span());
}

void SwiGlu::collect(std::vector<Param*>& out) {
  gate_.collect(out);
  up_.collect(out);
  down_.collect(out);
}

void SwiGlu::linears(std::vector<Linear*>& out) {
  for (Linear* l : {&gate_, &up_, &down_}) out.push_back(l);
}

MlpBlock::MlpBlock(BuildContext& build, const std::string& name, int block, std::size_t dim,
                   std::size_t width)
    : up_(build, name + ".up", Role::ffn_up, block, dim, width),
      down_(build, name + ".down", Role::ffn_down, block, width, dim,
            {.init_std = output_std(build, width)}) {}

void MlpBlock::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  up_.forward(ctx, x, h_);
  a_.resize(h_.shape());
  activate(ctx, Activation::gelu, h_, a_);
  down_.forward(ctx, a_, y);
}

void MlpBlock::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  down_.backward(ctx, dy, da_);
  activate_backward(h_.span(), da_.span(), da_.span());
  up_.backward(ctx, da_, dx);
}

void MlpBlock::collect(std::vector<Param*>& out) {
  up_.collect(out);
  down_.collect(out);
}

void MlpBlock::linears(std::vector<Linear*>& out) {
  for (Linear* l : {&up_, &down_}) out.push_back(l);
}

}  // namespace fp4lab::nn
