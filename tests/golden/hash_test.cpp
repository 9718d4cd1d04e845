// All 2^32 binary32 inputs: one 64-bit sum per leading byte of the input, and histograms of codes.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <string>
#include <thread>
#include <vector>

#include "formats/convert.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/scalar_columns.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

constexpr const char* kFile = "all_f32_hash";
using Histogram = std::array<std::uint64_t, 256>;

// Sum over the 2^24 inputs whose leading byte is `c`, as the file's header defines it; counts
// codes below 256 when asked.
using ChunkSum = std::uint64_t (*)(std::uint32_t c, Histogram* histogram);

template <ElementFormat kFormat, Rounding kRounding, Policy kPolicy>
std::uint64_t chunk_sum(std::uint32_t c, Histogram* histogram) {
  constexpr std::uint64_t kWeight = 0x9E3779B97F4A7C15U;
  std::uint64_t sum = 0;
  std::uint64_t weight = kWeight;
  for (std::uint32_t j = 0; j < (1U << 24); ++j, weight += 2 * kWeight) {
    const std::uint32_t code =
        encode(kFormat, std::bit_cast<float>(c << 24 | j), kRounding, kPolicy);
    sum += (std::uint64_t{code} + 1) * weight;
    if (histogram != nullptr) ++(*histogram)[code & 0xffU];
  }
  return sum;
}

struct Column {
  const char* name;  // without ":H"
  ChunkSum sum;
};

#define FP4LAB_COLUMN(NAME, ID, ROUNDING, POLICY) \
  Column { NAME, &chunk_sum<element_format(ID), ROUNDING, Policy::POLICY> }

// Every stored column; cuda_host columns are aliases of cuda_dev ones.
const std::vector<Column>& columns() {
  static const std::vector<Column> table{
      FP4LAB_COLUMN("cuda_dev:e2m1_rn", "e2m1", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:e2m1_rz", "e2m1", kRtz, cuda),
      FP4LAB_COLUMN("cuda_dev:e2m3_rn", "e2m3", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:e2m3_rz", "e2m3", kRtz, cuda),
      FP4LAB_COLUMN("cuda_dev:e3m2_rn", "e3m2", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:e3m2_rz", "e3m2", kRtz, cuda),
      FP4LAB_COLUMN("cuda_dev:e4m3_sat", "e4m3", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:e4m3_nosat", "e4m3", kRne, cuda_nosat),
      FP4LAB_COLUMN("cuda_dev:e5m2_sat", "e5m2", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:e5m2_nosat", "e5m2", kRne, cuda_nosat),
      FP4LAB_COLUMN("cuda_dev:e8m0_rz_sat", "e8m0", kRtz, cuda),
      FP4LAB_COLUMN("cuda_dev:e8m0_rz_nosat", "e8m0", kRtz, cuda_nosat),
      FP4LAB_COLUMN("cuda_dev:e8m0_rp_sat", "e8m0", kRtp, cuda),
      FP4LAB_COLUMN("cuda_dev:e8m0_rp_nosat", "e8m0", kRtp, cuda_nosat),
      FP4LAB_COLUMN("cuda_dev:bf16_rn", "bf16", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:bf16_rz", "bf16", kRtz, cuda),
      FP4LAB_COLUMN("cuda_dev:bf16_ru", "bf16", kRtp, cuda),
      FP4LAB_COLUMN("cuda_dev:bf16_rd", "bf16", kRtn, cuda),
      FP4LAB_COLUMN("cuda_dev:f16_rn", "fp16", kRne, cuda),
      FP4LAB_COLUMN("cuda_dev:f16_rz", "fp16", kRtz, cuda),
      FP4LAB_COLUMN("cuda_dev:f16_ru", "fp16", kRtp, cuda),
      FP4LAB_COLUMN("cuda_dev:f16_rd", "fp16", kRtn, cuda),
      FP4LAB_COLUMN("ml_dtypes:e2m1", "e2m1", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e2m3", "e2m3", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e3m2", "e3m2", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e4m3fn", "e4m3", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e5m2", "e5m2", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e8m0", "e8m0", kRna, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:bf16", "bf16", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e3m4", "e3m4", kRne, ml_dtypes),
      FP4LAB_COLUMN("ml_dtypes:e4m3b11fnuz", "e4m3b11fnuz", kRne, ml_dtypes),
  };
  return table;
}

#undef FP4LAB_COLUMN

TEST(ScalarHash, EveryStoredColumnHasARule) {
  const File& f = file("scalar_convert", kFile);
  std::size_t stored = 0;
  for (const std::string& name : f.names()) {
    if (!name.ends_with(":H")) continue;
    const std::string column = name.substr(0, name.size() - 2);
    const auto rule = scalar_rule(column, "", false);
    ASSERT_TRUE(rule.has_value()) << name;
    if (f.stored_name(name) != name) continue;
    ++stored;
    bool found = false;
    for (const Column& c : columns()) found = found || column == c.name;
    EXPECT_TRUE(found) << name;
  }
  EXPECT_EQ(stored, columns().size());
}

// Reports one chunk with the input range it covers: a mismatch is somewhere in there.
void check_chunk(Comparison& comparison, const Tensor& want, std::uint32_t c, std::uint64_t sum) {
  comparison.check(c, std::uint64_t{c} << 24, sum, want.bits(c));
}

// Runs task(0) .. task(n-1) on all cores. Tasks share nothing but what they are given.
template <typename Task>
void parallel(std::size_t n, Task task) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  const std::size_t workers = std::max(1U, std::thread::hardware_concurrency());
  for (std::size_t w = 0; w < workers; ++w) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < n; i = next++) task(i);
    });
  }
  for (std::thread& t : threads) t.join();
}

// The one chunk of column `i` that runs by default. Neighbouring columns (the rounding modes of a
// format) get different ones: around 1, around the largest values and the underflow ends of the
// formats, zero and subnormals, Inf and NaN, both signs.
std::uint32_t quick_chunk(std::size_t i) {
  static constexpr std::array<std::uint32_t, 16> kChunks{0x3f, 0xff, 0x40, 0x80, 0x3e, 0xbf,
                                                         0x7f, 0xc0, 0x41, 0x00, 0x43, 0xbe,
                                                         0x47, 0x38, 0xb8, 0xc3};
  return kChunks[i % kChunks.size()];
}

TEST(ScalarHash, OneChunkOfEachColumn) {
  const File& f = file("scalar_convert", kFile);
  std::vector<std::uint64_t> sums(columns().size());
  parallel(sums.size(),
           [&](std::size_t i) { sums[i] = columns()[i].sum(quick_chunk(i), nullptr); });
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::string name = std::string(columns()[i].name) + ":H";
    Comparison comparison(f, name, scalar_rule(columns()[i].name, "", false)->name());
    check_chunk(comparison, f.at(name), quick_chunk(i), sums[i]);
  }
}

class ExhaustiveScalarHash : public testing::TestWithParam<std::size_t> {};

TEST_P(ExhaustiveScalarHash, EveryInput) {
  const Column& column = columns()[GetParam()];
  const File& f = file("scalar_convert", kFile);
  const std::string name = std::string(column.name) + ":H";
  const std::string hist_name = std::string(column.name) + ":hist";
  std::vector<std::uint64_t> sums(256);
  const bool counted = f.has(hist_name);
  std::vector<Histogram> histograms(counted ? 256 : 0, Histogram{});
  parallel(256, [&](std::size_t c) {
    sums[c] = column.sum(static_cast<std::uint32_t>(c), counted ? &histograms[c] : nullptr);
  });
  const std::string rule = scalar_rule(column.name, "", false)->name();
  {
    Comparison comparison(f, name, rule);
    for (std::uint32_t c = 0; c < 256; ++c) check_chunk(comparison, f.at(name), c, sums[c]);
  }
  if (!counted) return;
  Comparison comparison(f, hist_name, rule);
  for (std::size_t code = 0; code < 256; ++code) {
    std::uint64_t count = 0;
    for (const Histogram& h : histograms) count += h[code];
    comparison.check(code, code, count, f.at(hist_name).bits(code));
  }
}

INSTANTIATE_TEST_SUITE_P(Columns, ExhaustiveScalarHash, testing::Range<std::size_t>(0, 31),
                         [](const auto& param) {
                           std::string name = columns()[param.param].name;
                           for (char& c : name) {
                             if (c == ':') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace fp4lab::golden
