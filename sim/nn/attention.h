// Multi-head self-attention: softmax(Q K^T / sqrt(width)) V, with rotary positions, causal or not.
//
//   rotation   pairs (j, j + width / 2) of a head, as in the LLaMA of Hugging Face: the angle of
//              position t is fl(t * base^(-2j / width)); Q and K are rotated, V is not
//   scores     S = Q K^T, one fp32-fma chain an output; the softmax runs over fl(S * RN32(1 /
//              sqrt(width)))
//   output     O = P V, a chain over the positions in ascending order
//
// Masked positions are left out of every chain, so that no bit of an output depends on what follows
// it. Both products are layers of their own (role attn-bmm: NAME.qk and NAME.pv) that can be
// quantized; see batched_product.h for what their six slots are. Quantized, they look ahead a
// little: a scale of the whole tensor sees every position, a block of V^T or of a backward operand
// spans the positions it is made of.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "sim/nn/batched_product.h"
#include "sim/nn/linear.h"
#include "sim/nn/module.h"

namespace fp4lab::nn {

struct AttentionOptions {
  std::size_t dim = 0, heads = 1;  ///< dim is a multiple of heads
  bool causal = true;
  bool rope = true;  ///< needs an even width dim / heads
  double rope_base = 10000.0;
  bool bias = false;               ///< of the four linear layers
  bool quantize_products = false;  ///< false: the slots of NAME.qk and NAME.pv are emptied
};

/// What lies between the linear layers. Q, K, V, O are [items, length, dim], a head is a run of
/// dim / heads columns.
class AttentionCore {
 public:
  /// Throws std::invalid_argument where dim, heads and rope do not fit together.
  AttentionCore(BuildContext& build, const std::string& name, int block,
                const AttentionOptions& options);

  /// Fills `o`. Rotates q and k and rounds q, k, v to the layer's compute type in place; they must
  /// stay as they are until backward().
  void forward(const StepContext& ctx, Tensor& q, Tensor& k, Tensor& v, Tensor& o);
  /// Gradients with respect to what forward() was given.
  void backward(const StepContext& ctx, const Tensor& d_o, Tensor& dq, Tensor& dk, Tensor& dv);

  /// P of the last forward, [items, heads, length, length].
  const Tensor& probabilities() const noexcept { return p_; }
  std::size_t heads() const noexcept { return options_.heads; }

 private:
  struct Scratch {
    std::vector<float> transposed, work, rounded, scores;
  };
  void rotate(Tensor& x, float direction) const;
  void grow_angles(std::size_t length);
  void report(const StepContext& ctx) const;
  void scores(std::size_t g, Scratch& s);
  void outputs(std::size_t g, Scratch& s, Tensor& o) const;
  void output_gradients(std::size_t g, Scratch& s, Tensor& dv) const;
  void score_gradients(std::size_t g, const float* ds, Tensor& dq, Tensor& dk) const;
  /// [items, length, dim] to [items, heads, length, width] and back; [.., width, length]
  /// transposed.
  void gather(const Tensor& x, Tensor& y, bool transposed) const;
  void scatter(const Tensor& y, Tensor& x, bool transposed) const;

  AttentionOptions options_;
  std::size_t width_ = 0;
  float scale_ = 1;
  std::uint32_t layer_ = 0;
  BatchedProduct qk_, pv_;
  std::size_t items_ = 0, length_ = 0;
  std::vector<float> cos_, sin_, frequency_;
  const Tensor *q_ = nullptr, *k_ = nullptr, *v_ = nullptr, *grad_ = nullptr;
  Tensor p_, d_o_;
  Tensor heads_q_, heads_k_, heads_v_, heads_o_, heads_dp_;
  std::vector<Scratch> scratch_;
};

/// The whole layer: query, key, value, core, output.
class Attention final : public Module {
 public:
  Attention(BuildContext& build, const std::string& name, int block,
            const AttentionOptions& options);

  /// x [items, length, dim].
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  /// dx = (dq W_q + dk W_k) + dv W_v, added in this order.
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override;
  void linears(std::vector<Linear*>& out);
  /// The layers that read x.
  std::vector<Linear*> readers() { return {&q_, &k_, &v_}; }
  const AttentionCore& core() const noexcept { return core_; }

 private:
  Linear q_, k_, v_;
  AttentionCore core_;
  Linear o_;
  Tensor q_out_, k_out_, v_out_, core_out_, part_, dq_, dk_, dv_;
};

}  // namespace fp4lab::nn
