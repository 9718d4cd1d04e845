// The 1-D toy and its known answer.
#include "sim/models/toy1d.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/catalog.h"
#include "formats/registry.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

Toy1dConfig toy(const char* format, float target) {
  Toy1dConfig c;
  c.element = find_format(format)->format;
  c.round = nearest_even();
  c.target = target;
  c.start = 0.0f;
  return c;
}

struct Case {
  const char* format;
  float target, lower, upper, threshold;
};
// Thresholds of E2M1: ties to even codes put 0.25 and 2.5 down, 0.75, 3.5 and 1.75 up.
const Case kCases[] = {
    {"e2m1", 0.1f, 0.0f, 0.5f, 0.25f},    {"e2m1", 0.8f, 0.5f, 1.0f, 0.75f},
    {"e2m1", 1.9f, 1.5f, 2.0f, 1.75f},    {"e2m1", 2.2f, 2.0f, 3.0f, 2.5f},
    {"e2m1", 5.5f, 4.0f, 6.0f, 5.0f},     {"e2m1", -0.6f, -1.0f, -0.5f, -0.75f},
    {"e2m1", -4.9f, -6.0f, -4.0f, -5.0f}, {"int4", 2.7f, 2.0f, 3.0f, 2.5f},
    {"e3m0", 3.0f, 2.0f, 4.0f, 3.0f},
};

TEST(Toy1d, ShareOfTimeIsSetByTheDistanceToTheTwoValues) {
  for (const Case& k : kCases) {
    for (const bool noisy : {false, true}) {
      Toy1dConfig c = toy(k.format, k.target);
      c.noisy = noisy;
      c.start = k.threshold;
      const Toy1dResult r = run_toy1d(c);
      EXPECT_EQ(r.lower, k.lower);
      EXPECT_EQ(r.upper, k.upper);
      EXPECT_NEAR(r.threshold, k.threshold, 1e-6f * std::fabs(k.threshold));
      const double expected = (k.target - k.lower) / (k.upper - k.lower);
      EXPECT_NEAR(r.expected_upper, expected, 1e-6);
      // x^2 has deviation sqrt 2; runs of one state make the share a little less certain than that
      // of independent steps.
      EXPECT_NEAR(r.upper_share, expected, noisy ? 0.04 : 0.005) << k.format << ' ' << k.target;
      EXPECT_EQ(r.upper_share + r.lower_share, 1.0);
      EXPECT_GT(r.crossings, 100u);
    }
  }
}

TEST(Toy1d, StaysAtTheThresholdAndNotAtTheTarget) {
  Toy1dConfig c = toy("e2m1", 2.05f);
  c.noisy = false;
  c.start = 0.0f;  // has to walk there first, the last half in steps of lr 0.05
  c.skip = 3000;
  const Toy1dResult r = run_toy1d(c);
  for (std::size_t t = c.skip; t < c.steps; ++t) {
    ASSERT_LE(std::fabs(r.latent[t] - 2.5f), c.lr * 1.0f) << "at step " << t;
  }
  EXPECT_GT(std::fabs(r.latent.back() - 2.05f), 0.4f);
}

TEST(Toy1d, ATargetThatIsAValueEndsTheOscillation) {
  const Toy1dResult r = run_toy1d(toy("e2m1", 1.5f));
  EXPECT_EQ(r.crossings, 0u);
  EXPECT_EQ(r.upper_share, 1.0);
  EXPECT_EQ(r.value.back(), 1.5f);
  EXPECT_EQ(r.latent.back(), r.latent[r.latent.size() - 2]);
}

TEST(Toy1d, SmallerStepsCrossAsOften) {
  // A smaller step moves w less far each time, but it must also travel less far back: the number of
  // crossings does not fall with the learning rate. Only the distance from the threshold does.
  Toy1dConfig c = toy("e2m1", 0.8f);
  c.noisy = false;
  c.start = 0.75f;
  const Toy1dResult coarse = run_toy1d(c);
  c.lr = 0.0001f;
  const Toy1dResult fine = run_toy1d(c);
  EXPECT_NEAR(static_cast<double>(fine.crossings) / static_cast<double>(coarse.crossings), 1, 0.05);
  double far = 0;
  for (const float w : fine.latent) far = std::max(far, std::fabs(double{w} - 0.75));
  EXPECT_LT(far, 1e-4);
}

TEST(Toy1d, SeedsAndErrors) {
  Toy1dConfig c = toy("e2m1", 0.8f);
  const Toy1dResult one = run_toy1d(c), again = run_toy1d(c);
  EXPECT_EQ(one.latent, again.latent);
  c.seed = 1;
  EXPECT_NE(one.latent, run_toy1d(c).latent);
  EXPECT_THROW(run_toy1d(toy("e2m1", 6.5f)), std::invalid_argument);
  EXPECT_THROW(run_toy1d(toy("e2m1", NAN)), std::invalid_argument);
  EXPECT_THROW(run_toy1d(toy("bf16", 1.0f)), std::invalid_argument);
  c.round.kind = RoundingKind::sr;
  EXPECT_THROW(run_toy1d(c), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab_test
