// The 1-D toy (preset t0) as a training run, and its known answer.
#include <gtest/gtest.h>

#include <cmath>

#include "data/error.h"
#include "experiments/config/config.h"
#include "experiments/train/run.h"

namespace fp4lab::train {
namespace {

TrainConfig toy(const std::vector<std::string>& sets = {}) {
  config::Sources sources;
  sources.preset = "t0";
  sources.sets = {"train.steps=6000", "log.trace_fraction=0.75"};
  sources.sets.insert(sources.sets.end(), sets.begin(), sets.end());
  return config::resolve(sources).config;
}

std::vector<std::string> at(const char* format, double target, double start) {
  return {"slots.q2.spec=" + std::string(format) + ",rule=fixed:1.0",
          "model.target=" + std::to_string(target), "model.start=" + std::to_string(start)};
}

/// Latent weight of the traced steps (64 traces of one weight are 64 times the same).
std::vector<double> latents(TrainingRun& run) {
  EXPECT_EQ(run.trainer().run(), RunStatus::complete);
  const auto& all = run.trainer().record().values<float>("/traces/latent");
  std::vector<double> out;
  for (std::size_t i = 0; i < all.size(); i += 64) out.push_back(static_cast<double>(all[i]));
  return out;
}

struct Case {
  const char* format;
  double target, lower, upper, threshold;
};
const Case kCases[] = {
    {"e2m1", 0.1, 0.0, 0.5, 0.25},    {"e2m1", 0.8, 0.5, 1.0, 0.75},
    {"e2m1", 2.2, 2.0, 3.0, 2.5},     {"e2m1", 5.5, 4.0, 6.0, 5.0},
    {"e2m1", -0.6, -1.0, -0.5, -0.75}, {"int4", 2.7, 2.0, 3.0, 2.5},
    {"e3m0", 3.0, 2.0, 4.0, 3.0},
};

TEST(Toy1d, ShareOfTimeIsSetByTheDistanceToTheTwoValues) {
  std::shared_ptr<const RunData> data;
  for (const Case& k : kCases) {
    SCOPED_TRACE(std::string(k.format) + " " + std::to_string(k.target));
    TrainingRun run(toy(at(k.format, k.target, k.threshold)), data);
    data = run.shared_data();
    double upper = 0;
    const std::vector<double> w = latents(run);
    ASSERT_GT(w.size(), 4000u);
    for (const double v : w) {
      // The step is lr x^2 |q - w*| with x^2 <= 3.
      ASSERT_LE(std::fabs(v - k.threshold), 0.01 * 3 * (k.upper - k.lower)) << v;
      upper += v > k.threshold ? 1 : 0;
    }
    // x^2 has deviation 0.89: 4,500 steps make the share certain to 2 %.
    EXPECT_NEAR(upper / static_cast<double>(w.size()), (k.target - k.lower) / (k.upper - k.lower),
                0.04);
  }
}

TEST(Toy1d, TheTrajectoryIsTheRecurrence) {
  TrainingRun run(toy({"train.steps=300", "log.trace_fraction=1"}));
  const auto& inputs = run.data().images.train_inputs;
  std::vector<float> x;
  DataOrder order(0, inputs.size());
  std::vector<std::uint32_t> item;
  for (std::uint64_t t = 0; t < 300; ++t) {
    order.items(t, 1, item);
    x.push_back(inputs[item[0]]);
  }
  const std::vector<double> w = latents(run);
  ASSERT_EQ(w.size(), 300u);  // after each update
  const auto rounded = [](float v) {
    return v <= 0.25f ? 0.0f : v < 0.75f ? 0.5f : v <= 1.25f ? 1.0f : 9.0f;
  };
  float latent = 0.0f;
  for (std::size_t t = 0; t < 300; ++t) {
    const volatile float y = x[t] * rounded(latent), wanted = x[t] * 0.8f;
    const volatile float difference = y - wanted;
    const volatile float gradient = difference * x[t];
    const volatile float change = 0.01f * gradient;
    latent = latent - change;
    ASSERT_EQ(static_cast<float>(w[t]), latent) << t;
  }
}

TEST(Toy1d, StaysAtTheThresholdAndNotAtTheTarget) {
  TrainingRun run(toy(at("e2m1", 2.05, 2.45)));  // it climbs by 0.0005 a step
  for (const double v : latents(run)) ASSERT_NEAR(v, 2.5, 0.03);
}

TEST(Toy1d, ATargetThatIsAValueEndsTheOscillation) {
  TrainingRun run(toy(at("e2m1", 1.5, 0.0)));
  const std::vector<double> w = latents(run);
  EXPECT_EQ(w.front(), w.back());
  const auto& flips = run.trainer().record().values<std::int64_t>("/oscillation/flips");
  EXPECT_EQ(flips.back(), 0);
  EXPECT_GT(flips.front() + flips.back(), -1);
}

TEST(Toy1d, OscillationInstrumentsSeeIt) {
  TrainingRun run(toy());
  EXPECT_EQ(run.trainer().run(), RunStatus::complete);
  const RunRecord& r = run.trainer().record();
  // w* = 0.8 between 0.5 and 1: two code changes for every visit below, a ratio far above 16.
  EXPECT_GT(r.values<std::int64_t>("/oscillation/flips").back(), 50);
  EXPECT_EQ(r.values<double>("/oscillation/fraction_above_16").back(), 1.0);
  EXPECT_GT(r.values<double>("/oscillation/r_wq").back(),
            10 * r.values<double>("/oscillation/r_w").back());
  // Almost on the threshold: no confidence.
  EXPECT_LT(r.values<double>("/oscillation/confidence_mean").back(), 0.1);
}

TEST(Toy1d, OtherDataAreRefused) {
  EXPECT_THROW(TrainingRun(toy({"data.name=glyphs", "data.items=100"})), InputError);
}

}  // namespace
}  // namespace fp4lab::train
