// The linear layer's three products against the slow twin, bit for bit, and against binary64.
#include "sim/nn/linear.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <tuple>

#include "tests/nn/linear_config.h"
#include "tests/nn/slow_linear.h"

namespace fp4lab::test {
namespace {

nn::StepContext step_context() {
  nn::StepContext ctx;
  ctx.seed_sr = 0x123456789abcull;
  ctx.step = 7;
  ctx.microbatch = 0;
  return ctx;
}

void expect_bits(std::span<const float> got, const std::vector<float>& want, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(bits_as<std::uint32_t>(got[i]), bits_as<std::uint32_t>(want[i]))
        << what << "[" << i << "]: got " << got[i] << " want " << want[i];
  }
}

struct Sizes {
  std::size_t n, d, c;
};

class SixSlots : public testing::TestWithParam<std::tuple<NamedSlots, Sizes, nn::Compute>> {};

TEST_P(SixSlots, AreTheSlowTwin) {
  const auto& [named, sizes, compute] = GetParam();
  const nn::LayerConfig config = layer_config(named.slots, compute);
  auto layer = make_linear(config, sizes.d, sizes.c);
  SlowLinear slow{config, 3, sizes.n, sizes.d, sizes.c};
  nn::StepContext ctx = step_context();
  for (const std::uint16_t microbatch : {0, 1}) {
    ctx.microbatch = microbatch;
    const Tensor x = test_values(sizes.n, sizes.d, 21u + microbatch);
    const Tensor dy = test_values(sizes.n, sizes.c, 31u + microbatch);
    const std::span<const float> w = layer->weight().value.span();
    Tensor y, dx;
    layer->forward(ctx, x, y);
    expect_bits(y.span(), slow.y(ctx, x.span(), w), "Y");
    layer->weight().grad.fill(0.0f);
    layer->backward(ctx, dy, dx);
    expect_bits(dx.span(), slow.dx(ctx, dy.span(), w), "dX");
    std::vector<float> dw = slow.dw(ctx, dy.span(), x.span());
    for (float& v : dw) v = 0.0f + v;  // what a gradient of +0 becomes when it is added to
    expect_bits(layer->weight().grad.span(), dw, "dW");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Linear, SixSlots,
    testing::Combine(testing::ValuesIn(named_slots()),
                     testing::Values(Sizes{64, 32, 64}, Sizes{37, 50, 23}, Sizes{1, 5, 3}),
                     testing::Values(nn::Compute::fp32, nn::Compute::bf16)),
    [](const auto& info) {
      const Sizes s = std::get<1>(info.param);
      return std::string(std::get<0>(info.param).name) + "_" + std::to_string(s.n) + "x" +
             std::to_string(s.d) + "x" + std::to_string(s.c) +
             (std::get<2>(info.param) == nn::Compute::fp32 ? "_fp32" : "_bf16");
    });

TEST(Linear, SlotsCanBeSwitchedOff) {
  for (const NamedSlots& named : named_slots()) {
    const nn::LayerConfig config = layer_config(named.slots);
    for (int slot = 0; slot < 6; ++slot) {
      auto layer = make_linear(config, 40, 24);
      SlowLinear slow{config, 3, 33, 40, 24};
      nn::StepContext ctx = step_context();
      ctx.slots_off = static_cast<std::uint8_t>(1u << slot);
      const Tensor x = test_values(33, 40, 5), dy = test_values(33, 24, 6);
      Tensor y, dx;
      layer->forward(ctx, x, y);
      layer->backward(ctx, dy, dx);
      SCOPED_TRACE(std::string(named.name) + " without q" + std::to_string(slot + 1));
      const std::span<const float> w = layer->weight().value.span();
      expect_bits(y.span(), slow.y(ctx, x.span(), w), "Y");
      expect_bits(dx.span(), slow.dx(ctx, dy.span(), w), "dX");
    }
  }
}

TEST(Linear, HasTheSameBitsForAnyNumberOfThreads) {
  const int before = omp_get_max_threads();
  for (const NamedSlots& named : named_slots()) {
    const nn::LayerConfig config = layer_config(named.slots, nn::Compute::bf16);
    const Tensor x = test_values(130, 96, 5), dy = test_values(130, 70, 6);
    Tensor first_y, first_dx, first_dw;
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      auto layer = make_linear(config, 96, 70, 3, true);
      Tensor y, dx;
      layer->forward(step_context(), x, y);
      layer->backward(step_context(), dy, dx);
      if (threads == 1) {
        first_y = y;
        first_dx = dx;
        first_dw = layer->weight().grad;
      }
      EXPECT_TRUE(same_bits(y, first_y)) << named.name << " " << threads;
      EXPECT_TRUE(same_bits(dx, first_dx)) << named.name << " " << threads;
      EXPECT_TRUE(same_bits(layer->weight().grad, first_dw)) << named.name << " " << threads;
    }
  }
  omp_set_num_threads(before);
}

/// sum of R o (X W^T + b) in binary64.
double loss(const std::vector<double>& x, const std::vector<double>& w,
            const std::vector<double>& b, const Tensor& r, std::size_t n, std::size_t d,
            std::size_t c) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < c; ++j) {
      double y = b[j];
      for (std::size_t k = 0; k < d; ++k) y += x[i * d + k] * w[j * d + k];
      sum += y * static_cast<double>(r[i * c + j]);
    }
  }
  return sum;
}

TEST(Linear, BackwardIsTheDerivative) {
  const std::size_t n = 9, d = 13, c = 7;
  auto layer = make_linear(layer_config(named_slots()[0].slots), d, c, 0, true);
  nn::fill_normal({4, 0, 0, RandomPurpose::synthetic_data, 0, 0}, 0.3f,
                  layer->bias()->value.span());
  const Tensor x = test_values(n, d, 1), r = test_values(n, c, 2);
  Tensor y, dx;
  layer->forward(step_context(), x, y);
  layer->backward(step_context(), r, dx);
  const auto wide = [](const Tensor& t) { return std::vector<double>(t.begin(), t.end()); };
  std::vector<double> xs = wide(x), ws = wide(layer->weight().value),
                      bs = wide(layer->bias()->value);
  const auto check = [&](std::vector<double>& at, const Tensor& gradient, const char* what) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double h = 1e-3, keep = at[i];
      at[i] = keep + h;
      const double up = loss(xs, ws, bs, r, n, d, c);
      at[i] = keep - h;
      const double down = loss(xs, ws, bs, r, n, d, c);
      at[i] = keep;
      EXPECT_NEAR(static_cast<double>(gradient[i]), (up - down) / (2 * h), 2e-4) << what << i;
    }
  };
  check(xs, dx, "dX ");
  check(ws, layer->weight().grad, "dW ");
  check(bs, layer->bias()->grad, "db ");
}

TEST(Linear, GradientsAddUpOverMicrobatches) {
  auto layer = make_linear(layer_config(named_slots()[1].slots), 32, 16, 1, true);
  nn::StepContext ctx = step_context();
  const Tensor x = test_values(32, 32, 1), dy = test_values(32, 16, 2);
  Tensor y, dx;
  layer->forward(ctx, x, y);
  layer->backward(ctx, dy, dx);
  const Tensor once = layer->weight().grad, once_b = layer->bias()->grad;
  ctx.microbatch = 1;
  layer->forward(ctx, x, y);
  layer->backward(ctx, dy, dx);
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_EQ(layer->weight().grad[i], 2 * once[i]);
  }
  for (std::size_t i = 0; i < once_b.size(); ++i) EXPECT_EQ(layer->bias()->grad[i], 2 * once_b[i]);
}

TEST(Linear, ABadElementReachesItsBlockAndNoOther) {
  const nn::LayerConfig config = layer_config(named_slots()[1].slots);
  auto layer = make_linear(config, 64, 8);
  Tensor x = test_values(4, 64, 3);
  x(2, 40) = kFloatInf;
  Tensor y;
  layer->forward(step_context(), x, y);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 8; ++j) EXPECT_EQ(is_nan(y(i, j)), i == 2) << i << " " << j;
  }
}

struct BadConfig {
  const char* name;
  std::array<SlotText, nn::kSlots> slots;
  const char* key;
};

class Refused : public testing::TestWithParam<BadConfig> {};

TEST_P(Refused, NamesTheKey) {
  try {
    make_linear(layer_config(GetParam().slots), 32, 32);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find(GetParam().key), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("layer"), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Linear, Refused,
                         testing::Values(BadConfig{"requant_in_the_forward",
                                                   {{{"requant", "mxfp4"},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""}}},
                                                   "slots.q1.source"},
                                         BadConfig{"dequant_of_the_gradient",
                                                   {{{"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"dequant", ""},
                                                     {"none", ""}}},
                                                   "slots.q5.source"},
                                         BadConfig{"shared_without_q2",
                                                   {{{"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"shared2d", ""},
                                                     {"none", ""},
                                                     {"none", ""}}},
                                                   "slots.q4.source"},
                                         BadConfig{"shared_rows",
                                                   {{{"none", ""},
                                                     {"master", "mxfp4"},
                                                     {"none", ""},
                                                     {"shared2d", ""},
                                                     {"none", ""},
                                                     {"none", ""}}},
                                                   "slots.q4.source"},
                                         BadConfig{"shared_hadamard",
                                                   {{{"none", ""},
                                                     {"master", "nvfp4,block=16x16,hadamard=16"},
                                                     {"none", ""},
                                                     {"shared2d", ""},
                                                     {"none", ""},
                                                     {"none", ""}}},
                                                   "slots.q4.source"},
                                         BadConfig{"two_transforms",
                                                   {{{"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"master", "nvfp4,hadamard=16"},
                                                     {"master", "nvfp4"}}},
                                                   "slots.q6.spec"},
                                         BadConfig{"two_signs",
                                                   {{{"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"master", "nvfp4,hadamard=16"},
                                                     {"master", "nvfp4,hadamard=16:none"}}},
                                                   "slots.q6.spec"},
                                         BadConfig{"hadamard_across",
                                                   {{{"master", "mxfp4,block=32x1,hadamard=32"},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""},
                                                     {"none", ""}}},
                                                   "slots.q1.spec"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace fp4lab::test
