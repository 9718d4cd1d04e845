#include "sim/nn/estimators.h"

namespace fp4lab::nn {
namespace {

/// numerator / denominator in binary64, rounded once: plain configuration arithmetic.
float ratio(double a, double b) noexcept { return static_cast<float>(a / b); }

constexpr double kPi = 3.14159265358979323846;

EstimatorPlan plan_sigmoid(EstimatorPlan p, double alpha) {
  p.c0 = static_cast<float>(alpha);
  const float top = math::sigmoid(mul_rn(0.5f, p.c0));
  const float bottom = math::sigmoid(mul_rn(-0.5f, p.c0));
  p.c1 = div_rn(p.c0, sub_rn(top, bottom));
  return p;
}

EstimatorPlan plan_dsq(EstimatorPlan p, double alpha) {
  // (A + 1) / (A - 1) = (2 - alpha) / alpha
  p.c0 = math::log(ratio(2.0 - alpha, alpha));
  p.c1 = mul_rn(mul_rn(0.5f, ratio(1.0, 1.0 - alpha)), p.c0);
  return p;
}

EstimatorPlan plan_reste(EstimatorPlan p, const EstimatorConfig& c, double progress) {
  const float angle = static_cast<float>(kPi * progress / 2.0);
  const double o = 1.0 + (1.0 - static_cast<double>(math::cos(angle))) * (c.reste_o - 1.0);
  p.c0 = ratio(1.0, o);
  p.c1 = ratio(1.0 - o, o);
  p.c2 = static_cast<float>(c.reste_t);
  p.c3 = div_rn(math::pow(0.1f, p.c0), 0.1f);
  return p;
}

}  // namespace

EstimatorPlan plan_estimator(const EstimatorConfig& c, float qmin, float qmax, float largest_step,
                             double progress) {
  EstimatorPlan p;
  p.kind = c.kind;
  p.qmin = qmin;
  p.qmax = qmax;
  switch (c.kind) {
    case EstimatorKind::dge:
      p.c0 = ratio(1.0, c.dge_k);
      p.c1 = ratio(1.0 - c.dge_k, c.dge_k);
      p.c2 = static_cast<float>(c.dge_cap);
      return p;
    case EstimatorKind::ewgs:
      p.c0 = static_cast<float>(c.ewgs_delta);
      return p;
    case EstimatorKind::stacked_sigmoid:
      return plan_sigmoid(p, c.sigmoid_alpha);
    case EstimatorKind::dsq:
      return plan_dsq(p, c.dsq_alpha);
    case EstimatorKind::reste:
      return plan_reste(p, c, progress);
    case EstimatorKind::stableqat:
      p.c0 = static_cast<float>(1.41421356237309504880 * kPi * c.stableqat_a);
      return p;
    case EstimatorKind::quest_mask:
      p.c0 = c.quest_trust > 0.0 ? static_cast<float>(c.quest_trust) : mul_rn(0.5f, largest_step);
      return p;
    default:
      return p;
  }
}

const char* estimator_name(EstimatorKind kind) noexcept {
  switch (kind) {
    case EstimatorKind::ste:
      return "ste";
    case EstimatorKind::clipped_ste:
      return "clipped-ste";
    case EstimatorKind::dge:
      return "dge";
    case EstimatorKind::pact:
      return "pact";
    case EstimatorKind::lsq:
      return "lsq";
    case EstimatorKind::lsq_plus:
      return "lsq-plus";
    case EstimatorKind::ewgs:
      return "ewgs";
    case EstimatorKind::stacked_sigmoid:
      return "stacked-sigmoid";
    case EstimatorKind::dsq:
      return "dsq";
    case EstimatorKind::diffq:
      return "diffq";
    case EstimatorKind::reste:
      return "reste";
    case EstimatorKind::stableqat:
      return "stableqat";
    case EstimatorKind::quest_mask:
      return "quest-mask";
  }
  return "";
}

const char* estimator_complaint(const EstimatorConfig& c) noexcept {
  switch (c.kind) {
    case EstimatorKind::dge:
      if (!(c.dge_k >= 1.0)) return "dge_k must be at least 1";
      if (!(c.dge_cap > 0.0)) return "dge_cap must be positive";
      return "";
    case EstimatorKind::pact:
      if (!(c.pact_init > 0.0)) return "pact_init must be positive";
      if (!(c.pact_decay >= 0.0)) return "pact_decay must not be negative";
      return "";
    case EstimatorKind::ewgs:
      return c.ewgs_delta >= 0.0 ? "" : "ewgs_delta must not be negative";
    case EstimatorKind::stacked_sigmoid:
      return c.sigmoid_alpha > 0.0 ? "" : "sigmoid_alpha must be positive";
    case EstimatorKind::dsq:
      return c.dsq_alpha > 0.0 && c.dsq_alpha < 1.0 ? "" : "dsq_alpha must lie between 0 and 1";
    case EstimatorKind::reste:
      return c.reste_t > 0.0 && c.reste_o >= 1.0
                 ? ""
                 : "reste_t must be positive and reste_o at least 1";
    case EstimatorKind::stableqat:
      return c.stableqat_a >= 0.0 ? "" : "stableqat_a must not be negative";
    case EstimatorKind::quest_mask:
      return c.quest_trust >= 0.0 ? "" : "quest_trust must not be negative";
    case EstimatorKind::diffq:
      return c.diffq_group > 0 ? "" : "diffq_group must be at least 1";
    default:
      return "";
  }
}

}  // namespace fp4lab::nn
