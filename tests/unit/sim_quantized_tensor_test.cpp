#include <gtest/gtest.h>

#include <limits>

#include "formats/block_quantize.h"
#include "formats/fp4lab.h"
#include "sim/quantize.h"
#include "sim/quantize_plan.h"
#include "sim/quantized_tensor.h"

namespace fp4lab {
namespace {

constexpr std::size_t kRows = 37, kCols = 53;  // tails both ways

std::vector<float> mixed() {
  std::vector<float> x(kRows * kCols);
  const RandomStream s{5, 0, 0, RandomPurpose::synthetic_data};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float u = static_cast<float>(s.slot(i, 32) >> 8) * 0x1p-24f - 0.5f;
    x[i] = u * pow2_f32(static_cast<int>(s.slot(i, 8) % 21) - 10);
  }
  x[3] = std::numeric_limits<float>::quiet_NaN();
  x[200] = -std::numeric_limits<float>::infinity();
  x[400] = -0.0f;
  x[401] = 0x1p-149f;
  return x;
}

/// Element by element through the function that defines it.
std::vector<float> reference(const QuantizedTensor& q) {
  const BlockGrid& grid = q.grid;
  const GlobalScopes scopes{q.spec.global, global_scopes_per_row(q.spec, grid)};
  std::vector<float> out(grid.rows * grid.cols);
  for (std::size_t r = 0; r < grid.rows; ++r) {
    for (std::size_t c = 0; c < grid.cols; ++c) {
      const std::size_t n = r / grid.block_rows * grid.grid_cols + c / grid.block_cols;
      const BlockScale b =
          scale_from_code(q.spec, q.scale_codes[n], q.zero_points.empty() ? 0 : q.zero_points[n]);
      GlobalFactor g;
      if (!q.global.empty()) g.decode = q.global[scopes.index(r, c)];
      out[r * grid.cols + c] = dequantize_element(q.spec, b, g, q.code_at(r * grid.cols + c),
                                                  static_cast<std::uint32_t>(c % grid.block_cols));
    }
  }
  return out;
}

std::vector<std::string> specs() {
  std::vector<std::string> list = all_base_names();
  for (const char* more :
       {"nvfp4,block=16x16", "mxfp4,block=32x32", "e2m1,block=4x8", "e2m1,block=8x1",
        "e2m1,block=row", "e2m1,block=col", "nvfp4,global=row", "nvfp4,global=1x128",
        "nvfp4,global=none", "mxfp4,rule=tseng34", "nvfp4@te", "nvfp4@torchao", "mxfp4@torchao",
        "nvfp4@fouroversix", "e4m3,block=1x16,scale=ue4m3", "fp32,scale=none"}) {
    list.emplace_back(more);
  }
  return list;
}

TEST(SimQuantizedTensor, Dequantize_IsTheElementFunctionForEverySpec) {
  const std::vector<float> x = mixed();
  const std::size_t shape[2] = {kRows, kCols};
  std::size_t compared = 0;
  for (const std::string& text : specs()) {
    const QuantizedTensor q = quantize(parse_spec(text), x, shape);
    ASSERT_EQ(q.spec.hadamard, 0) << text;
    if (q.spec.prescale != 1.0f) continue;
    const std::vector<float> want = reference(q), got = dequantize(q);
    ASSERT_EQ(got.size(), want.size()) << text;
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(bits_as<std::uint32_t>(got[i]), bits_as<std::uint32_t>(want[i]))
          << text << " element " << i;
    }
    compared += got.size();
  }
  EXPECT_GT(compared, 40 * kRows * kCols);
}

TEST(SimQuantizedTensor, Dequantize_LongRowsCrossRunsOfBlocks) {
  std::vector<float> x(2 * 10000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 97) - 40.0f;
  const std::size_t shape[2] = {2, 10000};
  for (const char* text :
       {"e2m1", "e2m1,block=1x5000", "e2m1,block=row", "mxfp4", "e2m1,block=col"}) {
    const QuantizedTensor q = quantize(parse_spec(text), x, shape);
    EXPECT_EQ(dequantize(q), reference(q)) << text;
  }
}

TEST(SimQuantizedTensor, DequantizeInto_NeedsAsManyElements) {
  const std::vector<float> x(64, 1.0f);
  const std::size_t shape[2] = {2, 32};
  const QuantizedTensor q = quantize(parse_spec("mxfp4"), x, shape);
  std::vector<float> out(63);
  EXPECT_THROW(dequantize_into(q, out), std::invalid_argument);
}

TEST(SimQuantizedTensor, NoElementsBesideHugeExtents) {
  const std::size_t shape[2] = {std::size_t{1} << 60, 0};
  for (const char* text : {"mxfp4", "nvfp4", "nvfp4,global=row", "nvfp4,global=1x128",
                           "mxfp4,hadamard=32", "e2m1,block=4x4", "mxfp4,prescale=0.5"}) {
    const QuantizedTensor q = quantize(parse_spec(text), {}, shape);
    EXPECT_EQ(q.rows, shape[0]) << text;
    EXPECT_LE(q.global.size(), 1u) << text;
    EXPECT_TRUE(q.scale_codes.empty()) << text;
    EXPECT_TRUE(dequantize(q).empty()) << text;
    EXPECT_TRUE(fake_quantize(parse_spec(text), {}, shape).empty()) << text;
  }
}

TEST(SimQuantizedTensor, ScaleMatrix_ComesBack) {
  const std::vector<float> x = mixed();
  const std::size_t shape[2] = {kRows, kCols};
  for (const char* text : {"mxfp4", "nvfp4,block=16x16", "e2m1,block=4x8", "e2m1,block=8x1",
                           "e2m1,block=row", "e2m1,block=col", "e2m1"}) {
    const QuantizedTensor q = quantize(parse_spec(text), x, shape);
    const ScaleMatrix m = scale_matrix(q);
    const MatrixExtents extents = scale_matrix_extents(q.spec.block, q.grid);
    EXPECT_EQ(m.rows, extents.rows) << text;
    EXPECT_EQ(m.cols, extents.cols) << text;
    EXPECT_EQ(scale_codes_from_matrix(q.spec.block, q.grid, m), q.scale_codes) << text;
    ScaleMatrix cut = m;
    cut.codes.pop_back();
    EXPECT_THROW(scale_codes_from_matrix(q.spec.block, q.grid, cut), std::invalid_argument);
    if (q.grid.block_rows > 1 && m.rows == kRows) {
      ScaleMatrix uneven = m;
      ++uneven.codes[m.cols];  // second row of the first blocks
      EXPECT_THROW(scale_codes_from_matrix(q.spec.block, q.grid, uneven), std::invalid_argument);
    }
  }
}

}  // namespace
}  // namespace fp4lab
