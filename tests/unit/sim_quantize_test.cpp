#include "sim/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "formats/fp4lab.h"

namespace fp4lab {
namespace {

std::vector<float> ramp(std::size_t n) {
  std::vector<float> x(n);
  const RandomStream s{11, 0, 0, RandomPurpose::synthetic_data};
  for (std::size_t i = 0; i < n; ++i) {
    const float u = static_cast<float>(s.slot(i, 32) >> 8) * 0x1p-24f - 0.5f;
    x[i] = u * pow2_f32(static_cast<int>(s.slot(i, 8) % 9) - 4);
  }
  return x;
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(bits_as<std::uint32_t>(a[i]), bits_as<std::uint32_t>(b[i])) << "element " << i;
  }
}

TEST(SimQuantize, EmptyTensor_HasNoBlocksAndComesBackEmpty) {
  for (const char* text : {"mxfp4", "nvfp4", "e2m1", "nf4,block=row", "mxfp4,hadamard=32"}) {
    const std::size_t shape[2] = {0, 64};
    const QuantizedTensor q = quantize(parse_spec(text), {}, shape);
    EXPECT_EQ(q.scale_codes.size(), 0u) << text;
    EXPECT_TRUE(dequantize(q).empty()) << text;
    EXPECT_EQ(scale_matrix(q).codes.size(), 0u) << text;
  }
}

TEST(SimQuantize, OneElement_MapsToTheLargestCode) {
  const float x[1] = {-3.0f};
  const std::size_t shape[1] = {1};
  const QuantizedTensor q = quantize(parse_spec("e2m1"), x, shape);
  EXPECT_EQ(q.codes[0], 0xF);
  EXPECT_EQ(dequantize(q)[0], -3.0f);
}

TEST(SimQuantize, ScaleMatrix_RepeatsTheRowOfTwoDimensionalBlocks) {
  const auto x = ramp(32 * 48);
  const std::size_t shape[2] = {32, 48};
  const QuantizedTensor q = quantize(parse_spec("nvfp4,block=16x16"), x, shape);
  const ScaleMatrix m = scale_matrix(q);
  EXPECT_EQ(m.rows, 32u);
  EXPECT_EQ(m.cols, 3u);
  for (std::size_t r = 0; r < m.rows; ++r) {
    for (std::size_t c = 0; c < m.cols; ++c) {
      EXPECT_EQ(m.codes[r * 3 + c], q.scale_codes[r / 16 * 3 + c]);
    }
  }
  const ScaleMatrix columns = scale_matrix(quantize(parse_spec("mxfp4,block=32x1"), x, shape));
  EXPECT_EQ(columns.rows, 1u);
  EXPECT_EQ(columns.cols, 48u);
}

TEST(SimQuantize, ColumnBlocks_AreRowBlocksOfTheTranspose) {
  const auto x = ramp(64 * 40);
  const std::size_t shape[2] = {64, 40};
  const QuantizedTensor down = quantize(parse_spec("mxfp4,block=32x1"), x, shape);
  const QuantizedTensor across = quantize_transposed(
      down, x, parse_spec("mxfp4"), TransposeSource::high_precision);
  for (std::size_t r = 0; r < 64; ++r) {
    for (std::size_t c = 0; c < 40; ++c) {
      ASSERT_EQ(down.codes[r * 40 + c], across.codes[c * 64 + r]);
    }
  }
}

TEST(SimQuantize, TransposedCodes_DecodeToTheTransposedValues) {
  const auto x = ramp(32 * 48);
  const std::size_t shape[2] = {32, 48};
  const QuantSpec spec = parse_spec("nvfp4,block=16x16");
  const QuantizedTensor q = quantize(spec, x, shape);
  const QuantizedTensor t = quantize_transposed(q, x, spec, TransposeSource::codes);
  const auto y = dequantize(q), yt = dequantize(t);
  for (std::size_t r = 0; r < 32; ++r) {
    for (std::size_t c = 0; c < 48; ++c) ASSERT_EQ(y[r * 48 + c], yt[c * 32 + r]);
  }
  // Square blocks: quantizing the transpose afresh gives the same codes.
  const QuantizedTensor fresh = quantize_transposed(q, x, spec, TransposeSource::high_precision);
  EXPECT_EQ(fresh.codes, t.codes);
  EXPECT_EQ(fresh.scale_codes, t.scale_codes);
  const QuantizedTensor row = quantize(parse_spec("nvfp4"), x, shape);
  EXPECT_THROW(quantize_transposed(row, x, spec, TransposeSource::codes), std::invalid_argument);
}

TEST(SimQuantize, RequantizedTranspose_RoundsTwice) {
  const auto x = ramp(64 * 64);
  const std::size_t shape[2] = {64, 64};
  const QuantSpec spec = parse_spec("mxfp4");
  const QuantizedTensor q = quantize(spec, x, shape);
  const QuantizedTensor twice = quantize_transposed(q, x, spec, TransposeSource::quantized);
  const QuantizedTensor once = quantize_transposed(q, x, spec, TransposeSource::high_precision);
  EXPECT_NE(twice.codes, once.codes);
  // The double rounding sees only values of the first grid.
  std::vector<float> y = dequantize(q), yt(y.size());
  for (std::size_t r = 0; r < 64; ++r) {
    for (std::size_t c = 0; c < 64; ++c) yt[c * 64 + r] = y[r * 64 + c];
  }
  EXPECT_EQ(quantize(spec, yt, shape).codes, twice.codes);
}

TEST(SimQuantize, NanBlock_PoisonsItselfAlone) {
  auto x = ramp(4 * 64);
  const std::size_t shape[2] = {4, 64};
  const auto clean_mx = dequantize(quantize(parse_spec("mxfp4"), x, shape));
  const auto clean_nv = dequantize(quantize(parse_spec("nvfp4"), x, shape));
  x[70] = std::nanf("");
  for (const auto& [text, width, clean] :
       {std::tuple{"mxfp4", 32u, &clean_mx}, std::tuple{"nvfp4", 16u, &clean_nv}}) {
    const QuantizedTensor q = quantize(parse_spec(text), x, shape);
    const auto y = dequantize(q);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (i / width == 70 / width) {
        ASSERT_EQ(bits_as<std::uint32_t>(y[i]), kCanonicalNanBits) << text << " " << i;
      } else {
        ASSERT_EQ(y[i], (*clean)[i]) << text << " " << i;
      }
    }
  }
}

TEST(SimQuantize, WideFormats_AreAPlainCast) {
  const auto x = ramp(100);
  const std::size_t shape[1] = {100};
  const auto y = fake_quantize(parse_spec("bf16"), x, shape);
  for (std::size_t i = 0; i < 100; ++i) {
    const std::uint32_t b = bits_as<std::uint32_t>(x[i]);
    EXPECT_EQ(bits_as<std::uint32_t>(y[i]), (b + 0x7FFFu + ((b >> 16) & 1u)) & 0xFFFF0000u);
  }
}

TEST(SimQuantize, Tf32AndFp32_KeepTheirWords) {
  const float x[3] = {1.0f, -1.5f, 3.14159274f};
  const std::size_t shape[1] = {3};
  expect_same_bits(fake_quantize(parse_spec("fp32"), x, shape), {x[0], x[1], x[2]});
  const QuantizedTensor q = quantize(parse_spec("tf32"), x, shape);
  EXPECT_EQ(q.wide_codes[0], 0x3F800000u);
  EXPECT_EQ(q.wide_codes[2] & 0x1FFFu, 0u);
}

TEST(SimQuantize, Prescale_IsUndone) {
  const auto x = ramp(64);
  const std::size_t shape[1] = {64};
  // A power of two commutes with everything but the scale codes.
  expect_same_bits(fake_quantize(parse_spec("mxfp4,prescale=4"), x, shape),
                   fake_quantize(parse_spec("mxfp4"), x, shape));
}

TEST(SimQuantize, Clip_BoundsTheInput) {
  const float x[4] = {100.0f, 1.0f, -0.5f, -100.0f};
  const std::size_t shape[1] = {4};
  const auto y = fake_quantize(parse_spec("e2m1,clip=3"), x, shape);
  EXPECT_EQ(y[0], 3.0f);
  EXPECT_EQ(y[3], -3.0f);
  EXPECT_EQ(y[1], 1.0f);
}

TEST(SimQuantize, AsymmetricIntegers_UseTheirZeroPoint) {
  const float x[4] = {-1.0f, 0.0f, 1.0f, 2.0f};
  const std::size_t shape[1] = {4};
  const QuantizedTensor q = quantize(parse_spec("uint4-asym"), x, shape);
  ASSERT_EQ(q.zero_points.size(), 1u);
  EXPECT_EQ(q.zero_points[0], 5);  // s = 3/15, zero point 1/0.2
  EXPECT_EQ(q.codes, (std::vector<std::uint8_t>{0, 5, 10, 15}));
  const auto y = dequantize(q);
  EXPECT_EQ(y[1], 0.0f);
  EXPECT_NEAR(y[3], 2.0f, 1e-6f);
}

TEST(SimQuantize, BadShape_Throws) {
  const auto x = ramp(10);
  const std::size_t shape[2] = {3, 4};
  EXPECT_THROW(quantize(parse_spec("mxfp4"), x, shape), std::invalid_argument);
  const std::size_t matrix[2] = {2, 5};
  EXPECT_THROW(quantize(parse_spec("nvfp4,global=row,block=16x16"), x, matrix),
               std::invalid_argument);
}

TEST(SimQuantize, DequantizedScales_AreThoseOfTheBlocks) {
  // Reading scales back from their codes gives what quantize used, for every base.
  const auto x = ramp(16 * 128);
  const std::size_t shape[2] = {16, 128};
  for (const BaseInfo& b : kBases) {
    const QuantSpec spec = parse_spec(b.id);
    const QuantizedTensor q = quantize(spec, x, shape);
    const auto y = dequantize(q);
    double err = 0, power = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      err += (double(x[i]) - y[i]) * (double(x[i]) - y[i]);
      power += double(x[i]) * x[i];
    }
    const double snr = 10 * std::log10(power / err);
    EXPECT_GT(snr, b.id == "mxint2" ? 3.0 : 12.0) << b.id;
  }
}

}  // namespace
}  // namespace fp4lab
