// The measuring instrument itself.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/math/samples.h"

namespace fp4lab_test {
namespace {

class Filter : public testing::TestWithParam<Function> {};
INSTANTIATE_TEST_SUITE_P(Math, Filter, testing::ValuesIn(all_functions()),
                         [](const auto& info) { return name_of(info.param); });

/// What the walks over all inputs rest on: the platform's binary64 values are far better than the
/// window they are trusted with.
TEST_P(Filter, ErrorStaysFarBelowItsWindow) {
  const Function f = GetParam();
  std::vector<float> x = sample(f, 6000);
  for (int i = 0; i < 2000; ++i) x.push_back(static_cast<float>(i - 1000) * 0.0147f);
  std::vector<double> g(x.size());
  filter_values(f, x.data(), g.data(), x.size());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    // Silu and gelu near 0 are decided by a rule of their own; results that binary32 cannot hold
    // round alike whatever the error.
    if (special_bits(f, x[i]) || std::fabs(x[i]) < kHalfRuleBelow) continue;
    if (!(std::fabs(g[i]) > 0x1p-151 && std::fabs(g[i]) < 0x1p129)) continue;
    worst = std::max(worst, relative_error(f, x[i], g[i]));
  }
  EXPECT_GT(worst, 0x1p-56);  // binary64 is not exact: the comparison saw something
  EXPECT_LT(worst, kFilterWindow / 8);
}

/// A function that is wrong in the last place at one input in a hundred is noticed.
TEST_P(Filter, WalkFindsWrongResults) {
  const Function f = GetParam();
  const Evaluator spoilt = [](Function g, const float* x, float* y, std::size_t n) {
    scalar_values(g, x, y, n);
    for (std::size_t i = 0; i < n; i += 100) {
      y[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(y[i]) ^ 1u);
    }
  };
  const std::vector<float> x = sample(f, 2000);
  EXPECT_EQ(compare_with_reference(f, spoilt, x.data(), x.size()).mismatches, 20u);
}

/// Half the rule for tiny arguments: it gives what MPFR gives.
TEST(HalfRule, AgreesWithMpfr) {
  for (const Function f : {Function::kSilu, Function::kGelu}) {
    for (std::uint32_t i = 0; i < 4000; ++i) {
      const std::uint32_t magnitude =
          i < 1000 ? i + 1 : static_cast<std::uint32_t>(mix(i) % 0x2B800000u) + 1;
      for (const std::uint32_t sign : {0u, 0x80000000u}) {
        const float x = std::bit_cast<float>(magnitude | sign);
        if (std::fabs(x) >= kHalfRuleBelow) continue;
        const float y = static_cast<float>(just_above_half(x));
        ASSERT_EQ(std::bit_cast<std::uint32_t>(y), mpfr_bits(f, x)) << name_of(f) << " at " << x;
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab_test
