// pow: its special cases, exact middles, random and undecided pairs against MPFR.
#include <gtest/gtest.h>
#include <mpfr.h>

#include <cmath>
#include <limits>
#include <span>

#include "sim/math.h"
#include "sim/math_array.h"
#include "tests/math/samples.h"
#include "tests/math/targets.h"

namespace fp4lab_test {
namespace {

namespace m = fp4lab::math;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

testing::AssertionResult gives(float x, float y, std::uint32_t want) {
  const std::uint32_t got = bits(m::pow(x, y));
  if (got == want) return testing::AssertionSuccess();
  char text[160];
  std::snprintf(text, sizeof text, "pow(%a, %a) -> got %08x (%a) want %08x (%a)",
                static_cast<double>(x), static_cast<double>(y), got,
                static_cast<double>(std::bit_cast<float>(got)), want,
                static_cast<double>(std::bit_cast<float>(want)));
  return testing::AssertionFailure() << text;
}

// IEEE 754-2019, 9.2.1.
TEST(Pow, SpecialCases) {
  struct Row {
    float x, y, want;
  };
  const float max = std::numeric_limits<float>::max(), tiny = 0x1p-149f;
  const Row rows[] = {
      // anything to the zeroth, one to anything
      {kNan, 0, 1},
      {kNan, -0.0f, 1},
      {0, 0, 1},
      {-0.0f, -0.0f, 1},
      {kInf, 0, 1},
      {-kInf, -0.0f, 1},
      {1, kNan, 1},
      {1, kInf, 1},
      {1, -kInf, 1},
      {1, max, 1},
      {1, -0.5f, 1},
      {-1, kInf, 1},
      {-1, -kInf, 1},
      {kNan, 1, kNan},
      {2, kNan, kNan},
      {kNan, kNan, kNan},
      {0, kNan, kNan},
      {-1, kNan, kNan},
      {kInf, kNan, kNan},
      // zeros
      {0, -3, kInf},
      {-0.0f, -3, -kInf},
      {0, -2, kInf},
      {-0.0f, -2, kInf},
      {-0.0f, -0.5f, kInf},
      {0, 3, 0},
      {-0.0f, 3, -0.0f},
      {-0.0f, 2, 0},
      {-0.0f, 0.5f, 0},
      {0, kInf, 0},
      {-0.0f, kInf, 0},
      {0, -kInf, kInf},
      {-0.0f, -kInf, kInf},
      {-0.0f, -16777215.0f, -kInf},
      {-0.0f, -16777216.0f, kInf},
      {-0.0f, 16777215.0f, -0.0f},
      // infinities
      {kInf, 3, kInf},
      {kInf, -3, 0},
      {kInf, 0.5f, kInf},
      {kInf, kInf, kInf},
      {kInf, -kInf, 0},
      {-kInf, 3, -kInf},
      {-kInf, 2, kInf},
      {-kInf, 0.5f, kInf},
      {-kInf, -3, -0.0f},
      {-kInf, -2, 0},
      {-kInf, -0.5f, 0},
      {-kInf, kInf, kInf},
      {-kInf, -kInf, 0},
      {2, kInf, kInf},
      {2, -kInf, 0},
      {0.5f, kInf, 0},
      {0.5f, -kInf, kInf},
      {-2, kInf, kInf},
      {-0.5f, kInf, 0},
      {-0.5f, -kInf, kInf},
      // negative numbers
      {-2, 3, -8},
      {-2, 2, 4},
      {-2, -1, -0.5f},
      {-2, 0.5f, kNan},
      {-2, -1.5f, kNan},
      {-1, 16777215.0f, -1},
      {-1, 16777216.0f, 1},
      {-1, max, 1},
      {-1, 0.5f, kNan},
      {-max, tiny, kNan},
      {-max, 3, -kInf},
      {-max, -3, -0.0f},
      {-max, -2, 0},
      // the ends of the range
      {2, 127, 0x1p127f},
      {2, 128, kInf},
      {2, -149, tiny},
      {2, -150, 0},
      {8, -50, 0},
      {2, -149.99998f, tiny},
      {-2, -149, -tiny},
      {-2, -151, -0.0f},
      {max, max, kInf},
      {max, -max, 0},
      {tiny, max, 0},
      {tiny, -max, kInf},
      {tiny, tiny, 1},
      {max, tiny, 1},
      {0x1.fffffep-1f, max, 0},
      {0x1.000002p0f, max, kInf},
      {0x1.000002p0f, -max, 0},
      {tiny, 1, tiny},
      {tiny, 0.5f, 0x1.6a09e6p-75f},
      {0x1p-148f, 0.5f, 0x1p-74f},
  };
  for (const Row& row : rows) {
    EXPECT_TRUE(gives(row.x, row.y, std::isnan(row.want) ? 0x7FC00000u : bits(row.want)));
  }
  // The one NaN, whatever the sign and payload of the argument.
  EXPECT_TRUE(gives(std::bit_cast<float>(0xFF800001u), 2, 0x7FC00000u));
  EXPECT_TRUE(gives(2, std::bit_cast<float>(0xFFFFFFFFu), 0x7FC00000u));
}

// x = q^(2^j) * 2^e, y = n / 2^j: x^y = q^n * 2^... has few bits, and 25 of them are a tie.
TEST(Pow, ExactResultsAndTies) {
  std::uint64_t cases = 0, ties = 0;
  for (std::uint64_t q = 3; q < 8192; q += 2) {
    std::uint64_t power = q;
    for (int n = 2; n <= 15; ++n) {
      power *= q;
      if (power >= 1u << 26) break;
      std::uint64_t base = q;
      for (int j = 0; j < 4 && base < 1u << 24; ++j, base *= base) {
        for (int e = -12; e <= 12; e += 4) {
          const float x = std::ldexp(static_cast<float>(base), e << j);
          const float y = static_cast<float>(n) / static_cast<float>(1 << j);
          if (x == 0 || std::isinf(x)) continue;
          ++cases;
          ties += power >= 1u << 24 && power < 1u << 25;
          ASSERT_TRUE(gives(x, y, mpfr_pow_bits(x, y)));
        }
      }
    }
  }
  EXPECT_GT(cases, 30'000u);
  EXPECT_GT(ties, 5'000u);
  // Ties among subnormal results: odd multiples of 2^-150.
  for (std::uint32_t q = 3; q < 4096; q += 2) {
    const float x = static_cast<float>(q) * 0x1p-75f;
    ASSERT_TRUE(gives(x, 2, mpfr_pow_bits(x, 2)));
  }
}

/// Pairs with results all over the range of binary32, and pairs of any bits.
void pair(std::uint64_t i, float& x, float& y) {
  const std::uint64_t a = mix(i), b = mix(a);
  const double unit = static_cast<double>(b >> 11) * 0x1p-53;
  switch (i % 4) {
    case 0:
      x = std::bit_cast<float>(static_cast<std::uint32_t>(a % 0x7F7FFFFFu) + 1);
      y = static_cast<float>((unit * 2 - 1) * 152 / std::log2(static_cast<double>(x)));
      break;
    case 1:
      x = std::bit_cast<float>(static_cast<std::uint32_t>(a % 0x7F7FFFFFu) + 1);
      y = std::bit_cast<float>(static_cast<std::uint32_t>(b));
      break;
    case 2:  // the usual ones
      x = static_cast<float>(static_cast<std::uint32_t>(a) + 1) * 0x1p-28f;
      y = static_cast<float>((unit * 2 - 1) * 16);
      break;
    default:  // next to 1 with large exponents
      x = 1 + static_cast<float>(static_cast<std::int32_t>(a)) * 0x1p-40f;
      y = static_cast<float>((unit * 2 - 1) * 50'000);
  }
  if (x == 1 || y == 0 || !std::isfinite(y)) x = 3, y = 0.3f;
}

/// By the binary64 pow of the platform, or MPFR where that does not decide.
std::uint32_t reference_pow(float x, float y) {
  const double g = std::pow(static_cast<double>(x), static_cast<double>(y));
  const float low = static_cast<float>(g * (1 - kFilterWindow));
  const float high = static_cast<float>(g * (1 + kFilterWindow));
  return low == high ? bits(low) : mpfr_pow_bits(x, y);
}

void compare_pairs(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t i = begin; i < end; ++i) {
    float x, y;
    pair(i, x, y);
    ASSERT_TRUE(gives(x, y, reference_pow(x, y)));
  }
}
TEST(Pow, MillionPairsAgainstReference) { compare_pairs(0, 1'000'000); }
TEST(Pow, SlowPairsAgainstReference) { compare_pairs(1'000'000, 100'000'000); }

TEST(Pow, PairsAgainstMpfrAlone) {
  for (std::uint64_t i = 0; i < 40'000; ++i) {
    float x, y;
    pair(i + (1ull << 40), x, y);
    ASSERT_TRUE(gives(x, y, mpfr_pow_bits(x, y)));
  }
}

// Powers of the decay rates that optimizers use.
TEST(Pow, DecayRates) {
  for (const float x : {0.5f, 0.8f, 0.9f, 0.95f, 0.98f, 0.99f, 0.999f, 0.9999f, 0.99999f, 1.01f}) {
    for (int t = 1; t <= 2000; ++t) {
      const float y = static_cast<float>(t);
      ASSERT_TRUE(gives(x, y, mpfr_pow_bits(x, y)));
    }
  }
}

// Every significand under the exponents that occur in practice: x over all of [1, 4).
TEST(Pow, SlowAllSignificands) {
  constexpr std::size_t kCount = std::size_t{1} << 24;
  std::vector<float> x(kCount), z(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    x[i] = std::bit_cast<float>(0x3F800000u + static_cast<std::uint32_t>(i));
  }
  for (const float y :
       {2.0f, 3.0f,  4.0f,  5.0f,        7.0f, -1.0f, -2.0f, -3.0f, 0.5f,  -0.5f, 1.5f,
        2.5f, 0.25f, 0.75f, 0.33333334f, 2.2f, 0.1f,  0.8f,  -0.9f, 60.0f, -70.5f}) {
    m::pow(std::span<const float>(x), y, std::span<float>(z));
    for (std::size_t i = 0; i < kCount; ++i) {
      const std::uint32_t want = reference_pow(x[i], y);
      ASSERT_EQ(bits(z[i]), want) << "pow(" << x[i] << ", " << y << ")";
    }
  }
}

// The pairs that binary64 leaves open: the second path decides them.
TEST(Pow, UndecidedPairs) {
  int undecided = 0;
  for (std::uint64_t i = 1ull << 41; undecided < 12 && i < (1ull << 41) + 40'000'000; ++i) {
    float x, y;
    pair(i, x, y);
    if (!m::detail::pow_rounded(m::detail::pow_value(x, y)).doubt) continue;
    ++undecided;
    EXPECT_TRUE(gives(x, y, mpfr_pow_bits(x, y)));
  }
  EXPECT_EQ(undecided, 12);
}

TEST(Pow, ArrayFormsOnEveryInstructionSet) {
  std::vector<float> x, y;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    float a, b;
    pair(i + (1ull << 43), a, b);
    x.push_back(i % 97 == 0 ? -a : a);
    y.push_back(i % 97 == 0 ? std::trunc(b) : b);
  }
  const float special[] = {0, -0.0f, 1, -1, 2, -2, 0.5f, 3, -3, kInf, -kInf, kNan, 0x1p-149f};
  for (const float a : special) {
    for (const float b : special) {
      x.push_back(a);
      y.push_back(b);
    }
  }
  std::vector<std::uint32_t> want;
  for (std::size_t i = 0; i < x.size(); ++i) want.push_back(bits(m::pow(x[i], y[i])));
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    std::vector<float> z(x.size());
    m::pow(std::span<const float>(x), std::span<const float>(y), std::span<float>(z));
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(bits(z[i]), want[i]) << name << " " << i;
    for (const float b : special) {
      z = x;
      m::pow(std::span<const float>(z), b, std::span<float>(z));  // in place
      for (std::size_t i = 90'000; i < x.size(); ++i) {
        ASSERT_EQ(bits(z[i]), bits(m::pow(x[i], b))) << name << " " << i;
      }
    }
  }
}

/// log2 |(hi + lo) / x^y - 1|
double log2_error(m::detail::Sum s, float x, float y) {
  mpfr_t a, b, want;
  mpfr_inits2(300, a, b, want, static_cast<mpfr_ptr>(nullptr));
  mpfr_set_flt(a, x, MPFR_RNDN);
  mpfr_set_flt(b, y, MPFR_RNDN);
  mpfr_pow(want, a, b, MPFR_RNDN);
  mpfr_set_d(a, s.hi.v, MPFR_RNDN);
  mpfr_add_d(a, a, s.lo.v, MPFR_RNDN);
  mpfr_sub(a, a, want, MPFR_RNDN);
  mpfr_div(a, a, want, MPFR_RNDN);
  const double e = mpfr_zero_p(a) ? -1000 : std::log2(std::fabs(mpfr_get_d(a, MPFR_RNDN)));
  mpfr_clears(a, b, want, static_cast<mpfr_ptr>(nullptr));
  return e;
}

// Both paths keep the error bounds that they state, wherever they would be used.
TEST(Pow, ErrorsOfBothPaths) {
  double fast = -1000, accurate = -1000;
  for (std::uint64_t i = 0; i < 40'000; ++i) {
    float x, y;
    pair(i + (1ull << 42), x, y);
    const double log2 = std::log2(static_cast<double>(x)) * y;
    if (!(log2 > -150 && log2 < 130)) continue;
    accurate = std::max(accurate, log2_error(m::detail::pow_accurate(x, y), x, y));
    fast = std::max(fast, log2_error({m::detail::pow_value(x, y), {0.0}}, x, y));
  }
  EXPECT_LT(accurate, -96);
  EXPECT_GT(accurate, -104);  // the measurement sees something
  EXPECT_LT(fast, -45);
  EXPECT_GT(fast, -53);
}

}  // namespace
}  // namespace fp4lab_test
