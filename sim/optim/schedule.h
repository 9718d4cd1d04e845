// Learning rate over a run.
#pragma once

#include <cstdint>

namespace fp4lab::optim {

enum class ScheduleKind : std::uint8_t { constant, cosine, wsd, triangular };
/// Shape of the last stage of warm-up, stable, decay.
enum class DecayShape : std::uint8_t { linear, sqrt, cosine, exponential };

/// Horizons are fractions of the run.
struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  double warmup = 0.1;     ///< share of the run with a linear rise (not for triangular)
  double min_ratio = 0.0;  ///< lowest rate, as a share of the highest
  double decay = 0.2;      ///< wsd: share of the run that decays
  DecayShape shape = DecayShape::linear;
  double half_life = 0.2;   ///< wsd exponential: share of the decay in which the rate halves
  double tail = 0.0;        ///< share of the run at its end that has a triangle of its own
  double tail_ratio = 1.0;  ///< peak of that triangle, as a share of the rate
  friend bool operator==(const ScheduleConfig&, const ScheduleConfig&) = default;
};

/// Rate of update t = 1 ... total under base rate `rate`: binary64, rounded once to binary32 (as a
/// double holding a binary32 number).
///   warm-up      rate t / T_w                                        for t < T_w = warmup * total
///   cosine       rate (r + (1 - r)(1 + cos(RN32(pi p))) / 2),  p = (t - T_w) / (T - T_w)
///   wsd          rate, and over the last `decay` of T the shape from 1 down to r
///   triangular   r + (1 - r) * (2p up to the middle, 2 - 2p after it),  p = t / T
/// T is total without the tail; in the tail the rate rises from r to tail_ratio and falls back
/// (LUQ's fine-tuning, arXiv:2112.10769 eq 17).
double learning_rate(const ScheduleConfig& config, double rate, std::uint64_t t,
                     std::uint64_t total);

}  // namespace fp4lab::optim
