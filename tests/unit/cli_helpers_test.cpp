// The command's helpers: tables, numbers, progress text, statistics, thresholds.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "experiments/cli/format_facts.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/terminal.h"
#include "formats/convert.h"
#include "formats/registry.h"
#include "sim/error_statistics.h"
#include "sim/reduce.h"

namespace fp4lab::cli {
namespace {

TEST(CliNumbers, TextForms) {
  EXPECT_EQ(shortest(0.1), "0.1");
  EXPECT_EQ(shortest(0.1f), "0.1");
  EXPECT_EQ(shortest(-0.0f), "-0");
  EXPECT_EQ(shortest(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(shortest(-std::numeric_limits<float>::infinity()), "-inf");
  EXPECT_EQ(percent(0.0863), "8.63 %");
  EXPECT_EQ(percent(0.0), "0.00 %");
  EXPECT_EQ(percent(0.00012), "0.0120 %");
  EXPECT_EQ(percent(std::nan("")), "-");
  EXPECT_EQ(hex_code(10, 4), "a");
  EXPECT_EQ(hex_code(10, 8), "0a");
  EXPECT_EQ(hex_code(255, 4), "ff");
}

TEST(CliProgress, RemainingTime) {
  EXPECT_EQ(progress_text("casting", 0, 100, 5), "casting");
  EXPECT_EQ(progress_text("casting", 25, 100, 3), "casting  25 %  9 s left");
  EXPECT_EQ(progress_text("casting", 1, 100, 10), "casting  1 %  16 min 30 s left");
  EXPECT_EQ(progress_text("casting", 1, 1000, 10), "casting  0 %  2 h 46 min left");
  EXPECT_EQ(progress_text("casting", 7, 0, 10), "casting");
}

/// The sum's definition once more, lane by lane and level by level over explicit lists.
double slow_sum(const std::vector<double>& terms) {
  std::vector<double> level;
  for (std::size_t first = 0; first < terms.size(); first += 1024) {
    std::vector<double> lanes(32, 0.0);
    for (std::size_t lane = 0; lane < 32; ++lane) {
      for (std::size_t i = first + lane; i < std::min(first + 1024, terms.size()); i += 32) {
        lanes[lane] = lanes[lane] + terms[i];
      }
    }
    while (lanes.size() > 1) {
      const std::size_t half = lanes.size() / 2;
      for (std::size_t j = 0; j < half; ++j) lanes[j] = lanes[j] + lanes[j + half];
      lanes.resize(half);
    }
    level.push_back(lanes[0]);
  }
  while (level.size() > 1) {
    std::vector<double> next;
    for (std::size_t i = 0; i < level.size(); i += 2) {
      next.push_back(i + 1 < level.size() ? level[i] + level[i + 1] : level[i]);
    }
    level = next;
  }
  return level.empty() ? 0.0 : level[0];
}

TEST(CliStatistics, SumHasTheDocumentedShape) {
  for (const std::size_t n : {0, 1, 31, 32, 33, 1023, 1024, 1025, 3000, 5 * 1024, 7 * 1024 + 5}) {
    std::vector<double> terms(n);
    for (std::size_t i = 0; i < n; ++i) {
      terms[i] = std::ldexp(static_cast<double>((i * 2654435761u) % 1000003) - 5e5,
                            static_cast<int>(i % 61) - 30);
    }
    EXPECT_EQ(sum_terms(n, [&](std::size_t i) { return terms[i]; }), slow_sum(terms)) << n;
  }
}

TEST(CliStatistics, SumIsNotAPlainOne) {
  // 1 and then 2^53 ... : the order shows in the last bit.
  std::vector<double> terms(64, 0.0);
  terms[0] = 0x1p53;
  terms[1] = 1.0;
  terms[33] = 1.0;
  EXPECT_EQ(sum_terms(64, [&](std::size_t i) { return terms[i]; }), 0x1p53 + 2.0);
}

TEST(CliStatistics, Log10) {
  EXPECT_EQ(portable_log10(1.0), 0.0);
  EXPECT_EQ(portable_log10(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(portable_log10(-1.0)));
  EXPECT_EQ(portable_log10(std::numeric_limits<double>::infinity()),
            std::numeric_limits<double>::infinity());
  double x = 0x1p-1074;
  for (int i = 0; i < 20000 && x < 1e308; ++i, x *= 1.0737) {
    if (x < 0x1p-1060) x *= 3;  // out of the range where 1.07 rounds to nothing
    const double want = std::log10(x);
    ASSERT_NEAR(portable_log10(x), want, 4e-16 * std::max(1.0, std::fabs(want))) << x;
  }
}

TEST(CliStatistics, CountsWhatTheyName) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x{0.0f, 1.0f, -2.0f, 0.1f, inf, 3.0f};
  const std::vector<float> y{0.0f, 1.0f, -1.5f, 0.0f, 6.0f, std::nanf("")};
  const ErrorStatistics e = error_statistics(x, y);
  EXPECT_EQ(e.elements, 6u);
  EXPECT_EQ(e.nonfinite, 2u);
  EXPECT_EQ(e.max_abs_error, 0.5);
  EXPECT_EQ(e.underflow_fraction, 1.0 / 5.0);
  EXPECT_EQ(e.zero_fraction, 2.0 / 6.0);
  const double tenth = 0.1f;
  EXPECT_DOUBLE_EQ(e.mse, (0.25 + tenth * tenth) / 4.0);
  EXPECT_NEAR(e.sqnr_db, 10.0 * std::log10((5.0 + tenth * tenth) / (0.25 + tenth * tenth)), 1e-14);
}

TEST(CliStatistics, NothingToDivideBy) {
  const ErrorStatistics none = error_statistics({}, {});
  EXPECT_TRUE(std::isnan(none.sqnr_db));
  EXPECT_TRUE(std::isnan(none.mse));
  EXPECT_TRUE(std::isnan(none.zero_fraction));
  const std::vector<float> zero{0.0f};
  EXPECT_TRUE(std::isnan(error_statistics(zero, zero).underflow_fraction));
  EXPECT_EQ(error_statistics(zero, zero).sqnr_db, std::numeric_limits<double>::infinity());
}

/// Every format of at most 8 bits: the thresholds shown are those of the encoder, on both sides.
TEST(CliFormatFacts, ThresholdsAreTheEncoders) {
  for (const FormatInfo& info : catalog()) {
    if (info.format.bits > 8) continue;
    for (const Rounding& r :
         {kRne, kRna, kRnz, kRtz, kRtp, kRtn, kOdd, kRnLower, kRnUpper, kRdnp}) {
      for (const Threshold& t : thresholds_of(info.format, r)) {
        const double up = std::nextafter(t.at, std::numeric_limits<double>::infinity());
        const double down = std::nextafter(t.at, -std::numeric_limits<double>::infinity());
        const auto value = [&](double x) {
          return decode_f64(info.format, encode(info.format, x, r));
        };
        ASSERT_GE(t.at, t.low) << info.id;
        ASSERT_LE(t.at, t.high) << info.id;
        ASSERT_EQ(value(t.at), t.at_goes_up ? t.high : t.low) << info.id << " " << t.at;
        if (t.at < t.high) {
          ASSERT_EQ(value(up), t.high) << info.id << " above " << t.at;
        }
        if (t.at > t.low) {
          ASSERT_EQ(value(down), t.low) << info.id << " below " << t.at;
        }
      }
    }
  }
}

TEST(CliFormatFacts, NearestThresholdsOfE2m1AreTheMidpoints) {
  const ElementFormat f = find_format("e2m1")->format;
  for (const Threshold& t : thresholds_of(f, kRne)) EXPECT_EQ(t.at, (t.low + t.high) / 2);
}

TEST(CliFormatFacts, RangesOfKnownFormats) {
  const auto facts = [](const char* name) { return facts_of(find_format(name)->format); };
  EXPECT_EQ(facts("e2m1").min_subnormal, 0.5);
  EXPECT_EQ(facts("e2m1").min_normal, 1.0);
  EXPECT_EQ(facts("e2m1").integer_factor, 2);
  EXPECT_EQ(facts("e2m1").finite_values, 15u);
  EXPECT_EQ(facts("e2m1-nosub").min_subnormal, std::nullopt);
  EXPECT_EQ(facts("e2m1-nosub").min_normal, 0.75);
  EXPECT_EQ(facts("e3m0-nz").min_normal, 0.125);
  EXPECT_EQ(facts("e3m0-nz").smallest_positive, 0.125);
  EXPECT_EQ(facts("e8m0").min_normal, 0x1p-127);
  EXPECT_EQ(facts("e4m3").min_subnormal, 0x1p-9);
  EXPECT_EQ(facts("e4m3").max, 448.0);
  EXPECT_EQ(facts("nf4").integer_factor, std::nullopt);
  EXPECT_EQ(facts("int4").min, -7.0);
  EXPECT_EQ(facts("fp32").smallest_positive, 0x1p-149);
  EXPECT_EQ(facts("tf32").min_subnormal, 0x1p-136);
}

}  // namespace
}  // namespace fp4lab::cli
