// Decision tables: every printed threshold is the first number of its value, by the oracle.
#include <cmath>
#include <string>

#include "tests/property/subject.h"

namespace fp4lab_property {
namespace {

oracle::Rational value_under(const oracle::Format& f, float x, oracle::Mode mode) {
  const oracle::Number n = oracle::from_binary32(std::bit_cast<std::uint32_t>(x));
  return oracle::decode(f, oracle::encode(f, n, mode)).value;
}

TEST(DecisionTable, ThresholdsAreTheFirstNumbersOfTheirValues) {
  for_each_narrow([](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    for (const oracle::Mode mode : oracle::kDeterministicModes) {
      const fp4lab::DecisionTable table = fp4lab::make_decision_table(subject, rounding_of(mode));
      ASSERT_EQ(static_cast<std::size_t>(table.values.count), f.levels.size()) << f.id;
      for (std::size_t i = 0; i < f.levels.size(); ++i) {
        EXPECT_EQ(oracle::Rational(table.values.value[i]), f.levels[i].value) << f.id << " " << i;
        EXPECT_EQ(table.values.code[i], f.levels[i].code) << f.id << " " << i;
        if (i == 0) continue;
        const float t = table.threshold[i];
        const float before = t == 0.0f && !std::signbit(t) ? -0.0f : std::nextafterf(t, -HUGE_VALF);
        EXPECT_EQ(value_under(f, t, mode), f.levels[i].value)
            << f.id << "/" << name(mode) << " threshold " << t;
        EXPECT_EQ(value_under(f, before, mode), f.levels[i - 1].value)
            << f.id << "/" << name(mode) << " just below the threshold " << t;
      }
    }
  });
}

}  // namespace
}  // namespace fp4lab_property
