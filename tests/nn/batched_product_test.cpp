#include "sim/nn/batched_product.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "formats/convert.h"
#include "sim/gemm.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

constexpr ProductExtents kExtents{3, 32, 48, 64};

LayerConfig all_slots(const char* forward, const char* backward, SlotSource q4, SlotSource q6) {
  LayerConfig c;
  for (std::size_t i = 0; i < kSlots; ++i) {
    c.slot[i].source = i == 3 ? q4 : i == 5 ? q6 : SlotSource::master;
    c.slot[i].spec = parse_spec(i < 2 ? forward : backward);
  }
  return c;
}

BatchedProduct make(const LayerConfig& config, bool quantize = true) {
  BuildContext build;
  build.add("embedding", Role::embedding);
  build.policy = [&](const LayerInfo&) { return config; };
  return {build, "attn.qk", 0, quantize};
}

/// x [groups, rows, cols] to [groups, cols, rows].
Tensor turned(const Tensor& x, std::size_t groups) {
  const std::size_t cols = x.cols(), rows = x.rows() / groups;
  Tensor y({groups, cols, rows});
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t g = i / (rows * cols), r = i / cols % rows, c = i % cols;
    y[(g * cols + c) * rows + r] = x[i];
  }
  return y;
}

QuantizedTensor quantized(const QuantSpec& spec, const Tensor& x, std::uint32_t slot,
                          const StepContext& ctx) {
  QuantizeOptions options;
  options.random.stream = ctx.stream(1, slot, RandomPurpose::element_sr);
  options.engine = Engine::scalar;
  const std::size_t shape[] = {x.rows(), x.cols()};
  return quantize(spec, x.span(), shape, options);
}

/// The products of a group are the blocks on the diagonal of the product of all rows with all rows.
Tensor diagonal(const GemmOperand& a, const GemmOperand& b, std::size_t groups,
                const char* accumulator) {
  const GemmResult all = gemm(a, b, parse_accumulator(accumulator));
  const std::vector<float> values = all.values();
  const std::size_t rows = all.rows / groups, cols = all.cols / groups;
  Tensor y({groups, rows, cols});
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t g = i / (rows * cols), r = i / cols % rows, c = i % cols;
    y[i] = values[(g * rows + r) * all.cols + g * cols + c];
  }
  return y;
}

struct Data {
  Tensor a = random_tensor({kExtents.groups, kExtents.m, kExtents.k}, 1);
  Tensor b = random_tensor({kExtents.groups, kExtents.n, kExtents.k}, 2);
  Tensor dy = random_tensor({kExtents.groups, kExtents.m, kExtents.n}, 3);
  Tensor y, da, db;
  StepContext ctx;
  explicit Data(BatchedProduct product, std::uint8_t off = 0) {
    ctx.seed_sr = 5;
    ctx.step = 7;
    ctx.microbatch = 2;
    ctx.slots_off = off;
    product.forward(ctx, kExtents, a, b, y);
    product.backward(ctx, dy, da, db);
  }
};

TEST(BatchedProduct, IsTheProductOfWhatEachSlotMakes) {
  struct Case {
    const char *forward, *backward, *accumulate;
  };
  for (const Case& c : {Case{"mxfp4", "mxfp4,round=sr", "block-exact"},
                        Case{"nvfp4", "nvfp4,round=sr", "block-exact"},
                        Case{"e4m3", "e5m2", "block-exact"}, Case{"mxfp4", "mxfp4", "fp32-seq"}}) {
    LayerConfig config = all_slots(c.forward, c.backward, SlotSource::master, SlotSource::requant);
    config.accumulate = c.accumulate;
    const Data d(make(config));
    const QuantSpec forward = parse_spec(c.forward), backward = parse_spec(c.backward);
    const auto operand = [&](const QuantSpec& spec, const Tensor& x, std::uint32_t slot) {
      return GemmOperand::from_quantized(quantized(spec, x, slot, d.ctx));
    };
    const std::size_t groups = kExtents.groups;
    const Tensor y =
        diagonal(operand(forward, d.a, 1), operand(forward, d.b, 2), groups, c.accumulate);
    EXPECT_TRUE(same_bits(y, d.y)) << c.forward;
    const Tensor da = diagonal(operand(backward, d.dy, 3),
                               operand(backward, turned(d.b, groups), 4), groups, c.accumulate);
    EXPECT_TRUE(same_bits(da, d.da)) << c.forward;
    // q6 quantizes what q1 left.
    const std::vector<float> left = dequantize(quantized(forward, d.a, 1, d.ctx));
    const Tensor again({groups, kExtents.m, kExtents.k}, left);
    const Tensor db = diagonal(operand(backward, turned(d.dy, groups), 5),
                               operand(backward, turned(again, groups), 6), groups, c.accumulate);
    EXPECT_TRUE(same_bits(db, d.db)) << c.forward;
  }
}

TEST(BatchedProduct, SquareBlocksServeBothProducts) {
  LayerConfig config =
      all_slots("mxfp4,block=16x16", "mxfp4", SlotSource::shared2d, SlotSource::shared2d);
  const Data d(make(config));
  const auto codes_turned = [&](const Tensor& x, std::uint32_t slot) {
    // Turned group by group: the codes of a turned group are the turned codes.
    return GemmOperand::from_quantized(
        quantized(parse_spec("mxfp4,block=16x16"), turned(x, kExtents.groups), slot, d.ctx));
  };
  const QuantSpec spec = parse_spec("mxfp4");
  EXPECT_TRUE(same_bits(d.da, diagonal(GemmOperand::from_quantized(quantized(spec, d.dy, 3, d.ctx)),
                                       codes_turned(d.b, 2), kExtents.groups, "block-exact")));
  EXPECT_TRUE(same_bits(d.db, diagonal(GemmOperand::from_quantized(quantized(
                                           spec, turned(d.dy, kExtents.groups), 5, d.ctx)),
                                       codes_turned(d.a, 1), kExtents.groups, "block-exact")));
}

TEST(BatchedProduct, AnEmptySlotIsInTheComputeType) {
  for (const Compute compute : {Compute::fp32, Compute::bf16}) {
    LayerConfig config = all_slots("mxfp4", "mxfp4", SlotSource::master, SlotSource::dequant);
    config.compute = compute;
    config[Slot::q2].source = SlotSource::none;
    const Data d(make(config));
    const ElementFormat bf16 = parse_spec("bf16").element;
    Tensor b = d.b;
    for (float& x : b) {
      if (compute == Compute::bf16) x = decode(bf16, encode(bf16, x));
    }
    const GemmOperand plain = GemmOperand::from_floats(b.span(), b.rows(), b.cols());
    const GemmOperand a =
        GemmOperand::from_quantized(quantized(parse_spec("mxfp4"), d.a, 1, d.ctx));
    EXPECT_TRUE(same_bits(d.y, diagonal(a, plain, kExtents.groups, "fp32-fma")));
  }
}

TEST(BatchedProduct, PhasesSwitchSlotsOff) {
  const LayerConfig config = all_slots("mxfp4", "mxfp4", SlotSource::master, SlotSource::master);
  LayerConfig forward_only = config;
  for (std::size_t i = 2; i < kSlots; ++i) forward_only.slot[i].source = SlotSource::none;
  const Data off(make(config), 0b111100), none(make(forward_only)), on(make(config));
  EXPECT_TRUE(same_bits(off.y, none.y));
  EXPECT_TRUE(same_bits(off.da, none.da));
  EXPECT_TRUE(same_bits(off.db, none.db));
  EXPECT_FALSE(same_bits(off.da, on.da));
  StepContext ctx;
  EXPECT_TRUE(make(config).quantizes(ctx));
  EXPECT_FALSE(make(config, false).quantizes(ctx));
  ctx.slots_off = 0b111111;
  EXPECT_FALSE(make(config).quantizes(ctx));
}

TEST(BatchedProduct, RefusesWhatItCannotDo) {
  const auto message = [](const LayerConfig& config) -> std::string {
    try {
      Data d(make(config));
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  const LayerConfig good = all_slots("mxfp4", "mxfp4", SlotSource::master, SlotSource::master);
  EXPECT_EQ(message(good), "");
  LayerConfig c = good;
  c[Slot::q1].estimator.kind = EstimatorKind::dge;
  EXPECT_NE(message(c).find("attn.qk: slots.q1.estimator"), std::string::npos) << message(c);
  c = good;
  c[Slot::q1].source = SlotSource::requant;
  EXPECT_NE(message(c).find("slots.q1.source"), std::string::npos) << message(c);
  c = good;
  c.accumulate = "acc-sr:bf16:8";
  EXPECT_NE(message(c).find("acc-sr"), std::string::npos) << message(c);
  c = good;
  c.accumulate = "sum";
  EXPECT_NE(message(c).find("attn.qk: "), std::string::npos) << message(c);
  c = good;
  c[Slot::q1].spec = parse_spec("mxfp4,block=64x64");
  EXPECT_NE(message(c).find("blocks of 64 rows do not divide the 32 rows of a head"),
            std::string::npos)
      << message(c);
}

}  // namespace
}  // namespace fp4lab_test
