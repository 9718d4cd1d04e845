#include "sim/nn/attention.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "sim/fma.h"
#include "sim/math.h"
#include "sim/nn/attention_kernel.h"
#include "sim/nn/probe.h"
#include "sim/reduce.h"
#include "tests/math/targets.h"
#include "tests/nn/twin_blocks.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;
using fp4lab::nn::detail::ChainMask;
using fp4lab::nn::detail::ChainProduct;

BuildContext fp32_build() {
  BuildContext build;
  build.policy = [](const LayerInfo&) {
    LayerConfig c;
    c.compute = Compute::fp32;
    return c;
  };
  return build;
}

AttentionOptions options_of(const AttentionSizes& s) {
  AttentionOptions o;
  o.dim = s.dim;
  o.heads = s.heads;
  o.causal = s.causal;
  o.rope = s.rope;
  o.rope_base = s.base;
  return o;
}

const AttentionSizes kSizes[] = {
    {2, 7, 12, 2, true, true, 10000.0},   {1, 19, 20, 1, true, true, 100.0},
    {3, 16, 32, 2, true, false, 10000.0}, {2, 16, 64, 4, false, false, 10000.0},
    {1, 33, 64, 2, false, true, 10000.0}, {4, 1, 8, 4, true, true, 10000.0},
};

TEST(Attention, TwinOfTheCore) {
  for (const AttentionSizes& s : kSizes) {
    BuildContext build = fp32_build();
    AttentionCore core(build, "attn", 0, options_of(s));
    const Shape shape{s.items, s.length, s.dim};
    const Tensor q = random_tensor(shape, 1), k = random_tensor(shape, 2),
                 v = random_tensor(shape, 3), d_o = random_tensor(shape, 4);
    Tensor q1 = q, k1 = k, v1 = v, o, dq, dk, dv;
    core.forward({}, q1, k1, v1, o);
    core.backward({}, d_o, dq, dk, dv);
    const Twin twin = [&](const Values& in) { return twin_attention_core(s, in[0], in[1], in[2]); };
    const Values inputs = {to_double(q), to_double(k), to_double(v)};
    check_forward(o.span(), twin(inputs));
    TwinOptions options;
    if (s.length == 1) options.gradient_floor = 1e-6;  // the softmax of one score is flat
    check_gradients(twin, inputs, d_o, {dq.span(), dk.span(), dv.span()}, options, {"q", "k", "v"});
  }
}

TEST(Attention, TwinOfTheLayer) {
  for (const bool bias : {false, true}) {
    for (const AttentionSizes& s : kSizes) {
      if (s.length == 1) continue;
      BuildContext build = fp32_build();
      AttentionOptions options = options_of(s);
      options.bias = bias;
      Attention layer(build, "attn", 0, options);
      const Twin twin = [&](const Values& in) {
        Parameters p(in, 1);
        return twin_attention(s, in[0], p, bias);
      };
      TwinOptions o;
      o.checks = 16;
      o.gradient_floor = 1e-6;  // a bias of all keys moves no output
      check_module(layer, twin, random_tensor({s.items, s.length, s.dim}, 5), o);
    }
  }
}

/// The chain of one output, as decisions.md 5 has it.
float chain(const ChainProduct& p, std::size_t r, std::size_t c) {
  float y = 0.0f;
  for (std::size_t k = 0; k < p.depth; ++k) {
    if (p.mask == ChainMask::k_to_row && k > r) continue;
    if (p.mask == ChainMask::k_from_row && k < r) continue;
    y = fma_rn(p.a[r * p.a_row + k * p.a_k], p.b[k * p.b_row + c], y);
  }
  return y;
}

TEST(AttentionKernel, ProductsAreChainsUnderEveryInstructionSet) {
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    for (const std::size_t n : {1u, 3u, 16u, 31u, 32u, 50u}) {
      for (const std::size_t m : {1u, 4u, 9u, 32u, 50u}) {
        for (const ChainMask mask :
             {ChainMask::none, ChainMask::k_to_row, ChainMask::k_from_row, ChainMask::c_to_row}) {
          const std::size_t depth = mask == ChainMask::none ? 17 : m;
          const std::size_t cols = mask == ChainMask::c_to_row ? m : n;
          const Tensor a = random_tensor({m, depth}, 6), b = random_tensor({depth, cols}, 7);
          Tensor turned({depth, m});
          fp4lab::nn::detail::transpose(a.data(), depth, m, depth, turned.data());
          for (const bool transposed : {false, true}) {
            Tensor c({m, cols});
            ChainProduct p{transposed ? turned.data() : a.data(),
                           transposed ? 1 : depth,
                           transposed ? m : 1,
                           b.data(),
                           cols,
                           c.data(),
                           cols,
                           m,
                           cols,
                           depth,
                           mask};
            chain_product(p);
            for (std::size_t r = 0; r < m; ++r) {
              const std::size_t wanted = mask == ChainMask::c_to_row ? r + 1 : cols;
              for (std::size_t j = 0; j < wanted; ++j) {
                ASSERT_EQ(bits_as<std::uint32_t>(c(r, j)), bits_as<std::uint32_t>(chain(p, r, j)))
                    << name << " m " << m << " n " << cols << " mask " << static_cast<int>(mask)
                    << " (" << r << ", " << j << ")";
              }
            }
          }
        }
      }
    }
  }
}

TEST(AttentionKernel, SoftmaxHasTheSumsAndFunctionsOfItsDefinition) {
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    for (const std::size_t n : {1u, 5u, 64u, 70u, 1100u}) {
      for (const bool causal : {true, false}) {
        if (n > 1000 && !causal) continue;
        const Tensor s = random_tensor({n, n}, 8, 4.0), g = random_tensor({n, n}, 9);
        const float scale = 0.17677669f;
        Tensor p = s, dp = g;
        std::vector<float> work;
        fp4lab::nn::detail::softmax_rows(p.data(), n, scale, causal, work);
        fp4lab::nn::detail::softmax_backward_rows(p.data(), dp.data(), n, scale, causal);
        for (std::size_t r = 0; r<n; r += n> 100 ? 97 : 1) {
          const std::size_t m = causal ? r + 1 : n;
          float most = -std::numeric_limits<float>::infinity();
          for (std::size_t j = 0; j < m; ++j) most = std::max(most, s(r, j) * scale);
          std::vector<float> e(m);
          for (std::size_t j = 0; j < m; ++j) e[j] = math::exp(s(r, j) * scale - most);
          const float z =
              round_sum(sum_terms(m, [&](std::size_t j) { return static_cast<double>(e[j]); }));
          const float d = round_sum(sum_terms(m, [&](std::size_t j) {
            return static_cast<double>(p(r, j)) * static_cast<double>(g(r, j));
          }));
          for (std::size_t j = 0; j < n; ++j) {
            const float want = j < m ? e[j] / z : 0.0f;
            ASSERT_EQ(p(r, j), want) << name << " n " << n << " (" << r << ", " << j << ")";
            const float back = j < m ? want * (g(r, j) - d) * scale : 0.0f;
            ASSERT_EQ(dp(r, j), back) << name << " n " << n << " (" << r << ", " << j << ")";
          }
        }
      }
    }
  }
}

TEST(AttentionKernel, RoundsToBf16AsTheFormatDoes) {
  const std::vector<float> x = {1.0f,
                                0x1.01p0f,
                                0x1.03p0f,
                                0x1.010002p0f,
                                -0x1.fep127f,
                                0x1.fffffep127f,
                                0.0f,
                                -0.0f,
                                0x1p-149f,
                                std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> want = {1.0f,         1.0f,
                                   0x1.04p0f,    0x1.02p0f,
                                   -0x1.fep127f, std::numeric_limits<float>::infinity(),
                                   0.0f,         -0.0f,
                                   0.0f,         std::numeric_limits<float>::infinity(),
                                   0.0f};
  std::vector<float> y(x.size());
  fp4lab::nn::detail::round_to_bf16(x, y);
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    EXPECT_EQ(bits_as<std::uint32_t>(y[i]), bits_as<std::uint32_t>(want[i])) << x[i];
  }
  EXPECT_EQ(bits_as<std::uint32_t>(y.back()), 0x7FC00000u);
}

struct Pass {
  Tensor y, dx;
  std::vector<Tensor> gradients;
};

Pass run(const AttentionSizes& s, const std::function<LayerConfig(const LayerInfo&)>& policy,
         const Tensor& x, bool quantize, Probe* probe = nullptr) {
  BuildContext build;
  build.seed_init = 3;
  build.policy = policy;
  AttentionOptions options = options_of(s);
  options.quantize_products = quantize;
  Attention layer(build, "attn", 0, options);
  StepContext ctx;
  ctx.probe = probe;
  Pass pass;
  layer.forward(ctx, x, pass.y);
  layer.backward(ctx, random_tensor(x.shape(), 12), pass.dx);
  std::vector<Param*> params;
  layer.collect(params);
  for (const Param* p : params) pass.gradients.push_back(p->grad);
  return pass;
}

void expect_same(const Pass& a, const Pass& b, const std::string& what) {
  EXPECT_TRUE(same_bits(a.y, b.y)) << what;
  EXPECT_TRUE(same_bits(a.dx, b.dx)) << what;
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_TRUE(same_bits(a.gradients[i], b.gradients[i])) << what << ", parameter " << i;
  }
}

LayerConfig quantized_product(const char* spec, SlotSource q4, SlotSource q6) {
  LayerConfig c;
  for (std::size_t i = 0; i < kSlots; ++i) {
    c.slot[i].source = i == 3 ? q4 : i == 5 ? q6 : SlotSource::master;
    c.slot[i].spec = parse_spec(spec);
  }
  c[Slot::q3].spec.round = parse_spec("mxfp4,round=sr").round;
  c[Slot::q5].spec.round = c[Slot::q3].spec.round;
  return c;
}

const AttentionSizes kWork{3, 40, 64, 2, true, true, 10000.0};

TEST(Attention, BitsDoNotDependOnThreads) {
  const Tensor x = random_tensor({kWork.items, kWork.length, kWork.dim}, 11);
  const auto quantized = [](const LayerInfo& info) {
    return info.role == Role::attn_bmm
               ? quantized_product("mxfp4", SlotSource::requant, SlotSource::master)
               : LayerConfig{};
  };
  const int before = omp_get_max_threads();
  for (const bool quantize : {false, true}) {
    omp_set_num_threads(1);
    const Pass one = run(kWork, quantized, x, quantize);
    for (const int threads : {2, 5}) {
      omp_set_num_threads(threads);
      expect_same(one, run(kWork, quantized, x, quantize), std::to_string(threads) + " threads");
    }
  }
  omp_set_num_threads(before);
}

TEST(Attention, ALaterTokenMovesNoEarlierBit) {
  for (const Compute compute : {Compute::fp32, Compute::bf16}) {
    const auto policy = [&](const LayerInfo&) {
      LayerConfig c;
      c.compute = compute;
      return c;
    };
    const Tensor x = random_tensor({kWork.items, kWork.length, kWork.dim}, 11);
    const Pass whole = run(kWork, policy, x, false);
    for (const std::size_t t : {1u, 6u, 39u}) {
      Tensor changed = x;
      for (std::size_t j = 0; j < kWork.dim; ++j) changed[(kWork.length + t) * kWork.dim + j] += 1;
      // Not even an infinity reaches an earlier position.
      changed[(kWork.length + t) * kWork.dim] = std::numeric_limits<float>::infinity();
      const Pass other = run(kWork, policy, changed, false);
      std::size_t differ = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t item = i / (kWork.length * kWork.dim), at = i / kWork.dim % kWork.length;
        const bool same = bits_as<std::uint32_t>(whole.y[i]) == bits_as<std::uint32_t>(other.y[i]);
        if (item != 1 || at < t) {
          ASSERT_TRUE(same) << "item " << item << ", position " << at << ", token " << t;
        }
        differ += same ? 0 : 1;
      }
      EXPECT_GE(differ, kWork.dim);
    }
  }
}

TEST(Attention, PlainOperandsOfAQuantizedProductKeepTheirBits) {
  // Only the last backward operand is quantized: all that comes before has the bits of the fused
  // kernels, although it goes through whole-matrix products that multiply the masked zeros.
  const Tensor x = random_tensor({kWork.items, kWork.length, kWork.dim}, 11);
  const Pass plain = run(kWork, nullptr, x, true);
  const auto last = [](const LayerInfo& info) {
    LayerConfig c;
    if (info.role == Role::attn_bmm) {
      c[Slot::q6].source = SlotSource::master;
      c[Slot::q6].spec = parse_spec("mxfp4");
    }
    return c;
  };
  const Pass other = run(kWork, last, x, true);
  EXPECT_TRUE(same_bits(plain.y, other.y));
  EXPECT_FALSE(same_bits(plain.dx, other.dx));
  // And the switch of the options empties the slots.
  expect_same(plain, run(kWork, last, x, false), "slots emptied");
}

TEST(Attention, QuantizedProductsStayNearThePlainOnes) {
  const Tensor x = random_tensor({kWork.items, kWork.length, kWork.dim}, 11);
  const Pass plain = run(kWork, nullptr, x, false);
  for (const char* spec : {"mxfp8-e4m3", "nvfp4", "mxfp4", "mxfp4,hadamard=32"}) {
    for (const SlotSource source : {SlotSource::master, SlotSource::requant, SlotSource::dequant}) {
      const auto policy = [&](const LayerInfo& info) {
        return info.role == Role::attn_bmm ? quantized_product(spec, source, source)
                                           : LayerConfig{};
      };
      const Pass q = run(kWork, policy, x, true);
      const auto cosine = [](const Tensor& a, const Tensor& b) {
        return sum_products(a.span(), b.span()) /
               std::sqrt(sum_squares(a.span()) * sum_squares(b.span()));
      };
      EXPECT_GT(cosine(plain.y, q.y), 0.97) << spec;
      EXPECT_LT(cosine(plain.y, q.y), 1.0) << spec;
      EXPECT_GT(cosine(plain.dx, q.dx), 0.8) << spec;
    }
  }
}

class Recorder final : public Probe {
 public:
  void slot(const SlotSample& s) override { slots.emplace_back(s.layer, s.slot); }
  void gemm(const GemmSample&) override {}
  void attention(std::uint32_t l, std::span<const double> e) override {
    layer = l;
    entropy.assign(e.begin(), e.end());
  }
  void router(std::uint32_t, std::span<const std::uint64_t>, std::uint64_t) override {}
  std::vector<std::pair<std::uint32_t, Slot>> slots;
  std::uint32_t layer = 0;
  std::vector<double> entropy;
};

TEST(Attention, ReportsTheEntropyOfEachHead) {
  Recorder recorder;
  BuildContext build = fp32_build();
  AttentionSizes s{1, 4, 4, 2, true, false, 10000.0};
  AttentionCore core(build, "attn", 0, options_of(s));
  // Head 0 sees equal scores: entropy log(t + 1). Head 1 is certain: entropy 0.
  Tensor q({1, 4, 4}), k({1, 4, 4}), v({1, 4, 4}), o;
  for (std::size_t t = 0; t < 4; ++t) {
    q(t, 2) = 1000.0f;
    k(t, 2) = static_cast<float>(t);
  }
  StepContext ctx;
  ctx.probe = &recorder;
  core.forward(ctx, q, k, v, o);
  ASSERT_EQ(recorder.entropy.size(), 2u);
  EXPECT_NEAR(recorder.entropy[0], (std::log(2.0) + std::log(3.0) + std::log(4.0)) / 4, 1e-6);
  EXPECT_EQ(recorder.entropy[1], 0.0);
  EXPECT_EQ(build.layers[recorder.layer].name, "attn.qk");
}

TEST(Attention, ReportsEachSlotOfItsProducts) {
  Recorder recorder;
  const Tensor x = random_tensor({kWork.items, kWork.length, kWork.dim}, 11);
  run(
      kWork,
      [](const LayerInfo& info) {
        return info.role == Role::attn_bmm
                   ? quantized_product("mxfp4", SlotSource::master, SlotSource::master)
                   : LayerConfig{};
      },
      x, true, &recorder);
  EXPECT_EQ(recorder.slots.size(), 12u);
}

TEST(Attention, RefusesSizesThatDoNotFit) {
  const auto message = [](std::size_t dim, std::size_t heads) -> std::string {
    BuildContext build;
    AttentionOptions o;
    o.dim = dim;
    o.heads = heads;
    try {
      Attention(build, "attn", 0, o);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message(64, 3).find("model.heads"), std::string::npos);
  EXPECT_NE(message(64, 0).find("heads 0"), std::string::npos);
  EXPECT_NE(message(6, 2).find("even width"), std::string::npos);
  EXPECT_EQ(message(6, 3), "");
}

}  // namespace
}  // namespace fp4lab_test
