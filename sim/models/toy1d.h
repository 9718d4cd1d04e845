// The smallest model that oscillates: one quantized weight (training.md 5.6).
//
// SGD with the straight-through estimator minimizes E[(x w* - x q(w))^2] / 2 over w. Its update is
//   w = fl(w - fl(lr fl(fl(x x) fl(q(w) - w*)))),
// which never vanishes while w* lies between two values q1 < q2 of the format: w climbs while q(w)
// is q1, falls while it is q2, and so stays at the threshold between them, not at w*. Since w stays
// bounded, the mean of x^2 (q(w) - w*) goes to 0: the share of time at q2 is (w* - q1) / (q2 - q1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/element_format.h"
#include "formats/rounding.h"

namespace fp4lab::nn {

struct Toy1dConfig {
  ElementFormat element{};  ///< of at most 8 bits; the scale is 1
  Rounding round{};         ///< deterministic
  float target = 0.8f;      ///< w*, inside the format's range
  float start = 0.8f;       ///< w before the first step
  float lr = 0.01f;
  std::size_t steps = 10000;
  std::size_t skip = 1000;  ///< steps before counting starts
  bool noisy = true;        ///< x is a standard normal (Philox, purpose noise); else x = 1
  std::uint64_t seed = 0;
};

struct Toy1dResult {
  float lower = 0, upper = 0;   ///< q1 <= w* <= q2, neighbours in the format (equal: w* is a value)
  float threshold = 0;          ///< smallest w that rounds to q2
  double upper_share = 0;       ///< of counted steps, how many had q(w) = q2
  double lower_share = 0;       ///< the same for q1
  double expected_upper = 0;    ///< (w* - q1) / (q2 - q1); 1 where w* is a value
  std::uint64_t crossings = 0;  ///< counted steps whose q(w) differs from the step before
  std::vector<float> latent;    ///< w at every step, before its update
  std::vector<float> value;     ///< q(w) at every step
};

/// Runs the toy. Throws std::invalid_argument for stochastic roundings, formats of more than 8
/// bits, and a target outside of the format's range.
Toy1dResult run_toy1d(const Toy1dConfig& config);

}  // namespace fp4lab::nn
