// The oracle against literals of the documents and against the processor's own arithmetic, before
// anything is compared with the oracle.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/oracle/breakpoints.h"
#include "tests/oracle/formats.h"
#include "tests/oracle/rational.h"
#include "tests/oracle/rounding.h"

namespace fp4lab_oracle {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Number number(float x) { return from_binary32(std::bit_cast<std::uint32_t>(x)); }

std::uint32_t code_of(const char* id, float x, Mode mode, Policy policy = Policy::kCuda) {
  return encode(format(id), number(x), mode, policy);
}

float next_up(float x) { return std::nextafterf(x, kInf); }
float next_down(float x) { return std::nextafterf(x, -kInf); }

TEST(OracleRational, Binary32PatternsRoundTrip) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(random());
    const Number x = from_binary32(bits);
    const float as_float = std::bit_cast<float>(bits);
    if (x.kind != Number::Kind::kFinite) {
      EXPECT_EQ(std::isnan(as_float), x.kind == Number::Kind::kNan);
      continue;
    }
    EXPECT_EQ(to_binary32(x.value), bits);
    EXPECT_EQ(static_cast<double>(x.value), static_cast<double>(as_float));
  }
}

TEST(OracleRational, RoundingAgreesWithTheProcessor) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20000; ++i) {
    // A binary64 number near the binary32 range, subnormals and overflow included.
    const std::uint64_t mantissa = random() & ((std::uint64_t{1} << 52) - 1);
    const std::uint64_t exponent = 1023 - 152 + random() % 284;
    const std::uint64_t low_bits = i % 2 == 0 ? ~std::uint64_t{0} : ~((std::uint64_t{1} << 27) - 1);
    const double x = std::bit_cast<double>((exponent << 52) | (mantissa & low_bits));
    const Rational exact = decode_ieee(std::bit_cast<std::uint64_t>(x), kBinary64).value;
    EXPECT_EQ(to_binary32(exact), std::bit_cast<std::uint32_t>(static_cast<float>(x))) << x;
  }
}

TEST(OracleRational, QuotientsRoundLikeBinary64Division) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t a = random() >> 11, b = (random() >> 11) | 1;
    const double quotient = static_cast<double>(a) / static_cast<double>(b);
    EXPECT_EQ(static_cast<double>(round_to_binary64(Rational(Integer(a), Integer(b)))), quotient);
  }
}

TEST(OracleRational, NarrowLayoutsRoundToEven) {
  // Ties, carries into the next binade, subnormals and overflow of binary16 and bfloat16.
  EXPECT_EQ(encode_ieee_rne(Rational(2049), kBinary16), 0x6800u);
  EXPECT_EQ(encode_ieee_rne(Rational(2051), kBinary16), 0x6802u);
  EXPECT_EQ(encode_ieee_rne(Rational(65519), kBinary16), 0x7BFFu);
  EXPECT_EQ(encode_ieee_rne(Rational(65520), kBinary16), 0x7C00u);
  EXPECT_EQ(encode_ieee_rne(pow2(-25), kBinary16), 0x0000u);
  EXPECT_EQ(encode_ieee_rne(pow2(-25) * 3, kBinary16), 0x0002u);
  EXPECT_EQ(encode_ieee_rne(-pow2(-24), kBinary16), 0x8001u);
  EXPECT_EQ(encode_ieee_rne(Rational(0), kBinary16, true), 0x8000u);
  EXPECT_EQ(encode_ieee_rne(Rational(257), kBfloat16), 0x4380u);
  EXPECT_EQ(encode_ieee_rne(Rational(259), kBfloat16), 0x4382u);
  EXPECT_EQ(encode_ieee_rne((Rational(2) - pow2(-8)) * pow2(127), kBfloat16), 0x7F80u);
}

TEST(OracleRational, FloorLog2AndFloorAreExactBesidePowersOfTwo) {
  EXPECT_EQ(floor_log2(Rational(1)), 0);
  EXPECT_EQ(floor_log2(Rational(1) - pow2(-200)), -1);
  EXPECT_EQ(floor_log2(Rational(8) - pow2(-200)), 2);
  EXPECT_EQ(floor_log2(Rational(1, 3)), -2);
  EXPECT_EQ(floor_integer(Rational(-1, 3)), -1);
  EXPECT_EQ(floor_integer(Rational(7, 2)), 3);
  EXPECT_EQ(parse_rational("-1.25"), Rational(-5, 4));
  EXPECT_EQ(parse_rational("8/12"), Rational(2, 3));
}

TEST(OracleFormats, DerivedFactsMatchTheSummaryTable) {
  struct Row {
    const char* id;
    const char* smallest_positive;
    const char* largest;
    std::uint32_t largest_code;
  };
  const Row rows[] = {
      {"e2m1", "0.5", "6", 7},
      {"e1m2", "0.5", "3.5", 7},
      {"e1m2-b1", "0.25", "1.75", 7},
      {"e3m0", "0.25", "16", 7},
      {"radix4-even", "1/64", "64", 7},
      {"radix4-odd", "1/32", "128", 7},
      {"int4", "1", "7", 7},
      {"mxint4-elem", "0.25", "1.75", 7},
      {"mxint8-elem", "1/64", "1.984375", 0x7F},
      {"e2m3", "0.125", "7.5", 0x1F},
      {"e3m2", "0.0625", "28", 0x1F},
      {"e4m3", "1/512", "448", 0x7E},
      {"e5m2", "1/65536", "57344", 0x7B},
      {"e4m3-ieee", "1/512", "240", 0x77},
      {"e3m4", "1/64", "15.5", 0x6F},
      {"e4m3fnuz", "1/1024", "240", 0x7F},
      {"e5m2fnuz", "1/131072", "57344", 0x7F},
      {"e4m3b11fnuz", "1/8192", "30", 0x7F},
      {"ue4m3", "1/512", "448", 0x7E},
      {"ue5m3", "1/131072", "114688", 0xFE},
      {"e6m2", "1/281474976710656", "49152", 0xFE},
  };
  for (const Row& row : rows) {
    const Format& f = format(row.id);
    EXPECT_EQ(f.levels.back().value, parse_rational(row.largest)) << row.id;
    EXPECT_EQ(f.levels.back().code, row.largest_code) << row.id;
    for (const Level& level : f.levels) {
      if (level.value <= 0) continue;
      EXPECT_EQ(level.value, parse_rational(row.smallest_positive)) << row.id;
      break;
    }
  }
  EXPECT_EQ(format("e8m0").levels.front().value, pow2(-127));
  EXPECT_EQ(format("e8m0").levels.back().value, pow2(127));
}

TEST(OracleFormats, EveryFormatHasAZeroUnlessItsDefinitionSaysNo) {
  for (const Format& f : formats()) {
    if (f.is_wide) continue;
    bool has_zero = false;
    for (const Level& level : f.levels) has_zero |= level.value == 0;
    const bool without = f.id == "e3m0-nz" || f.id == "e8m0" || f.id == "e6m2";
    EXPECT_EQ(has_zero, !without) << f.id;
  }
}

// formats.md 1.1: the intervals of |x| that give each magnitude. `included` says for each threshold
// whether it still belongs to the smaller magnitude.
struct E2M1Thresholds {
  Mode mode;
  float threshold[7];
  bool included[7];
};

TEST(OracleRounding, E2M1ThresholdsMatchThePrintedTable) {
  const E2M1Thresholds rows[] = {
      {Mode::kRne, {.25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5}, {1, 0, 1, 0, 1, 0, 1}},
      {Mode::kRna, {.25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5}, {0, 0, 0, 0, 0, 0, 0}},
      {Mode::kRnz, {.25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5}, {1, 1, 1, 1, 1, 1, 1}},
      {Mode::kRtz, {.5f, 1, 1.5f, 2, 3, 4, 6}, {0, 0, 0, 0, 0, 0, 0}},
  };
  for (const E2M1Thresholds& row : rows) {
    for (std::uint32_t i = 0; i < 7; ++i) {
      const float t = row.threshold[i];
      const std::uint32_t at = row.included[i] ? i : i + 1;
      for (const std::uint32_t sign : {0u, 8u}) {
        const float s = sign != 0 ? -1.0f : 1.0f;
        EXPECT_EQ(code_of("e2m1", s * t, row.mode), at | sign) << name(row.mode) << " " << s * t;
        EXPECT_EQ(code_of("e2m1", s * next_down(t), row.mode), i | sign) << name(row.mode);
        EXPECT_EQ(code_of("e2m1", s * next_up(t), row.mode), (i + 1) | sign) << name(row.mode);
      }
    }
  }
}

TEST(OracleRounding, E2M1DirectedAndOddMatchThePrintedTable) {
  const float values[8] = {0, .5f, 1, 1.5f, 2, 3, 4, 6};
  for (std::uint32_t i = 0; i < 8; ++i) {
    for (const Mode mode : kDeterministicModes) {
      EXPECT_EQ(code_of("e2m1", values[i], mode), i) << name(mode);
      EXPECT_EQ(code_of("e2m1", -values[i], mode), i | 8) << name(mode);
    }
    const float beyond = next_up(values[i]);
    const std::uint32_t up = i < 7 ? i + 1 : 7;
    EXPECT_EQ(code_of("e2m1", beyond, Mode::kRtp), up);
    EXPECT_EQ(code_of("e2m1", beyond, Mode::kRtn), i);
    EXPECT_EQ(code_of("e2m1", -beyond, Mode::kRtp), i | 8);
    EXPECT_EQ(code_of("e2m1", -beyond, Mode::kRtn), up | 8);
    EXPECT_EQ(code_of("e2m1", beyond, Mode::kOdd), i | 1);
    EXPECT_EQ(code_of("e2m1", -beyond, Mode::kOdd), i | 9);
    if (i < 7) {
      EXPECT_EQ(code_of("e2m1", next_down(values[i + 1]), Mode::kOdd), i | 1);
    }
  }
}

TEST(OracleRounding, PrintedTestVectorsOfE2M1) {
  struct Row {
    float x;
    std::uint32_t rn, rz;
  };
  const Row rows[] = {{0.0f, 0, 0},       {-0.0f, 8, 8}, {.25f, 0, 0},  {-.25f, 8, 8},
                      {.2500001f, 1, 0},  {.75f, 2, 1},  {1.25f, 2, 2}, {1.75f, 4, 3},
                      {2.5f, 4, 4},       {3.5f, 6, 5},  {5, 6, 6},     {-5, 0xE, 0xE},
                      {next_up(5), 7, 6}, {7, 7, 7},     {kInf, 7, 7},  {-kInf, 0xF, 0xF},
                      {kNan, 7, 7},       {-kNan, 7, 7}};
  for (const Row& row : rows) {
    EXPECT_EQ(code_of("e2m1", row.x, Mode::kRne), row.rn) << row.x;
    EXPECT_EQ(code_of("e2m1", row.x, Mode::kRtz), row.rz) << row.x;
  }
  const Number huge = decode_ieee(std::bit_cast<std::uint64_t>(1e300), kBinary64);
  EXPECT_EQ(encode(format("e2m1"), huge, Mode::kRne), 7u);
  const Number just_above_5 = decode_ieee(std::bit_cast<std::uint64_t>(5.0000001), kBinary64);
  EXPECT_EQ(encode(format("e2m1"), just_above_5, Mode::kRne), 7u);
}

TEST(OracleRounding, PrintedTestVectorsOfFp8AndFp6) {
  const Policy nosat = Policy::kCudaNoSat;
  EXPECT_EQ(code_of("e4m3", 448, Mode::kRne), 0x7Eu);
  EXPECT_EQ(code_of("e4m3", 448, Mode::kRne, nosat), 0x7Eu);
  EXPECT_EQ(code_of("e4m3", 464, Mode::kRne), 0x7Eu);
  EXPECT_EQ(code_of("e4m3", 464, Mode::kRne, nosat), 0x7Eu);
  EXPECT_EQ(code_of("e4m3", next_up(464), Mode::kRne), 0x7Eu);
  EXPECT_EQ(code_of("e4m3", next_up(464), Mode::kRne, nosat), 0x7Fu);
  EXPECT_EQ(code_of("e4m3", kInf, Mode::kRne), 0x7Eu);
  EXPECT_EQ(code_of("e4m3", -kInf, Mode::kRne), 0xFEu);
  EXPECT_EQ(code_of("e4m3", kInf, Mode::kRne, nosat), 0x7Fu);
  EXPECT_EQ(code_of("e4m3", -kInf, Mode::kRne, nosat), 0xFFu);
  EXPECT_EQ(code_of("e4m3", kNan, Mode::kRne), 0x7Fu);
  EXPECT_EQ(code_of("e4m3", -kNan, Mode::kRne), 0x7Fu);
  EXPECT_EQ(code_of("e4m3", 0x1p-10f, Mode::kRne), 0x00u);
  EXPECT_EQ(code_of("e4m3", next_up(0x1p-10f), Mode::kRne), 0x01u);
  EXPECT_EQ(code_of("e4m3", -1e-9f, Mode::kRne), 0x80u);
  EXPECT_EQ(code_of("e5m2", 57344, Mode::kRne), 0x7Bu);
  EXPECT_EQ(code_of("e5m2", 57344, Mode::kRne, nosat), 0x7Bu);
  EXPECT_EQ(code_of("e5m2", next_down(61440), Mode::kRne, nosat), 0x7Bu);
  EXPECT_EQ(code_of("e5m2", 61440, Mode::kRne), 0x7Bu);
  EXPECT_EQ(code_of("e5m2", 61440, Mode::kRne, nosat), 0x7Cu);
  EXPECT_EQ(code_of("e5m2", -kInf, Mode::kRne, nosat), 0xFCu);
  EXPECT_EQ(code_of("e5m2", kNan, Mode::kRne), 0x7Fu);
  for (const char* id : {"e2m3", "e3m2"}) {
    for (const float x : {kNan, -kNan, kInf}) EXPECT_EQ(code_of(id, x, Mode::kRne), 0x1Fu);
    EXPECT_EQ(code_of(id, -0.0f, Mode::kRne), 0x20u);
  }
}

TEST(OracleRounding, PrintedTestVectorsOfE8M0) {
  struct Row {
    float x;
    std::uint32_t rz, rp;
  };
  const Row rows[] = {{1, 0x7F, 0x7F},    {next_up(1), 0x7F, 0x80}, {1.9f, 0x7F, 0x80},
                      {0x1p-128f, 0, 0},  {0x1.8p-127f, 0, 1},      {0, 0, 0},
                      {-3, 0x80, 0x81},   {0x1.8p127f, 0xFE, 0xFE}, {kNan, 0xFF, 0xFF},
                      {-kInf, 0xFE, 0xFE}};
  for (const Row& row : rows) {
    EXPECT_EQ(code_of("e8m0", row.x, Mode::kRtz), row.rz) << row.x;
    EXPECT_EQ(code_of("e8m0", row.x, Mode::kRtp), row.rp) << row.x;
  }
  EXPECT_EQ(code_of("e8m0", 0x1.8p127f, Mode::kRtp, Policy::kCudaNoSat), 0xFFu);
  EXPECT_EQ(code_of("e8m0", 0x1.8p127f, Mode::kRtz, Policy::kCudaNoSat), 0xFEu);
}

TEST(OracleRounding, ZeroMantissaTiesGoToTheEvenCode) {
  // formats.md 1.3 and 1.4 print these decisions.
  const float e3m0[][2] = {{.125f, 0}, {.375f, .5f}, {.75f, .5f}, {1.5f, 2},
                           {3, 2},     {6, 8},       {12, 8}};
  for (const auto& [x, want] : e3m0) {
    const std::uint32_t code = code_of("e3m0", x, Mode::kRne);
    EXPECT_EQ(static_cast<float>(decode(format("e3m0"), code).value), want) << x;
  }
  const float cuts[] = {.0078125f, .0390625f, .15625f, .625f, 2.5f, 10, 40};
  for (std::uint32_t i = 0; i < 7; ++i) {
    EXPECT_EQ(code_of("radix4-even", next_down(cuts[i]), Mode::kRne), i);
    EXPECT_EQ(code_of("radix4-even", next_up(cuts[i]), Mode::kRne), i + 1);
    EXPECT_EQ(code_of("radix4-even", cuts[i], Mode::kRne), (i + 1) & ~1u);
    EXPECT_EQ(code_of("radix4-odd", 2 * next_down(cuts[i]), Mode::kRne), i);
    EXPECT_EQ(code_of("radix4-odd", 2 * next_up(cuts[i]), Mode::kRne), i + 1);
  }
}

TEST(OracleRounding, UnsignedFormatsSendNegativesToCodeZero) {
  for (const char* id : {"uint4-asym", "ue4m3", "ue5m3", "p3109-k4p2uf", "e6m2"}) {
    for (const float x : {-0.0f, -1e-30f, -3.0f, -kInf}) {
      for (const Mode mode : kDeterministicModes) EXPECT_EQ(code_of(id, x, mode), 0u) << id;
    }
  }
}

TEST(OracleRounding, FormatWithoutZeroKeepsTheOwnSide) {
  for (const Mode mode : kDeterministicModes) {
    const bool up = mode == Mode::kRtp, down = mode == Mode::kRtn;
    for (const float x : {0.0f, 1e-40f, .0624f, .1249f}) {
      EXPECT_EQ(code_of("e3m0-nz", x, mode), down ? 8u : 0u) << name(mode) << x;
      EXPECT_EQ(code_of("e3m0-nz", -x, mode), up ? 0u : 8u) << name(mode) << x;
    }
  }
}

TEST(OracleRounding, LogFloorRuleCutsAtThreeQuartersOnlyInTheLowestCell) {
  EXPECT_EQ(code_of("e3m0", next_down(.1875f), Mode::kRdnp), 0u);
  EXPECT_EQ(code_of("e3m0", .1875f, Mode::kRdnp), 1u);
  EXPECT_EQ(code_of("e3m0", next_down(.375f), Mode::kRdnp), 1u);
  EXPECT_EQ(code_of("e3m0", .375f, Mode::kRdnp), 2u);
  EXPECT_EQ(code_of("e3m0", -12, Mode::kRdnp), 0xFu);
}

TEST(OracleRounding, LowerAndUpperBreakTiesByRealOrder) {
  EXPECT_EQ(code_of("e2m1", 2.5f, Mode::kRnLower), 4u);
  EXPECT_EQ(code_of("e2m1", -2.5f, Mode::kRnLower), 0xDu);
  EXPECT_EQ(code_of("e2m1", 2.5f, Mode::kRnUpper), 5u);
  EXPECT_EQ(code_of("e2m1", -2.5f, Mode::kRnUpper), 0xCu);
}

TEST(OracleStochastic, PrintedExamplesOfModelA) {
  const Format& f = format("e2m1");
  for (std::uint32_t r = 0; r < 256; ++r) {
    EXPECT_EQ(encode(f, number(2.5f), Stochastic::kFloor, 8, r), r >= 128 ? 5u : 4u);
    EXPECT_EQ(encode(f, number(5), Stochastic::kFloor, 8, r), r >= 128 ? 7u : 6u);
    EXPECT_EQ(encode(f, number(.1f), Stochastic::kFloor, 8, r), r >= 205 ? 1u : 0u);
    EXPECT_EQ(encode(f, number(6.5f), Stochastic::kFloor, 8, r), 7u);
    EXPECT_EQ(encode(f, number(-.1f), Stochastic::kFloor, 8, r), r >= 205 ? 9u : 8u);
  }
}

TEST(OracleStochastic, CountsFollowTheFourFormulas) {
  // d * 2^N = 51.5, 52.5 and 51.25 on the cell [2, 3] with N = 8.
  const auto count = [](float scaled, Stochastic model) {
    return round_up_count(locate(format("e2m1"), number(2 + scaled / 256)), model, 8);
  };
  EXPECT_EQ(count(51.5f, Stochastic::kFloor), 51u);
  EXPECT_EQ(count(51.5f, Stochastic::kFast), 52u);
  EXPECT_EQ(count(51.5f, Stochastic::kRne), 52u);
  EXPECT_EQ(count(51.5f, Stochastic::kRno), 51u);
  EXPECT_EQ(count(52.5f, Stochastic::kFast), 53u);
  EXPECT_EQ(count(52.5f, Stochastic::kRne), 52u);
  EXPECT_EQ(count(52.5f, Stochastic::kRno), 53u);
  for (const Stochastic model : kStochasticModels) EXPECT_EQ(count(51.25f, model), 51u);
}

TEST(OracleStochastic, UniformDecidesStrictlyBelowTheDistance) {
  const Format& f = format("e2m1");
  EXPECT_EQ(encode_uniform(f, number(2.5f), Rational(1, 2)), 4u);
  EXPECT_EQ(encode_uniform(f, number(2.5f), Rational(1, 2) - pow2(-24)), 5u);
  EXPECT_EQ(encode_uniform(f, number(2), Rational(0)), 4u);
}

// The direct construction of the intervals against plain bisection on the rounding itself.
void bisect(const Format& f, Mode mode, std::uint32_t first, std::uint32_t last,
            std::uint32_t first_code, std::uint32_t last_code, std::vector<std::uint32_t>& starts) {
  if (first_code == last_code) return;
  if (last == first + 1) {
    starts.push_back(last);
    return;
  }
  const std::uint32_t middle = first + (last - first) / 2;
  const std::uint32_t code = encode(f, from_binary32(middle), mode);
  bisect(f, mode, first, middle, first_code, code, starts);
  bisect(f, mode, middle, last, code, last_code, starts);
}

TEST(OracleBreakpoints, IntervalsCoverEverythingAndMatchBisection) {
  for (const char* id : {"e2m1", "nf4", "bnb-fp4", "int4", "denorm4", "e3m0-nz", "e8m0",
                         "p3109-k4p3ue", "e2m1-razer", "apot4-sp", "e4m3fnuz"}) {
    const Format& f = format(id);
    for (const Mode mode : kDeterministicModes) {
      const std::vector<Interval> all = intervals(f, mode);
      ASSERT_EQ(all.front().first, 0u);
      ASSERT_EQ(all.back().last, 0xFFFFFFFFu);
      std::vector<std::uint32_t> starts;
      for (std::size_t i = 1; i < all.size(); ++i) {
        ASSERT_EQ(all[i].first, all[i - 1].last + 1);
        ASSERT_NE(all[i].code, all[i - 1].code);
        starts.push_back(all[i].first);
      }
      std::vector<std::uint32_t> expected;
      for (const std::uint32_t sign : {0u, 0x80000000u}) {
        const auto code = [&](std::uint32_t bits) {
          return encode(f, from_binary32(sign | bits), mode);
        };
        if (sign != 0 && code(0) != f.nan_code) expected.push_back(sign);
        bisect(f, mode, sign, sign | 0x7F800000u, code(0), code(0x7F800000u), expected);
        if (code(0x7F800000u) != f.nan_code) expected.push_back(sign | 0x7F800001u);
      }
      EXPECT_EQ(starts, expected) << id << "/" << name(mode);
    }
  }
}

}  // namespace
}  // namespace fp4lab_oracle
