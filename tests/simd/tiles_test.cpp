// Two-dimensional blocks through the vector kernels, and dequantization by tables: the bits of the
// scalar reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "formats/block_quantize.h"
#include "formats/philox.h"
#include "formats/spec_text.h"
#include "sim/quantize.h"
#include "sim/quantize_fast.h"

namespace fp4lab {
namespace {

std::vector<float> values(std::size_t n, std::uint64_t seed) {
  const RandomStream stream{seed, 0, 0, RandomPurpose::synthetic_data, 0, 0};
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t w = stream.slot(i, 32);
    // Magnitudes over some thirty binades, both signs, some exact ties and zeros.
    const float m = static_cast<float>(static_cast<std::int32_t>(w)) * 0x1p-31f;
    x[i] = w % 11 == 0   ? 0.25f * static_cast<float>(w % 64)
           : w % 13 == 0 ? -0.0f
                         : m * pow2_f32(static_cast<int>(w % 29) - 20);
  }
  return x;
}

const char* const kSpecs[] = {"nvfp4,block=16x16",
                              "mxfp4,block=32x32",
                              "mxfp4,rule=rceil,block=32x32,round=sr",
                              "nvfp4,block=16x16,round=sr",
                              "mxfp4,block=8x4,round=rna",
                              "mxfp4,rule=tseng34,block=32x32",
                              "int4,block=16x16",
                              "nvint4,block=16x16",
                              "e3m0,block=4x4,round=luq",
                              "nvfp4,block=16x16,global=none",
                              "e2m1,block=128x128",
                              "mxfp4,block=2x32",
                              "nvfp4,block=3x5",
                              "nf4,block=16x8"};

TEST(SimdTiles, AreTheScalarEngine) {
  for (const char* text : kSpecs) {
    const QuantSpec spec = parse_spec(text);
    for (const auto& shape : {std::vector<std::size_t>{64, 96}, {37, 53}, {1, 7}, {200, 17}}) {
      for (int bad = 0; bad < 4; ++bad) {
        std::vector<float> x = values(shape[0] * shape[1], 5 + shape[0]);
        if (bad == 1) x[x.size() / 2] = kFloatInf;
        if (bad == 2) x[x.size() - 1] = canonical_nan();
        if (bad == 3)
          std::fill(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), 0.0f);
        QuantizeOptions fast, slow;
        fast.random.stream = slow.random.stream = {9, 3, 7, RandomPurpose::element_sr, 1, 0};
        slow.engine = Engine::scalar;
        const QuantizedTensor a = quantize(spec, x, shape, fast),
                              b = quantize(spec, x, shape, slow);
        EXPECT_EQ(a.codes, b.codes) << text << " " << shape[0] << "x" << shape[1] << " " << bad;
        EXPECT_EQ(a.scale_codes, b.scale_codes) << text;
        EXPECT_EQ(a.global, b.global) << text;
        EXPECT_EQ(a.saturated, b.saturated) << text << " " << bad;
      }
    }
  }
}

TEST(SimdTiles, TablesDequantizeAsElementsDo) {
  for (const char* text :
       {"mxfp4", "nvfp4", "nvfp4,block=16x16", "mxfp4,block=32x1", "nvfp4,block=16x1", "e4m3",
        "int4", "int4,block=row", "e2m1,block=col", "mxfp8-e5m2", "nvfp4,global=row",
        "nvfp4,global=1x128", "mxfp4,rule=tseng34", "e2m1,block=1x4", "mxint8", "nf4,block=1x64",
        "e2m1,scale=none"}) {
    const QuantSpec spec = parse_spec(text);
    for (const auto& shape : {std::vector<std::size_t>{40, 96}, {37, 150}}) {
      std::vector<float> x = values(shape[0] * shape[1], 3);
      x[77] = kFloatInf;
      const QuantizedTensor q = quantize(spec, x, shape);
      const std::vector<float> y = dequantize(q);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t r = i / shape[1], c = i % shape[1];
        const std::size_t block = r / q.grid.block_rows * q.grid.grid_cols + c / q.grid.block_cols;
        GlobalFactor g;
        if (!q.global.empty()) {
          g.decode = spec.global == GlobalScope::row ? q.global[r]
                     : spec.global == GlobalScope::row_block128
                         ? q.global[r * ((shape[1] + 127) / 128) + c / 128]
                         : q.global[0];
        }
        const float want =
            dequantize_element(spec, scale_from_code(spec, q.scale_codes[block]), g, q.codes[i],
                               static_cast<std::uint32_t>(c % q.grid.block_cols));
        ASSERT_EQ(bits_as<std::uint32_t>(y[i]), bits_as<std::uint32_t>(want)) << text << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab
