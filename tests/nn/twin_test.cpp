// The harness itself: it passes what is right and catches what is slightly wrong.
#include "tests/nn/twin.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

namespace fp4lab_test {
namespace {

using fp4lab::Tensor;

/// y = x^3 with the gradient 3 x^2, its element `wrong` off by a relative `error`.
class Cube final : public fp4lab::nn::Module {
 public:
  explicit Cube(std::size_t wrong = 0, float error = 0, float forward_error = 0)
      : wrong_(wrong), error_(error), forward_error_(forward_error) {}
  void forward(const fp4lab::nn::StepContext&, const Tensor& x, Tensor& y) override {
    x_ = x;
    y.resize(x.shape());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * x[i] * x[i];
    y[wrong_] += forward_error_;
  }
  void backward(const fp4lab::nn::StepContext&, const Tensor& dy, Tensor& dx) override {
    dx.resize(dy.shape());
    for (std::size_t i = 0; i < dy.size(); ++i) dx[i] = dy[i] * 3 * x_[i] * x_[i];
    dx[wrong_] += error_;
  }

 private:
  std::size_t wrong_;
  float error_, forward_error_;
  Tensor x_;
};

Vec cube(const Values& in) {
  Vec y;
  for (const double v : in[0]) y.push_back(v * v * v);
  return y;
}

void check(std::size_t wrong, float error, float forward_error) {
  Cube layer(wrong, error, forward_error);
  check_module(layer, cube, random_tensor({10, 30}, 5));
}

TEST(Twin, PassesTheRightGradient) { check(0, 0, 0); }

TEST(Twin, CatchesOneWrongElement) {
  EXPECT_FATAL_FAILURE(check(0, 0.05f, 0), "central difference");
  // Not among the elements that are moved one by one: the random direction sees it.
  EXPECT_FATAL_FAILURE(check(1, 0.2f, 0), "random direction");
  EXPECT_FATAL_FAILURE(check(7, 0, 0.01f), "the twin says");
}

TEST(Twin, InputsAreFixed) {
  const Tensor x = random_tensor({4000}, 1, 2.0, 1.0);
  EXPECT_TRUE(same_bits(x, random_tensor({4000}, 1, 2.0, 1.0)));
  double mean = 0, square = 0;
  for (const float v : x) {
    mean += v / 4000.0;
    square += v * v / 4000.0;
  }
  EXPECT_NEAR(mean, 1.0, 0.15);
  EXPECT_NEAR(square - mean * mean, 4.0, 0.4);
  for (const std::int32_t label : random_labels(1000, 7, 3)) {
    ASSERT_GE(label, 0);
    ASSERT_LT(label, 7);
  }
}

}  // namespace
}  // namespace fp4lab_test
