// The narrow interface of layers: forward, hand-written backward, parameters in construction order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/nn/context.h"
#include "sim/tensor.h"

namespace fp4lab::nn {

/// A trained tensor: binary32 master value and gradient of the same shape.
struct Param {
  std::string name;          ///< "blocks.2.attn.q.weight"
  std::uint32_t layer = 0;   ///< layer it belongs to
  Role role = Role::ffn_up;
  Tensor value;
  Tensor grad;               ///< sum over the step's microbatches; backward adds to it
  bool decay = true;         ///< weight decay applies (matrices; not norms, biases, embeddings' gains)
  bool quantized = false;    ///< a weight that goes through q2
  float l2 = 0.0f;           ///< l2 * value joins the unscaled gradient before clipping (PACT's clip)
};

/// A layer from one tensor to one tensor. A training forward keeps what its backward needs; there
/// is one backward for each forward, in reverse order. Outputs are resized as needed and their
/// memory is used again.
class Module {
 public:
  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  virtual void forward(const StepContext& ctx, const Tensor& x, Tensor& y) = 0;
  /// dx = gradient with respect to the last forward's x; parameters' gradients are added to.
  virtual void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) = 0;
  /// Appends this layer's parameters in construction order. The pointers stay valid for its life.
  virtual void collect(std::vector<Param*>& out) { (void)out; }
};

}  // namespace fp4lab::nn
