// sim/reduce.h against its definition written out plainly: whole lists of terms, lanes and block
// sums, for every size around the borders of lanes and blocks, every instruction set, any threads.
#include "sim/reduce.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tests/math/targets.h"

namespace fp4lab {
namespace {

/// The definition of decisions.md 6, step by step.
double shaped_sum(const std::vector<double>& terms) {
  std::vector<double> level;
  for (std::size_t at = 0; at < terms.size(); at += 1024) {
    std::vector<double> lane(32, 0.0);
    for (std::size_t i = at; i < terms.size() && i < at + 1024; ++i)
      lane[(i - at) % 32] += terms[i];
    for (const std::size_t h : {16u, 8u, 4u, 2u, 1u}) {
      for (std::size_t j = 0; j < h; ++j) lane[j] += lane[j + h];
    }
    level.push_back(lane[0]);
  }
  if (level.empty()) return 0.0;
  while (level.size() > 1) {
    std::vector<double> next;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2) next.push_back(level[i] + level[i + 1]);
    if (level.size() % 2 == 1) next.push_back(level.back());
    level = next;
  }
  return level[0];
}

std::uint64_t bits(double x) {
  std::uint64_t b;
  std::memcpy(&b, &x, sizeof b);
  return b;
}

/// Values of many magnitudes, so that the order of additions shows in the result.
std::vector<float> values(std::size_t n, unsigned seed) {
  std::mt19937 g(seed);
  std::uniform_real_distribution<float> u(-1.0f, 1.0f);
  std::uniform_int_distribution<int> e(-30, 30);
  std::vector<float> x(n);
  for (float& v : x) v = std::ldexp(u(g), e(g));
  return x;
}

std::vector<std::size_t> sizes() {
  std::vector<std::size_t> n;
  for (std::size_t i = 0; i <= 130; ++i) n.push_back(i);
  for (const std::size_t b : {1024u, 2048u, 3072u, 4096u}) {
    for (std::size_t i = b - 34; i <= b + 34; ++i) n.push_back(i);
  }
  for (const std::size_t i : {5000u, 7 * 1024u, 11 * 1024u + 5, 70001u, 200000u}) n.push_back(i);
  return n;
}

struct Threads {
  explicit Threads(int n) : before(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~Threads() { omp_set_num_threads(before); }
  int before;
};

TEST(Reduce, SumsHaveTheWrittenShape) {
  const auto x = values(200000, 1), y = values(200000, 2);
  for (const std::size_t n : sizes()) {
    std::vector<double> one, square, product, difference;
    for (std::size_t i = 0; i < n; ++i) {
      const double a = x[i], b = y[i];
      one.push_back(a);
      square.push_back(a * a);
      product.push_back(a * b);
      difference.push_back((a - b) * (a - b));
    }
    const double want[] = {shaped_sum(one), shaped_sum(square), shaped_sum(product),
                           shaped_sum(difference)};
    const std::span<const float> xs(x.data(), n), ys(y.data(), n);
    EXPECT_EQ(bits(sum_terms(n, [&](std::size_t i) { return double{x[i]}; })), bits(want[0])) << n;
    EXPECT_EQ(bits(sum(xs)), bits(want[0])) << n;
    EXPECT_EQ(bits(sum(std::span<const double>(one))), bits(want[0])) << n;
    EXPECT_EQ(bits(sum_squares(xs)), bits(want[1])) << n;
    EXPECT_EQ(bits(sum_products(xs, ys)), bits(want[2])) << n;
    EXPECT_EQ(bits(sum_squared_differences(xs, ys)), bits(want[3])) << n;
  }
}

TEST(Reduce, EverySizeUpTo4100AgainstTheScalarBody) {
  const auto x = values(4100, 3);
  for (std::size_t n = 0; n <= x.size(); ++n) {
    const std::span<const float> xs(x.data(), n);
    ASSERT_EQ(bits(sum_squares(xs)),
              bits(sum_terms(n, [&](std::size_t i) { return double{x[i]} * double{x[i]}; })))
        << n;
  }
}

TEST(Reduce, ColumnsAreSumsOverRows) {
  for (const std::size_t rows : {0u, 1u, 5u, 31u, 32u, 33u, 64u, 1000u, 1024u, 1025u, 3100u}) {
    for (const std::size_t columns : {1u, 3u, 8u, 12u, 32u, 41u, 64u, 77u}) {
      const auto x = values(rows * columns, 4), y = values(rows * columns, 5);
      std::vector<double> plain(columns, -1), product(columns, -1), picked(columns, -1);
      std::vector<std::uint32_t> pick;
      for (std::size_t r = 0; r < rows; r += 1 + r % 3) {
        pick.push_back(static_cast<std::uint32_t>(rows - 1 - r));
      }
      column_sums(x, columns, plain);
      column_sums_of_products(x, y, columns, product);
      column_sums_of_rows(x, columns, pick, picked);
      for (std::size_t c = 0; c < columns; ++c) {
        std::vector<double> a, b, p;
        for (std::size_t r = 0; r < rows; ++r) {
          a.push_back(x[r * columns + c]);
          b.push_back(static_cast<double>(x[r * columns + c]) * y[r * columns + c]);
        }
        for (const std::uint32_t r : pick) p.push_back(x[r * columns + c]);
        ASSERT_EQ(bits(plain[c]), bits(shaped_sum(a))) << rows << " x " << columns;
        ASSERT_EQ(bits(product[c]), bits(shaped_sum(b))) << rows << " x " << columns;
        ASSERT_EQ(bits(picked[c]), bits(shaped_sum(p))) << rows << " x " << columns;
      }
    }
  }
}

TEST(Reduce, ThreadsAndInstructionSetsLeaveTheBits) {
  const auto x = values(300011, 6), y = values(300011, 7);
  const std::size_t columns = 137;
  const std::span<const float> m(x.data(), 2100 * columns);
  std::vector<double> columns_of_one_thread(columns);
  std::uint64_t one_thread = 0, product = 0;
  {
    const Threads t(1);
    one_thread = bits(sum(x));
    product = bits(sum_products(x, y));
    column_sums(m, columns, columns_of_one_thread);
  }
  for (const int threads : {1, 2, 3, 8}) {
    const Threads t(threads);
    for (const auto& [set, target] : fp4lab_test::instruction_sets()) {
      const fp4lab_test::InForce in_force(set);
      EXPECT_EQ(bits(sum(x)), one_thread) << target << ' ' << threads;
      EXPECT_EQ(bits(sum_products(x, y)), product) << target << ' ' << threads;
      std::vector<double> out(columns);
      column_sums(m, columns, out);
      EXPECT_EQ(std::memcmp(out.data(), columns_of_one_thread.data(), columns * 8), 0)
          << target << ' ' << threads;
    }
  }
}

TEST(Reduce, SpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x(77, 1.0f);
  x[70] = inf;
  EXPECT_EQ(sum(x), inf);
  x[3] = -inf;
  EXPECT_EQ(bits(sum(x)), 0x7FF8000000000000u);
  x[3] = -std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(bits(sum(x)), 0x7FF8000000000000u);
  EXPECT_EQ(bits_as<std::uint32_t>(round_sum(sum(x))), 0x7FC00000u);
  const std::vector<float> zeros(5, -0.0f);
  EXPECT_EQ(bits(sum(zeros)), 0u) << "lanes start at +0";
  std::vector<float> g = {1.0f, 2.0f, -inf};
  add_rounded(std::vector<double>{0x1p-24, 0x1p-23, std::numeric_limits<double>::infinity()}, g);
  EXPECT_EQ(g[0], 1.0f);
  EXPECT_EQ(g[1], 2.0f);
  EXPECT_EQ(bits_as<std::uint32_t>(g[2]), 0x7FC00000u);
}

}  // namespace
}  // namespace fp4lab
