// Conv2d against a direct convolution in binary64, and its quantized bits against the slow twin of
// the linear layer over explicit patches.
#include "sim/nn/conv2d.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/nn/linear_config.h"
#include "tests/nn/slow_linear.h"
#include "tests/nn/twin.h"

namespace fp4lab::test {
namespace {

struct Case {
  std::size_t items, height, width, channels, filters, kernel, stride, padding;
};

constexpr Case kCases[] = {
    {2, 5, 6, 3, 4, 3, 1, 1}, {1, 7, 7, 2, 5, 3, 2, 1}, {2, 4, 3, 8, 6, 1, 1, 0},
    {2, 6, 5, 4, 3, 1, 2, 0}, {1, 5, 5, 2, 2, 5, 1, 0}, {1, 6, 6, 2, 3, 2, 3, 2},
};

std::size_t out_extent(std::size_t n, const Case& c) {
  return (n + 2 * c.padding - c.kernel) / c.stride + 1;
}

/// Visits (output index, input index, weight index) of every product of the convolution.
template <class F>
void for_each_product(const Case& c, F&& f) {
  const std::size_t oh = out_extent(c.height, c), ow = out_extent(c.width, c);
  for (std::size_t n = 0; n < c.items; ++n) {
    for (std::size_t oy = 0; oy < oh; ++oy) {
      for (std::size_t ox = 0; ox < ow; ++ox) {
        for (std::size_t ky = 0; ky < c.kernel; ++ky) {
          for (std::size_t kx = 0; kx < c.kernel; ++kx) {
            const std::ptrdiff_t y = static_cast<std::ptrdiff_t>(oy * c.stride + ky) -
                                     static_cast<std::ptrdiff_t>(c.padding);
            const std::ptrdiff_t x = static_cast<std::ptrdiff_t>(ox * c.stride + kx) -
                                     static_cast<std::ptrdiff_t>(c.padding);
            if (y < 0 || x < 0 || y >= static_cast<std::ptrdiff_t>(c.height) ||
                x >= static_cast<std::ptrdiff_t>(c.width)) {
              continue;
            }
            for (std::size_t ch = 0; ch < c.channels; ++ch) {
              const std::size_t in = ((n * c.height + static_cast<std::size_t>(y)) * c.width +
                                      static_cast<std::size_t>(x)) *
                                         c.channels +
                                     ch;
              const std::size_t patch = (ky * c.kernel + kx) * c.channels + ch;
              f((n * oh + oy) * ow + ox, in, patch);
            }
          }
        }
      }
    }
  }
}

std::unique_ptr<nn::Conv2d> make_conv(const Case& c, const nn::LayerConfig& config, bool bias) {
  nn::BuildContext build;
  build.seed_init = 5;
  build.policy = [&](const nn::LayerInfo&) { return config; };
  for (int i = 0; i < 3; ++i) build.add("before", nn::Role::norm);
  nn::Conv2dOptions o;
  o.kernel = c.kernel;
  o.stride = c.stride;
  o.padding = c.padding;
  o.bias = bias;
  return std::make_unique<nn::Conv2d>(build, "conv", nn::Role::conv, -1, c.channels, c.filters, o);
}

TEST(Conv2d, IsTheConvolutionAndItsDerivative) {
  for (const Case& c : kCases) {
    auto conv = make_conv(c, layer_config(named_slots()[0].slots), true);
    conv->bias()->value = fp4lab_test::random_tensor({c.filters}, 9);
    const std::size_t positions = c.items * out_extent(c.height, c) * out_extent(c.width, c);
    const std::size_t width = c.kernel * c.kernel * c.channels;
    const fp4lab_test::Twin twin = [&](const fp4lab_test::Values& in) {
      fp4lab_test::Vec y(positions * c.filters);
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = in[2][i % c.filters];
      for_each_product(c, [&](std::size_t o, std::size_t i, std::size_t p) {
        for (std::size_t f = 0; f < c.filters; ++f)
          y[o * c.filters + f] += in[0][i] * in[1][f * width + p];
      });
      return y;
    };
    fp4lab_test::check_module(
        *conv, twin, fp4lab_test::random_tensor({c.items, c.height, c.width, c.channels}, 3));
  }
}

TEST(Conv2d, QuantizesPatchesAsTheSlowTwinDoes) {
  for (const NamedSlots& named : named_slots()) {
    for (const Case& c : kCases) {
      SCOPED_TRACE(named.name);
      const nn::LayerConfig config = layer_config(named.slots);
      auto conv = make_conv(c, config, false);
      const std::size_t oh = out_extent(c.height, c), ow = out_extent(c.width, c);
      const std::size_t positions = c.items * oh * ow, width = c.kernel * c.kernel * c.channels;
      Tensor x = test_values(c.items * c.height * c.width, c.channels, 4);
      x.reshape({c.items, c.height, c.width, c.channels});
      Tensor dy = test_values(positions, c.filters, 6);
      dy.reshape({c.items, oh, ow, c.filters});
      std::vector<float> patches(positions * width, 0.0f);
      for_each_product(
          c, [&](std::size_t o, std::size_t i, std::size_t p) { patches[o * width + p] = x[i]; });
      nn::StepContext ctx;
      ctx.seed_sr = 77;
      ctx.step = 2;
      const SlowLinear slow{config, 3, positions, width, c.filters};
      const std::span<const float> w = conv->weight().value.span();
      Tensor y, dx;
      conv->forward(ctx, x, y);
      conv->backward(ctx, dy, dx);
      const std::vector<float> want_y = slow.y(ctx, patches, w);
      ASSERT_EQ(0, std::memcmp(y.data(), want_y.data(), want_y.size() * sizeof(float)));
      std::vector<float> want_dw = slow.dw(ctx, dy.span(), patches);
      for (float& v : want_dw) v = 0.0f + v;
      ASSERT_EQ(0, std::memcmp(conv->weight().grad.data(), want_dw.data(),
                               want_dw.size() * sizeof(float)));
      // One product of a pixel at a time, kernel places ascending.
      const std::vector<float> patch_dx = slow.dx(ctx, dy.span(), w);
      std::vector<std::vector<std::pair<std::size_t, float>>> terms(x.size());
      for_each_product(c, [&](std::size_t o, std::size_t i, std::size_t p) {
        terms[i].emplace_back(p, patch_dx[o * width + p]);
      });
      for (std::size_t i = 0; i < x.size(); ++i) {
        std::sort(terms[i].begin(), terms[i].end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
        float sum = 0.0f;
        for (const auto& t : terms[i]) sum += t.second;
        ASSERT_EQ(bits_as<std::uint32_t>(dx[i]), bits_as<std::uint32_t>(sum)) << i;
      }
    }
  }
}

TEST(Conv2d, RefusesWhatDoesNotFit) {
  auto conv = make_conv(kCases[0], layer_config(named_slots()[0].slots), false);
  Tensor y;
  EXPECT_THROW(conv->forward({}, Tensor({2, 5, 6, 4}), y), std::invalid_argument);
  EXPECT_THROW(conv->forward({}, Tensor({5, 18}), y), std::invalid_argument);
  Case none = kCases[0];
  none.stride = 0;
  EXPECT_THROW(make_conv(none, nn::LayerConfig{}, false), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab::test
