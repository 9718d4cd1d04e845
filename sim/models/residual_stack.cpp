#include "sim/models/residual_stack.h"

#include <cmath>
#include <stdexcept>

#include "sim/nn/activation.h"

namespace fp4lab::nn {

void inject_outliers(const ModelConfig& config, Param& gain, Param* bias,
                     const std::vector<Linear*>& readers) {
  const float factor = static_cast<float>(config.outlier_gain);
  const std::size_t dim = gain.value.size();
  for (std::size_t i = 0; i < config.outlier_channels; ++i) {
    const std::size_t c = i * dim / config.outlier_channels;
    gain.value[c] *= factor;
    if (bias != nullptr) bias->value[c] *= factor;
    for (Linear* reader : readers) {
      Tensor& w = reader->weight().value;
      for (std::size_t r = 0; r < w.rows(); ++r) w(r, c) /= factor;
    }
  }
}

void check_residual(const ModelConfig& config) {
  const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
  if (config.dim == 0) refuse("model.dim: must be at least 1; found 0");
  if (config.layers == 0 || config.layers > 1024) {
    refuse("model.layers: must be from 1 to 1024; found " + std::to_string(config.layers));
  }
  if (!(config.norm_eps >= 0.0) || !std::isfinite(config.norm_eps)) {
    refuse("model.norm_eps: must be a finite number from 0; found " +
           std::to_string(config.norm_eps));
  }
  if (config.outlier_channels > config.dim) {
    refuse("model.outlier_channels: at most model.dim = " + std::to_string(config.dim) +
           "; found " + std::to_string(config.outlier_channels));
  }
  if (!(config.outlier_gain > 0.0) || !std::isfinite(config.outlier_gain)) {
    refuse("model.outlier_gain: must be a positive number; found " +
           std::to_string(config.outlier_gain));
  }
}

void ResidualStack::forward(const StepContext& ctx, Tensor& x) {
  for (auto& [norm, body] : parts_) {
    norm->forward(ctx, x, normed_);
    body->forward(ctx, normed_, out_);
    nn::add(x.span(), out_.span(), x.span());
  }
}

void ResidualStack::backward(const StepContext& ctx, float scale, Tensor& dx) {
  for (Moe* router : routers_) router->set_loss_scale(scale);
  for (std::size_t i = parts_.size(); i-- > 0;) {
    parts_[i].second->backward(ctx, dx, out_);
    parts_[i].first->backward(ctx, out_, normed_);
    nn::add(dx.span(), normed_.span(), dx.span());
  }
}

void ResidualStack::collect(std::vector<Param*>& out) {
  for (auto& [norm, body] : parts_) {
    norm->collect(out);
    body->collect(out);
  }
}

}  // namespace fp4lab::nn
