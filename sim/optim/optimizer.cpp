#include "sim/optim/optimizer.h"

#include <cmath>
#include <stdexcept>

namespace fp4lab::optim {
namespace {

/// Below this many elements a second thread costs more than it saves.
[[maybe_unused]] constexpr std::int64_t kParallelElements = 1 << 15;

}  // namespace

template <class T>
Optimizer<T>::Optimizer(const OptimizerConfig& config) : config_(config) {
  if (config.nesterov && (config.momentum <= 0 || config.dampening != 0)) {
    throw std::invalid_argument("Nesterov needs a momentum above 0 and no dampening");
  }
}

template <class T>
std::size_t Optimizer<T>::add(std::size_t size, bool decay) {
  TensorState s;
  s.size = size;
  s.decay = decay;
  if (config_.kind == OptimizerKind::sgd) {
    if (config_.momentum != 0) s.first.assign(size, T{});
  } else {
    s.first.assign(size, T{});
    s.second.assign(size, T{});
    if (config_.amsgrad) s.largest.assign(size, T{});
  }
  tensors_.push_back(std::move(s));
  return tensors_.size() - 1;
}

template <class T>
void Optimizer<T>::begin_step(double learning_rate) {
  ++steps_;
  beta1_product_ *= config_.beta1;
  beta2_product_ *= config_.beta2;
  learning_rate_ = learning_rate;
}

template <class T>
void Optimizer<T>::update(std::size_t number, std::span<T> value, std::span<const T> grad) {
  TensorState& s = tensors_.at(number);
  if (value.size() != s.size || grad.size() != s.size) {
    throw std::invalid_argument("optimizer tensor " + std::to_string(number) + " has " +
                                std::to_string(s.size) + " elements, not " +
                                std::to_string(value.size()));
  }
  if (config_.kind == OptimizerKind::sgd) {
    update_sgd(s, value.data(), grad.data());
  } else if (config_.amsgrad) {
    update_adam<true>(s, value.data(), grad.data());
  } else {
    update_adam<false>(s, value.data(), grad.data());
  }
}

template <class T>
void Optimizer<T>::update_sgd(TensorState& s, T* w, const T* g) const {
  const T lr = static_cast<T>(learning_rate_);
  const T mu = static_cast<T>(config_.momentum);
  const T keep = static_cast<T>(1.0 - config_.dampening);
  const T decay = static_cast<T>(s.decay ? config_.weight_decay : 0.0);
  const bool decays = decay != T{}, nesterov = config_.nesterov, first = steps_ == 1;
  const std::int64_t n = static_cast<std::int64_t>(s.size);
  T* b = s.first.empty() ? nullptr : s.first.data();
#pragma omp parallel for schedule(static) if (n >= kParallelElements)
  for (std::int64_t i = 0; i < n; ++i) {
    const T gradient = decays ? g[i] + decay * w[i] : g[i];
    T step = gradient;
    if (b != nullptr) {
      b[i] = first ? gradient : mu * b[i] + keep * gradient;
      step = nesterov ? gradient + mu * b[i] : b[i];
    }
    w[i] = w[i] - lr * step;
  }
}

template <class T>
template <bool kAmsgrad>
void Optimizer<T>::update_adam(TensorState& s, T* w, const T* g) const {
  const double decay = s.decay ? config_.weight_decay : 0.0;
  const bool decoupled = config_.kind == OptimizerKind::adamw;
  const double c1 = 1.0 - beta1_product_, c2 = 1.0 - beta2_product_;
  const bool torch = config_.eps_placement == EpsPlacement::torch;
  // hf keeps sqrt(v) as it is and moves sqrt(c2) into the step size.
  const T root_c2 = torch ? static_cast<T>(std::sqrt(c2)) : T{1};
  const T size = static_cast<T>(torch ? learning_rate_ / c1 : learning_rate_ * std::sqrt(c2) / c1);
  const T shrink = decoupled ? static_cast<T>(1.0 - learning_rate_ * decay) : T{1};
  const T coupled = decoupled ? T{} : static_cast<T>(decay);
  const T one_minus_beta1 = static_cast<T>(1.0 - config_.beta1);
  const T beta2 = static_cast<T>(config_.beta2);
  const T one_minus_beta2 = static_cast<T>(1.0 - config_.beta2);
  const T eps = static_cast<T>(config_.eps);
  const bool couples = coupled != T{};
  const std::int64_t n = static_cast<std::int64_t>(s.size);
  T* const m = s.first.data();
  T* const v = s.second.data();
  T* const top = s.largest.data();
#pragma omp parallel for schedule(static) if (n >= kParallelElements)
  for (std::int64_t i = 0; i < n; ++i) {
    const T weight = w[i] * shrink;
    const T gradient = couples ? g[i] + coupled * weight : g[i];
    m[i] = m[i] + one_minus_beta1 * (gradient - m[i]);
    v[i] = beta2 * v[i] + one_minus_beta2 * (gradient * gradient);
    T second = v[i];
    if constexpr (kAmsgrad) {
      // NaN in v stays NaN, as torch.maximum has it.
      second = top[i] >= second ? top[i] : second;
      top[i] = second;
    }
    const T denominator = std::sqrt(second) / root_c2 + eps;
    w[i] = weight - size * (m[i] / denominator);
  }
}

template <class T>
void Optimizer<T>::state(std::vector<std::pair<std::string, std::vector<T>*>>& out) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::string number = std::to_string(i);
    TensorState& s = tensors_[i];
    if (!s.first.empty()) out.emplace_back(number + ".m", &s.first);
    if (!s.second.empty()) out.emplace_back(number + ".v", &s.second);
    if (!s.largest.empty()) out.emplace_back(number + ".vmax", &s.largest);
  }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace fp4lab::optim
