#include "sim/optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "sim/math.h"

namespace fp4lab::optim {
namespace {

constexpr double kPi = 3.14159265358979323846;

/// (1 + cos(pi p)) / 2: 1 at p = 0, 0 at p = 1.
double half_cosine(double p) {
  return (1.0 + static_cast<double>(math::cos(static_cast<float>(kPi * p)))) / 2.0;
}

/// 1 at x = 0 down to 0 at x = 1 (the exponential stops short of 0).
double decay_shape(const ScheduleConfig& c, double x) {
  switch (c.shape) {
    case DecayShape::linear:
      return 1.0 - x;
    case DecayShape::sqrt:
      return 1.0 - std::sqrt(x);
    case DecayShape::cosine:
      return half_cosine(x);
    case DecayShape::exponential:
      return static_cast<double>(math::pow(0.5f, static_cast<float>(x / c.half_life)));
  }
  return 1.0;
}

double triangle(double p) { return p < 0.5 ? 2.0 * p : 2.0 - 2.0 * p; }

/// Share of the base rate, before the tail.
double main_ratio(const ScheduleConfig& c, double t, double total) {
  const double r = c.min_ratio;
  if (c.kind == ScheduleKind::triangular) return r + (1.0 - r) * triangle(t / total);
  const double warmup = c.warmup * total;
  if (t < warmup) return t / warmup;
  if (c.kind == ScheduleKind::cosine) {
    const double p = total > warmup ? std::min(1.0, (t - warmup) / (total - warmup)) : 1.0;
    return r + (1.0 - r) * half_cosine(p);
  }
  if (c.kind == ScheduleKind::wsd) {
    const double length = c.decay * total;
    const double x = length > 0 ? (t - (total - length)) / length : 0.0;
    if (x > 0) return r + (1.0 - r) * decay_shape(c, std::min(x, 1.0));
  }
  return 1.0;
}

}  // namespace

double learning_rate(const ScheduleConfig& c, double rate, std::uint64_t t, std::uint64_t total) {
  const double all = static_cast<double>(total), at = static_cast<double>(t);
  const double tail = c.tail * all, head = all - tail;
  double ratio;
  if (tail > 0 && at > head) {
    ratio =
        c.min_ratio + (c.tail_ratio - c.min_ratio) * triangle(std::min(1.0, (at - head) / tail));
  } else {
    ratio = main_ratio(c, at, head);
  }
  return static_cast<double>(static_cast<float>(rate * ratio));
}

}  // namespace fp4lab::optim
