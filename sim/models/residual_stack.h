// The residual stream of transformers and their relatives: x = x + body(norm(x)), one sublayer
// after the other, and what every such model shares.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/models/model_config.h"
#include "sim/nn/linear.h"
#include "sim/nn/model.h"
#include "sim/nn/module.h"
#include "sim/nn/moe.h"
#include "sim/nn/norm.h"

namespace fp4lab::nn {

/// Outlier channels that leave the model's function as it is (training.md 9): channel i of
/// `config.outlier_channels` is floor(i * dim / channels); the norm's gain (and bias) there is
/// multiplied by `outlier_gain`, the column of each layer that reads it divided.
void inject_outliers(const ModelConfig& config, Param& gain, Param* bias,
                     const std::vector<Linear*>& readers);

class ResidualStack {
 public:
  explicit ResidualStack(const ModelConfig& config) : config_(config) {}

  /// Appends a sublayer; Norm is RmsNorm or LayerNorm.
  template <class Norm, class Body>
  void add(std::unique_ptr<Norm> norm, std::unique_ptr<Body> body) {
    Param* bias = nullptr;
    if constexpr (requires { norm->bias; }) bias = &norm->bias;
    inject_outliers(config_, norm->gain, bias, body->readers());
    body->linears(linears_);
    if constexpr (std::is_same_v<Body, Moe>) routers_.push_back(body.get());
    parts_.emplace_back(std::move(norm), std::move(body));
  }

  /// x [items, length, dim] in place.
  void forward(const StepContext& ctx, Tensor& x);
  /// Gradient of what came out to the gradient of what went in, in place; `scale` is that of the
  /// loss.
  void backward(const StepContext& ctx, float scale, Tensor& dx);
  void collect(std::vector<Param*>& out);
  const std::vector<Linear*>& linears() const noexcept { return linears_; }
  const std::vector<Moe*>& routers() const noexcept { return routers_; }

 private:
  ModelConfig config_;
  std::vector<std::pair<std::unique_ptr<Module>, std::unique_ptr<Module>>> parts_;
  std::vector<Linear*> linears_;
  std::vector<Moe*> routers_;
  Tensor normed_, out_;
};

/// Checks the sizes that all residual models share: dim, layers, norm_eps, outlier keys.
void check_residual(const ModelConfig& config);

/// "blocks.2" and the like.
inline std::string block_name(std::size_t block) { return "blocks." + std::to_string(block); }

}  // namespace fp4lab::nn
