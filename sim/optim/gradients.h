// What happens to gradients between the backward pass and the optimizer: unscaling, the finite
// check, clipping by the global norm (optimizers_qat.md 0 and 1.8).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fp4lab::optim {

/// Sums of squares of a set of tensors. A finite total means that every element is finite: squares
/// of binary32 numbers cannot overflow binary64.
struct GradientNorm {
  std::vector<double> squares;  ///< one a tensor, in order
  double total = 0;             ///< of all tensors
  bool finite() const noexcept;
  double norm() const noexcept;  ///< sqrt(total)
};

/// The sums of decisions.md 6: one over each tensor, and one over the tensors' results.
GradientNorm gradient_norm(const std::vector<std::span<const float>>& tensors);

/// min(1, limit / (norm + 1e-6)), torch's clip_grad_norm_; 1 when limit is 0 (off).
double clip_factor(double norm, double limit) noexcept;

/// x = fl(x * factor) for every element; nothing for 1.
void scale_gradient(std::span<float> x, float factor);

/// g = fl(g + fl(l2 w)): the decay of a parameter that has one of its own (PACT's clip value).
void add_l2(std::span<float> g, std::span<const float> w, float l2);

/// Replaces NaN and infinities by 0; returns how many there were.
std::uint64_t zero_nonfinite(std::span<float> x);

/// What to do with a step whose gradients are not all finite.
enum class NonfinitePolicy : std::uint8_t {
  skip,       ///< leave weights, state and step counter alone, count the step
  zero,       ///< replace the elements by 0
  propagate,  ///< go on with them
};

/// Loss scale: a constant, or one that halves at a non-finite step and doubles after
/// `growth_interval` good ones.
struct LossScaleConfig {
  double initial = 1.0;
  bool dynamic = false;
  std::uint64_t growth_interval = 2000;
  friend bool operator==(const LossScaleConfig&, const LossScaleConfig&) = default;
};
class LossScale {
 public:
  explicit LossScale(const LossScaleConfig& config) : config_(config), value_(config.initial) {}
  double value() const noexcept { return value_; }
  /// The step's outcome. The scale stays within 2^-60 ... 2^60.
  void update(bool finite) noexcept;

  struct State {
    double value = 1;
    std::uint64_t good = 0;
  };
  State state() const noexcept { return {value_, good_}; }
  void set_state(const State& s) noexcept {
    value_ = s.value;
    good_ = s.good;
  }

 private:
  LossScaleConfig config_;
  double value_;
  std::uint64_t good_ = 0;
};

}  // namespace fp4lab::optim
