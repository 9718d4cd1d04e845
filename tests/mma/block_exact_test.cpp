// The integer kernels of block-exact against the definition: every way of forming dots, every
// instruction set, irregular segments, scales at the ends of binary32's range.
#include "sim/block_exact.h"

#include <gtest/gtest.h>

#include <random>

#include "sim/fma.h"
#include "tests/math/targets.h"
#include "tests/mma/threads.h"

namespace fp4lab::mma_test {
namespace {

using detail::DotKind;
using detail::IntegerFactor;

enum class Scales { ordinary, wide, zero_and_special };

/// A factor and the memory it points to.
struct Factor {
  std::vector<std::int8_t> integers;
  std::vector<std::uint8_t> codes;
  std::vector<std::int8_t> table;
  std::vector<float> scales, global;
  IntegerFactor view;
};
Factor make_factor(std::size_t rows, std::size_t k, std::size_t run, int largest, bool extreme,
                   Scales kind, std::mt19937_64& random) {
  Factor f;
  const bool nibbles = largest <= 7;
  for (std::size_t i = 0; i < rows * k; ++i) {
    const int v =
        extreme && random() % 8 != 0
            ? (random() % 2 == 0 ? largest : -largest)
            : static_cast<int>(random() % static_cast<unsigned>(2 * largest + 1)) - largest;
    f.integers.push_back(static_cast<std::int8_t>(v));
    f.codes.push_back(static_cast<std::uint8_t>(nibbles ? v & 15 : v));
  }
  if (nibbles) {
    f.table.assign(256, 0);
    for (int c = 0; c < 16; ++c) {
      f.table[static_cast<std::size_t>(c)] = static_cast<std::int8_t>(c < 8 ? c : c - 16);
    }
  }
  const std::size_t cols = run == 0 ? 1 : (k + run - 1) / run;
  for (std::size_t i = 0; i < rows * cols; ++i) {
    float s = bits_as<float>(0x3F000000u + static_cast<std::uint32_t>(random() & 0xFFFFFF));
    if (kind == Scales::wide)
      s = bits_as<float>(static_cast<std::uint32_t>(random() % 0x7F800000u));
    if (kind == Scales::zero_and_special && random() % 6 == 0) {
      const float odd[] = {0.0f, -0.0f, kFloatInf, canonical_nan(), 0x1p-149f, -0x1p127f};
      s = odd[random() % 6];
    }
    f.scales.push_back(s);
  }
  f.view.rows = rows;
  f.view.k = f.view.stride = k;
  f.view.bytes = f.codes.data();
  f.view.table = nibbles ? f.table.data() : nullptr;
  f.view.nibbles = nibbles;
  f.view.largest = largest;
  f.view.scales = {f.scales.data(), 1, cols, run == 0 ? k : run, 1};
  return f;
}

std::vector<std::uint32_t> defined(const Factor& a, const Factor& b,
                                   const std::vector<std::size_t>& ends, int unit) {
  std::vector<std::uint32_t> bits;
  const auto global = [](const Factor& f, std::size_t i) {
    return f.global.empty() ? 1.0f : f.global[f.global.size() == 1 ? 0 : i];
  };
  for (std::size_t i = 0; i < a.view.rows; ++i) {
    for (std::size_t j = 0; j < b.view.rows; ++j) {
      float y = 0.0f;
      std::size_t k = 0;
      for (const std::size_t end : ends) {
        const float scale = mul_rn(a.view.scales.at(i, k), b.view.scales.at(j, k));
        double sum = 0.0;
        for (; k < end; ++k) {
          sum += static_cast<double>(a.integers[i * a.view.k + k] * b.integers[j * b.view.k + k]);
        }
        y = fma_rn(static_cast<float>(sum * pow2_f64(unit)), scale, y);
      }
      if (!a.global.empty() || !b.global.empty()) y = mul_rn(mul_rn(global(a, i), global(b, j)), y);
      bits.push_back(bits_as<std::uint32_t>(canonical(y)));
    }
  }
  return bits;
}

void compare(const Factor& a, const Factor& b, const std::vector<std::size_t>& ends, int unit,
             const std::string& what) {
  ASSERT_TRUE(detail::block_exact_fits(ends, unit));
  const auto want = defined(a, b, ends, unit);
  for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
    const fp4lab_test::InForce in_force(bit);
    for (const DotKind kind : {DotKind::automatic, DotKind::quads, DotKind::pairs, DotKind::wide}) {
      std::vector<float> y(want.size(), 3.0f);
      detail::block_exact_product(a.view, b.view, ends, unit,
                                  MutableMatrixView::of(y.data(), a.view.rows, b.view.rows), kind);
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(bits_as<std::uint32_t>(y[i]), want[i])
            << what << " " << name << " kind " << static_cast<int>(kind) << " at "
            << i / b.view.rows << ", " << i % b.view.rows;
      }
    }
  }
}

TEST(BlockExactKernel, IsTheDefinition) {
  const Threads one(1);
  std::mt19937_64 random(1);
  const std::size_t runs[][2] = {{32, 32}, {16, 16}, {32, 16}, {0, 0},
                                 {15, 0},  {1, 4},   {6, 10},  {128, 7}};
  for (const int largest : {1, 7, 12, 64, 127}) {
    for (const auto& [run_a, run_b] : runs) {
      for (const Scales scales : {Scales::ordinary, Scales::wide, Scales::zero_and_special}) {
        const std::size_t m = 1 + random() % 30, n = 1 + random() % 70, k = 1 + random() % 300;
        Factor a = make_factor(m, k, run_a, largest, random() % 2 == 0, scales, random);
        Factor b =
            make_factor(n, k, run_b, std::min(127, 2 * largest), random() % 2 == 0, scales, random);
        if (random() % 2 == 0) a.global.assign(random() % 2 == 0 ? 1 : m, 0x1.8p-3f);
        if (random() % 2 == 0) b.global.assign(random() % 2 == 0 ? 1 : n, 0x1.2p5f);
        a.view.global = a.global;
        b.view.global = b.global;
        const int units[] = {0, -2, 3, -60, 80};
        compare(a, b, gemm_segments(k, run_a, run_b), units[random() % 5],
                "largest " + std::to_string(largest) + " runs " + std::to_string(run_a) + " " +
                    std::to_string(run_b) + " scales " + std::to_string(static_cast<int>(scales)));
      }
    }
  }
}

// Sums up to 2^31, products that saturate or wrap anything narrower, and depths beyond a cache.
TEST(BlockExactKernel, LongSegments) {
  const Threads one(1);
  std::mt19937_64 random(2);
  for (const std::size_t k : {131072, 131071, 5000, 1028}) {
    for (const int sign : {1, -1}) {
      Factor a = make_factor(2, k, 0, 127, true, Scales::ordinary, random);
      Factor b = make_factor(3, k, 0, 127, true, Scales::ordinary, random);
      for (std::size_t i = 0; i < k; ++i) {  // row 0 with row 0: the largest sum there is
        a.integers[i] = 127;
        b.integers[i] = static_cast<std::int8_t>(127 * sign);
      }
      for (Factor* f : {&a, &b}) {
        for (std::size_t i = 0; i < f->codes.size(); ++i) {
          f->codes[i] = static_cast<std::uint8_t>(f->integers[i]);
        }
      }
      compare(a, b, {k}, -2, "k " + std::to_string(k));
    }
  }
  for (const std::size_t run : {16, 32, 500}) {
    const Factor a = make_factor(14, 4100, run, 12, false, Scales::wide, random);
    const Factor b = make_factor(33, 4100, run, 12, false, Scales::wide, random);
    compare(a, b, gemm_segments(4100, run, run), -2, "run " + std::to_string(run));
  }
}

TEST(BlockExactKernel, KnowsItsLimits) {
  EXPECT_FALSE(detail::block_exact_fits({131073}, 0));
  EXPECT_TRUE(detail::block_exact_fits({131072, 262144}, 0));
  EXPECT_FALSE(detail::block_exact_fits({32}, -101));
  EXPECT_FALSE(detail::block_exact_fits({32}, 91));
}

TEST(TransposeBytes, AnyShape) {
  std::mt19937_64 random(3);
  for (const auto& [rows, cols] :
       {std::pair<std::size_t, std::size_t>{16, 16}, {1, 1}, {33, 47}, {64, 100}, {15, 17}}) {
    std::vector<std::uint8_t> from(rows * (cols + 5)), to(cols * (rows + 3), 9);
    for (auto& x : from) x = static_cast<std::uint8_t>(random());
    for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
      const fp4lab_test::InForce in_force(bit);
      detail::transpose_bytes(from.data(), rows, cols, cols + 5, to.data(), rows + 3);
      for (std::size_t c = 0; c < cols; ++c) {
        for (std::size_t r = 0; r < rows + 3; ++r) {
          ASSERT_EQ(to[c * (rows + 3) + r], r < rows ? from[r * (cols + 5) + c] : 9) << name;
        }
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab::mma_test
