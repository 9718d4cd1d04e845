// Gradient estimators: known answers, other people's numbers, binary64 definitions, and their place
// in a layer's backward pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "formats/hadamard.h"
#include "formats/registry.h"
#include "sim/nn/estimators.h"
#include "tests/golden/gv1.h"
#include "tests/nn/linear_config.h"

namespace fp4lab::test {
namespace {

using nn::EstimatorKind;

const std::vector<float> kE2m1 = {-6, -4, -3, -2, -1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 3, 4, 6};

nn::EstimatorPlan plan(const nn::EstimatorConfig& c, double progress = 0.0,
                       const std::vector<float>& grid = kE2m1) {
  return nn::plan_estimator(c, grid.front(), grid.back(), 2.0f, progress);
}

float factor(const nn::EstimatorPlan& p, float v, float q, float g = 1.0f,
             const std::vector<float>& grid = kE2m1) {
  const int n = static_cast<int>(grid.size());
  return nn::estimator_factor(p, nn::grid_interval(grid.data(), n, v), v, q, g);
}

nn::EstimatorConfig config_of(EstimatorKind kind) {
  nn::EstimatorConfig c;
  c.kind = kind;
  return c;
}

TEST(Estimator, DgeIsThePapersFormula) {
  const golden::File f =
      golden::File::load(std::string(FP4LAB_GOLDEN_DIR) + "/dge/dge_e2m1_f64.gv.gz");
  const std::vector<double> x = f.at("x").f64();
  for (const int k : {3, 5, 10}) {
    const std::vector<double> want = f.at("k" + std::to_string(k) + ":fprime_unclipped").f64();
    nn::EstimatorConfig c = config_of(EstimatorKind::dge);
    c.dge_k = k;
    const nn::EstimatorPlan capped = plan(c);
    c.dge_cap = 1e30;
    const nn::EstimatorPlan open = plan(c);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float v = static_cast<float>(x[i]);
      if (std::isnan(want[i])) {
        EXPECT_EQ(factor(open, v, 0), 0.0f) << x[i];
        continue;
      }
      const nn::GridInterval at = nn::grid_interval(kE2m1.data(), 15, v);
      const double d = static_cast<double>(at.upper) - static_cast<double>(at.lower);
      const double u = std::abs(2.0 * (x[i] - static_cast<double>(at.lower)) / d - 1.0);
      // Rounding x moves u by du, and f' = u^(1/k - 1) / k by (1 - 1/k) du / u of itself.
      const double du = 2.0 * std::abs(x[i] - static_cast<double>(v)) / d;
      if (u > 1e3 * du + 1e-9) {
        const double bound = want[i] * (3e-7 + (1.0 - 1.0 / k) * 1.01 * du / u);
        EXPECT_NEAR(static_cast<double>(factor(open, v, 0)), want[i], bound) << x[i] << " k " << k;
        EXPECT_NEAR(static_cast<double>(factor(capped, v, 0)), std::min(3.0, want[i]), bound);
      } else {
        EXPECT_EQ(factor(capped, v, 0), 3.0f) << x[i] << " k " << k;
      }
    }
  }
}

TEST(Estimator, DgeIsWhatMsAmpComputes) {
  const golden::File f =
      golden::File::load(std::string(FP4LAB_GOLDEN_DIR) + "/dge/msamp_all_bf16.gv.gz");
  const golden::Tensor& want = f.at("dge_derivative:k5:clip3");
  ASSERT_EQ(want.size(), 65536u);
  const nn::EstimatorPlan p = plan(config_of(EstimatorKind::dge));
  std::size_t compared = 0;
  for (std::uint32_t code = 0; code < 65536; ++code) {
    const float v = bits_as<float>(code << 16);
    if (v < -6.0f) continue;  // it keeps the formula there, on one side
    const float got = factor(p, v, 0.0f);
    const float other = bits_as<float>(static_cast<std::uint32_t>(want.bits(code)) << 16);
    const float ulp = other == 0.0f ? 0.0f : pow2_f32(floor_log2(other) - 7);
    EXPECT_LE(std::abs(got - other), ulp) << v;
    ++compared;
  }
  EXPECT_GT(compared, 49000u);
}

TEST(Estimator, DgeKnownAnswers) {
  const nn::EstimatorPlan p = plan(config_of(EstimatorKind::dge));
  for (const float v : kE2m1) EXPECT_FLOAT_EQ(factor(p, v, v), 0.2f);
  EXPECT_EQ(factor(p, 6.25f, 6.0f), 0.0f);
  for (std::size_t i = 0; i + 1 < kE2m1.size(); ++i) {
    const double d = static_cast<double>(kE2m1[i + 1]) - static_cast<double>(kE2m1[i]);
    const double edge = std::pow(15.0, -1.25);  // the cap acts for t below this
    double sum = 0;
    constexpr int kPoints = 1 << 14;
    for (int n = 0; n < kPoints; ++n) {
      const double u = (n + 0.5) / kPoints, t = std::abs(2 * u - 1);
      const float v = static_cast<float>(static_cast<double>(kE2m1[i]) + u * d);
      const float got = factor(p, v, 0);
      sum += static_cast<double>(got) / kPoints;
      if (std::abs(t - edge) > 1e-6) {
        EXPECT_EQ(got == 3.0f, t < edge) << v;
      }
    }
    EXPECT_NEAR(sum, 0.5935, 2e-4);
  }
}

TEST(Estimator, StableQatKnownAnswers) {
  const nn::EstimatorPlan p = plan(config_of(EstimatorKind::stableqat));
  nn::EstimatorConfig none = config_of(EstimatorKind::stableqat);
  none.stableqat_a = 0.0;
  for (std::size_t i = 0; i < kE2m1.size(); ++i) {
    EXPECT_NEAR(factor(p, kE2m1[i], kE2m1[i]), 0.0347f, 1e-4f);
    if (i + 1 == kE2m1.size()) break;
    const float middle = 0.5f * (kE2m1[i] + kE2m1[i + 1]);
    EXPECT_EQ(factor(p, middle, kE2m1[i]), 1.0f) << middle;
    EXPECT_EQ(factor(plan(none), kE2m1[i] + 0.1f, kE2m1[i]), 1.0f);
  }
  EXPECT_EQ(factor(p, 7.0f, 6.0f), 0.0f);
}

/// Definitions of training.md 6 in binary64, of unit-interval coordinate u and threshold distance
/// t.
double definition(const nn::EstimatorConfig& c, double u, double progress) {
  const double t = std::abs(2 * u - 1), pi = std::acos(-1.0);
  switch (c.kind) {
    case EstimatorKind::stacked_sigmoid: {
      const auto s = [&](double x) { return 1 / (1 + std::exp(-c.sigmoid_alpha * x)); };
      const double y = s(u - 0.5);
      return c.sigmoid_alpha * y * (1 - y) / (s(0.5) - s(-0.5));
    }
    case EstimatorKind::dsq: {
      const double a = 1 / (1 - c.dsq_alpha), k = std::log((a + 1) / (a - 1));
      return a * k / 2 / std::pow(std::cosh(k * (u - 0.5)), 2);
    }
    case EstimatorKind::reste: {
      const double o = 1 + (1 - std::cos(pi * progress / 2)) * (c.reste_o - 1);
      if (t > c.reste_t) return 0;
      return t <= 0.1 ? std::pow(0.1, 1 / o) / 0.1 : 1 / o * std::pow(t, (1 - o) / o);
    }
    case EstimatorKind::stableqat: {
      const double k = std::sqrt(2.0) * pi * c.stableqat_a;
      const double w = std::cos(pi * (u + (u < 0.5 ? 0 : 1)));
      return (1 - k * w) / (1 + k * w);
    }
    default:
      return 0;
  }
}

TEST(Estimator, FactorsAreTheirDefinitions) {
  const std::vector<float> e3m0 = {-16,   -8,   -4, -2, -1, -0.5f, -0.25f, 0,
                                   0.25f, 0.5f, 1,  2,  4,  8,     16};
  for (const EstimatorKind kind : {EstimatorKind::stacked_sigmoid, EstimatorKind::dsq,
                                   EstimatorKind::reste, EstimatorKind::stableqat}) {
    for (const std::vector<float>& grid : {kE2m1, e3m0}) {
      for (const double progress : {0.0, 0.4, 1.0}) {
        const nn::EstimatorConfig c = config_of(kind);
        const nn::EstimatorPlan p = plan(c, progress, grid);
        for (std::size_t i = 0; i + 1 < grid.size(); ++i) {
          double mean = 0;
          for (int n = 0; n < 512; ++n) {
            const float v =
                grid[i] + (grid[i + 1] - grid[i]) * (static_cast<float>(n) + 0.5f) / 512;
            const double u = (n + 0.5) / 512;
            const double want = definition(c, u, progress);
            const double got = static_cast<double>(factor(p, v, 0, 1, grid));
            EXPECT_NEAR(got, want, 2e-6 * std::max(1.0, want))
                << nn::estimator_name(kind) << " " << v;
            mean += got / 512;
          }
          if (kind == EstimatorKind::stacked_sigmoid || kind == EstimatorKind::dsq) {
            EXPECT_NEAR(mean, 1.0, 1e-4) << nn::estimator_name(kind);
          }
        }
        const float beyond = grid.back() * 1.3f;
        if (kind != EstimatorKind::reste) {
          EXPECT_EQ(factor(p, beyond, grid.back(), 1, grid), 0.0f);
        }
      }
    }
  }
  // Without annealing ReSTE is the straight-through estimator, up to its reach of 1.25 steps.
  const nn::EstimatorPlan start = plan(config_of(EstimatorKind::reste), 0.0);
  EXPECT_EQ(factor(start, 1.2f, 1.0f), 1.0f);
  EXPECT_EQ(factor(start, 6.49f, 6.0f), 1.0f);
  EXPECT_EQ(factor(start, 6.51f, 6.0f), 0.0f);
}

TEST(Estimator, FactorsAreEven) {
  for (const EstimatorKind kind : {EstimatorKind::dge, EstimatorKind::dsq, EstimatorKind::reste,
                                   EstimatorKind::stacked_sigmoid, EstimatorKind::stableqat}) {
    const nn::EstimatorPlan p = plan(config_of(kind), 0.5);
    for (int i = 1; i < 7000; ++i) {
      const float v = 0.000937f * static_cast<float>(i);
      const bool point = std::find(kE2m1.begin(), kE2m1.end(), v) != kE2m1.end();
      if (!point) {
        EXPECT_EQ(factor(p, v, 0), factor(p, -v, 0)) << nn::estimator_name(kind) << v;
      }
    }
  }
}

TEST(Estimator, EwgsPullsTowardsTheGrid) {
  const nn::EstimatorPlan p = plan(config_of(EstimatorKind::ewgs));
  EXPECT_FLOAT_EQ(factor(p, 2.25f, 2.0f, +1.0f), 1.05f);  // a quarter of the interval [2, 3)
  EXPECT_FLOAT_EQ(factor(p, 2.25f, 2.0f, -1.0f), 0.95f);
  EXPECT_FLOAT_EQ(factor(p, 2.75f, 3.0f, +1.0f), 0.95f);
  EXPECT_FLOAT_EQ(factor(p, -2.25f, -2.0f, +1.0f), 0.95f);
  EXPECT_EQ(factor(p, 2.25f, 2.0f, 0.0f), 1.0f);
  EXPECT_EQ(factor(p, 7.0f, 6.0f, 1.0f), 1.0f);
}

TEST(Estimator, Masks) {
  const nn::EstimatorPlan clipped = plan(config_of(EstimatorKind::clipped_ste));
  EXPECT_EQ(factor(clipped, 6.0f, 6.0f), 1.0f);
  EXPECT_EQ(factor(clipped, 6.0000005f, 6.0f), 0.0f);
  EXPECT_EQ(factor(clipped, -6.5f, -6.0f), 0.0f);
  const nn::EstimatorPlan trust = plan(config_of(EstimatorKind::quest_mask));
  EXPECT_EQ(factor(trust, 7.0f, 6.0f), 1.0f);
  EXPECT_EQ(factor(trust, 7.01f, 6.0f), 0.0f);
}

nn::LayerConfig with_estimator(nn::Slot slot, const char* spec, EstimatorKind kind) {
  nn::LayerConfig c = layer_config(named_slots()[0].slots);
  c[slot] = slot_config({"master", spec});
  c[slot].estimator.kind = kind;
  return c;
}

nn::StepContext step_context() {
  nn::StepContext ctx;
  ctx.seed_sr = 99;
  ctx.step = 4;
  return ctx;
}

/// dY W and dY^T X of the plain layer: gradients of the quantized operands.
struct Plain {
  Tensor dx, dw;
  Plain(const nn::Linear& like, const Tensor& x, const Tensor& dy) {
    auto layer = make_linear(layer_config(named_slots()[0].slots), like.in(), like.out());
    layer->weight().value = like.weight().value;
    Tensor y;
    layer->forward(step_context(), x, y);
    layer->backward(step_context(), dy, dx);
    dw = layer->weight().grad;
  }
};

TEST(Estimator, ActsOnTheWeightGradientOfQ2) {
  for (const char* spec : {"mxfp4", "nvfp4", "e2m1,block=row", "nvfp4,block=16x16"}) {
    auto layer = make_linear(with_estimator(nn::Slot::q2, spec, EstimatorKind::dge), 40, 24);
    const Tensor x = test_values(16, 40, 1), dy = test_values(16, 24, 2);
    Tensor y, dx;
    layer->forward(step_context(), x, y);
    layer->backward(step_context(), dy, dx);
    const Plain plain(*layer, x, dy);
    const auto q = layer->quantized_weight(step_context());
    const nn::EstimatorPlan p = plan(config_of(EstimatorKind::dge));
    const Tensor& w = layer->weight().value;
    for (std::size_t i = 0; i < w.size(); ++i) {
      // The scale of an element from its dequantized value, where that is not zero.
      const float code = decode(q.codes->spec.element, q.codes->codes[i]);
      if (code == 0.0f || q.values[i] == 0.0f) continue;
      const double s = static_cast<double>(q.values[i]) / static_cast<double>(code);
      float v = static_cast<float>(static_cast<double>(w[i]) / s);
      if (q.codes->spec.rule == ScaleRule::absmax) v = std::min(6.0f, std::max(-6.0f, v));
      const double want =
          static_cast<double>(plain.dw[i]) * static_cast<double>(factor(p, v, code));
      const double got = static_cast<double>(layer->weight().grad[i]);
      EXPECT_NEAR(got, want, std::abs(want) * 2e-3 + 1e-6) << spec << " " << v;
    }
  }
}

TEST(Estimator, MasksUnderAHadamardAreTakenInItsDomain) {
  nn::LayerConfig c =
      with_estimator(nn::Slot::q1, "mxfp4,rule=quest,hadamard=32", EstimatorKind::clipped_ste);
  auto layer = make_linear(c, 40, 24);
  const Tensor x = test_values(16, 40, 1), dy = test_values(16, 24, 2);
  Tensor y, dx;
  layer->forward(step_context(), x, y);
  layer->backward(step_context(), dy, dx);
  const Plain plain(*layer, x, dy);
  RandomStream stream{99, 8 * 3 + 1, 4, RandomPurpose::hadamard_signs, 0, 0};
  const HadamardSignBits signs = hadamard_signs(HadamardSigns::fixed, 32, stream);
  std::size_t masked = 0;
  for (std::size_t r = 0; r < 16; ++r) {
    std::vector<float> xr(64, 0.0f), gr(64, 0.0f);
    for (std::size_t k = 0; k < 40; ++k) {
      xr[k] = x(r, k);
      gr[k] = plain.dx(r, k);
    }
    for (std::size_t k = 0; k < 64; k += 32) {
      hadamard_forward(&xr[k], 32, 1, signs);
      hadamard_forward(&gr[k], 32, 1, signs);
      double mean = 0, square = 0;
      for (std::size_t i = k; i < k + 32; ++i) mean += static_cast<double>(xr[i]) / 32;
      for (std::size_t i = k; i < k + 32; ++i)
        square += std::pow(static_cast<double>(xr[i]) - mean, 2) / 32;
      const double s = std::exp2(std::floor(std::log2(2.92247856 / 6 * std::sqrt(square) + 1e-8)));
      for (std::size_t i = k; i < k + 32; ++i) {
        if (std::abs(static_cast<double>(xr[i])) > 6 * s) {
          gr[i] = 0.0f;
          ++masked;
        }
      }
      hadamard_inverse(&gr[k], 32, 1, signs);
    }
    for (std::size_t k = 0; k < 40; ++k) {
      EXPECT_EQ(bits_as<std::uint32_t>(dx(r, k)), bits_as<std::uint32_t>(gr[k])) << r << " " << k;
    }
  }
  EXPECT_GT(masked, 0u);
}

TEST(Estimator, LsqLearnsTheScale) {
  for (const nn::Slot slot : {nn::Slot::q1, nn::Slot::q2}) {
    auto layer = make_linear(with_estimator(slot, "int4", EstimatorKind::lsq), 40, 24);
    std::vector<nn::Param*> params;
    layer->collect(params);
    ASSERT_EQ(params.size(), 2u);
    EXPECT_EQ(params[1]->name, slot == nn::Slot::q1 ? "layer.q1.scale" : "layer.q2.scale");
    const Tensor x = test_values(16, 40, 1), dy = test_values(16, 24, 2);
    const Tensor& input = slot == nn::Slot::q1 ? x : layer->weight().value;
    double mean = 0;
    for (const float v : input.span()) mean += std::abs(static_cast<double>(v));
    mean /= static_cast<double>(input.size());
    const double s0 = 2 * mean / std::sqrt(7.0);
    Tensor y, dx;
    layer->forward(step_context(), x, y);
    EXPECT_NEAR(static_cast<double>(params[1]->value[0]), s0, 1e-6 * s0);
    layer->backward(step_context(), dy, dx);
    const Plain plain(*layer, x, dy);
    const Tensor& g = slot == nn::Slot::q1 ? plain.dx : plain.dw;
    const Tensor& got = slot == nn::Slot::q1 ? dx : layer->weight().grad;
    const double s = static_cast<double>(params[1]->value[0]);
    double slope = 0;
    for (std::size_t i = 0; i < input.size(); ++i) {
      const double v = static_cast<double>(input[i]) / s;
      const bool inside = v > -7 && v < 7;
      slope += static_cast<double>(g[i]) * (inside ? std::nearbyint(v) - v : v < 0 ? -7 : 7);
      // A derivative of 0 comes out as +0 or -0.
      EXPECT_EQ(got[i], inside ? g[i] : 0.0f) << v;
    }
    slope /= std::sqrt(static_cast<double>(input.size()) * 7);
    EXPECT_NEAR(static_cast<double>(params[1]->grad[0]), slope, 1e-4 * std::abs(slope) + 1e-5);
  }
}

TEST(Estimator, LsqPlusLearnsScaleAndOffset) {
  auto layer = make_linear(with_estimator(nn::Slot::q1, "int4", EstimatorKind::lsq_plus), 40, 24);
  Tensor x = test_values(16, 40, 1);
  const Tensor dy = test_values(16, 24, 2);
  for (float& v : x.span()) v += 3.0f;
  std::vector<nn::Param*> params;
  layer->collect(params);
  ASSERT_EQ(params.size(), 3u);
  EXPECT_EQ(params[2]->name, "layer.q1.offset");
  Tensor y, dx;
  layer->forward(step_context(), x, y);
  double mean = 0, square = 0;
  for (const float v : x.span()) mean += static_cast<double>(v) / static_cast<double>(x.size());
  for (const float v : x.span()) {
    square += std::pow(static_cast<double>(v) - mean, 2) / static_cast<double>(x.size());
  }
  EXPECT_NEAR(static_cast<double>(params[1]->value[0]), 3 * std::sqrt(square) / 7, 1e-4);
  EXPECT_NEAR(static_cast<double>(params[2]->value[0]), mean, 1e-4);
  layer->backward(step_context(), dy, dx);
  const float s = params[1]->value[0], b = params[2]->value[0];
  const Plain plain(*layer, x, dy);
  double ds = 0, db = 0;
  for (std::size_t r = 0; r < 16; ++r) {
    for (std::size_t j = 0; j < 24; ++j) {
      double want = 0;
      for (std::size_t k = 0; k < 40; ++k) {
        const double v = std::nearbyint(static_cast<double>((x(r, k) - b) / s));
        want +=
            (std::min(7.0, std::max(-7.0, v)) * static_cast<double>(s) + static_cast<double>(b)) *
            static_cast<double>(layer->weight().value(j, k));
      }
      EXPECT_NEAR(static_cast<double>(y(r, j)), want, 1e-3);
    }
    for (std::size_t k = 0; k < 40; ++k) {
      const double v = static_cast<double>((x(r, k) - b) / s),
                   g = static_cast<double>(plain.dx(r, k));
      const bool inside = v > -7 && v < 7;
      ds += g * (inside ? std::nearbyint(v) - v : v < 0 ? -7 : 7);
      db += inside ? 0 : g;
      EXPECT_EQ(dx(r, k), inside ? plain.dx(r, k) : 0.0f);
    }
  }
  const double scale = 1 / std::sqrt(16 * 40 * 7.0);
  EXPECT_NEAR(static_cast<double>(params[1]->grad[0]), ds * scale, 1e-3);
  EXPECT_NEAR(static_cast<double>(params[2]->grad[0]), db * scale, 1e-3);
  EXPECT_NE(db, 0.0);
}

TEST(Estimator, PactLearnsTheClip) {
  nn::LayerConfig c = with_estimator(nn::Slot::q1, "int4", EstimatorKind::pact);
  c[nn::Slot::q1].estimator.pact_init = 1.25;
  auto layer = make_linear(c, 40, 24);
  std::vector<nn::Param*> params;
  layer->collect(params);
  ASSERT_EQ(params.size(), 2u);
  EXPECT_EQ(params[1]->name, "layer.q1.clip");
  EXPECT_EQ(params[1]->l2, 1e-4f);
  EXPECT_FALSE(params[1]->decay);
  const Tensor x = test_values(16, 40, 1), dy = test_values(16, 24, 2);
  Tensor y, dx;
  layer->forward(step_context(), x, y);
  layer->backward_weights(step_context(), dy);  // the clip learns without dx being asked for
  const float once = params[1]->grad[0];
  layer->backward(step_context(), dy, dx);
  EXPECT_FLOAT_EQ(params[1]->grad[0], 2 * once);
  const Plain plain(*layer, x, dy);
  double da = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool pass = x[i] >= 0.0f && x[i] < 1.25f;
    EXPECT_EQ(dx[i], pass ? plain.dx[i] : 0.0f);
    if (x[i] >= 1.25f) da += static_cast<double>(plain.dx[i]);
  }
  EXPECT_NEAR(static_cast<double>(once), da, 1e-4);
  for (std::size_t r = 0; r < 16; ++r) {
    for (std::size_t j = 0; j < 24; ++j) {
      double want = 0;
      for (std::size_t k = 0; k < 40; ++k) {
        const float clipped = std::min(1.25f, std::max(0.0f, x(r, k)));
        want += std::nearbyint(static_cast<double>(clipped / (1.25f / 7))) * 1.25 / 7 *
                static_cast<double>(layer->weight().value(j, k));
      }
      EXPECT_NEAR(static_cast<double>(y(r, j)), want, 1e-4);
    }
  }
}

TEST(Estimator, DiffQAddsNoiseInTrainingAndRoundsInEvaluation) {
  nn::LayerConfig c = with_estimator(nn::Slot::q2, "int4", EstimatorKind::diffq);
  auto layer = make_linear(c, 24, 24);
  Tensor eye({24, 24}), y;
  for (std::size_t i = 0; i < 24; ++i) eye(i, i) = 1.0f;
  layer->forward(step_context(), eye, y);  // row i of y: column i of the weight as it was used
  const Tensor& w = layer->weight().value;
  const RandomStream noise{99, 8 * 3 + 2, 4, RandomPurpose::noise, 0, 0};
  for (std::size_t i = 0; i < w.size(); ++i) {
    float low = w[i / 8 * 8], high = low;
    for (std::size_t j = i / 8 * 8; j < i / 8 * 8 + 8; ++j) {
      low = std::min(low, w[j]);
      high = std::max(high, w[j]);
    }
    const double u = std::ldexp(static_cast<double>(noise.slot(i, 32) >> 8), -24) - 0.5;
    const double want = static_cast<double>(w[i]) + static_cast<double>(high - low) / 15 * u;
    EXPECT_NEAR(static_cast<double>(y(i % 24, i / 24)), want, 1e-6);
  }
  Tensor dx;
  layer->backward(step_context(), eye, dx);
  const Plain plain(*layer, eye, eye);
  EXPECT_TRUE(same_bits(plain.dw, layer->weight().grad));
  nn::StepContext evaluation = step_context();
  evaluation.training = false;
  layer->forward(evaluation, eye, y);
  const std::size_t shape[2] = {24, 24};
  const std::vector<float> hard = fake_quantize(parse_spec("int4"), w.span(), shape);
  for (std::size_t i = 0; i < w.size(); ++i) EXPECT_EQ(y(i % 24, i / 24), hard[i]);
}

TEST(Estimator, RefusesWhatCannotBe) {
  const auto refused = [](nn::Slot slot, const char* spec, EstimatorKind kind) {
    try {
      make_linear(with_estimator(slot, spec, kind), 32, 32);
      return std::string();
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
  };
  EXPECT_NE(refused(nn::Slot::q3, "mxfp4", EstimatorKind::dge).find("slots.q3.estimator"),
            std::string::npos);
  EXPECT_NE(refused(nn::Slot::q2, "mxfp4", EstimatorKind::lsq).find("slots.q2.estimator"),
            std::string::npos);
  EXPECT_NE(refused(nn::Slot::q2, "int4", EstimatorKind::pact).find("q1"), std::string::npos);
  EXPECT_NE(refused(nn::Slot::q1, "if4", EstimatorKind::dge).find("one grid"), std::string::npos);
  EXPECT_NE(refused(nn::Slot::q1, "int4,hadamard=32", EstimatorKind::lsq_plus).find("Hadamard"),
            std::string::npos);
  EXPECT_EQ(refused(nn::Slot::q1, "int4", EstimatorKind::lsq), "");
  nn::LayerConfig bad = with_estimator(nn::Slot::q1, "int4", EstimatorKind::dsq);
  bad[nn::Slot::q1].estimator.dsq_alpha = 1.5;
  EXPECT_THROW(make_linear(bad, 32, 32), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab::test
