#include "sim/nn/feed_forward.h"

#include <cmath>
#include <stdexcept>

#include "sim/nn/elementwise.h"
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
  activate(ctx, Activation::silu, g_, s_);
  multiply(s_.span(), u_.span(), h_.span());
  down_.forward(ctx, h_, y);
}

void SwiGlu::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  down_.backward(ctx, dy, dh_);
  multiply(dh_.span(), s_.span(), h_.span());  // d up
  multiply(dh_.span(), u_.span(), dh_.span());
  activate_backward(g_.span(), dh_.span(), dh_.span());
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
