// NVFP4 quantizers: Transformer Engine's Python reference and torchao. Fouroversix has a file of
// its own.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "formats/block.h"
#include "formats/convert.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

// The names of the nine matrices, taken from the file so that another sample may have others.
std::vector<std::string> cases(const File& inputs) {
  std::vector<std::string> out;
  for (const std::string& name : inputs.names()) out.push_back(name.substr(0, name.rfind(':')));
  return out;
}

const File& inputs(const std::string& dtype) { return file("nvfp4_inputs", "inputs_" + dtype); }

// amax of the whole matrix.
float amax(const Matrix& m) {
  const BlockView view{
      m.values.data(), 0, static_cast<std::uint32_t>(m.rows), static_cast<std::uint32_t>(m.cols),
      m.cols,          1};
  return finite_amax(view);
}

// Compares codes, scales and amax of one side (`row` or `col`) of one matrix.
void side(const File& f, const std::string& prefix, const std::string& spec, const Matrix& x,
          bool per_row_amax) {
  const Quantized q = quantize(spec, x);
  const std::vector<std::uint8_t>& code = f.at(prefix + ":code").u8();
  const std::vector<std::uint8_t>& scale = f.at(prefix + ":scale").u8();
  const std::vector<std::uint32_t>& want_amax = f.at(prefix + ":amax").u32();
  ASSERT_EQ(q.codes.size(), code.size()) << prefix;
  ASSERT_EQ(q.scale_codes.size(), scale.size()) << prefix;
  ASSERT_EQ(want_amax.size(), per_row_amax ? x.rows : 1U) << prefix;
  Comparison codes(f, prefix + ":code", spec);
  for (std::size_t i = 0; i < code.size(); ++i)
    codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
  Comparison scales(f, prefix + ":scale", spec);
  const std::size_t block = code.size() / scale.size();
  for (std::size_t i = 0; i < scale.size(); ++i) {
    scales.check(i, bits(x.values[i * block]), q.scale_codes[i], scale[i]);
  }
  Comparison amaxes(f, prefix + ":amax", spec);
  for (std::size_t r = 0; r < want_amax.size(); ++r) {
    Matrix part = x;
    if (per_row_amax) {
      part.rows = 1;
      part.values.assign(x.values.begin() + static_cast<std::ptrdiff_t>(r * x.cols),
                         x.values.begin() + static_cast<std::ptrdiff_t>((r + 1) * x.cols));
    }
    amaxes.check_f32(r, r, amax(part), want_amax[r]);
  }
}

// A configuration of the reference and the spec that stands for it.
struct TeFile {
  const char* config;
  const char* spec;
};

std::string config_name(const testing::TestParamInfo<TeFile>& info) {
  return "config_" + std::string(info.param.config);
}

class TransformerEngine : public testing::TestWithParam<TeFile> {};

TEST_P(TransformerEngine, BothSides) {
  const std::string config = GetParam().config;
  const std::string spec = GetParam().spec;
  const bool rht = config.find("rht") != std::string::npos;
  const bool row_scaled = config.find("rowscaled") != std::string::npos;
  for (const std::string dtype : {"f32", "bf16"}) {
    const File& f = file("nvfp4_te_reference", config + "_" + dtype);
    ASSERT_EQ(f.header("config"), config);
    for (const std::string& name : cases(inputs(dtype))) {
      const Matrix x = matrix(inputs(dtype).at(name + ":x"));
      side(f, name + ":row", spec, x, row_scaled);
      // The column side reads the transpose; with RHT what the reference's own product made of it,
      // since that product is not exactly rounded.
      const Matrix t = rht ? matrix(f.at(name + ":col:rht_input")) : transposed(x);
      side(f, name + ":col", spec, t, row_scaled);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Configs, TransformerEngine,
    testing::Values(TeFile{"1x16", "nvfp4@te"}, TeFile{"16x16", "nvfp4@te,block=16x16"},
                    TeFile{"1x16_rowscaled", "nvfp4@te,global=row"},
                    TeFile{"1x16_rht_nosign", "nvfp4@te"}, TeFile{"1x16_rht_sign", "nvfp4@te"},
                    TeFile{"4over6_mae_256", "nvfp4@te-4over6,error=mae,e4m3max=256"},
                    TeFile{"4over6_mae_448", "nvfp4@te-4over6,error=mae,e4m3max=448"},
                    TeFile{"4over6_mse_256", "nvfp4@te-4over6,error=mse,e4m3max=256"},
                    TeFile{"4over6_mse_448", "nvfp4@te-4over6,error=mse,e4m3max=448"},
                    TeFile{"4over6_mse_256_fastmath", "nvfp4@te-4over6,error=mse-fp16,e4m3max=256"},
                    TeFile{"4over6_mse_256_16x16",
                           "nvfp4@te-4over6,block=16x16,error=mse,e4m3max=256"}),
    config_name);

TEST(TransformerEnginePow2, CodesAndScales) {
  const File& f = file("nvfp4_te_reference", "pow2_1x32");
  const std::string spec = "mxfp4@te";
  for (const std::string dtype : {"f32", "bf16"}) {
    for (const std::string& name : cases(inputs(dtype))) {
      const Matrix x = matrix(inputs(dtype).at(name + ":x"));
      const Quantized q = quantize(spec, x);
      const std::string prefix = dtype + ":" + name;
      const std::vector<std::uint8_t>& code = f.at(prefix + ":code").u8();
      const std::vector<std::uint32_t>& scale = f.at(prefix + ":scale_f32").u32();
      ASSERT_EQ(q.codes.size(), code.size());
      ASSERT_EQ(q.scales.size(), scale.size());
      Comparison codes(f, prefix + ":code", spec);
      for (std::size_t i = 0; i < code.size(); ++i) {
        codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
      }
      Comparison scales(f, prefix + ":scale_f32", spec);
      for (std::size_t i = 0; i < scale.size(); ++i) {
        scales.check_f32(i, bits(x.values[i * 32]), q.scales[i], scale[i]);
      }
    }
  }
}

// Quantization of both operands, and the product in the reference's order: y += (s_x s_w) d for
// each block of 16 in ascending k, d the exact dot of the code values; at the end times
// fl(fl(A_x A_w) / (36 * 448 * 448)). Every operation is one binary32 rounding.
TEST(TransformerEngineQgemm, QuantizedOperandsAndProduct) {
  const File& f = file("nvfp4_te_reference", "qgemm");
  const ElementFormat e2m1 = element_format("e2m1");
  const ElementFormat e4m3 = element_format("e4m3");
  std::size_t products = 0;
  for (const std::string& name : f.names()) {
    if (!name.ends_with(":y")) continue;
    const std::string prefix = name.substr(0, name.size() - 2);
    const bool tiles = prefix.ends_with("16x16");
    const std::string spec = tiles ? "nvfp4@te,block=16x16" : "nvfp4@te";
    Quantized operand[2];
    Matrix source[2];
    const char* letters[] = {"x", "w"};
    for (int i = 0; i < 2; ++i) {
      const std::string letter = prefix + ":" + letters[i];
      source[i] = matrix(f.at(letter));
      operand[i] = quantize(spec, source[i]);
      const std::vector<std::uint8_t>& code = f.at(letter + "_code").u8();
      const std::vector<std::uint8_t>& scale = f.at(letter + "_scale").u8();
      ASSERT_EQ(operand[i].codes.size(), code.size());
      ASSERT_EQ(operand[i].scale_codes.size(), scale.size());
      Comparison codes(f, letter + "_code", spec);
      for (std::size_t k = 0; k < code.size(); ++k) {
        codes.check(k, bits(source[i].values[k]), operand[i].codes[k], code[k]);
      }
      Comparison scales(f, letter + "_scale", spec);
      for (std::size_t k = 0; k < scale.size(); ++k) {
        scales.check(k, bits(source[i].values[k * 16]), operand[i].scale_codes[k], scale[k]);
      }
    }
    const std::vector<std::uint32_t>& a = f.at(prefix + ":amax").u32();
    {
      Comparison amaxes(f, prefix + ":amax", spec);
      for (std::size_t i = 0; i < 2; ++i) amaxes.check_f32(i, i, amax(source[i]), a[i]);
    }
    const float alpha =
        std::bit_cast<float>(a[0]) * std::bit_cast<float>(a[1]) / (36.0F * 448.0F * 448.0F);
    const std::vector<std::uint32_t>& y = f.at(name).u32();
    const std::size_t depth = source[0].cols;
    ASSERT_EQ(y.size(), source[0].rows * source[1].rows);
    Comparison product(f, name, "te-qgemm");
    for (std::size_t m = 0; m < source[0].rows; ++m) {
      for (std::size_t n = 0; n < source[1].rows; ++n) {
        float sum = 0.0F;
        for (std::size_t k = 0; k < depth; k += 16) {
          float dot = 0.0F;  // exact: multiples of 1/4 below 2^10
          for (std::size_t j = k; j < k + 16; ++j) {
            dot += decode(e2m1, operand[0].codes[m * depth + j]) *
                   decode(e2m1, operand[1].codes[n * depth + j]);
          }
          const float scale = decode(e4m3, operand[0].scale_codes[(m * depth + k) / 16]) *
                              decode(e4m3, operand[1].scale_codes[(n * depth + k) / 16]);
          const float term = scale * dot;
          sum = sum + term;
        }
        const std::size_t i = m * source[1].rows + n;
        product.check_f32(i, i, alpha * sum, y[i]);
      }
    }
    ++products;
  }
  EXPECT_NE(products, 0U);
}

class TorchaoNvfp4 : public testing::TestWithParam<const char*> {};

TEST_P(TorchaoNvfp4, ScalesAndCodes) {
  const std::string dtype = GetParam();
  const File& f = file("nvfp4_torchao", "nvfp4_" + dtype);
  for (const std::string& name : cases(inputs(dtype))) {
    const Matrix x = matrix(inputs(dtype).at(name + ":x"));
    for (const std::string level : {"single", "two_level"}) {
      const bool two = level == "two_level";
      const std::string spec = two ? "nvfp4@torchao" : "nvfp4@torchao-single";
      const std::string prefix = name + ":" + level;
      const Quantized q = quantize(spec, x);
      const std::vector<std::uint8_t>& code = f.at(prefix + ":code").u8();
      const std::vector<std::uint8_t>& scale = f.at(prefix + ":scale").u8();
      ASSERT_EQ(q.codes.size(), code.size());
      ASSERT_EQ(q.scale_codes.size(), scale.size());
      Comparison scales(f, prefix + ":scale", spec);
      for (std::size_t i = 0; i < scale.size(); ++i) {
        // The scale of 0/0 is NaN, of either sign.
        const bool nan = (scale[i] & 0x7f) == 0x7f && (q.scale_codes[i] & 0x7f) == 0x7f;
        scales.check(i, bits(x.values[i * 16]), nan ? scale[i] : q.scale_codes[i], scale[i]);
      }
      Comparison codes(f, prefix + ":code", spec);
      const float g = two ? std::bit_cast<float>(f.at(name + ":per_tensor_scale").u32()[0]) : 1.0F;
      for (std::size_t i = 0; i < code.size(); ++i) {
        const bool nan = x.values[i] == 0.0F && (g == 0.0F || std::isinf(1.0F / g));
        if (nan) {
          codes.exclude(Exclusion::kTorchaoNanElement);
        } else {
          codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
        }
      }
      if (!two) continue;
      ASSERT_EQ(q.global.size(), 1U);
      Comparison global(f, name + ":per_tensor_scale", spec);
      global.check_f32(0, 0, q.global[0], f.at(name + ":per_tensor_scale").u32()[0]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TorchaoNvfp4, testing::Values("f32", "bf16"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace fp4lab::golden
