#include "sim/nn/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/math.h"
#include "sim/nn/pooling.h"
#include "tests/math/targets.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

Vec batch_normalized(const Values& in) {
  const std::size_t n = in[1].size(), rows = in[0].size() / n;
  Vec y(in[0].size());
  for (std::size_t c = 0; c < n; ++c) {
    double mean = 0, var = 0;
    for (std::size_t r = 0; r < rows; ++r) mean += in[0][r * n + c] / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      var += std::pow(in[0][r * n + c] - mean, 2) / static_cast<double>(rows);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      y[r * n + c] = in[1][c] * (in[0][r * n + c] - mean) / std::sqrt(var + 1e-5) + in[2][c];
    }
  }
  return y;
}

TEST(BatchNorm, Twin) {
  for (const Shape& shape : {Shape{4, 3, 5, 7}, Shape{64, 2, 2, 33}, Shape{1200, 3}}) {
    BuildContext build;
    BatchNorm norm(build, "bn", 0, shape.back());
    norm.gain.value = random_tensor({shape.back()}, 51, 0.3, 1.0);
    norm.bias.value = random_tensor({shape.back()}, 52);
    check_module(norm, batch_normalized, random_tensor(shape, 53, 2.0, 0.7));
  }
}

TEST(BatchNorm, RunningStatisticsAndEvaluation) {
  BuildContext build;
  BatchNorm norm(build, "bn", 0, 3, 1e-5, 0.1);
  const Tensor x = random_tensor({50, 3}, 54, 2.0, 5.0);
  Tensor y;
  norm.forward({}, x, y);
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0, var = 0;
    for (std::size_t r = 0; r < 50; ++r) mean += x(r, c) / 50.0;
    for (std::size_t r = 0; r < 50; ++r) var += std::pow(x(r, c) - mean, 2) / 49.0;
    EXPECT_NEAR(norm.running_mean[c], 0.1 * mean, 1e-6);
    EXPECT_NEAR(norm.running_var[c], 0.9 + 0.1 * var, 1e-5);
  }
  const Tensor mean = norm.running_mean, var = norm.running_var;
  StepContext evaluation;
  evaluation.training = false;
  norm.forward(evaluation, x, y);
  EXPECT_TRUE(same_bits(mean, norm.running_mean)) << "evaluation records nothing";
  for (std::size_t r = 0; r < 50; ++r) {
    for (std::size_t c = 0; c < 3; ++c) {
      const float want = (x(r, c) - mean[c]) * math::rsqrt(var[c] + 1e-5f);
      ASSERT_EQ(y(r, c), want * 1.0f + 0.0f);
    }
  }
  std::vector<std::pair<std::string, Tensor*>> state;
  norm.state(state);
  ASSERT_EQ(state.size(), 2u);
  EXPECT_EQ(state[0].first, "bn.running_mean");
  EXPECT_EQ(state[1].second, &norm.running_var);
}

TEST(BatchNorm, ReestimationAveragesBatches) {
  BuildContext build;
  BatchNorm norm(build, "bn", 0, 2);
  norm.running_mean.fill(1e6f);  // spoiled
  norm.running_var.fill(1e6f);
  double mean[2] = {}, var[2] = {};
  Tensor y;
  norm.reestimate(true);
  for (unsigned k = 0; k < 5; ++k) {
    const Tensor x = random_tensor({20, 2}, 60 + k, 1.0 + k, k);
    norm.forward({}, x, y);
    for (std::size_t c = 0; c < 2; ++c) {
      double m = 0;
      for (std::size_t r = 0; r < 20; ++r) m += x(r, c) / 20.0;
      mean[c] += m / 5;
      for (std::size_t r = 0; r < 20; ++r) var[c] += std::pow(x(r, c) - m, 2) / 19.0 / 5;
    }
  }
  norm.reestimate(false);
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(norm.running_mean[c], mean[c], 1e-5);
    EXPECT_NEAR(norm.running_var[c], var[c], 1e-4);
  }
}

TEST(BatchNorm, EdgeCasesAndInstructionSets) {
  BuildContext build;
  BatchNorm one(build, "bn", 0, 2);
  Tensor y, dx;
  one.forward({}, Tensor({1, 2}, std::vector<float>{3, NAN}), y);  // a batch of one row
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_EQ(bits_as<std::uint32_t>(y[1]), 0x7FC00000u);
  EXPECT_EQ(bits_as<std::uint32_t>(one.running_var[1]), 0x7FC00000u);
  EXPECT_TRUE(std::isfinite(one.running_var[0]));
  EXPECT_THROW(one.forward({}, Tensor({2, 3}), y), std::invalid_argument);

  const Tensor x = random_tensor({700, 37}, 55, 2.0, 1.0), dy = random_tensor({700, 37}, 56);
  Tensor want_y, want_dx;
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    BatchNorm norm(build, "bn", 0, 37);
    norm.gain.value = random_tensor({37}, 57, 0.3, 1.0);
    norm.forward({}, x, y);
    norm.backward({}, dy, dx);
    if (want_y.empty()) {
      want_y = y;
      want_dx = dx;
    }
    EXPECT_TRUE(same_bits(y, want_y)) << name;
    EXPECT_TRUE(same_bits(dx, want_dx)) << name;
  }
}

TEST(Pooling, TwinOfTheGlobalMean) {
  GlobalAveragePool pool;
  const Twin twin = [](const Values& in) {
    Vec y(3 * 5, 0.0);
    for (std::size_t i = 0; i < in[0].size(); ++i) y[i / 60 * 5 + i % 5] += in[0][i] / 12;
    return y;
  };
  check_module(pool, twin, random_tensor({3, 4, 3, 5}, 58));
  Tensor y;
  EXPECT_THROW(pool.forward({}, Tensor({4}), y), std::invalid_argument);
  EXPECT_THROW(pool.forward({}, Tensor({2, 0, 4}), y), std::invalid_argument);
}

TEST(Pooling, TwinOfWindows) {
  AveragePool2d pool(2);
  // 5 x 7: the last row and column belong to no window.
  const Twin twin = [](const Values& in) {
    Vec y(2 * 2 * 3 * 3, 0.0);
    for (std::size_t n = 0; n < 2; ++n) {
      for (std::size_t r = 0; r < 4; ++r) {
        for (std::size_t c = 0; c < 6; ++c) {
          for (std::size_t k = 0; k < 3; ++k) {
            y[((n * 2 + r / 2) * 3 + c / 2) * 3 + k] += in[0][((n * 5 + r) * 7 + c) * 3 + k] / 4;
          }
        }
      }
    }
    return y;
  };
  check_module(pool, twin, random_tensor({2, 5, 7, 3}, 59));
  Tensor y;
  EXPECT_THROW(pool.forward({}, Tensor({4, 4, 1}), y), std::invalid_argument);
  EXPECT_THROW(AveragePool2d(0), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab_test
