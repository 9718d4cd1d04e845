// gfloat's rounding modes with and without saturation, and its four stochastic models with given
// random bits.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "formats/convert.h"
#include "formats/spec_text.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/scalar_columns.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

struct Model {
  const char* name;
  RoundingKind kind;
};
constexpr Model kModels[] = {{"Stochastic", RoundingKind::sr_rne},
                             {"StochasticOdd", RoundingKind::sr_rno},
                             {"StochasticFast", RoundingKind::sr_fast},
                             {"StochasticFastest", RoundingKind::sr}};

// Splits "a:b:c".
std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t end = text.find(':'); end != std::string::npos; end = text.find(':', begin)) {
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  out.push_back(text.substr(begin));
  return out;
}

// A code as gfloat's encoder gives it: ffff for a refusal. Its record of the format without a zero
// says "no negative zero" and so takes code 8, which decodes as a number, for a NaN.
std::uint64_t stored(const ElementFormat& format, std::uint32_t code) {
  if (code != kRefused) return code;
  return format.low_end == LowEnd::no_zero ? format.sign_mask() : 0xffffU;
}

// True where gfloat has no rule; see the table of exclusions.
bool excluded(const ElementFormat& format, float x, Comparison& comparison) {
  if (!format.is_signed && std::signbit(x)) {
    comparison.exclude(Exclusion::kGfloatUnsignedNegative);
    return true;
  }
  if (format.low_end != LowEnd::gradual) {
    const double smallest = decode_f64(format, format.low_end == LowEnd::no_zero ? 0 : 1);
    if (std::fabs(static_cast<double>(x)) < smallest) {
      comparison.exclude(Exclusion::kGfloatNoSubnormals);
      return true;
    }
  }
  return false;
}

class GfloatRound : public testing::TestWithParam<const char*> {};

TEST_P(GfloatRound, DeterministicModes) {
  const File& f = file("gfloat_round", GetParam());
  const ElementFormat format = gfloat_format(f.header("format"));
  const std::vector<float> x = f.at("x").f32();
  std::size_t columns = 0;
  for (const std::string& column : f.names()) {
    const std::vector<std::string> p = parts(column);
    if (p[0] != "value" && p[0] != "code") continue;
    ++columns;
    const auto rule = scalar_rule("gfloat:" + p[1] + ":" + p[2], "", false);
    const Tensor& want = f.at(column);
    ASSERT_EQ(want.size(), x.size());
    Comparison comparison(f, column, rule->name());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (excluded(format, x[i], comparison)) continue;
      const std::uint64_t input = std::bit_cast<std::uint32_t>(x[i]);
      const std::uint32_t code = encode(format, x[i], rule->rounding, rule->policy);
      if (p[0] == "code") {
        comparison.check(i, input, stored(format, code), want.bits(i));
      } else {
        comparison.check_f32(i, input, round_to(format, x[i], rule->rounding, rule->policy),
                             static_cast<std::uint32_t>(want.bits(i)));
      }
    }
  }
  EXPECT_EQ(columns, 24U);
}

TEST_P(GfloatRound, StochasticModels) {
  const File& f = file("gfloat_round", GetParam());
  const ElementFormat format = gfloat_format(f.header("format"));
  const std::vector<float> x = f.at("sr_x").f32();
  std::size_t columns = 0;
  for (const std::string& column : f.names()) {
    const std::vector<std::string> p = parts(column);
    if (p[0] != "sr_code") continue;
    Rounding rounding;
    for (const Model& model : kModels) {
      if (p[1] == model.name) rounding.kind = model.kind;
    }
    ASSERT_TRUE(rounding.kind != RoundingKind::rne) << column;
    rounding.bits = static_cast<std::uint8_t>(std::stoi(p[2]));
    ++columns;
    const Tensor& random = f.at("sr_bits:" + p[2]);
    const Tensor& want = f.at(column);
    ASSERT_EQ(want.size(), x.size());
    ASSERT_EQ(random.size(), x.size());
    Comparison comparison(f, column, to_string(rounding) + " gfloat-sat");
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (excluded(format, x[i], comparison)) continue;
      const std::uint32_t code = encode(format, x[i], rounding, Policy::gfloat_sat,
                                        static_cast<std::uint32_t>(random.bits(i)));
      comparison.check(i, std::bit_cast<std::uint32_t>(x[i]), stored(format, code), want.bits(i));
    }
  }
  EXPECT_EQ(columns, 20U);
}

INSTANTIATE_TEST_SUITE_P(Files, GfloatRound,
                         testing::Values("ocp_e2m1", "ocp_e2m3", "ocp_e3m2", "ocp_e4m3", "ocp_e5m2",
                                         "p3109_k4p1sf", "p3109_k4p1se", "p3109_k4p1uf",
                                         "p3109_k4p1ue", "p3109_k4p2sf", "p3109_k4p2se",
                                         "p3109_k4p2uf", "p3109_k4p2ue", "p3109_k4p3sf",
                                         "p3109_k4p3se", "p3109_k4p3uf", "p3109_k4p3ue",
                                         "p3109_k4p4sf", "p3109_k4p4se", "p3109_k4p4uf",
                                         "p3109_k4p4ue", "e3m0_b3", "e1m2_b0", "e1m2_b1", "e0m3_b1",
                                         "ue4m3_b7_7bit", "ue5m3_b15", "e2m1_nosub", "e3m0_nozero"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace fp4lab::golden
