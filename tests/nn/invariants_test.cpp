// What training.md 11 promises of the six slots: 1, 2, 3, 4, 5, 8, 11.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sim/nn/rotation.h"
#include "tests/nn/linear_config.h"

namespace fp4lab::test {
namespace {

const NamedSlots& slots_named(const std::string& name) {
  for (const NamedSlots& s : named_slots()) {
    if (name == s.name) return s;
  }
  throw std::logic_error(name);
}

nn::StepContext step_context(std::uint32_t step = 0) {
  nn::StepContext ctx;
  ctx.seed_sr = 2026;
  ctx.step = step;
  return ctx;
}

/// Keeps what slots report.
struct Recorder final : nn::Probe {
  struct Sample {
    std::vector<float> input, output;
    std::vector<std::uint8_t> codes;
    std::vector<std::uint32_t> scale_codes;
    std::uint64_t saturated = 0;
    double requant_exact = -1, choose4 = -1;
    int calls = 0;
  };
  std::array<Sample, nn::kSlots> slots;
  std::array<double, 3> product_error{-1, -1, -1};
  std::array<double, 3> consistent_error{-1, -1, -1};  ///< -1: no such reference
  std::vector<float> y;
  bool wants_gemm() const override { return true; }
  bool wants_output() const override { return true; }
  void output(std::uint32_t, std::span<const float> v) override { y.assign(v.begin(), v.end()); }
  void slot(const nn::SlotSample& s) override {
    Sample& to = slots[static_cast<std::size_t>(s.slot)];
    to.input.assign(s.input.begin(), s.input.end());
    to.output.assign(s.output.begin(), s.output.end());
    to.codes.assign(s.codes.begin(), s.codes.end());
    to.scale_codes.assign(s.scale_codes.begin(), s.scale_codes.end());
    to.saturated = s.saturated;
    to.requant_exact = s.requant_exact;
    to.choose4 = s.choose4;
    ++to.calls;
  }
  void gemm(const nn::GemmSample& s) override {
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < s.result.size(); ++i) {
      error += std::pow(static_cast<double>(s.result[i]) - static_cast<double>(s.reference[i]), 2);
      norm += std::pow(static_cast<double>(s.reference[i]), 2);
    }
    product_error[static_cast<std::size_t>(s.gemm)] = std::sqrt(error / norm);
    if (s.consistent.empty()) return;
    error = norm = 0;
    for (std::size_t i = 0; i < s.result.size(); ++i) {
      error += std::pow(static_cast<double>(s.result[i]) - static_cast<double>(s.consistent[i]), 2);
      norm += std::pow(static_cast<double>(s.consistent[i]), 2);
    }
    consistent_error[static_cast<std::size_t>(s.gemm)] = std::sqrt(error / norm);
  }
  void attention(std::uint32_t, std::span<const double>) override {}
  void router(std::uint32_t, std::span<const std::uint64_t>, std::uint64_t) override {}
};

Recorder run(nn::Linear& layer, const nn::StepContext& ctx, const Tensor& x, const Tensor& dy,
             Tensor* dx_out = nullptr) {
  Recorder r;
  nn::StepContext probed = ctx;
  probed.probe = &r;
  Tensor y, dx;
  layer.forward(probed, x, y);
  layer.backward(probed, dy, dx);
  if (dx_out != nullptr) *dx_out = dx;
  return r;
}

TEST(Invariant, SquareBlocksTransposeOntoThemselves) {
  for (const char* spec :
       {"nvfp4,block=16x16", "mxfp4,block=32x32", "mxfp4,rule=rceil,block=32x32"}) {
    const Tensor w = test_values(64, 96, 1);
    Tensor t({96, 64});
    for (std::size_t r = 0; r < 64; ++r) {
      for (std::size_t c = 0; c < 96; ++c) t(c, r) = w(r, c);
    }
    const std::size_t shape[2] = {64, 96}, turned[2] = {96, 64};
    const QuantizedTensor a = quantize(parse_spec(spec), w.span(), shape);
    const QuantizedTensor b = quantize(parse_spec(spec), t.span(), turned);
    for (std::size_t r = 0; r < 64; ++r) {
      for (std::size_t c = 0; c < 96; ++c) EXPECT_EQ(a.codes[r * 96 + c], b.codes[c * 64 + r]);
    }
    for (std::size_t r = 0; r < a.grid.grid_rows; ++r) {
      for (std::size_t c = 0; c < a.grid.grid_cols; ++c) {
        EXPECT_EQ(a.scale_codes[r * a.grid.grid_cols + c], b.scale_codes[c * b.grid.grid_cols + r]);
      }
    }
    // So the layer's q4 = shared2d has the bits of a q4 that quantizes the master again.
    nn::LayerConfig shared = layer_config(slots_named("none").slots);
    shared[nn::Slot::q2] = slot_config({"master", spec});
    shared[nn::Slot::q3] = slot_config({"master", "nvfp4"});
    shared[nn::Slot::q4] = slot_config({"shared2d", ""});
    nn::LayerConfig again = shared;
    again[nn::Slot::q4] = slot_config({"master", spec});
    auto one = make_linear(shared, 96, 64), two = make_linear(again, 96, 64);
    const Tensor x = test_values(32, 96, 2), dy = test_values(32, 64, 3);
    Tensor dx_one, dx_two;
    run(*one, step_context(), x, dy, &dx_one);
    run(*two, step_context(), x, dy, &dx_two);
    EXPECT_TRUE(same_bits(dx_one, dx_two)) << spec;
  }
}

TEST(Invariant, SharedAndDequantizedOperandsGiveTheGradientOfTheQuantizedNetwork) {
  // With dY as it is, dX = dY Wq and dW = dY^T Xq but for rounding; quantizing the master along the
  // other axis is the gradient of another network (training.md 1.3).
  const Tensor x = test_values(64, 96, 2), dy = test_values(64, 64, 3);
  nn::LayerConfig c = layer_config(slots_named("none").slots);
  c[nn::Slot::q1] = slot_config({"master", "nvfp4"});
  c[nn::Slot::q2] = slot_config({"master", "nvfp4,block=16x16"});
  c[nn::Slot::q4] = slot_config({"shared2d", ""});
  c[nn::Slot::q6] = slot_config({"dequant", ""});
  const Recorder same = run(*make_linear(c, 96, 64), step_context(), x, dy);
  EXPECT_EQ(same.consistent_error[0], -1);
  EXPECT_LT(same.consistent_error[1], 1e-6);  // the global factor is multiplied after the sum
  EXPECT_EQ(same.consistent_error[2], 0.0);
  EXPECT_GT(same.product_error[1], 0.01);
  c[nn::Slot::q2] = slot_config({"master", "nvfp4"});
  c[nn::Slot::q4] = slot_config({"master", "nvfp4"});
  c[nn::Slot::q6] = slot_config({"master", "nvfp4"});
  const Recorder other = run(*make_linear(c, 96, 64), step_context(), x, dy);
  EXPECT_GT(other.consistent_error[1], 0.01);
  EXPECT_GT(other.consistent_error[2], 0.01);
  // Where the forward does not quantize, the reference is the plain product.
  const Recorder none =
      run(*make_linear(layer_config(slots_named("none").slots), 96, 64), step_context(), x, dy);
  EXPECT_EQ(none.consistent_error[1], 0.0);
  EXPECT_EQ(none.consistent_error[2], 0.0);
}

TEST(Invariant, RulesThatNeverClipDoNot) {
  for (const char* spec : {"mxfp4,rule=rceil", "mxfp4,rule=rceil,round=sr",
                           "mxfp4,rule=tseng34,round=sr", "nvfp4,headroom=17/16,round=sr"}) {
    nn::LayerConfig c = layer_config(slots_named("none").slots);
    for (nn::SlotConfig& s : c.slot) s = slot_config({"master", spec});
    auto layer = make_linear(c, 96, 64);
    for (std::uint32_t step = 0; step < 20; ++step) {
      const Recorder r = run(*layer, step_context(step), test_values(48, 96, 2 + step),
                             test_values(48, 64, 90 + step));
      for (const auto& s : r.slots) {
        EXPECT_EQ(s.calls, 1);
        EXPECT_EQ(s.saturated, 0u) << spec;
      }
    }
  }
  // Plain NVFP4 clips only where the block's scale was rounded down: the largest scaled element is
  // then at most 6 * 17/16.
  const QuantSpec spec = parse_spec("nvfp4");
  std::uint64_t clipped = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Tensor x = test_values(16, 64, seed);
    const std::size_t shape[2] = {16, 64};
    const QuantizedTensor q = quantize(spec, x.span(), shape);
    clipped += q.saturated;
    for (std::size_t b = 0; b < q.grid.blocks(); ++b) {
      float amax = 0.0f;
      for (std::size_t i = 0; i < 16; ++i) amax = std::max(amax, std::abs(x[b * 16 + i]));
      const float s = decode(spec.scale.format, q.scale_codes[b]);
      if (s < 0x1p-6f) continue;  // subnormal scales round further
      const double top =
          static_cast<double>(amax) / (static_cast<double>(s) * static_cast<double>(q.global[0]));
      EXPECT_LE(top, 6.0 * 17.0 / 16.0 * (1 + 1e-6));
    }
  }
  EXPECT_GT(clipped, 0u);
}

TEST(Invariant, APowerOfTwoLossScaleChangesNoCode) {
  for (const char* name :
       {"mxfp4_baseline", "tetrajet", "nvfp4_nvidia", "nvfp4_basic", "tseng", "quartet"}) {
    const Tensor x = test_values(64, 96, 2), dy = test_values(64, 64, 3);
    auto layer = make_linear(layer_config(slots_named(name).slots), 96, 64, 3, true);
    Tensor dx;
    const Recorder plain = run(*layer, step_context(5), x, dy, &dx);
    for (const int power : {-20, -3, 1, 12, 30}) {
      const float scale = pow2_f32(power);
      Tensor scaled = dy;
      for (float& v : scaled.span()) v *= scale;
      auto other = make_linear(layer_config(slots_named(name).slots), 96, 64, 3, true);
      Tensor dx_scaled;
      const Recorder r = run(*other, step_context(5), x, scaled, &dx_scaled);
      for (std::size_t s = 0; s < nn::kSlots; ++s) {
        EXPECT_EQ(r.slots[s].codes, plain.slots[s].codes)
            << name << " q" << s + 1 << " 2^" << power;
      }
      for (std::size_t i = 0; i < dx.size(); ++i) {
        ASSERT_EQ(dx_scaled[i], dx[i] * scale) << name << " dX 2^" << power;
      }
      for (std::size_t i = 0; i < layer->weight().grad.size(); ++i) {
        ASSERT_EQ(other->weight().grad[i], layer->weight().grad[i] * scale)
            << name << " dW 2^" << power;
      }
    }
  }
}

TEST(Invariant, StochasticRoundingIsUnbiasedInEveryInterval) {
  const std::vector<float> grid = {-6, -4, -3, -2, -1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  constexpr std::size_t kDraws = 100000;
  const std::size_t shape[2] = {1, kDraws};
  QuantizeOptions options;
  options.random.stream = step_context(9).stream(4, 3, RandomPurpose::element_sr);
  for (std::size_t i = 0; i + 1 < grid.size(); ++i) {
    const float x = grid[i] + 0.3f * (grid[i + 1] - grid[i]);
    Tensor t({1, kDraws});
    t.fill(x);
    const std::vector<float> y =
        fake_quantize(parse_spec("e2m1,scale=none,round=sr"), t.span(), shape, options);
    double mean = 0;
    for (const float v : y) {
      EXPECT_TRUE(v == grid[i] || v == grid[i + 1]);
      mean += static_cast<double>(v) / kDraws;
    }
    const double width = static_cast<double>(grid[i + 1] - grid[i]);
    // sr:16 rounds probabilities to 2^-16, which is far below the spread of the mean.
    EXPECT_NEAR(mean, static_cast<double>(x), 5 * width * std::sqrt(0.3 * 0.7 / kDraws)) << x;
    t.fill(grid[i]);
    for (const float v :
         fake_quantize(parse_spec("e2m1,scale=none,round=sr"), t.span(), shape, options)) {
      ASSERT_EQ(v, grid[i]);
    }
  }
}

/// Mean of dX over `draws` steps, and its standard error, against the reference dY Wq.
struct Bias {
  double worst = 0;      ///< largest |mean - reference| in standard errors
  double projected = 0;  ///< the error along the reference, relative
};
Bias bias_of(const char* name, int draws) {
  const std::size_t n = 4, d = 32, c = 32;
  auto layer = make_linear(layer_config(slots_named(name).slots), d, c);
  const Tensor x = test_values(n, d, 2), dy = test_values(n, c, 3);
  Tensor y, dx;
  const auto wq = layer->quantized_weight(step_context());
  std::vector<double> reference(n * d), sum(n * d), squares(n * d);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < d; ++k) {
      for (std::size_t j = 0; j < c; ++j) {
        reference[i * d + k] +=
            static_cast<double>(dy(i, j)) * static_cast<double>(wq.values[j * d + k]);
      }
    }
  }
  for (int t = 0; t < draws; ++t) {
    layer->forward(step_context(static_cast<std::uint32_t>(t)), x, y);
    layer->backward(step_context(static_cast<std::uint32_t>(t)), dy, dx);
    for (std::size_t i = 0; i < dx.size(); ++i) {
      sum[i] += static_cast<double>(dx[i]);
      squares[i] += static_cast<double>(dx[i]) * static_cast<double>(dx[i]);
    }
  }
  Bias b;
  double along = 0, norm = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double mean = sum[i] / draws;
    const double variance = std::max(0.0, squares[i] / draws - mean * mean);
    const double error = std::abs(mean - reference[i]);
    const double se = std::sqrt(variance / draws) + 1e-6;
    b.worst = std::max(b.worst, error / se);
    along += (mean - reference[i]) * reference[i];
    norm += reference[i] * reference[i];
  }
  b.projected = along / norm;
  return b;
}

TEST(Invariant, TetraJetsGradientIsUnbiasedAndMicroscalingsIsNot) {
  const Bias tetrajet = bias_of("tetrajet", 4096);
  EXPECT_LT(tetrajet.worst, 5.0);
  EXPECT_LT(std::abs(tetrajet.projected), 0.01);
  const Bias baseline = bias_of("mxfp4_baseline", 16);
  EXPECT_GT(baseline.worst, 5.0);
}

TEST(Invariant, QuantizingAgainChangesNoValue) {
  for (const char* spec :
       {"mxfp4", "mxfp4,rule=rceil", "mxfp4,block=32x1", "mxfp4,rule=rceil,block=32x32"}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const Tensor x = test_values(64, 96, seed);
      const std::size_t shape[2] = {64, 96};
      const std::vector<float> once = fake_quantize(parse_spec(spec), x.span(), shape);
      const std::vector<float> twice = fake_quantize(parse_spec(spec), once, shape);
      EXPECT_EQ(once, twice) << spec;
    }
  }
  // NVFP4 where a block's largest code is 6: its scale and values come back. (Global amax and all.)
  const QuantSpec spec = parse_spec("nvfp4");
  std::size_t blocks = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Tensor x = test_values(16, 96, seed);
    const std::size_t shape[2] = {16, 96};
    const QuantizedTensor q = quantize(spec, x.span(), shape);
    const std::vector<float> once = dequantize(q);
    const QuantizedTensor q2 = quantize(spec, once, shape);
    if (q2.global != q.global) continue;
    const std::vector<float> twice = dequantize(q2);
    for (std::size_t b = 0; b < q.grid.blocks(); ++b) {
      bool has6 = false;
      for (std::size_t i = 16 * b; i < 16 * b + 16; ++i) has6 = has6 || (q.codes[i] & 7u) == 7u;
      if (!has6) continue;
      ++blocks;
      for (std::size_t i = 16 * b; i < 16 * b + 16; ++i) EXPECT_EQ(once[i], twice[i]);
    }
  }
  EXPECT_GT(blocks, 50u);
}

TEST(Invariant, FourOverSixIsNoWorseThanItsSixInAnyBlock) {
  // `static6` is the same rule without the choice, under the same global scale.
  struct Pair {
    const char *chosen, *six;
    double power;  ///< of the error that the choice compares
  };
  for (const Pair& p : {Pair{"nvfp4,rule=4over6,error=mse", "nvfp4,rule=static6,e4m3max=256", 2},
                        Pair{"nvfp4,rule=4over6,error=mae", "nvfp4,rule=static6,e4m3max=256", 1}}) {
    std::uint64_t better = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const Tensor x = test_values(16, 96, seed);
      const std::size_t shape[2] = {16, 96};
      const QuantizedTensor chosen = quantize(parse_spec(p.chosen), x.span(), shape);
      const QuantizedTensor six = quantize(parse_spec(p.six), x.span(), shape);
      ASSERT_EQ(chosen.global, six.global) << p.chosen;
      const std::vector<float> a = dequantize(chosen), b = dequantize(six);
      for (std::size_t block = 0; block < x.size() / 16; ++block) {
        double error = 0, plain = 0;
        for (std::size_t i = 16 * block; i < 16 * block + 16; ++i) {
          const double v = static_cast<double>(x[i]);
          error += std::pow(std::abs(static_cast<double>(a[i]) - v), p.power);
          plain += std::pow(std::abs(static_cast<double>(b[i]) - v), p.power);
        }
        // The choice is made in binary32.
        EXPECT_LE(error, plain * (1 + 1e-5)) << p.chosen;
        better += error < 0.999 * plain ? 1 : 0;
      }
    }
    EXPECT_GT(better, 100u) << p.chosen;
  }
}

TEST(Invariant, AHadamardIsUndoneByItsInverse) {
  for (const int size : {2, 16, 32, 64, 128, 256}) {
    for (const bool along_rows : {false, true}) {
      const Tensor x = test_values(50, 70, 3);
      const nn::Rotation r{size, HadamardSigns::per_call,
                           step_context().stream(2, 1, RandomPurpose::hadamard_signs)};
      Tensor t, back = Tensor::uninitialized({50, 70});
      nn::rotate(r, x.data(), 50, 70, along_rows, t);
      double norm_x = 0, norm_t = 0;
      for (const float v : x.span()) norm_x += static_cast<double>(v) * static_cast<double>(v);
      for (const float v : t.span()) norm_t += static_cast<double>(v) * static_cast<double>(v);
      EXPECT_NEAR(norm_t / norm_x, 1.0, 1e-6);
      nn::rotate_back(r, t, 50, 70, along_rows, back.data());
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(back[i], x[i], 1e-6f * 120.0f) << size;
    }
  }
}

TEST(Linear, ReportsItsSlotsAndProducts) {
  const Tensor x = test_values(48, 96, 2), dy = test_values(48, 64, 3);
  nn::LayerConfig c = layer_config(slots_named("tetrajet").slots);
  auto layer = make_linear(c, 96, 64, 3, true);
  const Recorder r = run(*layer, step_context(), x, dy);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_GT(r.product_error[i], 0.01);
    EXPECT_LT(r.product_error[i], 0.5);
  }
  EXPECT_GT(r.slots[3].requant_exact, 0.3);
  EXPECT_LT(r.slots[3].requant_exact, 1.0);
  EXPECT_EQ(r.slots[0].requant_exact, -1);
  EXPECT_TRUE(std::equal(x.begin(), x.end(), r.slots[0].input.begin()));
  const auto wq = layer->quantized_weight(step_context());
  EXPECT_TRUE(std::equal(wq.values.begin(), wq.values.end(), r.slots[1].output.begin()));
  EXPECT_TRUE(
      std::equal(r.slots[1].output.begin(), r.slots[1].output.end(), r.slots[3].input.begin()));
  // Without a probe the same bits.
  auto quiet = make_linear(c, 96, 64, 3, true);
  Tensor y, dx;
  quiet->forward(step_context(), x, y);
  quiet->backward(step_context(), dy, dx);
  EXPECT_TRUE(same_bits(quiet->weight().grad, layer->weight().grad));
  // No bias in what output() gets: it is the product.
  for (std::size_t i = 0; i < r.y.size(); ++i) EXPECT_EQ(r.y[i], y[i]);
  // Unquantized products have no error.
  auto plain = make_linear(layer_config(slots_named("none").slots), 96, 64);
  const Recorder p = run(*plain, step_context(), x, dy);
  for (const double e : p.product_error) EXPECT_EQ(e, 0.0);
  for (const auto& s : p.slots) EXPECT_EQ(s.calls, 0);

  nn::LayerConfig four = layer_config(slots_named("none").slots);
  four[nn::Slot::q1] = slot_config({"master", "nvfp4,rule=4over6"});
  auto chooser = make_linear(four, 96, 64);
  const Recorder f = run(*chooser, step_context(), x, dy);
  EXPECT_GT(f.slots[0].choose4, 0.02);
  EXPECT_LT(f.slots[0].choose4, 0.98);
}

TEST(Linear, WeightsAreQuantizedOnceAStep) {
  nn::LayerConfig c = layer_config(slots_named("tetrajet").slots);
  auto layer = make_linear(c, 96, 64);
  const Tensor x = test_values(48, 96, 2), dy = test_values(48, 64, 3);
  nn::StepContext ctx = step_context(3);
  const Recorder first = run(*layer, ctx, x, dy);
  ctx.microbatch = 1;
  const Recorder second = run(*layer, ctx, x, dy);
  EXPECT_EQ(first.slots[1].calls, 1);
  EXPECT_EQ(second.slots[1].calls, 0);
  EXPECT_EQ(second.slots[3].calls, 0);
  EXPECT_EQ(second.slots[2].calls, 1);
  EXPECT_NE(first.slots[2].codes, second.slots[2].codes);  // dY draws for its microbatch
  // A run that begins at that microbatch has the same weight codes.
  auto other = make_linear(c, 96, 64);
  const Recorder resumed = run(*other, ctx, x, dy);
  EXPECT_EQ(resumed.slots[3].codes, first.slots[3].codes);
  EXPECT_EQ(resumed.slots[2].codes, second.slots[2].codes);
}

}  // namespace
}  // namespace fp4lab::test
