#include "sim/nn/ssm.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "sim/fma.h"
#include "sim/math.h"
#include "sim/nn/elementwise.h"
#include "sim/nn/selective_scan.h"
#include "tests/math/targets.h"
#include "tests/nn/twin_blocks.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

struct Scan {
  ScanExtents e;
  Tensor x, delta, a, b, c, d;  // a [states, channels]
  explicit Scan(ScanExtents extents) : e(extents) {
    const Shape wide{e.items, e.length, e.channels}, narrow{e.items, e.length, e.states};
    x = random_tensor(wide, 1);
    delta = random_tensor(wide, 2, 0.1, 0.3);
    for (float& v : delta) v = std::fabs(v);
    a = random_tensor({e.states, e.channels}, 3, 0.5, -1.5);
    b = random_tensor(narrow, 4);
    c = random_tensor(narrow, 5);
    d = random_tensor({e.channels}, 6);
  }
  ScanInput input() const {
    return {x.data(), delta.data(), b.data(), c.data(), e.states, a.data(), d.data()};
  }
  Tensor forward() const {
    Tensor y({e.items, e.length, e.channels});
    selective_scan(e, input(), y.data());
    return y;
  }
};

struct ScanGradients {
  Tensor x, delta, b, c, a, d;
};
ScanGradients backward(const Scan& s, const Tensor& dy) {
  ScanGradients g{Tensor(s.x.shape()),
                  Tensor(s.x.shape()),
                  Tensor(s.b.shape()),
                  Tensor(s.b.shape()),
                  Tensor({s.e.items, s.e.states, s.e.channels}),
                  Tensor({s.e.items, s.e.channels})};
  selective_scan_backward(
      s.e, s.input(), dy.data(),
      {g.x.data(), g.delta.data(), g.b.data(), g.c.data(), g.a.data(), g.d.data()});
  return g;
}

/// Sums over items, and [states, channels] turned to [channels, states].
Tensor add_items(const Tensor& x, std::size_t states, std::size_t channels) {
  Tensor y({channels, states});
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t at = i % (states * channels);
    y[at % channels * states + at / channels] += x[i];
  }
  return y;
}

const ScanExtents kExtents[] = {{2, 9, 5, 3}, {3, 20, 40, 16}, {1, 1, 1, 1}, {1, 6, 33, 7}};

TEST(SelectiveScan, TwinOfForwardAndBackward) {
  for (const ScanExtents& e : kExtents) {
    const Scan s(e);
    // The twin's A is [channels, states].
    Vec a(e.states * e.channels);
    for (std::size_t i = 0; i < a.size(); ++i) {
      a[i % e.channels * e.states + i / e.channels] = static_cast<double>(s.a[i]);
    }
    const Twin twin = [&](const Values& in) {
      return twin_scan(e.items, e.length, e.channels, e.states, in[0], in[1], in[2], in[3], in[4],
                       in[5]);
    };
    const Values inputs = {to_double(s.x), to_double(s.delta), a,
                           to_double(s.b), to_double(s.c),     to_double(s.d)};
    check_forward(s.forward().span(), twin(inputs));
    const Tensor dy = random_tensor(s.x.shape(), 7);
    const ScanGradients g = backward(s, dy);
    const Tensor da = add_items(g.a, e.states, e.channels), dd = add_items(g.d, 1, e.channels);
    check_gradients(twin, inputs, dy,
                    {g.x.span(), g.delta.span(), da.span(), g.b.span(), g.c.span(), dd.span()}, {},
                    {"x", "delta", "a", "b", "c", "d"});
  }
}

TEST(SelectiveScan, HasTheBitsOfItsDefinition) {
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    for (const ScanExtents& e : kExtents) {
      const Scan s(e);
      const Tensor y = s.forward();
      for (std::size_t i = 0; i < e.items; ++i) {
        for (std::size_t ch = 0; ch < e.channels; ++ch) {
          std::vector<float> h(e.states, 0.0f);
          for (std::size_t t = 0; t < e.length; ++t) {
            const std::size_t row = i * e.length + t, at = row * e.channels + ch;
            float out = 0.0f;
            for (std::size_t n = 0; n < e.states; ++n) {
              const float decay = math::exp(s.delta[at] * s.a[n * e.channels + ch]);
              h[n] = fma_rn(decay, h[n], s.delta[at] * s.x[at] * s.b[row * e.states + n]);
              out = fma_rn(s.c[row * e.states + n], h[n], out);
            }
            out = fma_rn(s.d[ch], s.x[at], out);
            ASSERT_EQ(bits_as<std::uint32_t>(y[at]), bits_as<std::uint32_t>(out))
                << name << " item " << i << " position " << t << " channel " << ch;
          }
        }
      }
    }
  }
}

TEST(SelectiveScan, BackwardHasTheSameBitsUnderEveryInstructionSetAndThreadCount) {
  for (const ScanExtents& e : kExtents) {
    const Scan s(e);
    const Tensor dy = random_tensor(s.x.shape(), 7);
    const ScanGradients want = backward(s, dy);
    const auto check = [&](const std::string& what) {
      const ScanGradients g = backward(s, dy);
      EXPECT_TRUE(same_bits(g.x, want.x)) << what;
      EXPECT_TRUE(same_bits(g.delta, want.delta)) << what;
      EXPECT_TRUE(same_bits(g.a, want.a)) << what;
      EXPECT_TRUE(same_bits(g.b, want.b)) << what;
      EXPECT_TRUE(same_bits(g.c, want.c)) << what;
      EXPECT_TRUE(same_bits(g.d, want.d)) << what;
    };
    for (const auto& [set, name] : instruction_sets()) {
      const InForce in_force(set);
      check(name);
    }
    const int before = omp_get_max_threads();
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      check(std::to_string(threads) + " threads");
    }
    omp_set_num_threads(before);
  }
}

TEST(CausalConv, TwinOfForwardAndBackward) {
  for (const std::size_t width : {1u, 2u, 4u, 9u}) {
    const std::size_t items = 2, length = 6, channels = 19;
    const Tensor x = random_tensor({items, length, channels}, 8);
    const Tensor w = random_tensor({width, channels}, 9), b = random_tensor({channels}, 10);
    Tensor y(x.shape()), dx(x.shape()), dw({items, width, channels}), db({items, channels});
    causal_conv(items, length, channels, width, x.data(), channels, w.data(), b.data(), y.data());
    const Tensor dy = random_tensor(x.shape(), 11);
    causal_conv_backward(items, length, channels, width, x.data(), channels, w.data(), dy.data(),
                         dx.data(), channels, dw.data(), db.data());
    const Twin twin = [&](const Values& in) {
      return twin_conv(items, length, channels, width, in[0], in[1], in[2]);
    };
    Tensor dw_sum({width, channels}), db_sum({channels});
    for (std::size_t i = 0; i < dw.size(); ++i) dw_sum[i % dw_sum.size()] += dw[i];
    for (std::size_t i = 0; i < db.size(); ++i) db_sum[i % db_sum.size()] += db[i];
    const Values inputs = {to_double(x), to_double(w), to_double(b)};
    check_forward(y.span(), twin(inputs));
    check_gradients(twin, inputs, dy, {dx.span(), dw_sum.span(), db_sum.span()}, {},
                    {"x", "weight", "bias"});
  }
}

TEST(Softplus, IsWhatItsDefinitionSays) {
  std::vector<float> x = {-200.0f,
                          -90.0f,
                          -1.0f,
                          -0.0f,
                          0.0f,
                          1e-6f,
                          1.0f,
                          20.0f,
                          100.0f,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
  std::vector<float> y(x.size()), dx(x.size());
  const std::vector<float> dy(x.size(), 2.0f);
  softplus(x, y);
  softplus_backward(x, dy, dx);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float want = std::max(x[i], 0.0f) + math::log1p(math::exp(-std::fabs(x[i])));
    EXPECT_EQ(y[i], want) << x[i];
    EXPECT_EQ(dx[i], 2.0f * math::sigmoid(x[i])) << x[i];
  }
  x = {std::numeric_limits<float>::quiet_NaN()};
  softplus(x, x);
  EXPECT_EQ(bits_as<std::uint32_t>(x[0]), 0x7FC00000u);
}

BuildContext fp32_build() {
  BuildContext build;
  build.seed_init = 5;
  build.policy = [](const LayerInfo&) {
    LayerConfig c;
    c.compute = Compute::fp32;
    return c;
  };
  return build;
}

TEST(Ssm, TwinOfTheBlock) {
  for (const SsmSizes s : {SsmSizes{2, 7, 6, 3, 4, 2}, SsmSizes{1, 12, 20, 16, 2, 1}}) {
    BuildContext build = fp32_build();
    SsmOptions options;
    options.dim = s.dim;
    options.states = s.states;
    options.conv = s.conv;
    options.expand = s.expand;
    Ssm ssm(build, "ssm", 0, options);
    std::vector<Param*> params;
    ssm.collect(params);
    // Step sizes that reach far and near.
    for (Param* p : params) {
      if (p->name == "ssm.dt.bias") p->value = random_tensor(p->value.shape(), 20, 1.0, -1.0);
    }
    const Twin twin = [&](const Values& in) {
      Parameters p(in, 1);
      return twin_ssm(s, in[0], p);
    };
    TwinOptions o;
    o.checks = 24;
    check_module(ssm, twin, random_tensor({s.items, s.length, s.dim}, 21), o);
  }
}

TEST(Ssm, StartsAsDocumented) {
  BuildContext build = fp32_build();
  SsmOptions options;
  options.dim = 8;
  Ssm ssm(build, "blocks.1.ssm", 1, options);
  std::vector<Param*> params;
  ssm.collect(params);
  const std::vector<std::string> names = {"in.weight",  "conv.weight", "conv.bias",
                                          "x.weight",   "dt.weight",   "dt.bias",
                                          "scan.a_log", "scan.d",      "out.weight"};
  ASSERT_EQ(params.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(params[i]->name, "blocks.1.ssm." + names[i]);
  }
  const Tensor& bias = params[5]->value;
  std::vector<float> step(bias.size());
  softplus(bias.span(), step);
  EXPECT_NEAR(step.front(), 0.001, 1e-8);
  EXPECT_NEAR(step.back(), 0.1, 1e-6);
  for (std::size_t n = 0; n < 16; ++n) {
    EXPECT_NEAR(std::exp(static_cast<double>(params[6]->value(3, n))), static_cast<double>(n + 1),
                1e-5);
  }
  std::vector<Role> roles;
  for (const LayerInfo& l : build.layers) roles.push_back(l.role);
  EXPECT_EQ(roles, (std::vector<Role>{Role::ssm_in, Role::ssm_conv, Role::ssm_scan, Role::ssm_scan,
                                      Role::ssm_scan, Role::ssm_out}));
  EXPECT_THROW(Ssm(build, "ssm", 0, SsmOptions{8, 0, 4, 2}), std::invalid_argument);
}

TEST(Ssm, ALaterPositionMovesNoEarlierBit) {
  BuildContext build = fp32_build();
  SsmOptions options;
  options.dim = 8;
  Ssm ssm(build, "ssm", 0, options);
  const Tensor x = random_tensor({2, 10, 8}, 22);
  Tensor changed = x, y, z;
  changed(10 + 6, 3) += 1.0f;
  ssm.forward({}, x, y);
  ssm.forward({}, changed, z);
  std::size_t differ = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i < 16 * 8) {
      ASSERT_EQ(bits_as<std::uint32_t>(y[i]), bits_as<std::uint32_t>(z[i])) << i;
    } else {
      differ += y[i] != z[i] ? 1 : 0;
    }
  }
  EXPECT_GT(differ, 16u);
}

}  // namespace
}  // namespace fp4lab_test
