// The two feed-forward networks of the models: SwiGLU and the plain two-layer one.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sim/nn/activation.h"
#include "sim/nn/linear.h"
#include "sim/nn/module.h"

namespace fp4lab::nn {

/// Width of a SwiGLU: 2/3 of ratio * dim, rounded up to a multiple of 32. Throws
/// std::invalid_argument for a ratio that is not positive or gives more than 2^24 columns.
std::size_t swiglu_width(std::size_t dim, double ratio);
/// Width of a plain network: ratio * dim, rounded to the nearest whole number, at least 1. Throws
/// as above.
std::size_t mlp_width(std::size_t dim, double ratio);

/// Roles of the three layers: those of a block's network, or of an expert's.
struct SwiGluRoles {
  Role gate = Role::ffn_gate, up = Role::ffn_up, down = Role::ffn_down;
};

/// y = (silu(x Wg^T) * (x Wu^T)) Wd^T without biases; layers NAME.gate, NAME.up, NAME.down
/// (N. Shazeer, arXiv:2002.05202). dx = dgate Wg + dup Wu, added in this order.
class SwiGlu final : public Module {
 public:
  SwiGlu(BuildContext& build, const std::string& name, int block, std::size_t dim,
         std::size_t width, const SwiGluRoles& roles = {});
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override;
  void linears(std::vector<Linear*>& out);
  std::vector<Linear*> readers() { return {&gate_, &up_}; }

 private:
  Linear gate_, up_, down_;
  Tensor g_, u_, s_, h_, dh_, part_;
};

/// y = gelu(x W1^T + b1) W2^T + b2; layers NAME.up, NAME.down.
class MlpBlock final : public Module {
 public:
  MlpBlock(BuildContext& build, const std::string& name, int block, std::size_t dim,
           std::size_t width);
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override;
  void linears(std::vector<Linear*>& out);
  std::vector<Linear*> readers() { return {&up_}; }

 private:
  Linear up_, down_;
  Tensor h_, a_, da_;
};

}  // namespace fp4lab::nn
