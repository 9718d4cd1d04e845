// Values to codes: every column of scalar_convert but the hashes and the value columns.
#include <gtest/gtest.h>

#include <bit>

#include "formats/convert.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/scalar_columns.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

// A code as the files store it: ffff where the call refused.
std::uint64_t stored(std::uint32_t code) { return code == kRefused ? 0xffffU : code; }

class ScalarConvert : public testing::TestWithParam<const char*> {};

TEST_P(ScalarConvert, EveryCodeColumn) {
  const std::string stem = GetParam();
  const File& f = file("scalar_convert", stem);
  const Tensor& x = f.at("x");
  const bool f64 = x.dtype() == Dtype::kF64;
  for (const std::string& column : f.names()) {
    if (column == "x") continue;
    const auto rule = scalar_rule(column, f.header("format"), f64);
    if (!rule) continue;
    const ElementFormat format = element_format(rule->format);
    const Tensor& want = f.at(column);
    ASSERT_EQ(want.size(), x.size());
    Comparison comparison(f, column, rule->name());
    for (std::size_t i = 0; i < x.size(); ++i) {
      std::uint32_t code = 0;
      if (!f64) {
        code = encode(format, std::bit_cast<float>(static_cast<std::uint32_t>(x.bits(i))),
                      rule->rounding, rule->policy);
      } else if (rule->through_f32) {
        code = encode(format, static_cast<float>(std::bit_cast<double>(x.bits(i))), rule->rounding,
                      rule->policy);
      } else {
        code = encode(format, std::bit_cast<double>(x.bits(i)), rule->rounding, rule->policy);
      }
      comparison.check(i, x.bits(i), stored(code), want.bits(i));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, ScalarConvert,
                         testing::Values("f32_to_e2m1", "f32_to_e2m3", "f32_to_e3m2", "f32_to_e3m4",
                                         "f32_to_e4m3", "f32_to_e4m3fn", "f32_to_e4m3fnuz",
                                         "f32_to_e4m3b11fnuz", "f32_to_e5m2", "f32_to_e5m2fnuz",
                                         "f32_to_e8m0", "f32_to_bf16", "f32_to_f16", "f64_to_e2m1",
                                         "f64_to_e2m3", "f64_to_e3m2", "f64_to_e4m3fn",
                                         "f64_to_e5m2", "f64_to_e8m0"),
                         [](const auto& param) { return std::string(param.param); });

// All 65,536 inputs of a 16-bit format, widened exactly by `widen`.
template <typename Widen>
void all_inputs(const std::string& stem, Widen widen) {
  const File& f = file("scalar_convert", stem);
  for (const std::string& column : f.names()) {
    const auto rule = scalar_rule(column, "", false);
    ASSERT_TRUE(rule.has_value()) << column;
    const ElementFormat format = element_format(rule->format);
    const Tensor& want = f.at(column);
    ASSERT_EQ(want.size(), 65536U);
    Comparison comparison(f, column, rule->name());
    for (std::uint32_t i = 0; i < 65536; ++i) {
      comparison.check(i, i, stored(encode(format, widen(i), rule->rounding, rule->policy)),
                       want.bits(i));
    }
  }
}

TEST(ScalarConvertAll, Bf16Inputs) {
  all_inputs("all_bf16_codes", [](std::uint32_t i) { return std::bit_cast<float>(i << 16); });
}

TEST(ScalarConvertAll, F16Inputs) {
  all_inputs("all_f16_codes", [](std::uint32_t i) {
    const std::uint32_t magnitude = i & 0x7fffU;
    const std::uint32_t sign = (i & 0x8000U) << 16;
    if (magnitude >= 0x7c00U) {  // Inf and NaN: the payload moves up with the mantissa
      return std::bit_cast<float>(sign | 0x7f800000U | ((magnitude & 0x3ffU) << 13));
    }
    if (magnitude >= 0x400U) return std::bit_cast<float>(sign | ((magnitude << 13) + (112U << 23)));
    const float subnormal = static_cast<float>(magnitude) * 0x1p-24F;
    return sign != 0 ? -subnormal : subnormal;
  });
}

}  // namespace
}  // namespace fp4lab::golden
