// SGD, Adam and AdamW in the order of operations of torch.optim, one rounding an operation.
//
// Scalars (beta^t, bias corrections, step sizes) are formed in binary64 and rounded once to the
// working type T; elements are T throughout. beta^t is a running product, so that a resumed run has
// the bits of an uninterrupted one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fp4lab::optim {

enum class OptimizerKind : std::uint8_t { sgd, adam, adamw };
/// Where epsilon enters: `torch` m / (sqrt(v) / sqrt(c2) + eps), `hf` sqrt(c2) m / (sqrt(v) + eps).
enum class EpsPlacement : std::uint8_t { torch, hf };

/// Hyper-parameters. A kind ignores what it has no use for. The learning rate comes with each step.
struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adamw;
  double momentum = 0, dampening = 0;  ///< sgd
  bool nesterov = false;               ///< sgd
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  EpsPlacement eps_placement = EpsPlacement::torch;
  bool amsgrad = false;
  double weight_decay = 0;  ///< decoupled in adamw, added to the gradient in sgd and adam
  friend bool operator==(const OptimizerConfig&, const OptimizerConfig&) = default;
};

/// Updates a list of tensors. T is float, or double for reference runs.
///
/// sgd:   g += l w;  b = mu b + (1 - d) g (first step: b = g);  u = b or g + mu b;  w -= lr u
/// adam:  g += l w;  m += (1 - b1)(g - m);  v = b2 v + (1 - b2) g^2;  w -= lr/c1 m / denominator
/// adamw: w *= 1 - lr l, then as adam without l
template <class T>
class Optimizer {
 public:
  explicit Optimizer(const OptimizerConfig& config);

  const OptimizerConfig& config() const noexcept { return config_; }
  /// Announces a tensor of `size` elements; returns its number. Its state starts at zero.
  std::size_t add(std::size_t size, bool decay);

  /// Begins update t + 1: advances the step counter and the products of the betas.
  void begin_step(double learning_rate);
  /// Updates tensor `number`. `grad` is the final gradient: unscaled and clipped.
  void update(std::size_t number, std::span<T> value, std::span<const T> grad);

  /// Finished updates.
  std::uint64_t steps() const noexcept { return steps_; }

  /// What a checkpoint keeps: the counter, the products of the betas, and each tensor's state.
  struct Scalars {
    std::uint64_t steps = 0;
    double beta1_product = 1, beta2_product = 1;
  };
  Scalars scalars() const noexcept { return {steps_, beta1_product_, beta2_product_}; }
  void set_scalars(const Scalars& s) noexcept {
    steps_ = s.steps;
    beta1_product_ = s.beta1_product;
    beta2_product_ = s.beta2_product;
  }
  /// State arrays by name ("3.m"), in a fixed order.
  void state(std::vector<std::pair<std::string, std::vector<T>*>>& out);

 private:
  struct TensorState {
    std::size_t size = 0;
    bool decay = true;
    std::vector<T> first, second, largest;  ///< b or m; v; amsgrad's running maximum of v
  };
  void update_sgd(TensorState& s, T* w, const T* g) const;
  template <bool kAmsgrad>
  void update_adam(TensorState& s, T* w, const T* g) const;

  OptimizerConfig config_;
  std::vector<TensorState> tensors_;
  std::uint64_t steps_ = 0;
  double beta1_product_ = 1, beta2_product_ = 1;
  double learning_rate_ = 0;
};

extern template class Optimizer<float>;
extern template class Optimizer<double>;

}  // namespace fp4lab::optim
