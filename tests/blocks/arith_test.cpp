// The model's integer arithmetic against quotients of big integers, rounded once.
#include <gtest/gtest.h>

#include <vector>

#include "tests/blocks/compare.h"

namespace fp4lab_blocks {
namespace {

using oracle::F64;
using oracle::Rational;

/// Numbers of every kind of closeness: full range, near each other, near 1, subnormal, extreme.
std::vector<F32> samples() {
  std::vector<F32> all = {0x00000001u, 0x00000002u, 0x007FFFFFu, 0x00800000u,
                          0x00800001u, 0x3F7FFFFFu, 0x3F800000u, 0x3F800001u,
                          0x40C00000u, 0x7F7FFFFFu, 0x7F000000u, 0x3EAAAAABu};
  Generator random(1);
  for (int i = 0; i < 60; ++i) all.push_back(random.number(-149, 127));
  for (int i = 0; i < 40; ++i) all.push_back(random.number(-2, 2, 3 + i % 20));
  const std::size_t n = all.size();
  for (std::size_t i = 0; i < n; ++i) all.push_back(all[i] ^ oracle::kSign32);
  return all;
}

Rational exact(F32 a) { return oracle::from_binary32(a).value; }
Rational exact64(F64 a) { return oracle::decode_ieee(a, oracle::kBinary64).value; }

/// Signs of zeros are compared elsewhere: an exact zero has none.
F32 no_zero_sign(F32 a) { return oracle::abs32(a) == 0 ? 0 : a; }
// A tiny negative result rounds to -0; the rational route gives the sign too.
F32 rounded(const Rational& r) { return oracle::to_binary32(r); }

TEST(ModelArithmetic, Binary32_IsTheExactResultRoundedOnce) {
  for (const F32 a : samples()) {
    for (const F32 b : samples()) {
      ASSERT_EQ(no_zero_sign(oracle::add(a, b)), no_zero_sign(rounded(exact(a) + exact(b))))
          << a << " + " << b;
      ASSERT_EQ(no_zero_sign(oracle::sub(a, b)), no_zero_sign(rounded(exact(a) - exact(b))))
          << a << " - " << b;
      ASSERT_EQ(oracle::mul(a, b), rounded(exact(a) * exact(b))) << a << " * " << b;
      ASSERT_EQ(oracle::div(a, b), rounded(exact(a) / exact(b))) << a << " / " << b;
      ASSERT_EQ(oracle::less(a, b), exact(a) < exact(b));
    }
  }
}

TEST(ModelArithmetic, Binary64_IsTheExactResultRoundedOnce) {
  std::vector<F64> all;
  for (const F32 a : samples()) all.push_back(oracle::widen(a));
  const std::size_t n = all.size();
  for (std::size_t i = 0; i + 1 < n; i += 7) all.push_back(oracle::div64(all[i], all[i + 1]));
  for (std::size_t i = 0; i < all.size(); i += 3) {
    for (std::size_t j = i % 5; j < all.size(); j += 4) {
      const F64 a = all[i], b = all[j];
      const auto sum = oracle::to_binary64(exact64(a) + exact64(b));
      ASSERT_EQ(oracle::add64(a, b) << 1, sum << 1) << a << " + " << b;
      ASSERT_EQ(oracle::mul64(a, b), oracle::to_binary64(exact64(a) * exact64(b)));
      ASSERT_EQ(oracle::div64(a, b), oracle::to_binary64(exact64(a) / exact64(b)));
    }
  }
}

TEST(ModelArithmetic, SquareRoot_LiesBetweenTheSquaresOfTheMidpoints) {
  for (const F32 a : samples()) {
    const F64 x = oracle::widen(oracle::abs32(a));
    const F64 root = oracle::sqrt64(x);
    const Rational above = (exact64(root) + exact64(root + 1)) / 2;
    const Rational below = (exact64(root) + exact64(root - 1)) / 2;
    ASSERT_LE(below * below, exact64(x)) << a;
    ASSERT_GE(above * above, exact64(x)) << a;
  }
}

TEST(ModelArithmetic, SpecialValues_FollowIeee754) {
  using oracle::kInf32;
  using oracle::kMax32;
  using oracle::kNan32;
  using oracle::kOne32;
  using oracle::kSign32;
  const F32 minus_zero = kSign32, minus_inf = kInf32 | kSign32;
  EXPECT_EQ(oracle::div(kOne32, 0), kInf32);
  EXPECT_EQ(oracle::div(kOne32, minus_zero), minus_inf);
  EXPECT_EQ(oracle::div(0, 0), kNan32);
  EXPECT_EQ(oracle::mul(kInf32, 0), kNan32);
  EXPECT_EQ(oracle::add(kInf32, minus_inf), kNan32);
  EXPECT_EQ(oracle::sub(kOne32, kOne32), 0u);
  EXPECT_EQ(oracle::add(minus_zero, minus_zero), minus_zero);
  EXPECT_EQ(oracle::add(minus_zero, 0), 0u);
  EXPECT_EQ(oracle::mul(minus_zero, kOne32), minus_zero);
  EXPECT_EQ(oracle::div(kOne32, kInf32), 0u);
  EXPECT_EQ(oracle::add(0xFFFFFFFFu, kOne32), kNan32);
  EXPECT_EQ(oracle::min_of(kNan32, kOne32), kOne32);
  EXPECT_FALSE(oracle::less(kNan32, kOne32));
  EXPECT_EQ(oracle::add(kMax32, kMax32), kInf32);
}

TEST(ModelArithmetic, PowersOfTwo_ScaleBeyondTheRangeOfTheFactor) {
  Generator random(2);
  for (int i = 0; i < 500; ++i) {
    const F32 a = random.number(-149, 127);
    const int e = static_cast<int>(random.below(300)) - 150;
    ASSERT_EQ(oracle::scale_by_pow2(a, e), rounded(exact(a) * oracle::pow2(e)));
    ASSERT_EQ(oracle::exponent_of(a), oracle::floor_log2(abs(exact(a))));
    ASSERT_EQ(oracle::narrow(oracle::widen(a)), a);
  }
}

}  // namespace
}  // namespace fp4lab_blocks
