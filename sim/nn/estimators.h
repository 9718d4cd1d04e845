// Gradient estimators: what the backward pass puts in place of the derivative of a quantizer, which
// is zero almost everywhere (training.md 6). One source for host and device; every factor is made
// of single binary32 operations and the correctly rounded functions of sim/math.h.
//
// v = fl(x / S) is the element in units of its block's scale, S = fl(s g) with the global factor
// (rule absmax puts nothing outside of the grid: there v is clamped to it, since the largest
// element may land an ulp beyond); q the grid value its code stands for. Where the definition in
// the literature is for unit rounding, it is applied to the local coordinate of the grid interval
// [lower, upper) that holds v,
//
//   u = fl(|fl(v - near)| / fl(upper - lower)),   t = |2 u - 1|: 0 at the middle, 1 at grid points,
//
// near being the end nearer to zero (so that v and -v have the same factor, to the bit), and the
// slope is taken against u, so that factors have no unit and every interval, whatever its width,
// has the same ones. (The decision threshold of E2M1 is the middle of each interval.) Outside the
// grid's range u goes on beyond 0 and 1 in the units of the outermost interval.
//
//   ste              1
//   clipped-ste      1 where qmin <= v <= qmax, else 0
//   dge              min(t^(1/k - 1) / k, cap); 0 outside            arXiv:2501.17116
//   ewgs             1 + delta sign(g) (v' - q) / width, v' = v clamped to the range
//   stacked-sigmoid  alpha p (1 - p) / (p(1) - p(0)), p(u) = sigmoid(alpha (u - 1/2)): mean 1; 0
//   outside dsq              A K / 2 (1 - tanh(K (u - 1/2))^2), A = 1 / (1 - alpha), K = log((A +
//   1)/(A - 1));
//                    0 outside
//   reste            t^((1 - o) / o) / o for 0.1 < t <= T, 0.1^(1/o) / 0.1 for t <= 0.1, 0 beyond
//   T;
//                    o = 1 + (1 - cos(pi progress / 2)) (o_end - 1)
//   stableqat        (1 - c w) / (1 + c w), w = sin(pi |u - 1/2|), which is cos(pi (v + q)) of unit
//                    rounding to nearest; c = sqrt(2) pi a; 0 outside
//   quest-mask       1 where |v - q| <= trust, else 0
//   pact             the slot clips x to [0, a] and scales by a: x gets 1 where 0 <= x < a, a gets
//                    the sum of g where x >= a
//   lsq              the slot's scale s is learned: x gets 1 where qmin < v < qmax, s gets
//                    grad_scale times the sum of g (q - v inside, qmin below, qmax above)
//   lsq-plus         the same of x - b, and b gets grad_scale times the sum of g outside
//   diffq            1: the forward adds uniform noise instead of rounding
#pragma once

#include <cstdint>

#include "formats/host_device.h"
#include "sim/math.h"
#include "sim/nn/layer_config.h"

namespace fp4lab::nn {

/// An estimator with its constants rounded to binary32, for one step.
struct EstimatorPlan {
  EstimatorKind kind = EstimatorKind::ste;
  float qmin = 0.0f, qmax = 0.0f;  ///< range of the grid
  /// dge: 1/k, 1/k - 1, cap. ewgs: delta. stacked-sigmoid: alpha, alpha / (p(1) - p(0)). dsq: K,
  /// A K / 2. reste: 1/o, (1 - o)/o, T, the constant below 0.1. stableqat: c. quest-mask: trust.
  float c0 = 0.0f, c1 = 0.0f, c2 = 0.0f, c3 = 0.0f;
};

/// The grid interval of an element.
struct GridInterval {
  float lower, upper;
};

/// The interval [lower, upper) of `n` ascending grid values that holds v; the outermost one outside
/// of the range and at its upper end. n >= 2.
FP4LAB_HD inline GridInterval grid_interval(const float* grid, int n, float v) noexcept {
  int low = 0, high = n - 1;  // grid[low] <= v < grid[high], where v lies inside
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (v >= grid[middle]) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return {grid[low], grid[high]};
}

namespace estimator_parts {

FP4LAB_HD inline float local_coordinate(GridInterval i, float v) noexcept {
  const float near = abs_bits(i.lower) <= abs_bits(i.upper) ? i.lower : i.upper;
  return div_rn(abs_bits(sub_rn(v, near)), sub_rn(i.upper, i.lower));
}
FP4LAB_HD inline float from_middle(float u) noexcept {
  return abs_bits(sub_rn(mul_rn(2.0f, u), 1.0f));
}

FP4LAB_HD inline float dge_factor(const EstimatorPlan& p, float t) noexcept {
  const float f = mul_rn(p.c0, math::pow(t, p.c1));
  return f < p.c2 ? f : p.c2;
}
FP4LAB_HD inline float sigmoid_factor(const EstimatorPlan& p, float u) noexcept {
  const float s = math::sigmoid(mul_rn(p.c0, sub_rn(u, 0.5f)));
  return mul_rn(p.c1, mul_rn(s, sub_rn(1.0f, s)));
}
FP4LAB_HD inline float dsq_factor(const EstimatorPlan& p, float u) noexcept {
  const float h = math::tanh(mul_rn(p.c0, sub_rn(u, 0.5f)));
  return mul_rn(p.c1, sub_rn(1.0f, mul_rn(h, h)));
}
FP4LAB_HD inline float reste_factor(const EstimatorPlan& p, float t) noexcept {
  if (t > p.c2) return 0.0f;
  if (t <= 0.1f) return p.c3;
  return mul_rn(p.c0, math::pow(t, p.c1));
}
FP4LAB_HD inline float stableqat_factor(const EstimatorPlan& p, float u) noexcept {
  // sin of the distance from the threshold: exactly 0 there, so that the factor is exactly 1.
  const float w = math::sin(mul_rn(3.14159274f, abs_bits(sub_rn(u, 0.5f))));
  const float cw = mul_rn(p.c0, w);
  return div_rn(sub_rn(1.0f, cw), add_rn(1.0f, cw));
}
FP4LAB_HD inline float ewgs_factor(const EstimatorPlan& p, GridInterval i, float v, float q,
                                   float g) noexcept {
  if (g == 0.0f) return 1.0f;
  const float inside = v < p.qmin ? p.qmin : v > p.qmax ? p.qmax : v;
  const float d = div_rn(sub_rn(inside, q), sub_rn(i.upper, i.lower));
  return add_rn(1.0f, mul_rn(g < 0.0f ? -p.c0 : p.c0, d));
}

}  // namespace estimator_parts

/// What the upstream gradient g of an element is multiplied by. pact, lsq and lsq-plus: see below.
FP4LAB_HD inline float estimator_factor(const EstimatorPlan& p, GridInterval i, float v, float q,
                                        float g) noexcept {
  const bool inside = v >= p.qmin && v <= p.qmax;
  const float u = estimator_parts::local_coordinate(i, v);
  switch (p.kind) {
    case EstimatorKind::clipped_ste:
      return inside ? 1.0f : 0.0f;
    case EstimatorKind::dge:
      return inside ? estimator_parts::dge_factor(p, estimator_parts::from_middle(u)) : 0.0f;
    case EstimatorKind::ewgs:
      return estimator_parts::ewgs_factor(p, i, v, q, g);
    case EstimatorKind::stacked_sigmoid:
      return inside ? estimator_parts::sigmoid_factor(p, u) : 0.0f;
    case EstimatorKind::dsq:
      return inside ? estimator_parts::dsq_factor(p, u) : 0.0f;
    case EstimatorKind::reste:
      return estimator_parts::reste_factor(p, estimator_parts::from_middle(u));
    case EstimatorKind::stableqat:
      return inside ? estimator_parts::stableqat_factor(p, u) : 0.0f;
    case EstimatorKind::quest_mask:
      return abs_bits(sub_rn(v, q)) <= p.c0 ? 1.0f : 0.0f;
    case EstimatorKind::lsq:
    case EstimatorKind::lsq_plus:
      return v > p.qmin && v < p.qmax ? 1.0f : 0.0f;
    case EstimatorKind::ste:
    case EstimatorKind::pact:
    case EstimatorKind::diffq:
      break;
  }
  return 1.0f;
}

/// PACT under the clip a: the factor of x.
FP4LAB_HD inline float pact_factor(float x, float a) noexcept {
  return x >= 0.0f && x < a ? 1.0f : 0.0f;
}

/// LSQ: d(q s)/ds of an element whose scaled value is v.
FP4LAB_HD inline float lsq_scale_slope(const EstimatorPlan& p, float v, float q) noexcept {
  return v <= p.qmin ? p.qmin : v >= p.qmax ? p.qmax : sub_rn(q, v);
}

/// The constants of a step. `progress` in [0, 1] anneals reste. `largest_step` is the widest
/// interval of the grid (quest-mask's default trust is half of it).
EstimatorPlan plan_estimator(const EstimatorConfig& config, float qmin, float qmax,
                             float largest_step, double progress);

/// The id of decisions.md 1: "ste", "clipped-ste", ...
const char* estimator_name(EstimatorKind kind) noexcept;

/// Empty, or what is wrong with a parameter ("dge_k must be at least 1, not 0.5").
const char* estimator_complaint(const EstimatorConfig& config) noexcept;

}  // namespace fp4lab::nn
