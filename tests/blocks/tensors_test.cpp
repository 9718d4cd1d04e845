// Shapes, special values and the remaining rules: whole tensors against the model.
#include <string>
#include <vector>

#include "tests/blocks/compare.h"

namespace fp4lab_blocks {
namespace {

using oracle::kInf32;
using oracle::kMax32;
using oracle::kSign32;
using oracle::Rational;

const char* const kEverySpec[] = {
    "mxfp4",
    "mxfp4,rule=rceil",
    "mxfp4,rule=ceil",
    "mxfp4,rule=even",
    "mxfp4,rule=tseng34",
    "mxfp4,rule=quest",
    "mxfp6-e2m3",
    "mxfp6-e3m2,rule=rceil",
    "mxfp8-e4m3",
    "mxfp8-e5m2,rule=rceil",
    "mxint8",
    "mxint4,round=rna",
    "mxint2",
    "nvfp4",
    "nvfp4,headroom=17/16",
    "nvfp4,global=none",
    "nvfp4,global=row",
    "nvfp4,global=1x128",
    "nvfp4,rule=4over6",
    "nvfp4,rule=4over6,error=mse,global=row",
    "nvfp4,rule=static6",
    "nvfp4,rule=static6,headroom=17/16",
    "nvfp4,rule=static4",
    "nvint4",
    "if4",
    "hif4",
    "e2m1,block=1x32",
    "e2m1,block=row",
    "e2m1,block=col",
    "e2m1",
    "e2m1,rule=clip:0.9,block=1x16",
    "e2m1,rule=percentile:99,block=1x64",
    "e2m1,rule=percentile:50,block=1x7",
    "e2m1,rule=mse,block=1x16",
    "e2m1,rule=fixed:0.375",
    "e2m1,rule=pow2-floor,block=1x32",
    "e2m1,rule=pow2-ceil,block=1x32",
    "e2m1,rule=pow2-near,block=1x32",
    "e2m1,rule=floor,block=1x8",
    "e2m1,round=rna,block=1x16",
    "e2m1,round=odd,block=1x16",
    "e2m1,round=rtp,block=1x16",
    "e1m2,block=1x32",
    "e1m2-b1,block=1x32",
    "e3m0,block=1x32",
    "e3m0-nz,block=1x32",
    "radix4-even",
    "radix4-odd",
    "int4,block=1x32",
    "nf4,block=1x64",
    "sf4,block=1x64",
    "e4m3",
    "e5m2",
    "e2m3,block=1x16",
    "int8,block=row",
    "bf16",
    "fp16",
    "tf32",
    "e2m1,block=16x16",
    "e2m1,block=16x1",
    "mxfp4,block=32x32",
    "mxfp4,block=32x1",
    "nvfp4,block=16x16",
    "nvfp4,block=16x1",
    "nvfp4@te,block=16x16",
    "nvfp4,rule=4over6,block=16x16",
    "nvfp4,rule=4over6,error=mse,block=16x16",
    "nvfp4@te-4over6,block=16x16",
    "if4,block=16x16",
    "e2m1,hadamard=16",
    "mxfp4,hadamard=32",
    "mxfp4,hadamard=128:none",
    "nvfp4,hadamard=16:per-call",
    "nvfp4,hadamard=64:per-layer-step",
    "nvfp4,hadamard=16,block=16x1",
    "e2m1,prescale=0.75,block=1x16",
    "e2m1,clip=1.25,block=1x16",
    "mxfp4,hadamard=32,prescale=3,clip=2",
    "e2m1,round=sr:16,block=1x16",
    "e2m1,round=sr:8,block=1x16",
    "e2m1,round=sr:32,block=1x16",
    "e2m1,round=sr-fast:8,block=1x16",
    "e2m1,round=sr-rne:5,block=1x16",
    "e2m1,round=sr-rno:13,block=1x16",
    "e2m1,round=sr-uniform,block=1x16",
    "mxfp4,rule=tseng34,round=sr:16",
    "mxfp4,rule=rceil,round=sr:16,hadamard=32",
    "nvfp4,round=sr:16",
    "nvfp4,headroom=17/16,round=sr:8,hadamard=16",
    "nvint4,round=sr:16",
    "e3m0,round=luq",
    "int4,round=sr:16",
    "radix4-even,round=rnz",
};

class Tensors : public testing::TestWithParam<const char*> {};

std::string test_name(const testing::TestParamInfo<const char*>& info) {
  std::string name;
  for (const char c : std::string(info.param)) {
    name += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Tensors, testing::ValuesIn(kEverySpec), test_name);

oracle::RandomBits some_words() {
  oracle::RandomBits r;
  r.seed = 0x123456789ABCDEFull;
  r.stream = 19;
  r.step = 3;
  r.microbatch = 5;
  return r;
}

/// What Transformer Engine's reference makes of a block with a NaN or an infinity is open between
/// two pages of the contract (codes of x itself, or its own arithmetic): not compared.
bool non_finite_is_open(const std::string& spec, F32 x) {
  return spec.find("@te") != std::string::npos && !oracle::is_finite(x);
}

TEST_P(Tensors, BellShaped) {
  expect_same(GetParam(), bell("bell", 20, 70, 0, 11), some_words());
  expect_same(GetParam(), short_mantissas(bell("bell", 17, 35, 3, 12)), some_words());
}

TEST_P(Tensors, OneElement) {
  for (const F32 x : {0x3F800000u, 0x80000001u, 0x7F7FFFFFu, 0xC0C00001u, 0u, kSign32, kInf32,
                      0x7FC00000u, 0xFFFFFFFFu, 0x00800000u}) {
    if (non_finite_is_open(GetParam(), x)) continue;
    expect_same(GetParam(), row_of("one element", {x}), some_words());
  }
}

TEST_P(Tensors, ShortIntegers) {
  Generator random(21);
  Tensor t{"integers", 6, 48, {}};
  for (int i = 0; i < 6 * 48; ++i) {
    t.bits.push_back(oracle::to_binary32(static_cast<long>(random.below(49)) - 24));
  }
  expect_same(GetParam(), t, some_words());
}

TEST_P(Tensors, EveryTail) {
  for (std::size_t n = 1; n <= 40; ++n) {
    expect_same(GetParam(), bell("tail of " + std::to_string(n), 2, n, -2, 40 + n), some_words());
  }
  expect_same(GetParam(), bell("tall tail", 37, 3, -2, 90), some_words());
}

TEST_P(Tensors, WideRangesSubnormalsAndHugeValues) {
  for (const auto& [low, high] : {std::pair{-149, -126}, {-149, 127}, {120, 127}, {-20, 20}}) {
    Generator random(static_cast<std::uint64_t>(low + 1000 * high + 200000));
    Tensor t{"exponents " + std::to_string(low) + ".." + std::to_string(high), 3, 64, {}};
    for (int i = 0; i < 3 * 64; ++i) t.bits.push_back(random.number(low, high));
    if (std::string(GetParam()).find("hadamard") != std::string::npos && high > 100) continue;
    expect_same(GetParam(), t, some_words());
  }
}

TEST_P(Tensors, ZerosKeepTheirSign) {
  Tensor t{"zeros of both signs", 4, 33, {}};
  for (int i = 0; i < 4 * 33; ++i) t.bits.push_back(i % 3 == 0 ? kSign32 : 0);
  expect_same(GetParam(), t, some_words());
  t.name = "one number among zeros";
  t.bits[40] = 0x40000000u;
  expect_same(GetParam(), t, some_words());
}

TEST_P(Tensors, NanAndInfinityCostTheirOwnBlock) {
  for (const F32 bad : {kInf32, kInf32 | kSign32, 0x7FC00000u, 0xFFC12345u, 0x7F800001u}) {
    if (non_finite_is_open(GetParam(), bad)) continue;
    Tensor t = bell("one bad element", 4, 80, 1, 77);
    t.bits[100] = bad;
    expect_same(GetParam(), t, some_words());
  }
}

TEST(TensorsEdge, GlobalFactorPer128Columns) {
  expect_same("nvfp4,global=1x128", bell("300 columns", 3, 300, 2, 4));
  expect_same("nvfp4,global=row", bell("300 columns", 3, 300, 2, 4));
  expect_same("nvfp4,rule=4over6,global=1x128", bell("300 columns", 3, 300, 2, 4));
}

TEST(TensorsEdge, AmaxIgnoringNan) {
  Tensor t = bell("one NaN", 2, 64, 1, 77);
  t.bits[70] = 0x7FC00000u;
  expect_same("nvfp4,amax-nan=ignore", t);
  expect_same("mxfp4,amax-nan=ignore", t);
  expect_same("e2m1,amax-nan=ignore,block=1x16", t);
}

TEST(TensorsEdge, Profiles_ZerosOfBothSigns) {
  Tensor t = bell("minus zeros", 2, 32, 1, 79);
  for (std::size_t i = 0; i < t.bits.size(); i += 5) t.bits[i] = kSign32;
  expect_same("nvfp4@te", t);
  expect_same("nvfp4@modelopt", t);
  expect_same("nvfp4@torchao", t);
  expect_same("nvfp4@fouroversix", t);
  expect_same("nvfp4@te", row_of("zeros", std::vector<F32>(32, 0)));
  expect_same("nvfp4@torchao", row_of("zeros", std::vector<F32>(32, 0)));
  expect_same("nvfp4@torchao-single", row_of("zeros", std::vector<F32>(32, 0)));
  expect_same("nvfp4@fouroversix,rule=static6", row_of("zeros", std::vector<F32>(32, 0)));
}

TEST(TensorsEdge, Fouroversix_SquareBlocks) {
  for (const char* spec :
       {"nvfp4@fouroversix", "nvfp4@fouroversix,error=mae", "nvfp4@fouroversix,rule=static6",
        "nvint4@fouroversix", "if4@fouroversix"}) {
    expect_same(std::string(spec) + ",block=16x16", bell("bell", 48, 64, 0, 31));
    expect_same(std::string(spec) + ",block=16x16", short_mantissas(bell("bell", 32, 32, 2, 32)));
  }
}

/// RaZeR: the model quantizes with both special values; the library must have taken, block by
/// block, one of the two, and one whose exact error is not larger.
TEST(TensorsEdge, Razer_TakesTheBetterSpecialValue) {
  const Tensor t = bell("bell", 8, 64, 0, 51);
  const fp4lab::QuantizedTensor got = library_quantize("razer", t);
  const std::vector<float> values = fp4lab::dequantize(got);
  const oracle::ModelTensor plain = oracle::quantize(oracle::block_spec("nvfp4"), t.bits, 8, 64);
  ASSERT_EQ(got.scale_codes.size(), plain.scales.size());
  int chosen[2] = {0, 0};
  for (std::size_t block = 0; block < plain.scales.size(); ++block) {
    ASSERT_EQ(got.scale_codes[block] & 0x7Fu, plain.scales[block]) << block;
    const unsigned choice = got.scale_codes[block] >> 7;
    ++chosen[choice];
    Rational error[2];
    const Rational g = oracle::from_binary32(plain.global[0]).value;
    const Rational s = oracle::format("ue4m3").codes[plain.scales[block]].value;
    for (unsigned c = 0; c < 2; ++c) {
      const oracle::Format& f = oracle::format(c == 0 ? "e2m1-razer" : "e2m1-razer-m5");
      const F32 factor =
          oracle::div(oracle::kOne32, oracle::mul(oracle::to_binary32(s), plain.global[0]));
      for (std::size_t k = 0; k < 16; ++k) {
        const std::size_t i = 16 * block + k;
        const F32 v = oracle::mul(t.bits[i], factor);
        const std::uint32_t code =
            oracle::encode(f, oracle::from_binary32(v), oracle::Mode::kRnLower);
        if (c == choice) {
          ASSERT_EQ(got.code_at(i), code) << i;
          const F32 want = oracle::mul(
              oracle::mul(oracle::to_binary32(f.codes[code].value), oracle::to_binary32(s)),
              plain.global[0]);
          ASSERT_EQ(as_bits(values[i]) & ~kSign32, want & ~kSign32) << i;
        }
        const Rational e = f.codes[code].value * s * g - oracle::from_binary32(t.bits[i]).value;
        error[c] += got.spec.error == fp4lab::ErrorMetric::mae ? Rational(abs(e)) : Rational(e * e);
      }
    }
    EXPECT_LE(error[choice], error[1 - choice] * Rational(1000001, 1000000)) << block;
  }
  EXPECT_GT(chosen[0], 0);
  EXPECT_GT(chosen[1], 0);
}

TEST(TensorsEdge, EmptyTensorsHaveNothing) {
  for (const char* spec : {"mxfp4", "nvfp4", "e2m1", "mxfp4,hadamard=32", "nvfp4,global=row"}) {
    for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{0, 0}, {0, 8}, {8, 0}}) {
      const Tensor t{"empty", rows, cols, {}};
      const fp4lab::QuantizedTensor q = library_quantize(spec, t);
      EXPECT_TRUE(q.codes.empty()) << spec;
      EXPECT_TRUE(q.scale_codes.empty()) << spec;
      EXPECT_TRUE(fp4lab::dequantize(q).empty()) << spec;
    }
  }
}

TEST(TensorsEdge, LeadingAxesFoldIntoRows) {
  const Tensor t = bell("bell", 6, 40, 0, 13);
  const std::size_t shape[3] = {2, 3, 40};
  for (const char* spec : {"mxfp4", "nvfp4", "e2m1,block=col", "e2m1,block=2x8"}) {
    const auto flat = library_quantize(spec, t);
    const auto deep = fp4lab::quantize(fp4lab::parse_spec(spec), floats(t.bits), shape);
    EXPECT_EQ(flat.codes, deep.codes) << spec;
    EXPECT_EQ(flat.scale_codes, deep.scale_codes) << spec;
    EXPECT_EQ(fp4lab::dequantize(flat), fp4lab::dequantize(deep)) << spec;
  }
}

TEST(TensorsEdge, AWrongShapeIsRefused) {
  const std::size_t shape[2] = {2, 3};
  const std::vector<float> data(5);
  EXPECT_THROW(fp4lab::quantize(fp4lab::parse_spec("mxfp4"), data, shape), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab_blocks
