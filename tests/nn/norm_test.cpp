#include "sim/nn/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sim/math.h"
#include "sim/reduce.h"
#include "tests/math/targets.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

constexpr double kEps = 1e-5;

/// Rows of x normalized; `centred` is LayerNorm, in[2] its bias.
Vec normalized(const Values& in, bool centred) {
  const std::size_t n = in[1].size();
  Vec y(in[0].size());
  for (std::size_t at = 0; at < y.size(); at += n) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < n; ++i) mean += in[0][at + i] / static_cast<double>(n);
    if (!centred) mean = 0;
    for (std::size_t i = 0; i < n; ++i) {
      square += (in[0][at + i] - mean) * (in[0][at + i] - mean) / static_cast<double>(n);
    }
    for (std::size_t i = 0; i < n; ++i) {
      y[at + i] = in[1][i] * (in[0][at + i] - mean) / std::sqrt(square + kEps);
      if (centred) y[at + i] += in[2][i];
    }
  }
  return y;
}
const Twin kRms = [](const Values& in) { return normalized(in, false); };
const Twin kLayer = [](const Values& in) { return normalized(in, true); };

TEST(Norm, TwinOfRmsNorm) {
  for (const std::size_t n : {1u, 5u, 32u, 128u, 200u}) {
    BuildContext build;
    RmsNorm norm(build, "norm", 0, n, kEps);
    norm.gain.value = random_tensor({n}, 21, 0.3, 1.0);
    TwinOptions options;
    if (n == 1) options.gradient_floor = 1e-6;  // y is a sign: dx is all but 0, a difference of 1s
    check_module(norm, kRms, random_tensor({3, 4, n}, 22, 1.7), options);
  }
}

TEST(Norm, TwinOfLayerNorm) {
  for (const std::size_t n : {2u, 5u, 32u, 128u, 1500u}) {
    BuildContext build;
    LayerNorm norm(build, "norm", 0, n, kEps);
    norm.gain.value = random_tensor({n}, 23, 0.3, 1.0);
    norm.bias.value = random_tensor({n}, 24);
    TwinOptions options;
    if (n == 2) options.gradient_floor = 1e-6;  // likewise
    check_module(norm, kLayer, random_tensor({7, n}, 25, 1.7, 0.5), options);
  }
}

TEST(Norm, NumbersItselfAndIsNotDecayed) {
  BuildContext build;
  build.add("first", Role::embedding);
  LayerNorm norm(build, "blocks.3.norm", 3, 8, kEps);
  EXPECT_EQ(build.layers.back().role, Role::norm);
  EXPECT_EQ(build.layers.back().block, 3);
  std::vector<Param*> params;
  norm.collect(params);
  ASSERT_EQ(params.size(), 2u);
  EXPECT_EQ(params[0]->name, "blocks.3.norm.gain");
  EXPECT_EQ(params[1]->name, "blocks.3.norm.bias");
  for (const Param* p : params) {
    EXPECT_EQ(p->layer, 1u);
    EXPECT_FALSE(p->decay);
    EXPECT_FALSE(p->quantized);
  }
  Tensor y;
  EXPECT_THROW(norm.forward({}, Tensor({2, 9}), y), std::invalid_argument);
  EXPECT_THROW(RmsNorm(build, "none", 0, 0, kEps), std::invalid_argument);
}

TEST(Norm, EdgeRows) {
  BuildContext build;
  LayerNorm layer(build, "layer", 0, 4, kEps);
  RmsNorm rms(build, "rms", 0, 4, kEps);
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = bits_as<float>(0xFFC54321u);
  // All equal: nothing is left of a centred row. One NaN or infinity costs its own row only.
  const Tensor x({4, 4}, std::vector<float>{3, 3, 3, 3, 0, 0, 0, 0, 1, nan, 2, 3, 1, inf, 2, 3});
  Tensor y, dx;
  layer.forward({}, x, y);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(y[i], 0.0f);
  for (std::size_t i = 8; i < 16; ++i) EXPECT_EQ(bits_as<std::uint32_t>(y[i]), 0x7FC00000u);
  const Tensor dy = random_tensor({4, 4}, 26);
  layer.backward({}, dy, dx);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_TRUE(std::isfinite(dx[i]));
  for (std::size_t i = 8; i < 16; ++i) EXPECT_EQ(bits_as<std::uint32_t>(dx[i]), 0x7FC00000u);
  rms.forward({}, x, y);
  EXPECT_NEAR(y[0], 1.0f, 1e-5f);
  EXPECT_EQ(y[4], 0.0f);
  EXPECT_EQ(bits_as<std::uint32_t>(y[8]), 0x7FC00000u);
  EXPECT_EQ(bits_as<std::uint32_t>(y[13]), 0x7FC00000u) << "inf * 0";
  EXPECT_EQ(y[12], 0.0f) << "finite beside an infinity";
}

/// The documented order of operations, from the reference sums alone.
TEST(Norm, BitsAreTheWrittenOnes) {
  const std::size_t rows = 37, n = 203;
  const Tensor x = random_tensor({rows, n}, 27, 2.0, 1.0), dy = random_tensor({rows, n}, 28);
  const Tensor gain = random_tensor({n}, 29, 0.3, 1.0), bias = random_tensor({n}, 30);
  Tensor want_y({rows, n}), want_dx({rows, n}), h({rows, n});
  for (std::size_t row = 0; row < rows; ++row) {
    const auto at = [&](const Tensor& t, std::size_t i) { return t(row, i); };
    const auto mean_of = [&](const auto& term) {
      return static_cast<float>(sum_terms(n, term) / static_cast<double>(n));
    };
    const float mean = mean_of([&](std::size_t i) { return double{at(x, i)}; });
    const float v = mean_of([&](std::size_t i) {
      const float d = at(x, i) - mean;
      return double{d} * double{d};
    });
    const float r = math::rsqrt(v + 1e-5f);
    for (std::size_t i = 0; i < n; ++i) {
      h(row, i) = (at(x, i) - mean) * r;
      want_y(row, i) = h(row, i) * gain[i] + bias[i];
    }
    const auto u = [&](std::size_t i) { return at(dy, i) * gain[i]; };
    const float a = mean_of([&](std::size_t i) { return double{u(i)}; });
    const float b = mean_of([&](std::size_t i) { return double{u(i)} * double{h(row, i)}; });
    for (std::size_t i = 0; i < n; ++i) want_dx(row, i) = r * ((u(i) - a) - h(row, i) * b);
  }
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    BuildContext build;
    LayerNorm norm(build, "norm", 0, n, 1e-5);
    norm.gain.value = gain;
    norm.bias.value = bias;
    Tensor y, dx, eval;
    norm.forward({}, x, y);
    norm.backward({}, dy, dx);
    EXPECT_TRUE(same_bits(y, want_y)) << name;
    EXPECT_TRUE(same_bits(dx, want_dx)) << name;
    StepContext evaluation;
    evaluation.training = false;
    norm.forward(evaluation, x, eval);
    EXPECT_TRUE(same_bits(eval, want_y)) << name;
  }
}

}  // namespace
}  // namespace fp4lab_test
