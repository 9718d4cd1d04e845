// A mixture of experts: a router sends each token to the top_k experts with the largest logits, and
// their outputs are added with gate weights (W. Fedus et al., arXiv:2101.03961; A. Q. Jiang et al.,
// arXiv:2401.04088).
//
//   logits = x Wr^T               NAME.router, one column an expert; equal logits: lower index
//   first gate   top_k >= 2: softmax over the chosen logits; top_k = 1: the chosen expert's share
//   in the
//          softmax over all, so that the router gets a gradient (a softmax over one is 1)
//   y      chain over the chosen experts, best first: y = fma(gate, expert(x), y) from +0
//
// Each expert is a SwiGLU (roles expert-*) that sees its tokens in ascending order, so that the
// dispatch is a function of the logits alone. An expert without tokens does nothing.
//
// The balance loss of a forward is weight * experts * sum over e of f_e * P_e, f_e the share of the
// assignments that went to expert e and P_e the mean over tokens of its share in the softmax over
// all; f_e counts as a constant. It is not in the reported loss; its gradient is added to the
// router's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/nn/feed_forward.h"
#include "sim/nn/linear.h"
#include "sim/nn/module.h"

namespace fp4lab::nn {

struct MoeOptions {
  std::size_t dim = 0, width = 0;  ///< width of an expert's hidden layer
  std::size_t experts = 4, top_k = 1;
  double balance = 0.01;  ///< weight of the balance loss
};

/// What a router decided for `tokens` tokens.
struct Routing {
  std::size_t experts = 0, top_k = 0;
  std::vector<std::uint32_t> chosen;           ///< [tokens, top_k], best first
  std::vector<std::vector<std::uint32_t>> of;  ///< tokens of each expert, ascending
  std::vector<std::uint64_t> load;             ///< their numbers
};
/// Routes by logits [tokens, experts]. A NaN counts as -Inf.
Routing route(const Tensor& logits, std::size_t top_k);

class Moe final : public Module {
 public:
  /// Throws std::invalid_argument when top_k is 0 or more than the experts.
  Moe(BuildContext& build, const std::string& name, int block, const MoeOptions& options);

  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override;
  void linears(std::vector<Linear*>& out);
  std::vector<Linear*> readers();

  /// The factor that the model's backward puts on the loss: the balance loss takes it too.
  void set_loss_scale(float scale) noexcept { loss_scale_ = scale; }
  /// Balance loss of the last forward, weighted.
  double balance_loss() const noexcept { return balance_loss_; }
  const Routing& routing() const noexcept { return routing_; }

 private:
  void report(const StepContext& ctx, const Tensor& x) const;

  MoeOptions options_;
  Linear router_;
  std::vector<std::unique_ptr<SwiGlu>> experts_;
  Routing routing_;
  float loss_scale_ = 1.0f;
  double balance_loss_ = 0.0;
  Tensor logits_, share_, gate_;  ///< [tokens, experts], [tokens, experts], [tokens, top_k]
  Tensor d_logits_, part_;
  std::vector<Tensor> in_, out_, d_in_;
  std::vector<std::vector<std::uint32_t>> place_;  ///< [slot][token]: row in its expert's tensors
  Tensor d_out_;
};

}  // namespace fp4lab::nn
