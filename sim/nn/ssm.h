// A selective-scan block in the style of Mamba (arXiv:2312.00752, section 3.4 and figure 3):
//
//   [x, z] = X Win^T                      NAME.in      ssm-in    dim -> 2 inner, no bias
//   u = silu(conv(x))                     NAME.conv    ssm-conv  causal, depthwise, with bias
//   [r, B, C] = u Wx^T                    NAME.x       ssm-scan  inner -> rank + 2 states, no bias
//   delta = softplus(r Wdt^T + b)         NAME.dt      ssm-scan  rank -> inner
//   s = scan(u, delta, A, B, C, D)        NAME.scan    ssm-scan  A = -exp(A_log)
//   y = (s * silu(z)) Wout^T              NAME.out     ssm-out   inner -> dim, no bias
//
// The four matrices are linear layers with six slots; convolution and scan are binary32 arithmetic
// (selective_scan.h). Initial values: A_n = -n (n = 1 ... states) in every channel, D = 1, the bias
// of dt such that softplus(bias) runs from 0.001 to 0.1 over the channels, evenly in its logarithm.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "sim/nn/linear.h"
#include "sim/nn/module.h"
#include "sim/nn/selective_scan.h"

namespace fp4lab::nn {

struct SsmOptions {
  std::size_t dim = 0, states = 16, conv = 4, expand = 2;
  /// Width of the step size's projection: ceil(dim / 16).
  std::size_t rank() const noexcept { return (dim + 15) / 16; }
  std::size_t inner() const noexcept { return dim * expand; }
};

class Ssm final : public Module {
 public:
  /// Throws std::invalid_argument for an extent of 0.
  Ssm(BuildContext& build, const std::string& name, int block, const SsmOptions& options);

  /// x [items, length, dim].
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override;
  void linears(std::vector<Linear*>& out);
  std::vector<Linear*> readers() { return {&in_}; }

 private:
  ScanInput scan_input() const;

  SsmOptions options_;
  Linear in_;
  Param conv_weight_, conv_bias_;  ///< [conv, inner], [inner]
  Linear x_, dt_;
  Param a_log_, d_;  ///< [inner, states], [inner]
  Linear out_;
  std::size_t items_ = 0, length_ = 0;
  Tensor xz_, conv_, u_, rbc_, r_, pre_delta_, delta_, a_, s_, z_, gate_, gated_;
  Tensor d_gated_, d_s_, d_z_, d_u_, d_delta_, d_rbc_, d_r_, part_, d_conv_, d_xz_;
  Tensor item_a_, item_d_, item_w_, item_b_;
};

}  // namespace fp4lab::nn
