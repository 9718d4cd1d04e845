#include "sim/nn/moe.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <limits>

#include "sim/nn/feed_forward.h"
#include "sim/nn/probe.h"
#include "tests/nn/twin_blocks.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

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

TEST(FeedForward, TwinOfSwiGlu) {
  BuildContext build = fp32_build();
  SwiGlu ffn(build, "ffn", 0, 10, 23);
  const Twin twin = [](const Values& in) {
    Parameters p(in, 1);
    return twin_swiglu(in[0], p, 10);
  };
  check_module(ffn, twin, random_tensor({3, 5, 10}, 1));
}

TEST(FeedForward, TwinOfTheGeluNetwork) {
  BuildContext build = fp32_build();
  MlpBlock ffn(build, "ffn", 0, 10, 23);
  const Twin twin = [](const Values& in) {
    Parameters p(in, 1);
    return twin_mlp(in[0], p, 10);
  };
  check_module(ffn, twin, random_tensor({3, 5, 10}, 1));
}

TEST(FeedForward, Widths) {
  EXPECT_EQ(swiglu_width(128, 4.0), 352u);
  EXPECT_EQ(swiglu_width(64, 4.0), 192u);
  EXPECT_EQ(swiglu_width(48, 4.0), 128u);  // 128 exactly
  EXPECT_EQ(swiglu_width(1, 0.1), 32u);
  EXPECT_EQ(mlp_width(64, 4.0), 256u);
  EXPECT_EQ(mlp_width(3, 0.1), 1u);
  EXPECT_THROW(swiglu_width(64, 0.0), std::invalid_argument);
  EXPECT_THROW(mlp_width(64, -1.0), std::invalid_argument);
  EXPECT_THROW(mlp_width(64, 1e9), std::invalid_argument);
  EXPECT_THROW(mlp_width(64, std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
}

TEST(Router, TakesTheLargestAndTheLowerIndexOfEquals) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float rows[] = {1,   2,     3,   0,                     //
                        5,   5,     5,   5,                     //
                        0,   -0.0f, 0,   1,  nan, -3, nan, -4,  //
                        nan, nan,   nan, nan};
  const Tensor logits({5, 4}, rows);
  const Routing one = route(logits, 1);
  EXPECT_EQ(one.chosen, (std::vector<std::uint32_t>{2, 0, 3, 1, 0}));
  EXPECT_EQ(one.load, (std::vector<std::uint64_t>{2, 1, 1, 1}));
  const Routing two = route(logits, 2);
  EXPECT_EQ(two.chosen, (std::vector<std::uint32_t>{2, 1, 0, 1, 3, 0, 1, 3, 0, 1}));
  EXPECT_EQ(two.of[1], (std::vector<std::uint32_t>{0, 1, 3, 4}));
  const Routing all = route(logits, 4);
  EXPECT_EQ(all.load, (std::vector<std::uint64_t>{5, 5, 5, 5}));
}

MoeOptions options_of(const MoeSizes& s, double balance) {
  return {s.dim, 14, s.experts, s.top_k, balance};
}

TEST(Moe, TwinOfForwardAndBackward) {
  for (const MoeSizes s : {MoeSizes{10, 4, 1}, MoeSizes{10, 4, 2}, MoeSizes{6, 3, 3},
                           MoeSizes{6, 1, 1}, MoeSizes{10, 40, 1}}) {
    BuildContext build = fp32_build();
    Moe moe(build, "moe", 0, options_of(s, 0.0));
    const Twin twin = [&](const Values& in) {
      Parameters p(in, 1);
      return twin_moe(s, in[0], p);
    };
    TwinOptions o;
    o.checks = 12;
    // One expert, or all of several: gates are constants or nearly so for some weights.
    o.gradient_floor = 1e-6;
    check_module(moe, twin, random_tensor({3, 7, s.dim}, 2), o);
  }
}

TEST(Moe, TwinOfTheBalanceLoss) {
  for (const std::size_t top_k : {1u, 2u}) {
    const MoeSizes s{8, 4, top_k};
    BuildContext build = fp32_build();
    Moe moe(build, "moe", 0, options_of(s, 0.5));
    const Tensor x = random_tensor({20, 8}, 3);
    Tensor y, dx, dy({20, 8});
    moe.forward({}, x, y);
    moe.set_loss_scale(4.0f);
    moe.backward({}, dy, dx);
    std::vector<Param*> params;
    moe.collect(params);
    Values inputs = {to_double(x)};
    std::vector<std::span<const float>> gradients = {dx.span()};
    for (const Param* p : params) {
      inputs.push_back(to_double(p->value));
      gradients.emplace_back(p == params[0] ? p->grad.span() : std::span<const float>{});
    }
    const ScalarTwin twin = [&](const Values& in) {
      Parameters p(in, 1);
      double balance = 0;
      twin_moe(s, in[0], p, &balance);
      return 4.0 * 0.5 * balance;
    };
    EXPECT_NEAR(moe.balance_loss(), twin(inputs) / 4.0, 1e-5);
    check_gradients(twin, inputs, gradients);
  }
}

TEST(Moe, APermutationOfTokensPermutesTheResult) {
  const MoeSizes s{10, 4, 2};
  BuildContext build = fp32_build();
  Moe moe(build, "moe", 0, options_of(s, 0.01));
  const std::size_t n = 33;
  const Tensor x = random_tensor({n, s.dim}, 4);
  Tensor turned(x.shape()), y, z;
  for (std::size_t i = 0; i < x.size(); ++i) {
    turned[(n - 1 - i / s.dim) * s.dim + i % s.dim] = x[i];
  }
  moe.forward({}, x, y);
  moe.forward({}, turned, z);
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(y[i], z[(n - 1 - i / s.dim) * s.dim + i % s.dim]) << i;
  }
}

TEST(Moe, BitsDoNotDependOnThreads) {
  const MoeSizes s{32, 4, 2};
  const Tensor x = random_tensor({90, 32}, 5), dy = random_tensor({90, 32}, 6);
  const int before = omp_get_max_threads();
  std::vector<Tensor> want;
  for (const int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    BuildContext build = fp32_build();
    Moe moe(build, "moe", 0, options_of(s, 0.01));
    std::vector<Tensor> got(2);
    moe.forward({}, x, got[0]);
    moe.backward({}, dy, got[1]);
    std::vector<Param*> params;
    moe.collect(params);
    for (const Param* p : params) got.push_back(p->grad);
    if (want.empty()) want = got;
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_TRUE(same_bits(got[i], want[i])) << threads << " threads, tensor " << i;
    }
  }
  omp_set_num_threads(before);
}

class Recorder final : public Probe {
 public:
  void slot(const SlotSample&) override {}
  void gemm(const GemmSample&) override {}
  void attention(std::uint32_t, std::span<const double>) override {}
  void router(std::uint32_t l, std::span<const std::uint64_t> n, std::uint64_t f) override {
    layer = l;
    load.assign(n.begin(), n.end());
    flips = f;
  }
  std::uint32_t layer = 99;
  std::vector<std::uint64_t> load;
  std::uint64_t flips = 0;
};

TEST(Moe, ReportsLoadAndFlips) {
  const Tensor x = random_tensor({64, 32}, 7);
  for (const char* spec : {"", "mxfp8-e4m3", "mxint2"}) {
    for (const Compute compute : {Compute::bf16, Compute::fp32}) {
      BuildContext build;
      build.policy = [&](const LayerInfo& info) {
        LayerConfig c;
        c.compute = compute;
        if (info.role == Role::router && *spec != '\0') {
          for (const Slot s : {Slot::q1, Slot::q2}) {
            c[s].source = SlotSource::master;
            c[s].spec = parse_spec(spec);
          }
        }
        return c;
      };
      Moe moe(build, "moe", 0, options_of({32, 4, 2}, 0.01));
      Recorder recorder;
      StepContext ctx;
      ctx.probe = &recorder;
      Tensor y;
      moe.forward(ctx, x, y);
      EXPECT_EQ(recorder.load, moe.routing().load);
      EXPECT_EQ(recorder.load[0] + recorder.load[1] + recorder.load[2] + recorder.load[3], 128u);
      EXPECT_EQ(build.layers[recorder.layer].name, "moe.router");
      if (*spec == '\0') {
        EXPECT_EQ(recorder.flips, 0u);
      }
      if (std::string(spec) == "mxint2") {
        EXPECT_GT(recorder.flips, 8u);
      }
    }
  }
}

TEST(Moe, RefusesMoreChoicesThanExperts) {
  BuildContext build;
  EXPECT_THROW(Moe(build, "moe", 0, options_of({8, 2, 3}, 0)), std::invalid_argument);
  EXPECT_THROW(Moe(build, "moe", 0, options_of({8, 2, 0}, 0)), std::invalid_argument);
  EXPECT_THROW(Moe(build, "moe", 0, options_of({8, 0, 1}, 0)), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab_test
