// The fouroversix reference: NVFP4, MXFP4, NVINT4 and IF4, 1-D and square blocks.
#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "formats/block.h"
#include "formats/reference_profiles.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

// Spec of a header: dtype, scale_rule, block_scale_2d.
std::string spec_of(const File& f) {
  const std::string format = f.header("dtype");
  const std::string rule = f.header("scale_rule");
  std::string spec = format + "@fouroversix";
  const bool fixed = rule == "static_6" || rule == "static_4";
  if (fixed) spec += ",rule=static" + rule.substr(rule.size() - 1);
  if (f.header("block_scale_2d") == "True") {
    spec += format == "mxfp4" ? ",block=32x32" : ",block=16x16";
  }
  if (!fixed) spec += ",error=" + (rule == "abs_max" ? std::string("absmax") : rule);
  return spec;
}

class Fouroversix : public testing::TestWithParam<const char*> {};

TEST_P(Fouroversix, CodesScalesAndAmax) {
  for (const std::string dtype : {"f32", "bf16"}) {
    const File& f = file("nvfp4_fouroversix", std::string(GetParam()) + "_" + dtype);
    ASSERT_EQ(f.header("input_dtype"), dtype);
    const std::string spec = spec_of(f);
    const File& in = file("nvfp4_inputs", "inputs_" + dtype);
    for (const std::string& input : in.names()) {
      const std::string name = input.substr(0, input.rfind(':'));
      const Matrix x = matrix(in.at(input));
      const Quantized q = quantize(spec, x);
      const std::vector<std::uint8_t>& code = f.at(name + ":code").u8();
      const std::vector<std::uint8_t>& scale = f.at(name + ":scale").u8();
      ASSERT_EQ(q.codes.size(), code.size());
      ASSERT_EQ(q.scale_codes.size(), scale.size());
      Comparison codes(f, name + ":code", spec);
      for (std::size_t i = 0; i < code.size(); ++i) {
        codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
      }
      Comparison scales(f, name + ":scale", spec);
      const std::size_t block = code.size() / scale.size();
      for (std::size_t i = 0; i < scale.size(); ++i) {
        scales.check(i, bits(x.values[i * block]), q.scale_codes[i], scale[i]);
      }
      // MXFP4 has no tensor amax; the source returns the constant 1 there.
      const BlockView view{x.values.data(),
                           0,
                           static_cast<std::uint32_t>(x.rows),
                           static_cast<std::uint32_t>(x.cols),
                           x.cols,
                           1};
      Comparison amax(f, name + ":amax", spec);
      amax.check_f32(0, 0, f.header("dtype") == "mxfp4" ? 1.0F : finite_amax(view),
                     f.at(name + ":amax").u32().at(0));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Fouroversix,
                         testing::Values("nvfp4_static_6", "nvfp4_static_6_2d", "nvfp4_static_4",
                                         "nvfp4_static_4_2d", "nvfp4_mse", "nvfp4_mse_2d",
                                         "nvfp4_mae", "nvfp4_mae_2d", "nvfp4_abs_max",
                                         "nvfp4_abs_max_2d", "mxfp4_static_6", "mxfp4_static_6_2d",
                                         "mxfp4_static_4", "mxfp4_static_4_2d", "nvint4_static_6",
                                         "if4_mse", "if4_mae", "if4_abs_max"),
                         [](const auto& param) { return std::string(param.param); });

TEST(FouroversixMx, SharedBlocks) {
  const File& f = file("nvfp4_fouroversix", "mxfp4_mx_common");
  const Matrix x = matrix(file("mx_inputs", "blocks32").at("x"));
  for (const std::string digit : {"6", "4"}) {
    const std::string prefix = "static_" + digit;
    const std::string spec = "mxfp4@fouroversix,rule=static" + digit;
    const Quantized q = quantize(spec, x);
    const std::vector<std::uint8_t>& code = f.at(prefix + ":code").u8();
    const std::vector<std::uint8_t>& scale = f.at(prefix + ":scale").u8();
    ASSERT_EQ(q.codes.size(), code.size());
    ASSERT_EQ(q.scale_codes.size(), scale.size());
    Comparison codes(f, prefix + ":code", spec);
    for (std::size_t i = 0; i < code.size(); ++i) {
      codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
    }
    Comparison scales(f, prefix + ":scale", spec);
    for (std::size_t i = 0; i < scale.size(); ++i) {
      scales.check(i, bits(x.values[i * x.cols]), q.scale_codes[i], scale[i]);
    }
  }
}

// Noise added before rounding, as the source does it on values within the format's range.
TEST(FouroversixStochastic, StoredNoise) {
  const File& f = file("nvfp4_fouroversix", "stochastic_values");
  const std::vector<float> x = f.at("x").f32();
  const std::vector<float> noise = f.at("noise").f32();
  const std::vector<std::uint32_t>& y = f.at("y").u32();
  Comparison comparison(f, "y", "fouroversix_stochastic");
  for (std::size_t i = 0; i < y.size(); ++i) {
    comparison.check_f32(i, bits(x[i]), fouroversix_stochastic(x[i], noise[i]), y[i]);
  }
}

}  // namespace
}  // namespace fp4lab::golden
