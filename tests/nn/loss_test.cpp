#include "sim/nn/loss.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "sim/nn/softmax.h"
#include "tests/math/targets.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

Vec softmax(const Vec& x, std::size_t n) {
  Vec p(x.size());
  for (std::size_t at = 0; at < x.size(); at += n) {
    double largest = x[at], sum = 0;
    for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, x[at + i]);
    for (std::size_t i = 0; i < n; ++i) sum += std::exp(x[at + i] - largest);
    for (std::size_t i = 0; i < n; ++i) p[at + i] = std::exp(x[at + i] - largest) / sum;
  }
  return p;
}

double cross_entropy(const Vec& x, std::size_t n, const std::vector<std::int32_t>& targets,
                     double smoothing) {
  const Vec p = softmax(x, n);
  double loss = 0, counted = 0;
  for (std::size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] < 0) continue;
    ++counted;
    for (std::size_t c = 0; c < n; ++c) {
      double q = smoothing / static_cast<double>(n);
      if (static_cast<std::int32_t>(c) == targets[r]) q += 1 - smoothing;
      loss -= q * std::log(p[r * n + c]);
    }
  }
  return counted == 0 ? 0 : loss / counted;
}

TEST(Softmax, RowsAndTheirGradient) {
  for (const std::size_t n : {1u, 2u, 17u, 96u, 1500u}) {
    const Tensor x = random_tensor({5, n}, 31, 3.0), dp = random_tensor({5, n}, 32);
    Tensor p(x.shape()), dx(x.shape()), in_place = x;
    softmax_rows(x.span(), n, p.span());
    softmax_rows(in_place.span(), n, in_place.span());
    EXPECT_TRUE(same_bits(p, in_place));
    softmax_rows_backward(p.span(), dp.span(), n, dx.span());
    const Twin twin = [n](const Values& in) { return softmax(in[0], n); };
    check_forward(p.span(), softmax(to_double(x), n));
    check_gradients(twin, {to_double(x)}, dp, {dx.span()});
  }
}

TEST(Softmax, EdgeRows) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = bits_as<float>(0xFFC54321u);
  const std::vector<float> x = {1e30f, -1e30f, 0, -inf, 5,    5,    7,   7, 7,
                                1,     nan,    2, -inf, -inf, -inf, inf, 1, 2};
  std::vector<float> p(x.size());
  softmax_rows(x, 3, p);
  EXPECT_EQ(p[0], 1.0f);
  EXPECT_EQ(p[1], 0.0f);
  EXPECT_EQ(p[3], 0.0f);
  EXPECT_EQ(p[4], 0.5f);
  EXPECT_EQ(p[6], 1.0f / 3.0f);
  for (std::size_t i = 9; i < 18; ++i) EXPECT_EQ(bits_as<std::uint32_t>(p[i]), 0x7FC00000u) << i;
}

TEST(CrossEntropy, LossAndGradientOfTheTwin) {
  for (const double smoothing : {0.0, 0.1, 1.0}) {
    for (const std::size_t n : {1u, 10u, 65u}) {
      const std::size_t rows = 23;
      const Tensor x = random_tensor({rows, n}, 33, 2.0);
      std::vector<std::int32_t> targets = random_labels(rows, static_cast<std::int32_t>(n), 34);
      targets[4] = targets[22] = -1;
      SoftmaxCrossEntropy loss(smoothing);
      const LossResult result = loss.forward({}, x, targets);
      EXPECT_EQ(result.counted, rows - 2);
      EXPECT_NEAR(result.loss, cross_entropy(to_double(x), n, targets, smoothing), 3e-7);
      Tensor dx;
      loss.backward(3.0f, dx);
      const ScalarTwin twin = [&](const Values& in) {
        return 3 * cross_entropy(in[0], n, targets, smoothing);
      };
      if (n > 1) check_gradients(twin, {to_double(x)}, {dx.span()});
      for (std::size_t c = 0; c < n; ++c) EXPECT_EQ(bits_as<std::uint32_t>(dx(4, c)), 0u);
      Tensor doubled;
      loss.backward(3.0f * 0x1p-20f, doubled);
      for (std::size_t i = 0; i < dx.size(); ++i) ASSERT_EQ(doubled[i], dx[i] * 0x1p-20f);
    }
  }
}

TEST(CrossEntropy, CountsFirstLargest) {
  const Tensor x({4, 3}, std::vector<float>{1, 5, 5, 1, 5, 5, -0.0f, 0.0f, -1, NAN, 1, 2});
  SoftmaxCrossEntropy loss;
  EXPECT_EQ(loss.forward({}, x, std::vector<std::int32_t>{1, 2, 0, 2}).correct, 2u);
}

TEST(CrossEntropy, EdgeCases) {
  SoftmaxCrossEntropy loss;
  // A confident row keeps the digits of its loss; 1e4 and 0 would overflow without the shift.
  const Tensor x({2, 2}, std::vector<float>{20, 0, 1e4f, 0});
  LossResult r = loss.forward({}, x, std::vector<std::int32_t>{0, -1});
  EXPECT_NEAR(r.loss, std::log1p(std::exp(-20.0)), 1e-15);
  r = loss.forward({}, x, std::vector<std::int32_t>{-1, 1});
  EXPECT_EQ(r.loss, 1e4);
  r = loss.forward({}, x, std::vector<std::int32_t>{-1, -1});
  EXPECT_EQ(r.loss, 0.0);
  EXPECT_EQ(r.counted, 0u);
  Tensor dx;
  loss.backward(1.0f, dx);
  for (const float v : dx) EXPECT_EQ(bits_as<std::uint32_t>(v), 0u);
  const Tensor bad({1, 2}, std::vector<float>{std::numeric_limits<float>::infinity(), 0});
  EXPECT_EQ(bits_as<std::uint64_t>(loss.forward({}, bad, std::vector<std::int32_t>{1}).loss),
            0x7FF8000000000000u);
  loss.backward(1.0f, dx);
  for (const float v : dx) EXPECT_EQ(bits_as<std::uint32_t>(v), 0x7FC00000u);
  EXPECT_THROW(loss.forward({}, x, std::vector<std::int32_t>{0}), std::invalid_argument);
  EXPECT_THROW(loss.forward({}, x, std::vector<std::int32_t>{0, 2}), std::invalid_argument);
  EXPECT_THROW(loss.forward({}, x, std::vector<std::int32_t>{0, -2}), std::invalid_argument);
}

TEST(CrossEntropy, ThreadsAndInstructionSetsLeaveTheBits) {
  const Tensor x = random_tensor({1500, 96}, 35, 3.0);
  const auto targets = random_labels(1500, 96, 36);
  double loss_bits = 0;
  Tensor gradient;
  const int before = omp_get_max_threads();
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    for (const auto& [set, name] : instruction_sets()) {
      const InForce in_force(set);
      SoftmaxCrossEntropy loss(0.1);
      const double l = loss.forward({}, x, targets).loss;
      Tensor dx;
      loss.backward(1.0f, dx);
      if (gradient.empty()) {
        loss_bits = l;
        gradient = dx;
      }
      EXPECT_EQ(l, loss_bits) << name << ' ' << threads;
      EXPECT_TRUE(same_bits(dx, gradient)) << name << ' ' << threads;
    }
  }
  omp_set_num_threads(before);
}

TEST(MeanSquaredError, LossAndGradient) {
  const Tensor y = random_tensor({7, 11}, 37), t = random_tensor({7, 11}, 38);
  MeanSquaredError mse;
  const ScalarTwin twin = [](const Values& in) {
    double s = 0;
    for (std::size_t i = 0; i < in[0].size(); ++i) s += std::pow(in[0][i] - in[1][i], 2);
    return s / static_cast<double>(in[0].size());
  };
  const Values in = {to_double(y), to_double(t)};
  EXPECT_NEAR(mse.forward(y, t), twin(in), 1e-6);
  Tensor dy;
  mse.backward(1.0f, dy);
  check_gradients(twin, in, {dy.span(), {}});
  EXPECT_EQ(mse.forward(Tensor({0}), Tensor({0})), 0.0);
  EXPECT_THROW(mse.forward(y, Tensor({11, 7})), std::invalid_argument);
}

TEST(KlDivergence, LossAndGradient) {
  const std::size_t n = 13;
  const Tensor x = random_tensor({6, n}, 39, 2.0), t = random_tensor({6, n}, 40, 2.0);
  KlDivergence kl;
  const ScalarTwin twin = [](const Values& in) {
    const Vec q = softmax(in[0], n), p = softmax(in[1], n);
    double s = 0;
    for (std::size_t i = 0; i < p.size(); ++i) s += p[i] * std::log(p[i] / q[i]);
    return s * static_cast<double>(n) / static_cast<double>(p.size());
  };
  const Values in = {to_double(x), to_double(t)};
  EXPECT_NEAR(kl.forward(x, t), twin(in), 2e-6);
  Tensor dx;
  kl.backward(1.0f, dx);
  check_gradients(twin, in, {dx.span(), {}});
  // The same distribution: nothing to learn, exactly.
  EXPECT_EQ(kl.forward(x, x), 0.0);
  kl.backward(1.0f, dx);
  for (const float v : dx) EXPECT_EQ(v, 0.0f);
  // A class that the teacher excludes costs nothing, one that only the student excludes everything.
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor half({1, 2}, std::vector<float>{0, 0}), sure({1, 2}, std::vector<float>{0, -inf});
  EXPECT_NEAR(kl.forward(half, sure), std::log(2.0), 1e-7);
  EXPECT_EQ(kl.forward(sure, half), inf);
}

}  // namespace
}  // namespace fp4lab_test
