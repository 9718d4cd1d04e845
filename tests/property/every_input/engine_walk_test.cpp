// All 2^32 binary32 inputs of every catalogue format of up to 8 bits under every deterministic
// rounding, against the oracle's intervals.
//
// What is walked is the conversion that programs run: the vector engine (quantize_packed and
// quantize with scale=none). It has three ways to a code: magic numbers (nearest even on a grid),
// tables of at most sixteen thresholds, and the cells of an EncodeTable (more than 4 bits). The
// last two are derived from `encode`, by bisection between neighbouring values; here each of their
// 2^32 results is compared with a model that shares nothing with them. `encode` itself is walked in
// encode_walk_test.cpp.
//
// The oracle says which stretch of patterns has which code, so that a comparison is a vector XOR
// with a constant.
#include <algorithm>
#include <string>
#include <vector>

#include "formats/packing.h"
#include "sim/quantize_fast.h"
#include "tests/oracle/breakpoints.h"
#include "tests/property/every_input/pairs.h"
#include "tests/property/every_input/patterns.h"

namespace fp4lab_property {
namespace {

/// Patterns a call of the engine gets, as rows of 1024: little enough for the nearer caches, and
/// enough that choosing tables for each call does not show.
constexpr std::size_t kChunk = std::size_t{1} << 16;
/// Chunks a thread takes at a time.
constexpr std::int64_t kBatch = 16;

/// Codes of a chunk as the engine writes them: a byte each, or two a byte.
class EngineCodes {
 public:
  explicit EngineCodes(const fp4lab::QuantSpec& spec)
      : spec_(spec), packed_(spec.element.bits <= 4), x_(kChunk) {}

  void convert(std::uint32_t first) {
    fill_patterns(first, x_.data(), kChunk);
    const std::size_t shape[2] = {kChunk / 1024, 1024};
    if (packed_) {
      fp4lab::quantize_packed(spec_, x_, shape, nibbles_);
    } else {
      tensor_ = fp4lab::quantize(spec_, x_, shape);
    }
  }
  std::uint32_t code(std::size_t i) const {
    return packed_ ? (nibbles_.codes[i / 2] >> (4 * (i & 1))) & 0xFu : tensor_.codes[i];
  }
  /// First position in [begin, end) whose code is not `want`; end when there is none.
  std::size_t first_difference(std::size_t begin, std::size_t end, std::uint32_t want) const {
    std::size_t i = begin;
    if (packed_) {
      if (i < end && (i & 1) != 0 && code(i) == want) ++i;
      const std::size_t pairs = (i & 1) != 0 ? 0 : (end - i) / 2;
      const std::uint8_t two = static_cast<std::uint8_t>(want | want << 4);
      if (all_equal(nibbles_.codes.data() + i / 2, pairs, two)) i += 2 * pairs;
    } else if (all_equal(tensor_.codes.data() + i, end - i, static_cast<std::uint8_t>(want))) {
      i = end;
    }
    while (i < end && code(i) == want) ++i;
    return i;
  }

 private:
  const fp4lab::QuantSpec& spec_;
  bool packed_;
  std::vector<float> x_;
  fp4lab::PackedTensor nibbles_;
  fp4lab::QuantizedTensor tensor_;
};

class EngineWalk : public testing::TestWithParam<Pair> {};

TEST_P(EngineWalk, MatchesTheOracle) {
  const auto [row, mode] = GetParam();
  const fp4lab::FormatInfo& info = fp4lab::catalog()[row];
  const oracle::Format& f = oracle::format(info.id);
  const std::vector<oracle::Interval> intervals = oracle::intervals(f, mode);
  fp4lab::QuantSpec spec = fp4lab::parse_spec(std::string(info.id) + ",scale=none");
  spec.round = rounding_of(mode);
  ASSERT_TRUE(fp4lab::has_fast_path(spec, kChunk / 1024, 1024));

  constexpr std::int64_t kChunks = static_cast<std::int64_t>((1ull << 32) / kChunk);
  Mismatches mismatches;
  std::uint64_t covered = 0;
#pragma omp parallel reduction(+ : covered)
  {
    EngineCodes codes(spec);
#pragma omp for schedule(dynamic, kBatch)
    for (std::int64_t n = 0; n < kChunks; ++n) {
      const std::uint64_t base = static_cast<std::uint64_t>(n) * kChunk;
      codes.convert(static_cast<std::uint32_t>(base));
      auto interval =
          std::partition_point(intervals.begin(), intervals.end(),
                               [base](const oracle::Interval& v) { return v.last < base; });
      for (std::uint64_t at = base; at < base + kChunk; ++interval) {
        const std::uint64_t end = std::min<std::uint64_t>(interval->last + 1ull, base + kChunk);
        const std::size_t bad = codes.first_difference(at - base, end - base, interval->code);
        if (bad != end - base) {
          mismatches.add([&] {
            return mismatch(f, std::string(name(mode)), static_cast<std::uint32_t>(base + bad),
                            codes.code(bad), interval->code);
          });
        }
        covered += end - at;
        at = end;
      }
    }
  }
  EXPECT_EQ(covered, std::uint64_t{1} << 32);
}

INSTANTIATE_TEST_SUITE_P(All, EngineWalk, testing::ValuesIn(all_pairs()), pair_name);

}  // namespace
}  // namespace fp4lab_property
