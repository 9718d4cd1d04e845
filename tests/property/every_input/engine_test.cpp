// All 2^32 binary32 inputs through the vector engine (quantize_packed with scale=none), for every
// catalogue format of up to 4 bits that it covers, against the oracle's intervals.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "sim/quantize_fast.h"
#include "tests/oracle/breakpoints.h"
#include "tests/property/subject.h"

namespace fp4lab_property {
namespace {

/// Patterns a call of the engine gets: rows of 1024.
constexpr std::size_t kChunk = std::size_t{1} << 18;

using Pair = std::tuple<std::size_t, oracle::Mode>;  // row of the catalogue, rounding

std::string spec_text(const Pair& pair) {
  const auto [row, mode] = pair;
  return std::string(fp4lab::catalog()[row].id) + ",scale=none,round=" +
         fp4lab::to_string(rounding_of(mode));
}

/// First position in packed codes [begin, end) whose code is not `want`; end when there is none.
std::size_t first_difference(const std::uint8_t* packed, std::size_t begin, std::size_t end,
                             std::uint32_t want) {
  const auto code = [&](std::size_t i) { return (packed[i / 2] >> (4 * (i & 1))) & 0xFu; };
  std::size_t i = begin;
  for (; i < end && (i & 1) != 0; ++i) {
    if (code(i) != want) return i;
  }
  const std::uint8_t pair = static_cast<std::uint8_t>(want | want << 4);
  const std::size_t whole = (end - i) / 2;
  std::uint8_t difference = 0;
  for (std::size_t k = 0; k < whole; ++k) {
    difference = static_cast<std::uint8_t>(difference | (packed[i / 2 + k] ^ pair));
  }
  if (difference == 0) i += 2 * whole;
  for (; i < end; ++i) {
    if (code(i) != want) return i;
  }
  return end;
}

class EngineEveryInput : public testing::TestWithParam<Pair> {};

TEST_P(EngineEveryInput, MatchesTheOracle) {
  const auto [row, mode] = GetParam();
  const oracle::Format& f = oracle::format(fp4lab::catalog()[row].id);
  const auto intervals = oracle::intervals(f, mode);
  const fp4lab::QuantSpec spec = fp4lab::parse_spec(spec_text(GetParam()));
  constexpr std::int64_t kChunks = static_cast<std::int64_t>((1ull << 32) / kChunk);
  Mismatches mismatches;
  std::uint64_t covered = 0;
#pragma omp parallel for schedule(dynamic, 16) reduction(+ : covered)
  for (std::int64_t n = 0; n < kChunks; ++n) {
    thread_local std::vector<float> x(kChunk);
    thread_local fp4lab::PackedTensor packed;
    const std::uint64_t base = static_cast<std::uint64_t>(n) * kChunk;
    for (std::size_t i = 0; i < kChunk; ++i) x[i] = float_of(static_cast<std::uint32_t>(base + i));
    const std::size_t shape[2] = {kChunk / 1024, 1024};
    fp4lab::quantize_packed(spec, x, shape, packed);
    auto interval = std::upper_bound(
        intervals.begin(), intervals.end(), base,
        [](std::uint64_t b, const oracle::Interval& v) { return b < v.first; });
    --interval;
    for (std::uint64_t at = base; at < base + kChunk; ++interval) {
      const std::uint64_t end = std::min<std::uint64_t>(interval->last + 1ull, base + kChunk);
      const std::size_t bad = first_difference(packed.codes.data(), at - base, end - base,
                                               interval->code);
      if (bad != end - base) {
        const std::uint32_t bits = static_cast<std::uint32_t>(base + bad);
        const std::uint32_t got = (packed.codes[bad / 2] >> (4 * (bad & 1))) & 0xFu;
#pragma omp critical
        mismatches.add([&] {
          return mismatch(f, std::string(name(mode)), bits, got, interval->code);
        });
      }
      covered += end - at;
      at = end;
    }
  }
  EXPECT_EQ(covered, std::uint64_t{1} << 32);
}

/// Default run: nearest-even, nearest-away, toward zero. The environment variable asks for all.
std::vector<Pair> pairs() {
  const bool every_mode = std::getenv("FP4LAB_EVERY_MODE") != nullptr;
  std::vector<Pair> all;
  for (const oracle::Mode mode : oracle::kDeterministicModes) {
    const bool main = mode == oracle::Mode::kRne || mode == oracle::Mode::kRna ||
                      mode == oracle::Mode::kRtz;
    if (!main && !every_mode) continue;
    for (std::size_t row = 0; row < fp4lab::catalog().size(); ++row) {
      const fp4lab::ElementFormat& format = fp4lab::catalog()[row].format;
      if (format.bits > 4 || fp4lab::detail::is_asymmetric(fp4lab::parse_spec(
                                 fp4lab::catalog()[row].id))) {
        continue;
      }
      const Pair pair{row, mode};
      if (fp4lab::has_fast_path(fp4lab::parse_spec(spec_text(pair)), kChunk / 1024, 1024)) {
        all.push_back(pair);
      }
    }
  }
  return all;
}

std::string pair_name(const testing::TestParamInfo<Pair>& pair) {
  std::string text = std::string(fp4lab::catalog()[std::get<0>(pair.param)].id) + "_" +
                     std::string(name(std::get<1>(pair.param)));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

INSTANTIATE_TEST_SUITE_P(All, EngineEveryInput, testing::ValuesIn(pairs()), pair_name);

}  // namespace
}  // namespace fp4lab_property
