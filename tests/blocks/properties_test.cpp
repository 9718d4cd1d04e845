// Properties that quantizers must have whatever their arithmetic: idempotence, no clipping,
// equivariance, unbiasedness, inverses.
#include <omp.h>

#include <cmath>
#include <string>
#include <vector>

#include "formats/scale_rule.h"
#include "tests/blocks/compare.h"

namespace fp4lab_blocks {
namespace {

using oracle::Rational;

std::vector<float> fake(const std::string& spec, const Tensor& t,
                        const oracle::RandomBits& random = {}) {
  return fp4lab::dequantize(library_quantize(spec, t, random));
}

Tensor tensor_of(const std::vector<float>& x, std::size_t rows, std::size_t cols) {
  Tensor t{"values", rows, cols, {}};
  for (const float v : x) t.bits.push_back(as_bits(v));
  return t;
}

std::vector<F32> bits_of(const std::vector<float>& x) {
  std::vector<F32> out;
  for (const float v : x) out.push_back(as_bits(v));
  return out;
}

Tensor wide(std::uint64_t seed, std::size_t rows, std::size_t cols, int low, int high) {
  Generator random(seed);
  Tensor t{"wide", rows, cols, {}};
  for (std::size_t i = 0; i < rows * cols; ++i) t.bits.push_back(random.number(low, high));
  return t;
}

TEST(Properties, ValueIdempotence_OfPowerOfTwoScales) {
  for (const char* spec : {"mxfp4", "mxfp4,rule=rceil", "mxfp8-e4m3", "mxfp6-e3m2,rule=rceil",
                           "mxint8", "e2m1,rule=pow2-ceil,block=1x16"}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const Tensor t = wide(seed, 8, 64, -30, 30);
      const std::vector<float> once = fake(spec, t);
      EXPECT_EQ(bits_of(fake(spec, tensor_of(once, 8, 64))), bits_of(once)) << spec;
    }
  }
}

TEST(Properties, ValueIdempotence_OfTwoLevelBlocksThatReachTheirMaximum) {
  // Where the tensor maximum and every block maximum map to code 6 and 448: A a multiple of 2688.
  Generator random(3);
  Tensor t{"reachable", 4, 64, {}};
  const float values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (int block = 0; block < 16; ++block) {
    const float scale = block == 0 ? 448.0f : static_cast<float>(1 + random.below(16));
    for (int i = 0; i < 16; ++i) {
      const float v = i == 0 ? 6.0f : values[random.below(8)];
      t.bits.push_back(as_bits(v * scale));
    }
  }
  EXPECT_EQ(bits_of(fake("nvfp4", t)), t.bits);
}

TEST(Properties, NothingClips_UnderRceilAndTseng34) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const Tensor t = wide(seed, 4, 64, -100, 100);
    for (const char* spec : {"mxfp4,rule=rceil", "mxfp4,rule=tseng34", "mxfp8-e4m3,rule=rceil",
                             "mxint4,rule=rceil", "e2m1,rule=pow2-ceil,block=1x32"}) {
      EXPECT_EQ(library_quantize(spec, t).saturated, 0u) << spec;
    }
  }
  // ... which is no empty statement: FLOOR clips maxima above 6 times its scale.
  const Tensor seven = row_of("seven", {as_bits(7.0f), as_bits(1.0f)});
  EXPECT_EQ(library_quantize("mxfp4", seven).saturated, 1u);
}

TEST(Properties, FourOverSix_IsNeverWorseThanAlwaysSix) {
  for (const char* error : {"mae", "mse"}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const Tensor t = bell("bell", 4, 64, 0, seed);
      const std::string best = std::string("nvfp4,rule=4over6,error=") + error;
      const auto choice = library_quantize(best, t);
      const std::vector<float> y = fp4lab::dequantize(choice);
      // The same global factor with every block mapped to 6.
      int fours = 0;
      for (std::size_t block = 0; block < 16; ++block) {
        Rational with_choice = 0, with_six = 0;
        F32 amax = 0;
        for (std::size_t i = 16 * block; i < 16 * block + 16; ++i) {
          amax = std::max(amax, oracle::abs32(t.bits[i]));
        }
        const F32 g = as_bits(choice.global[0]);
        const Rational exact_g = oracle::from_binary32(g).value;
        const std::uint32_t code =
            oracle::encode(oracle::format("ue4m3"),
                           oracle::from_binary32(oracle::div(oracle::div(amax, as_bits(6.0f)), g)),
                           oracle::Mode::kRne);
        if (code != choice.scale_codes[block]) ++fours;
        const Rational s = oracle::format("ue4m3").codes[code].value;
        for (std::size_t i = 16 * block; i < 16 * block + 16; ++i) {
          const Rational x = oracle::from_binary32(t.bits[i]).value;
          oracle::Number v;
          v.value = x / (s * exact_g);
          v.negative = x < 0;
          const auto q = oracle::encode(oracle::format("e2m1"), v, oracle::Mode::kRne);
          const Rational a = abs(Rational(oracle::from_binary32(as_bits(y[i])).value - x));
          const Rational b = abs(Rational(oracle::format("e2m1").codes[q].value * s * exact_g - x));
          with_choice += std::string(error) == "mae" ? a : Rational(a * a);
          with_six += std::string(error) == "mae" ? b : Rational(b * b);
        }
        EXPECT_LE(with_choice, with_six * Rational(1000001, 1000000)) << error << " " << block;
      }
      EXPECT_GT(fours, 0) << "no block took the other candidate";
    }
  }
}

TEST(Properties, HadamardInverse_GivesTheInputBack) {
  for (const std::size_t size : {2u, 16u, 32u, 64u, 128u, 256u}) {
    for (const oracle::Signs signs : {oracle::Signs::kFixed, oracle::Signs::kNone}) {
      const Tensor t = bell("bell", 1, size, 0, size);
      const auto negative = oracle::hadamard_signs(signs, size, {});
      std::vector<F32> x = t.bits;
      oracle::hadamard_group(x, negative, false);
      EXPECT_NE(x, t.bits);
      oracle::hadamard_group(x, negative, true);
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_NEAR(as_float(x[i]), as_float(t.bits[i]), 1e-6 * 4) << size << " " << i;
      }
      // The library, with a format fine enough to show nothing but the transform.
      const std::string spec =
          "fp32,hadamard=" + std::to_string(size) + (signs == oracle::Signs::kNone ? ":none" : "");
      EXPECT_EQ(bits_of(fake(spec, t)), x) << spec;
    }
  }
}

TEST(Properties, Luq_LevelsArePowersOfTwoTimesAlpha) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Tensor t = wide(seed, 2, 200, -12, 0);
    oracle::RandomBits words;
    words.seed = seed;
    const auto q = library_quantize("e3m0,round=luq,block=tensor", t, words);
    F32 amax = 0;
    for (const F32 b : t.bits) amax = std::max(amax, oracle::abs32(b));
    const float alpha = as_float(amax) / 64.0f;
    for (const float y : fp4lab::dequantize(q)) {
      const float ratio = std::fabs(y) / alpha;
      const bool level = ratio == 0 || ratio == 1 || ratio == 2 || ratio == 4 || ratio == 8 ||
                         ratio == 16 || ratio == 32 || ratio == 64;
      EXPECT_TRUE(level) << ratio;
    }
  }
}

/// Mean of many draws of the same tensor against x within 5 standard deviations of the mean; a
/// model whose p is floor(d 2^N) / 2^N may be low by one cell / 2^N.
void expect_unbiased(const std::string& spec, const Tensor& t, int draws, double cell_bias) {
  std::vector<double> sum(t.bits.size(), 0.0), squares(t.bits.size(), 0.0);
  for (int n = 0; n < draws; ++n) {
    oracle::RandomBits words;
    words.seed = 99;
    words.step = static_cast<std::uint32_t>(n);
    const std::vector<float> y = fake(spec, t, words);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double e = static_cast<double>(y[i]) - static_cast<double>(as_float(t.bits[i]));
      sum[i] += e;
      squares[i] += e * e;
    }
  }
  int random_elements = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double mean = sum[i] / draws;
    const double deviation = std::sqrt(squares[i] / draws / draws);
    const double scale = std::fabs(static_cast<double>(as_float(t.bits[i]))) + 1;
    EXPECT_LE(std::fabs(mean), 5 * deviation + cell_bias * scale) << spec << " element " << i;
    if (squares[i] > 0) ++random_elements;
  }
  EXPECT_GT(random_elements, static_cast<int>(sum.size()) / 2) << spec;
}

TEST(Properties, StochasticRounding_IsUnbiasedInEveryInterval) {
  // scale 1 (amax 6): elements spread over the 14 intervals of E2M1
  Tensor t{"intervals", 1, 0, {}};
  for (int i = -59; i <= 60; ++i) t.bits.push_back(as_bits(static_cast<float>(i) / 10.0f));
  t.cols = t.bits.size();
  for (const char* spec :
       {"e2m1,round=sr:16", "e2m1,round=sr:32", "e2m1,round=sr-uniform", "e2m1,round=sr-rne:16",
        "e2m1,round=sr-fast:16", "e2m1,round=sr-noise"}) {
    expect_unbiased(spec, t, 600, 0x1p-15);
  }
  expect_unbiased("e2m1,round=sr:8", t, 600, 0x1p-7);
}

TEST(Properties, Luq_IsUnbiasedInAllThreeRegions) {
  // alpha = 1 (amax 64): below alpha, between levels, on levels and at the maximum
  Tensor t{"regions", 1, 0, {}};
  for (int i = 1; i < 40; ++i) t.bits.push_back(as_bits(static_cast<float>(i) / 40.0f));
  for (int i = 1; i < 64; ++i) t.bits.push_back(as_bits(static_cast<float>(-i) * 1.01f));
  t.bits.push_back(as_bits(64.0f));
  t.bits.push_back(as_bits(0.001f));
  t.cols = t.bits.size();
  expect_unbiased("e3m0,round=luq,block=tensor", t, 4000, 0x1p-14);
}

TEST(Properties, StochasticRounding_LeavesExactValuesAlone) {
  const std::vector<F32> grid = {as_bits(6.0f),  as_bits(0.5f), as_bits(-1.5f), as_bits(-0.0f),
                                 as_bits(-6.0f), as_bits(3.0f), as_bits(0.0f),  as_bits(-4.0f)};
  for (const char* spec : {"e2m1,round=sr:16", "e2m1,round=sr-uniform", "e2m1,round=sr-fast:4",
                           "e2m1,round=sr-noise", "e2m1,round=sr-rno:9"}) {
    for (std::uint32_t step = 0; step < 200; ++step) {
      oracle::RandomBits words;
      words.step = step;
      ASSERT_EQ(bits_of(fake(spec, row_of("grid", grid), words)), grid) << spec;
    }
  }
}

TEST(Properties, Radix4_ThresholdsLieAtPowersOf4Over1_6) {
  // scale 1: the largest level is present
  for (const auto& [spec, top] : {std::pair{"radix4-even", 64.0f}, {"radix4-odd", 128.0f}}) {
    for (int n = 0; n < 6; ++n) {
      const Rational upper = Rational(static_cast<long>(top)) /
                             pow(boost::multiprecision::cpp_int(4), static_cast<unsigned>(n));
      const F32 cut = oracle::to_binary32(upper * Rational(10, 16));
      const Tensor t = row_of("cut", {as_bits(top), cut - 1, cut + 1});
      const std::vector<float> y = fake(spec, t);
      const float high = as_float(oracle::to_binary32(upper));
      EXPECT_EQ(y[2], high) << spec << n;
      EXPECT_EQ(y[1], high / 4) << spec << n;
    }
  }
}

TEST(Properties, TransposedSquareBlocks_HaveTransposedCodes) {
  for (const char* spec : {"nvfp4,block=16x16", "mxfp4,block=32x32", "e2m1,block=8x8",
                           "nvfp4@te,block=16x16", "nvfp4,rule=static6,block=16x16"}) {
    const Tensor t = bell("bell", 70, 45, 0, 17);
    Tensor turned{"turned", 45, 70, {}};
    for (std::size_t c = 0; c < 45; ++c) {
      for (std::size_t r = 0; r < 70; ++r) turned.bits.push_back(t.bits[r * 45 + c]);
    }
    const auto a = library_quantize(spec, t), b = library_quantize(spec, turned);
    for (std::size_t r = 0; r < 70; ++r) {
      for (std::size_t c = 0; c < 45; ++c) {
        ASSERT_EQ(a.codes[r * 45 + c], b.codes[c * 70 + r]) << spec;
      }
    }
  }
}

TEST(Properties, PowersOfTwoPassThrough) {
  for (const char* spec :
       {"mxfp4", "mxfp4,rule=rceil", "mxfp4,rule=even", "mxfp4,rule=tseng34", "nvfp4", "nvfp4@te",
        "nvfp4,rule=4over6", "nvfp4,rule=static6", "nvfp4,headroom=17/16", "nvfp4,round=sr:16",
        "mxfp4,round=sr:16", "if4", "e2m1,block=1x16", "nvfp4,hadamard=16"}) {
    const Tensor t = bell("bell", 4, 64, 0, 23);
    oracle::RandomBits words;
    words.seed = 5;
    const auto base = library_quantize(spec, t, words);
    const auto values = fp4lab::dequantize(base);
    for (const int p : {-40, -12, 1, 30}) {
      Tensor scaled = t;
      for (F32& b : scaled.bits) b = oracle::scale_by_pow2(b, p);
      const auto q = library_quantize(spec, scaled, words);
      EXPECT_EQ(q.codes, base.codes) << spec << " 2^" << p;
      const auto y = fp4lab::dequantize(q);
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(as_bits(y[i]), oracle::scale_by_pow2(as_bits(values[i]), p)) << spec;
      }
    }
  }
}

TEST(Properties, ThreadCountChangesNothing) {
  const int before = omp_get_max_threads();
  for (const char* spec : {"mxfp4,round=sr:16", "nvfp4,round=sr:8,hadamard=16", "nvfp4,global=row",
                           "nvfp4,rule=4over6,block=16x16", "e2m1", "e2m1,block=col,round=sr:32",
                           "nvfp4,block=16x1,hadamard=32"}) {
    const Tensor t = bell("bell", 67, 130, 0, 29);
    std::vector<fp4lab::QuantizedTensor> results;
    std::vector<std::vector<F32>> values;
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      results.push_back(library_quantize(spec, t));
      values.push_back(bits_of(fp4lab::dequantize(results.back())));
    }
    for (std::size_t i = 1; i < results.size(); ++i) {
      EXPECT_EQ(results[i].codes, results[0].codes) << spec;
      EXPECT_EQ(results[i].scale_codes, results[0].scale_codes) << spec;
      EXPECT_EQ(results[i].saturated, results[0].saturated) << spec;
      EXPECT_EQ(values[i], values[0]) << spec;
    }
  }
  omp_set_num_threads(before);
}

TEST(Properties, HandedInWords_GiveTheStreamsBits) {
  const Tensor t = bell("bell", 8, 64, 0, 31);
  for (const int bits : {4, 8, 13, 16, 24, 32}) {
    oracle::RandomBits stream;
    stream.seed = 77;
    stream.stream = 12;
    stream.step = 9;
    oracle::RandomBits given = stream;
    for (std::size_t i = 0; i < t.bits.size(); ++i) given.given.push_back(stream.word(i, bits));
    for (const char* rounding : {"sr", "sr-fast", "sr-rne", "sr-rno"}) {
      const std::string spec = "nvfp4,round=" + std::string(rounding) + ":" + std::to_string(bits);
      EXPECT_EQ(library_quantize(spec, t, stream).codes, library_quantize(spec, t, given).codes)
          << spec;
      expect_same(spec, t, given);
    }
  }
}

TEST(Properties, ScaleMatrix_RepeatsTheRowsOfSquareBlocks) {
  const Tensor t = bell("bell", 40, 50, 0, 3);
  const auto q = library_quantize("nvfp4,block=16x16", t);
  const fp4lab::ScaleMatrix m = fp4lab::scale_matrix(q);
  ASSERT_EQ(m.rows, 40u);
  ASSERT_EQ(m.cols, 4u);
  for (std::size_t r = 0; r < 40; ++r) {
    for (std::size_t c = 0; c < 4; ++c) {
      EXPECT_EQ(m.codes[r * 4 + c], q.scale_codes[r / 16 * 4 + c]);
    }
  }
  const auto shape_of = [&](const char* spec) {
    const fp4lab::ScaleMatrix s = fp4lab::scale_matrix(library_quantize(spec, t));
    return std::pair{s.rows, s.cols};
  };
  using Shape = std::pair<std::size_t, std::size_t>;
  EXPECT_EQ(shape_of("nvfp4"), (Shape{40, 4}));
  EXPECT_EQ(shape_of("nvfp4,block=16x1"), (Shape{3, 50}));
  EXPECT_EQ(shape_of("e2m1"), (Shape{1, 1}));
  EXPECT_EQ(shape_of("e2m1,block=row"), (Shape{40, 1}));
  EXPECT_EQ(shape_of("e2m1,block=col"), (Shape{1, 50}));
}

/// Where element and scale are both NaN the element's bits decide, under every compiler: torchao's
/// codes of NaN are made from them.
TEST(BlockScaleOfNaN, TheElementsOwnBitsAreKept) {
  for (const fp4lab::Apply apply : {fp4lab::Apply::multiply, fp4lab::Apply::divide,
                                    fp4lab::Apply::multiply_34, fp4lab::Apply::none}) {
    for (const std::uint32_t factor : {0x7FC00000u, 0xFFC00005u, 0x3F800000u, 0x00000000u}) {
      for (const std::uint32_t x : {0x7FC00001u, 0xFFC12345u, 0x7F800001u, 0xFFA00000u}) {
        volatile std::uint32_t bits = factor;  // not folded at compile time
        fp4lab::BlockScale scale;
        scale.apply = apply;
        scale.factor = fp4lab::bits_as<float>(std::uint32_t{bits});
        EXPECT_EQ(fp4lab::bits_as<std::uint32_t>(scale.scaled(fp4lab::bits_as<float>(x))),
                  x | 0x00400000u)
            << static_cast<int>(apply) << " " << factor << " " << x;
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab_blocks
