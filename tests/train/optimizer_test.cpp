// Optimizers against trajectories of torch.optim, and the identities they must keep.
#include "sim/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "sim/optim/gradients.h"
#include "sim/optim/write_back.h"
#include "tests/golden/gv1.h"

namespace fp4lab::optim {
namespace {

struct Case {
  const char* name;
  const char* file;
  OptimizerConfig config;
  double lr;
};

const Case kCases[] = {
    {"sgd", "sgd", {.kind = OptimizerKind::sgd}, 0.1},
    {"momentum", "sgd", {.kind = OptimizerKind::sgd, .momentum = 0.9}, 0.1},
    {"nesterov_wd",
     "sgd",
     {.kind = OptimizerKind::sgd, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01},
     0.1},
    {"dampening", "sgd", {.kind = OptimizerKind::sgd, .momentum = 0.9, .dampening = 0.5}, 0.1},
    {"adam_default", "adam", {.kind = OptimizerKind::adam, .beta2 = 0.999}, 0.01},
    {"adam_l2", "adam", {.kind = OptimizerKind::adam, .eps = 1e-6, .weight_decay = 0.1}, 0.01},
    {"adam_amsgrad", "adam", {.kind = OptimizerKind::adam, .beta2 = 0.999, .amsgrad = true}, 0.01},
    {"adamw_default",
     "adamw",
     {.kind = OptimizerKind::adamw, .beta2 = 0.999, .weight_decay = 0.01},
     0.01},
    {"adamw_wd", "adamw", {.kind = OptimizerKind::adamw, .weight_decay = 0.1}, 0.01},
};

golden::File load(const std::string& name) {
  return golden::File::load(std::string(FP4LAB_GOLDEN_DIR) + "/optimizers/" + name + ".gv.gz");
}

std::vector<double> values(const golden::Tensor& t, double) { return t.f64(); }
std::vector<float> values(const golden::Tensor& t, float) { return t.f32(); }

/// Replays every stored parameter of `c`; returns how many numbers were compared.
template <class T>
std::size_t replay(const Case& c, const golden::File& file, double tolerance) {
  std::size_t compared = 0;
  for (const char* parameter : {"p0", "p1"}) {
    const std::string prefix = std::string(c.name) + ":" + parameter;
    if (!file.has(prefix + ":init")) continue;
    std::vector<T> w = values(file.at(prefix + ":init"), T{});
    const std::vector<T> grads = values(file.at(prefix + ":grad"), T{});
    const std::vector<T> want = values(file.at(prefix + ":traj"), T{});
    const std::size_t n = w.size();
    Optimizer<T> optimizer(c.config);
    optimizer.add(n, true);
    for (std::size_t step = 0; step * n < grads.size(); ++step) {
      optimizer.begin_step(c.lr);
      optimizer.update(0, w, std::span<const T>(grads).subspan(step * n, n));
      // Relative to the largest parameter: rounding errors of earlier steps stay where an element
      // later passes through zero (torch's vector code fuses some products into sums).
      double scale = 0;
      for (std::size_t i = 0; i < n; ++i) {
        scale = std::max(scale, std::abs(static_cast<double>(want[step * n + i])));
      }
      for (std::size_t i = 0; i < n; ++i, ++compared) {
        const double target = static_cast<double>(want[step * n + i]);
        const double got = static_cast<double>(w[i]);
        if (!(std::abs(got - target) <= tolerance * scale)) {
          ADD_FAILURE() << prefix << " step " << step << " element " << i << ": got " << got
                        << ", want " << target << ", off by " << got - target;
          return compared;
        }
      }
    }
  }
  return compared;
}

TEST(Optimizer, FollowsTorchInBinary64) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_GE(replay<double>(c, load(std::string(c.file) + "_f64"), 1e-12), 2000u);
  }
}

TEST(Optimizer, FollowsTorchInBinary32) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_GE(replay<float>(c, load(std::string(c.file) + "_f32"), 1e-6), 200u);
  }
}

template <class T>
std::vector<T> some_gradient(std::size_t n, int step) {
  std::vector<T> g(n);
  for (std::size_t i = 0; i < n; ++i) {
    g[i] = static_cast<T>(std::sin(0.37 * static_cast<double>(i) + 1.3 * step)) / T(8);
  }
  return g;
}

TEST(Optimizer, HfEpsilonDiffersFromTorchByTheScaleOfEpsilon) {
  // theta -= lr sqrt(c2)/c1 m/(sqrt(v) + eps) is torch's form with eps' = eps / sqrt(c2).
  const std::size_t n = 50;
  std::vector<double> hf(n, 1.0), torch(n, 1.0);
  OptimizerConfig config{.kind = OptimizerKind::adam, .beta2 = 0.999, .eps = 1e-2};
  config.eps_placement = EpsPlacement::hf;
  Optimizer<double> a(config);
  a.add(n, true);
  a.begin_step(0.1);
  const auto g = some_gradient<double>(n, 0);
  a.update(0, hf, g);
  config.eps_placement = EpsPlacement::torch;
  config.eps = 1e-2 / std::sqrt(1.0 - 0.999);
  Optimizer<double> b(config);
  b.add(n, true);
  b.begin_step(0.1);
  b.update(0, torch, g);
  for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(hf[i], torch[i], 1e-13) << i;
}

TEST(Optimizer, NoGradientFromTheStartIsNoStep) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw}) {
    std::vector<float> w{1.0f, -2.0f, 0.0f};
    const std::vector<float> before = w, g(3, 0.0f);
    Optimizer<float> optimizer({.kind = kind, .momentum = kind == OptimizerKind::sgd ? 0.9 : 0.0});
    optimizer.add(3, true);
    for (int step = 0; step < 3; ++step) {
      optimizer.begin_step(0.1);
      optimizer.update(0, w, g);
    }
    EXPECT_EQ(w, before);
  }
}

TEST(Optimizer, DecayLeavesTensorsOutThatDoNotDecay) {
  std::vector<float> a{1.0f}, b{1.0f};
  const std::vector<float> g(1, 0.0f);
  Optimizer<float> optimizer({.kind = OptimizerKind::adamw, .weight_decay = 0.1});
  optimizer.add(1, true);
  optimizer.add(1, false);
  optimizer.begin_step(0.5);
  optimizer.update(0, a, g);
  optimizer.update(1, b, g);
  EXPECT_EQ(a[0], 0.95f);
  EXPECT_EQ(b[0], 1.0f);
}

TEST(Optimizer, RefusesNesterovWithoutMomentum) {
  EXPECT_THROW(Optimizer<float>({.kind = OptimizerKind::sgd, .nesterov = true}),
               std::invalid_argument);
}

TEST(Optimizer, StateCarriedOverGivesTheSameBits) {
  const std::size_t n = 100;
  OptimizerConfig config{.amsgrad = true, .weight_decay = 0.1};
  std::vector<float> straight(n, 0.5f), stopped(n, 0.5f);
  Optimizer<float> a(config), b(config);
  a.add(n, true);
  b.add(n, true);
  for (int step = 0; step < 10; ++step) {
    a.begin_step(0.01 * step);
    a.update(0, straight, some_gradient<float>(n, step));
  }
  for (int step = 0; step < 4; ++step) {
    b.begin_step(0.01 * step);
    b.update(0, stopped, some_gradient<float>(n, step));
  }
  Optimizer<float> c(config);
  c.add(n, true);
  std::vector<std::pair<std::string, std::vector<float>*>> from, to;
  b.state(from);
  c.state(to);
  ASSERT_EQ(from.size(), 3u);
  for (std::size_t i = 0; i < from.size(); ++i) *to[i].second = *from[i].second;
  c.set_scalars(b.scalars());
  for (int step = 4; step < 10; ++step) {
    c.begin_step(0.01 * step);
    c.update(0, stopped, some_gradient<float>(n, step));
  }
  EXPECT_EQ(0, std::memcmp(straight.data(), stopped.data(), n * sizeof(float)));
}

TEST(WriteBack, NearestEvenHasKnownAnswers) {
  EXPECT_EQ(to_bf16_rne(0x1.01p0f), 0x1.00p0f);  // halfway, to even
  EXPECT_EQ(to_bf16_rne(0x1.03p0f), 0x1.04p0f);
  EXPECT_EQ(to_bf16_rne(0x1.010002p0f), 0x1.02p0f);
  EXPECT_EQ(to_bf16_rne(-0x1.03p0f), -0x1.04p0f);
  EXPECT_EQ(to_bf16_rne(0x1.fffffep127f), INFINITY);
  EXPECT_TRUE(std::signbit(to_bf16_rne(-0.0f)));
}

TEST(WriteBack, StochasticRoundingGoesUpForAsManyWordsAsTheLowHalf) {
  const float x = std::bit_cast<float>(0x3F801234u);
  std::uint32_t up = 0;
  for (std::uint32_t r = 0; r < 65536; ++r) {
    const float y = to_bf16_sr(x, r);
    ASSERT_TRUE(y == 0x1.00p0f || y == 0x1.02p0f);
    up += y == 0x1.02p0f;
  }
  EXPECT_EQ(up, 0x1234u);
  EXPECT_EQ(to_bf16_sr(INFINITY, 0xFFFFu), INFINITY);
  EXPECT_TRUE(std::isnan(to_bf16_sr(NAN, 0xFFFFu)));
  EXPECT_EQ(to_bf16_sr(1.0f, 0xFFFFu), 1.0f);
}

TEST(WriteBack, ElementsOwnTheSlotsOfTheContract) {
  const RandomStream stream{1, 19, 3, RandomPurpose::write_back, 0, 2};
  std::vector<float> x(37);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1.0f + 0.001f * static_cast<float>(i);
  std::vector<float> stored = x;
  round_to_bf16(stored, StoreRounding::sr, stream);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(stored[i], to_bf16_sr(x[i], stream.slot(i, 16))) << i;
  }
}

TEST(WriteBack, SmallStepsStallUnderNearestAndMoveUnderStochasticRounding) {
  // |step| below half an ulp of 1.0 in bf16, 2^-9.
  const std::size_t n = 4096;
  std::vector<float> rne(n, 1.0f), sr(n, 1.0f);
  std::uint64_t stalled = 0;
  for (std::uint32_t step = 0; step < 64; ++step) {
    const std::vector<float> before = rne;
    std::vector<float> updated = rne;
    for (float& w : updated) w += 0x1p-11f;
    rne = updated;
    round_to_bf16(rne, StoreRounding::rne, {});
    stalled += count_stalled(before, updated, rne);
    for (float& w : sr) w += 0x1p-11f;
    round_to_bf16(sr, StoreRounding::sr, {7, 0, step, RandomPurpose::write_back, 0, 0});
  }
  EXPECT_EQ(stalled, 64 * n);
  double mean = 0;
  for (const float w : sr) mean += static_cast<double>(w) / static_cast<double>(n);
  // 64 steps of 2^-11 = 2^-5; the standard error of the mean is below 2^-7 / sqrt(4096 / 64).
  EXPECT_NEAR(mean, 1.0 + 0x1p-5, 5e-4);
}

TEST(Accumulation, Bf16SumsLoseSmallAddendsOnlyUnderNearest) {
  std::vector<float> rne(64, 1.0f), sr(64, 1.0f);
  const std::vector<float> addend(64, 0x1p-10f);
  for (std::uint16_t m = 0; m < 256; ++m) {
    accumulate_bf16(rne, addend, StoreRounding::rne, {});
    accumulate_bf16(sr, addend, StoreRounding::sr, {3, 15, 0, RandomPurpose::write_back, m, 0});
  }
  double mean = 0;
  for (const float x : sr) mean += static_cast<double>(x) / 64.0;
  EXPECT_EQ(rne[0], 1.0f);
  EXPECT_NEAR(mean, 1.25, 0.03);
}

TEST(Gradients, NormIsThatOfAllTensorsAndSeesEveryNonFiniteElement) {
  std::vector<float> a(3000, 2.0f), b{3.0f, 4.0f};
  const GradientNorm n = gradient_norm({a, b});
  EXPECT_EQ(n.squares[0], 12000.0);
  EXPECT_EQ(n.squares[1], 25.0);
  EXPECT_EQ(n.norm(), std::sqrt(12025.0));
  EXPECT_TRUE(n.finite());
  a[2777] = 0x1.fffffep127f;
  EXPECT_TRUE(gradient_norm({a, b}).finite());
  a[2777] = INFINITY;
  EXPECT_FALSE(gradient_norm({a, b}).finite());
  a[2777] = NAN;
  EXPECT_FALSE(gradient_norm({a, b}).finite());
  EXPECT_EQ(zero_nonfinite(a), 1u);
  EXPECT_EQ(a[2777], 0.0f);
}

TEST(Gradients, ClippingFollowsTorch) {
  EXPECT_EQ(clip_factor(0.5, 1.0), 1.0);
  EXPECT_EQ(clip_factor(4.0, 1.0), 1.0 / (4.0 + 1e-6));
  EXPECT_EQ(clip_factor(4.0, 0.0), 1.0);
}

TEST(LossScaling, HalvesAndDoubles) {
  LossScale scale({.initial = 1024, .dynamic = true, .growth_interval = 3});
  scale.update(false);
  EXPECT_EQ(scale.value(), 512.0);
  for (int i = 0; i < 3; ++i) scale.update(true);
  EXPECT_EQ(scale.value(), 1024.0);
  LossScale constant({.initial = 8});
  constant.update(false);
  EXPECT_EQ(constant.value(), 8.0);
}

}  // namespace
}  // namespace fp4lab::optim
