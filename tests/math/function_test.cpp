// The functions of one argument, scalar form.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "sim/math.h"
#include "tests/math/samples.h"

namespace fp4lab_test {
namespace {

namespace m = fp4lab::math;

std::uint32_t call(Function f, std::uint32_t x) {
  const float argument = std::bit_cast<float>(x);
  float y;
  scalar_values(f, &argument, &y, 1);
  return std::bit_cast<std::uint32_t>(y);
}

// Usable in constant expressions.
static_assert(m::exp(0.0f) == 1.0f && m::exp2(-149.0f) == 0x1p-149f && m::log2(8.0f) == 3.0f);
static_assert(m::log(0.0f) == -std::numeric_limits<float>::infinity());
static_assert(m::cos(0.0f) == 1.0f && m::pow(2.0f, 10.0f) == 1024.0f);

class EachFunction : public testing::TestWithParam<Function> {};
INSTANTIATE_TEST_SUITE_P(Math, EachFunction, testing::ValuesIn(all_functions()),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(EachFunction, SpecialArguments) {
  const Function f = GetParam();
  // Zeros, infinities, NaN of either sign with and without payload, quiet and signalling, and the
  // first numbers outside of the domains.
  for (const std::uint32_t x :
       {0x00000000u, 0x80000000u, 0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC00000u, 0x7F800001u,
        0xFF800001u, 0x7FFFFFFFu, 0xFFFFFFFFu, 0x7FC12345u, 0x3F800000u, 0xBF800000u, 0xBF800001u,
        0x80000001u, 0xFF7FFFFFu}) {
    const auto want = special_bits(f, std::bit_cast<float>(x));
    const std::uint32_t expected = want ? *want : mpfr_bits(f, std::bit_cast<float>(x));
    EXPECT_EQ(call(f, x), expected) << describe(f, {x, call(f, x), expected});
  }
}

TEST_P(EachFunction, EndsOfTheBinary32Range) {
  const Function f = GetParam();
  // Subnormals, the smallest normals, the largest numbers, whole powers of two and their
  // neighbours.
  std::vector<std::uint32_t> patterns;
  for (std::uint32_t i = 1; i < 512; ++i) {
    for (const std::uint32_t base : {0u, 0x00400000u, 0x00800000u - 256, 0x7F800000u - 512}) {
      patterns.push_back(base + i);
    }
  }
  for (std::uint32_t exponent = 1; exponent < 255; ++exponent) {
    for (const std::uint32_t offset : {~0u, 0u, 1u}) patterns.push_back((exponent << 23) + offset);
  }
  for (const std::uint32_t pattern : patterns) {
    for (const std::uint32_t x : {pattern, pattern | 0x80000000u}) {
      const std::uint32_t want = mpfr_bits(f, std::bit_cast<float>(x));
      ASSERT_EQ(call(f, x), want) << describe(f, {x, call(f, x), want});
    }
  }
}

TEST_P(EachFunction, HardInputs) {
  const Function f = GetParam();
  if (f == Function::kSqrt) GTEST_SKIP() << "a root never comes close to a midpoint";
  std::ifstream file(std::string(FP4LAB_MATH_HARD_DIR) + "/hard_" + name_of(f) + ".bin",
                     std::ios::binary);
  ASSERT_TRUE(file.good());
  std::uint32_t pair[2];
  std::size_t count = 0;
  while (file.read(reinterpret_cast<char*>(pair), sizeof pair)) {
    ++count;
    ASSERT_EQ(call(f, pair[0]), pair[1]) << describe(f, {pair[0], call(f, pair[0]), pair[1]});
  }
  EXPECT_GT(count, 1000u);
}

TEST_P(EachFunction, MillionSamplesAgainstReference) {
  const Function f = GetParam();
  const std::vector<float> x = sample(f, 1'000'000);
  const Walk walk = compare_with_reference(f, scalar_values, x.data(), x.size());
  EXPECT_EQ(walk.mismatches, 0u);
  for (const Mismatch& w : walk.first) ADD_FAILURE() << describe(f, w);
}

TEST_P(EachFunction, SlowSamplesAgainstMpfrAlone) {
  const Function f = GetParam();
  // MPFR takes 25 us for an erfc of enough digits, and less than 2 us for most others. All inputs of
  // all functions are compared in exhaustive_test.cpp.
  const int count = f == Function::kGelu ? 200'000 : 1'000'000;
  for (const float x : sample(f, count)) {
    const std::uint32_t b = std::bit_cast<std::uint32_t>(x), want = mpfr_bits(f, x);
    ASSERT_EQ(call(f, b), want) << describe(f, {b, call(f, b), want});
  }
}

/// Rounding keeps order, so a correctly rounded monotonic function has no step back anywhere.
TEST_P(EachFunction, KeepsOrder) {
  const Function f = GetParam();
  float from = -std::numeric_limits<float>::infinity();
  bool falls = false;
  switch (f) {
    case Function::kSin:
    case Function::kCos:
    case Function::kSilu:
    case Function::kGelu:
      GTEST_SKIP() << "not monotonic";
    case Function::kRsqrt:
      falls = true;
      [[fallthrough]];
    case Function::kLog:
    case Function::kLog2:
    case Function::kSqrt:
      from = 0;
      break;
    case Function::kLog1p:
      from = -1;
      break;
    default:
      break;
  }
  // Bit patterns in the order of the numbers, with strides that visit all exponents and, near
  // 1, each neighbour.
  const auto key = [](float v) {
    const auto b = std::bit_cast<std::int32_t>(v);
    return b < 0 ? std::int64_t{INT32_MIN} - b : std::int64_t{b};
  };
  const auto value = [](std::int64_t k) {
    return std::bit_cast<float>(static_cast<std::int32_t>(k < 0 ? INT32_MIN - k : k));
  };
  const auto walk = [&](std::int64_t begin, std::int64_t end, std::int64_t step) {
    float before = 0;
    for (std::int64_t k = begin; k <= end; k += step) {
      const float x = value(k);
      float y;
      scalar_values(f, &x, &y, 1);
      if (k > begin) {
        ASSERT_TRUE(falls ? y <= before : y >= before) << name_of(f) << " at " << x;
      }
      before = y;
    }
  };
  walk(key(from), key(std::numeric_limits<float>::infinity()), 4099);
  walk(key(0.9f), key(0.9f) + 200'000, 1);
}

TEST(Symmetry, OddAndEvenFunctions) {
  for (const float x : sample(Function::kSin, 300'000)) {
    if (std::isnan(x)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(m::tanh(-x)), std::bit_cast<std::uint32_t>(-m::tanh(x)));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(m::erf(-x)), std::bit_cast<std::uint32_t>(-m::erf(x)));
    if (std::isinf(x)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(m::sin(-x)), std::bit_cast<std::uint32_t>(-m::sin(x)));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(m::cos(-x)), std::bit_cast<std::uint32_t>(m::cos(x)));
  }
}

// Values that can be looked up in a table.
TEST(KnownValues, OfEachFunction) {
  EXPECT_EQ(m::exp(1.0f), 0x1.5bf0a8p+1f);
  EXPECT_EQ(m::exp2(0.5f), 0x1.6a09e6p+0f);
  EXPECT_EQ(m::expm1(1.0f), 0x1.b7e152p+0f);
  EXPECT_EQ(m::log(2.0f), 0x1.62e43p-1f);
  EXPECT_EQ(m::log2(10.0f), 0x1.a934fp+1f);
  EXPECT_EQ(m::log1p(1.0f), 0x1.62e43p-1f);
  EXPECT_EQ(m::tanh(1.0f), 0x1.85efacp-1f);
  EXPECT_EQ(m::erf(1.0f), 0x1.af767ap-1f);
  EXPECT_EQ(m::sigmoid(0.0f), 0.5f);
  EXPECT_EQ(m::rsqrt(2.0f), 0x1.6a09e6p-1f);
  EXPECT_EQ(m::sqrt(2.0f), 0x1.6a09e6p+0f);
  EXPECT_EQ(m::sin(1.0f), 0x1.aed548p-1f);
  EXPECT_EQ(m::cos(1.0f), 0x1.14a28p-1f);
  EXPECT_EQ(m::sin(0x1.921fb6p+1f), -0x1.777a5cp-24f);  // near pi
  // Saturation, from the value of the largest binary32 and of half the smallest one.
  EXPECT_EQ(m::exp(0x1.62e42ep+6f), 0x1.ffff08p+127f);
  EXPECT_EQ(m::exp(0x1.62e43p+6f), std::numeric_limits<float>::infinity());
  EXPECT_EQ(m::exp2(0x1.fffffep+6f), 0x1.ffff4ep+127f);
  EXPECT_EQ(m::exp2(128.0f), std::numeric_limits<float>::infinity());
  EXPECT_EQ(m::exp2(-150.0f), 0.0f);  // a tie, to even
  EXPECT_EQ(m::exp2(-0x1.2bfffep+7f), 0x1p-149f);
}

}  // namespace
}  // namespace fp4lab_test
