// Shapes, tails, special blocks, random words and numbers of threads.
#include <gtest/gtest.h>
#include <omp.h>

#include <cstring>

#include "sim/quantize_fast.h"
#include "sim/simd/kernels.h"
#include "tests/simd/compare.h"

namespace fp4lab::test {
namespace {

/// The specs that have a path of their own, and some of the generic one.
const char* const kSpecs[] = {
    "mxfp4",
    "mxfp4,rule=rceil",
    "mxfp4,rule=ceil",
    "mxfp4,rule=even",
    "mxfp4,rule=tseng34",
    "mxfp4,round=sr:8",
    "mxfp4,rule=rceil,round=sr:16",
    "mxfp4,block=32x1",
    "mxfp4,block=32x1,round=sr:16",
    "mxfp4,block=16x1,round=rtp",
    "mxfp4,block=100x1",
    "mxfp4,block=col",
    "mxfp4,block=row",
    "mxfp4,block=1x8",
    "mxfp4,block=1x100",
    "nvfp4",
    "nvfp4,round=sr:8",
    "nvfp4,global=none",
    "nvfp4,global=row",
    "nvfp4,global=row,rule=static6",
    "nvfp4,rule=static4",
    "nvfp4,headroom=17/16",
    "nvfp4,block=16x1",
    "nvint4",
    "e2m1",
    "e2m1,round=sr:16",
    "e2m1,scale=none",
    "e2m1,block=row",
    "e2m1,block=col",
    "e2m1,block=1x64",
    "e2m1,block=1x32,rule=clip:0.9",
    "e2m1,block=1x32,scale=pow2,rule=pow2-near",
    "e2m1,block=1x32,scale=bf16",
    "nf4,block=1x64",
    "sf4,block=1x16",
    "e3m0,round=luq",
    "int4,block=1x32",
    "e1m2,block=1x32,round=rna",
    "radix4-even,block=1x32",
    "e3m0-nz,block=1x32",
    "ternary,block=1x32",
    "mxfp8-e4m3",
    "mxfp8-e5m2,block=32x1",
    "mxfp6-e2m3,rule=rceil",
    "mxint8,round=rtp",
    "e4m3",
    "e4m3,scale=none",
    "p3109-k4p2sf,scale=none",
};

struct Shape {
  std::size_t rows, cols;
};
const Shape kShapes[] = {{1, 1},   {1, 2},    {3, 5},    {1, 15},  {1, 16},  {1, 17},  {2, 31},
                         {2, 32},  {5, 33},   {4, 64},   {7, 100}, {33, 65}, {64, 64}, {65, 66},
                         {1, 700}, {40, 130}, {31, 257}, {97, 1},  {130, 2}, {128, 96}};

TEST(SimdShapes, EverySpecHasAVectorPath) {
  for (const char* text : kSpecs) {
    EXPECT_TRUE(has_fast_path(parse_spec(text), 64, 64)) << text;
  }
}

TEST(SimdShapes, TailsOfEverySpecAndShape) {
  QuantizeOptions o;
  o.random.stream = RandomStream{99, 8, 1};
  for (const char* text : kSpecs) {
    const QuantSpec spec = parse_spec(text);
    for (const Shape& s : kShapes) {
      const auto x = random_blocks(s.rows * s.cols, 16, s.rows * 1000 + s.cols, {});
      compare_on_all_targets(spec, x, s.rows, s.cols, o);
      if (HasFailure()) return;
    }
  }
}

TEST(SimdShapes, BlocksWithNanAndInfCostTheirOwnBlockOnly) {
  for (const char* text : kSpecs) {
    const QuantSpec spec = parse_spec(text);
    for (const Shape& s : {Shape{1, 16}, Shape{7, 100}, Shape{33, 65}, Shape{64, 96}}) {
      Mix mix;
      mix.special_every = 5;
      const auto x = random_blocks(s.rows * s.cols, 16, 17 + s.cols, mix);
      compare_on_all_targets(spec, x, s.rows, s.cols);
      if (HasFailure()) return;
    }
  }
}

TEST(SimdShapes, SpecialInEveryPlaceOfABlock) {
  for (const char* text : {"mxfp4", "nvfp4", "mxfp4,block=32x1", "e2m1,block=1x32"}) {
    const QuantSpec spec = parse_spec(text);
    for (std::size_t at = 0; at < 32 * 32; at += 3) {
      auto x = random_blocks(32 * 32, 16, 4, {});
      x[at] = at % 2 == 0 ? canonical_nan() : -kFloatInf;
      compare_on_all_targets(spec, x, 32, 32);
      if (HasFailure()) return;
    }
  }
}

TEST(SimdShapes, EveryPowerOfTwoAsAmax) {
  // Exponents at both ends of E8M0, subnormal maxima, overflow of the scaled values.
  std::vector<float> x;
  for (int e = -149; e <= 127; ++e) {
    for (const float m : {1.0f, 1.25f, 1.5f, 1.5000001f, 1.75f, 1.7500001f, 1.9999999f}) {
      const float top = e < -126 ? m * 0x1p-126f * pow2_f32(e + 126) : m * pow2_f32(e);
      for (int k = 0; k < 32; ++k) {
        const float part = static_cast<float>(k - 15) / 16.0f;
        x.push_back(k == 31 ? top : top * part);
      }
    }
  }
  for (const char* text : kSpecs) {
    const QuantSpec spec = parse_spec(text);
    compare_on_all_targets(spec, x, x.size() / 32, 32);
    if (HasFailure()) return;
  }
}

TEST(SimdShapes, TensorsOfOneMagnitude_GlobalFactorsAtTheEndsOfBinary32) {
  for (const char* text :
       {"nvfp4", "nvfp4,global=row", "nvfp4,global=none", "e2m1", "e2m1,block=1x32"}) {
    const QuantSpec spec = parse_spec(text);
    for (const float a : {0.0f, -0.0f, 0x1p-149f, 0x1p-140f, 0x1p-126f, 0x1p-120f, 1.0f, 448.0f,
                          0x1p100f, 0x1p126f, kFloatMax}) {
      std::vector<float> x(64 * 32);
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = (i % 3 == 0 ? -a : a) / static_cast<float>(1 + i % 7);
      }
      compare_on_all_targets(spec, x, 64, 32);
      if (HasFailure()) return;
    }
  }
}

TEST(SimdShapes, PhiloxDrawsAreThoseOfTheStream) {
  simd::Plan plan;
  const RandomStream s{0xFEDCBA9876543210ull, 77, 5, RandomPurpose::element_sr, 300, 9};
  plan.counter1 = s.stream;
  plan.counter2 = s.step;
  plan.counter3 = 300u << 8 | 9u;
  plan.key0 = 0x76543210u;
  plan.key1 = 0xFEDCBA98u;
  for (const std::int64_t t : simd_targets()) {
    const ForcedTarget forced(t);
    for (const std::uint32_t first : {0u, 1u, 12345u, 0xFFFFFFF0u}) {
      for (const std::size_t n : {1u, 2u, 7u, 8u, 9u, 16u, 17u, 100u}) {
        std::vector<std::uint32_t> words(4 * n + 1, 0xABABABABu);
        simd::philox_draws(plan, first, n, words.data());
        for (std::size_t i = 0; i < n; ++i) {
          const PhiloxDraw d = s.draw(first + static_cast<std::uint32_t>(i));
          for (unsigned k = 0; k < 4; ++k) {
            ASSERT_EQ(words[4 * i + k], d[k]) << target_id(t) << " draw " << first + i;
          }
        }
        ASSERT_EQ(words[4 * n], 0xABABABABu) << "written beyond the end on " << target_id(t);
      }
    }
  }
}

TEST(SimdShapes, GivenWordsAreReadByElement) {
  const auto x = random_blocks(37 * 50, 16, 8, {});
  std::vector<std::uint32_t> words(x.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = static_cast<std::uint32_t>(i * 2654435761u);
  }
  QuantizeOptions o;
  o.random.given = words.data();
  for (const char* text : {"mxfp4,round=sr:8", "mxfp4,round=sr:16", "mxfp4,round=sr:24",
                           "mxfp4,block=32x1,round=sr:16", "e2m1,round=sr:4"}) {
    compare_on_all_targets(parse_spec(text), x, 37, 50, o);
  }
}

TEST(SimdShapes, OutputMayBeTheInput) {
  Mix mix;
  mix.special_every = 9;
  const auto x = random_blocks(100 * 96, 16, 21, mix);
  const std::size_t shape[2] = {100, 96};
  for (const char* text :
       {"mxfp4", "nvfp4", "mxfp4,block=32x1", "mxfp4,block=100x1", "nf4,block=1x64"}) {
    const QuantSpec spec = parse_spec(text);
    const Reference want = reference(spec, x, 100, 96);
    auto y = x;
    fake_quantize_into(spec, y, shape, y);
    EXPECT_EQ(std::memcmp(y.data(), want.values.data(), y.size() * sizeof(float)), 0) << text;
  }
}

TEST(SimdShapes, ThreadsDoNotMatter) {
  Mix mix;
  mix.special_every = 400;
  const std::size_t rows = 300, cols = 1056;  // several chunks, blocks of every kind at their ends
  const auto x = random_blocks(rows * cols, 16, 31, mix);
  const int before = omp_get_max_threads();
  for (const char* text : kSpecs) {
    const QuantSpec spec = parse_spec(text);
    if (!has_fast_path(spec, rows, cols)) continue;
    const Reference want = reference(spec, x, rows, cols);
    for (const int threads : {1, 2, 3, 8}) {
      omp_set_num_threads(threads);
      expect_same(want, x, {}, std::string(text) + " threads " + std::to_string(threads));
    }
    omp_set_num_threads(before);
    if (HasFailure()) return;
  }
}

TEST(SimdShapes, LargeAlignedOutputIsStreamedWithTheSameBits) {
  // 2 x 20 MiB lies beyond the last-level cache of most machines; where it does not, the ordinary
  // stores are tested again.
  const std::size_t rows = 2048, cols = 2560;
  const auto x = random_blocks(rows * cols, 32, 77, {});
  const std::size_t shape[2] = {rows, cols};
  std::vector<float> memory(x.size() + 16);
  float* aligned = memory.data();
  while (reinterpret_cast<std::uintptr_t>(aligned) % 64 != 0) ++aligned;
  for (const char* text : {"mxfp4", "mxfp4,block=32x1"}) {
    const QuantSpec spec = parse_spec(text);
    const Reference want = reference(spec, x, rows, cols);
    for (const std::int64_t t : simd_targets()) {
      const ForcedTarget forced(t);
      std::fill_n(aligned, x.size(), -1.0f);
      fake_quantize_into(spec, x, shape, {aligned, x.size()});
      EXPECT_EQ(std::memcmp(aligned, want.values.data(), x.size() * sizeof(float)), 0)
          << text << " on " << target_id(t);
    }
  }
}

TEST(SimdShapes, WhatIsNotCoveredGoesToTheReference) {
  for (const char* text :
       {"mxfp8-e4m3,round=sr:16", "nvfp4,rule=4over6", "mxfp4@microxcaling", "nvfp4@te",
        "uint4-asym,block=1x32", "mxfp4,block=32x32", "e2m1,rule=mse"}) {
    EXPECT_FALSE(has_fast_path(parse_spec(text), 64, 64)) << text;
  }
  QuantizeOptions o;
  o.engine = Engine::scalar;
  EXPECT_FALSE(has_fast_path(parse_spec("mxfp4"), 64, 64, o));
  const auto x = random_blocks(64 * 64, 16, 5, {});
  const Reference want = reference(parse_spec("nvfp4,rule=4over6"), x, 64, 64);
  expect_same(want, x, {}, "4over6");
}

TEST(SimdShapes, Errors) {
  const std::vector<float> x(64);
  std::vector<float> y(63);
  const std::size_t shape[2] = {2, 32}, wrong[2] = {2, 31};
  const QuantSpec spec = parse_spec("mxfp4");
  EXPECT_THROW(fake_quantize_into(spec, x, shape, y), std::invalid_argument);
  y.resize(64);
  EXPECT_THROW(fake_quantize_into(spec, x, wrong, y), std::invalid_argument);
  PackedTensor p;
  EXPECT_THROW(quantize_packed(parse_spec("e4m3"), x, shape, p), std::invalid_argument);
  EXPECT_THROW(quantize_packed(parse_spec("uint4-asym"), x, shape, p), std::invalid_argument);
  EXPECT_NO_THROW(quantize_packed(parse_spec("uint4-asym,scale=none"), x, shape, p));
}

}  // namespace
}  // namespace fp4lab::test
