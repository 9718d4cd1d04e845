// pow against MPFR alone, 10^8 pairs aimed at the places where a result could be wrong: next to
// middles between two binary32, at both ends of the range, among subnormals, next to 1, and exact.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <string>

#include "sim/math.h"
#include "tests/math/functions.h"
#include "tests/math/reference.h"

namespace fp4lab_test {
namespace {

namespace m = fp4lab::math;

struct Pair {
  float x, y;
};

/// Draws that make a pair.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(mix(seed)) {}
  std::uint64_t word() { return state_ = mix(state_); }
  std::uint64_t below(std::uint64_t n) { return word() % n; }
  double unit() { return static_cast<double>(word() >> 11) * 0x1p-53; }
  double between(double low, double high) { return low + unit() * (high - low); }
  /// Any positive finite binary32, subnormals included.
  float positive() {
    return std::bit_cast<float>(static_cast<std::uint32_t>(below(0x7F7FFFFFu)) + 1);
  }
  /// A base as programs have them.
  float usual() { return static_cast<float>(static_cast<std::uint32_t>(word()) + 1.0) * 0x1p-28f; }

 private:
  std::uint64_t state_;
};

/// The exponent that takes x nearest to 2^t, a few steps aside at times.
float exponent_for(double t, float x, Draws& d) {
  const float y = static_cast<float>(t / std::log2(static_cast<double>(x)));
  const auto steps = static_cast<std::int64_t>(d.below(7)) - 3;
  if (d.below(2) == 0 || !std::isfinite(y) || y == 0) return y;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) + static_cast<std::uint32_t>(steps));
}

/// log2 of the middle above a positive normal binary32 with these bits.
double log2_of_middle(std::uint32_t bits) {
  return std::log2(static_cast<double>(std::bit_cast<float>(bits)) +
                   0.5 * (static_cast<double>(std::bit_cast<float>(bits + 1)) -
                          static_cast<double>(std::bit_cast<float>(bits))));
}

Pair all_over_the_range(Draws& d) {
  const float x = d.positive();
  return {x, exponent_for(d.between(-152, 130), x, d)};
}
Pair any_bits(Draws& d) {
  const float x = d.positive();
  return {x, std::bit_cast<float>(static_cast<std::uint32_t>(d.word()))};
}
/// x one to 4096 steps from 1, results all over the range.
Pair base_next_to_one(Draws& d) {
  const auto steps = static_cast<std::uint32_t>(1 + d.below(4096));
  const float x = std::bit_cast<float>(d.below(2) == 0 ? 0x3F800000u + steps : 0x3F800000u - steps);
  return {x, exponent_for(d.between(-152, 130), x, d)};
}
/// Results next to the middle of two binary32 of any binade.
Pair middles(Draws& d) {
  const float x = d.below(2) == 0 ? d.positive() : d.usual();
  const auto target = static_cast<std::uint32_t>(0x00800000u + d.below(0x7F000000u));
  return {x, exponent_for(log2_of_middle(target), x, d)};
}
/// Results next to the first middles above and below 1: an exponent's last place moves those so
/// little that they come within 2^-48 to 2^-75 of the middle.
Pair middles_next_to_one(Draws& d) {
  const float x = d.below(2) == 0 ? d.positive() : d.usual();
  const auto k = static_cast<double>(2 * d.below(std::uint64_t{1} << d.below(16)) + 1);
  const double t =
      (d.below(2) == 0 ? std::log1p(k * 0x1p-24) : std::log1p(k * -0x1p-25)) * 1.4426950408889634;
  return {x, exponent_for(t, x, d)};
}
/// Results next to odd multiples of 2^-150.
Pair subnormal_middles(Draws& d) {
  const float x = d.below(2) == 0 ? d.positive() : d.usual();
  const auto multiple = static_cast<double>(2 * d.below(std::uint64_t{1} << d.below(24)) + 1);
  return {x, exponent_for(std::log2(multiple) - 150, x, d)};
}
/// Results next to where overflow, subnormals and zero begin.
Pair ends_of_the_range(Draws& d) {
  const float x = d.below(2) == 0 ? d.positive() : d.usual();
  const double ends[] = {std::log2(0x1.ffffffp127),  128,  -126,
                         std::log2(0x1.fffffep-127), -149, -150};
  return {x, exponent_for(ends[d.below(6)], x, d)};
}
/// Whole exponents, up to where the largest results lie.
Pair whole_exponents(Draws& d) {
  const float x = d.usual();
  const double most = 150 / (std::fabs(std::log2(static_cast<double>(x))) + 0.01);
  const auto y = static_cast<float>(std::floor(d.between(1, std::min(most, 4000.0))));
  return {x, d.below(3) == 0 ? -y : y};
}
/// Few bits in both arguments: exact results, ties, and those next to them.
Pair few_bits(Draws& d) {
  const auto significand = static_cast<float>(1 + d.below(std::uint64_t{1} << (1 + d.below(13))));
  const float x = std::ldexp(significand, static_cast<int>(d.below(41)) - 20);
  const auto n = static_cast<float>(1 + d.below(24));
  const float y = std::ldexp(n, -static_cast<int>(d.below(4)));
  // At times a square or a fourth power, whose roots are exact.
  const std::uint64_t power = d.below(3);
  const float base = power == 0 ? x : power == 1 ? x * x : x * x * x * x;
  return {std::isinf(base) || base == 0 ? x : base, d.below(8) == 0 ? -y : y};
}

struct Family {
  const char* name;
  Pair (*make)(Draws&);
  unsigned percent;
};
constexpr std::array<Family, 9> kFamilies = {{
    {"results all over the range", all_over_the_range, 16},
    {"arguments of any bits", any_bits, 4},
    {"base next to 1", base_next_to_one, 12},
    {"middles of two binary32", middles, 16},
    {"middles next to 1", middles_next_to_one, 16},
    {"middles of subnormal numbers", subnormal_middles, 10},
    {"ends of the range", ends_of_the_range, 10},
    {"whole exponents", whole_exponents, 8},
    {"few bits", few_bits, 8},
}};

/// What became of one family's pairs.
struct Count {
  std::uint64_t pairs = 0, mismatches = 0;
  std::uint64_t in_doubt = 0;  ///< left open by binary64
  std::uint64_t exact = 0;     ///< of these, decided in integers
  void add(const Count& c) {
    pairs += c.pairs;
    mismatches += c.mismatches;
    in_doubt += c.in_doubt;
    exact += c.exact;
  }
};

constexpr std::uint64_t kPairs = 100'000'000, kBlock = 10'000;

Count compare_block(const Family& family, std::uint64_t block, std::string& first) {
  Count c;
  for (std::uint64_t i = 0; i < kBlock; ++i) {
    Draws d(block * kBlock + i + (std::uint64_t{1} << 50));
    const Pair p = family.make(d);
    if (p.x == 1 || p.y == 0 || !std::isfinite(p.y)) continue;
    ++c.pairs;
    const std::uint32_t got = std::bit_cast<std::uint32_t>(m::pow(p.x, p.y));
    if (m::detail::pow_rounded(m::detail::pow_value(p.x, p.y)).doubt) {
      ++c.in_doubt;
      c.exact += m::detail::pow_exact(p.x, p.y).v != 0.0;
    }
    const std::uint32_t want = mpfr_pow_bits(p.x, p.y);
    if (got == want) continue;
    if (c.mismatches++ == 0) {
      char text[128];
      std::snprintf(text, sizeof text, "pow(%a, %a) -> got %08x want %08x",
                    static_cast<double>(p.x), static_cast<double>(p.y), got, want);
      first = text;
    }
  }
  return c;
}

TEST(PowAll, HundredMillionAimedPairsAgainstMpfr) {
  const auto start = std::chrono::steady_clock::now();
  Count total;
  for (const Family& family : kFamilies) {
    const std::uint64_t blocks = kPairs / 100 * family.percent / kBlock;
    const auto index = static_cast<std::uint64_t>(&family - kFamilies.data());
    Count sum;
    std::string first;
    std::mutex mutex;
#pragma omp parallel for schedule(dynamic)
    for (std::uint64_t block = 0; block < blocks; ++block) {
      std::string text;
      const Count c = compare_block(family, index << 24 | block, text);
      const std::lock_guard lock(mutex);
      sum.add(c);
      if (first.empty()) first = text;
    }
    std::printf("pow, %s: %llu pairs, %llu mismatches; %llu left open by binary64, %llu exact\n",
                family.name, static_cast<unsigned long long>(sum.pairs),
                static_cast<unsigned long long>(sum.mismatches),
                static_cast<unsigned long long>(sum.in_doubt),
                static_cast<unsigned long long>(sum.exact));
    EXPECT_EQ(sum.mismatches, 0u) << family.name << ": " << first;
    EXPECT_GT(sum.pairs, blocks * kBlock * 9 / 10) << family.name;
    total.add(sum);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("pow: %llu pairs, %llu mismatches, %.0f s\n",
              static_cast<unsigned long long>(total.pairs),
              static_cast<unsigned long long>(total.mismatches), took.count());
  // Every way through the function was taken many times.
  EXPECT_GT(total.pairs, kPairs * 9 / 10);
  EXPECT_GT(total.in_doubt - total.exact, 1'000'000u);
  EXPECT_GT(total.exact, 10'000u);
}

}  // namespace
}  // namespace fp4lab_test
