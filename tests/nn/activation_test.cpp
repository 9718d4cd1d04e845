#include "sim/nn/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/math/targets.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

constexpr Activation kAll[] = {Activation::relu, Activation::gelu, Activation::silu,
                               Activation::tanh, Activation::sigmoid};

double plain(Activation kind, double x) {
  switch (kind) {
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return 0;
}

long double derivative(Activation kind, long double x) {
  const long double s = 1 / (1 + std::exp(-x)), t = std::tanh(x);
  switch (kind) {
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::gelu:
      return 0.5L * std::erfc(-x / std::sqrt(2.0L)) +
             x * std::exp(-x * x / 2) / std::sqrt(2 * 3.141592653589793238462643L);
    case Activation::silu:
      return s + x * s / (1 + std::exp(x));
    case Activation::tanh:
      return x > 20 || x < -20 ? 4 * std::exp(-2 * std::fabs(x)) : 1 - t * t;
    case Activation::sigmoid:
      return s / (1 + std::exp(x));
  }
  return 0;
}

std::uint32_t bits(float x) { return bits_as<std::uint32_t>(x); }

TEST(Activation, TwinOfEachKind) {
  for (const Activation kind : kAll) {
    ActivationLayer layer(kind);
    const Twin twin = [kind](const Values& in) {
      Vec y;
      for (const double x : in[0]) y.push_back(plain(kind, x));
      return y;
    };
    check_module(layer, twin, random_tensor({9, 31}, 11, 2.0));
    check_module(layer, twin, random_tensor({1}, 12));
  }
}

/// The derivative is the real one rounded once, but for a last bit now and then.
TEST(Activation, DerivativesAreCloseToRounded) {
  for (const Activation kind : kAll) {
    std::vector<float> x;
    for (float v = 1e-30f; v < 100.0f; v *= 1.0137f) x.insert(x.end(), {v, -v});
    const std::vector<float> one(x.size(), 1.0f);
    std::vector<float> d(x.size());
    activate_backward(kind, x, one, d);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const long double want = derivative(kind, x[i]);
      const float near = static_cast<float>(want);
      const float ulp = std::nextafter(std::fabs(near), 10.0f) - std::fabs(near);
      // long double leaves an absolute error of its own where 1 - t t cancels.
      ASSERT_LE(std::fabs(d[i] - want), 0.51L * ulp + 2e-19L)
          << "kind " << static_cast<int>(kind) << " at " << x[i];
    }
  }
}

TEST(Activation, LimitsAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = bits_as<float>(0xFFC12345u);
  struct Row {
    Activation kind;
    std::uint32_t at_inf, at_minus_inf, slope_inf, slope_minus_inf;
  };
  const Row rows[] = {{Activation::relu, bits(inf), 0, bits(1), 0},
                      {Activation::gelu, bits(inf), 0x80000000u, bits(1), 0x80000000u},
                      {Activation::silu, bits(inf), 0x80000000u, bits(1), 0x80000000u},
                      {Activation::tanh, bits(1), bits(-1), 0, 0},
                      {Activation::sigmoid, bits(1), 0, 0, 0}};
  for (const Row& r : rows) {
    const std::vector<float> x = {inf, -inf, nan, -0.0f, 0.5f}, one = {1, 1, 1, 1, -nan};
    std::vector<float> y(5), d(5);
    activate(r.kind, x, y);
    activate_backward(r.kind, x, one, d);
    EXPECT_EQ(bits(y[0]), r.at_inf);
    EXPECT_EQ(bits(y[1]), r.at_minus_inf);
    EXPECT_EQ(bits(d[0]), r.slope_inf);
    EXPECT_EQ(bits(d[1]), r.slope_minus_inf);
    EXPECT_EQ(bits(y[2]), 0x7FC00000u);
    EXPECT_EQ(bits(d[2]), 0x7FC00000u);
    EXPECT_EQ(bits(d[4]), 0x7FC00000u) << "a NaN gradient";
  }
  EXPECT_EQ(bits(relu(-0.0f)), 0u);
}

template <Activation kKind>
void check_bits(const Tensor& x, const Tensor& dy, const std::string& name) {
  Tensor y(x.shape()), both(x.shape()), slope(x.shape()), dx(x.shape()), via_slope(x.shape());
  activate(kKind, x.span(), y.span());
  activate(kKind, x.span(), both.span(), slope.span());
  activate_backward(kKind, x.span(), dy.span(), dx.span());
  activate_backward(slope.span(), dy.span(), via_slope.span());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float d = activation_derivative<kKind>(x[i]);
    ASSERT_EQ(bits(y[i]), bits(activate<kKind>(x[i]))) << name;
    ASSERT_EQ(bits(slope[i]), bits(d)) << name;
    ASSERT_EQ(bits(dx[i]), bits(activation_backward(d, dy[i]))) << name;
  }
  EXPECT_TRUE(same_bits(y, both)) << name;
  EXPECT_TRUE(same_bits(dx, via_slope)) << name;
  Tensor in_place = x;
  activate(kKind, in_place.span(), y.span(), in_place.span());
  EXPECT_TRUE(same_bits(in_place, slope)) << name;
}

TEST(Activation, BitsOfArraysAreThoseOfTheBody) {
  const Tensor x = random_tensor({40003}, 13, 3.0), dy = random_tensor({40003}, 14);
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    check_bits<Activation::relu>(x, dy, name);
    check_bits<Activation::gelu>(x, dy, name);
    check_bits<Activation::silu>(x, dy, name);
    check_bits<Activation::tanh>(x, dy, name);
    check_bits<Activation::sigmoid>(x, dy, name);
    Tensor y(x.shape());
    add(x.span(), dy.span(), y.span());
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], x[i] + dy[i]);
  }
}

}  // namespace
}  // namespace fp4lab_test
