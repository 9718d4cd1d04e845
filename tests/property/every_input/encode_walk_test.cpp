// All 2^32 binary32 inputs through `encode`, for the formats that have its direct path (floats with
// subnormals and evenly spaced numbers: 43 of the catalogue's 84 of up to 8 bits), against the
// oracle's intervals.
//
// `encode` of the others searches a table for the neighbours, which takes 3 to 30 ns: hours for all
// of them. They are compared with the oracle at every value, midpoint and three-quarter point and
// three numbers to either side (rounding_test.cpp), between which `encode` is constant if it is
// monotone; and the tables that the engine derives from it are walked over all inputs
// (engine_walk_test.cpp).
#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/oracle/breakpoints.h"
#include "tests/property/every_input/pairs.h"
#include "tests/property/every_input/walk.h"

namespace fp4lab_property {
namespace {

const WalkerTable& walkers_of(oracle::Mode mode) {
  using fp4lab::RoundingKind;
  switch (mode) {
    case oracle::Mode::kRne:
      return walkers<RoundingKind::rne>();
    case oracle::Mode::kRna:
      return walkers<RoundingKind::rna>();
    case oracle::Mode::kRtz:
      return walkers<RoundingKind::rtz>();
#if !FP4LAB_WALK_MAIN
    case oracle::Mode::kRnz:
      return walkers<RoundingKind::rnz>();
    case oracle::Mode::kRtp:
      return walkers<RoundingKind::rtp>();
    case oracle::Mode::kRtn:
      return walkers<RoundingKind::rtn>();
    case oracle::Mode::kOdd:
      return walkers<RoundingKind::odd>();
    case oracle::Mode::kRnLower:
      return walkers<RoundingKind::rn_lower>();
    case oracle::Mode::kRnUpper:
      return walkers<RoundingKind::rn_upper>();
    case oracle::Mode::kRdnp:
      return walkers<RoundingKind::rdnp>();
#endif
    default:
      throw std::logic_error("this program has no walkers for " + std::string(name(mode)));
  }
}

/// A stretch of patterns that must all have one code.
struct Stretch {
  std::uint32_t first, count, code;
};

std::vector<Stretch> stretches(const std::vector<oracle::Interval>& intervals) {
  constexpr std::uint64_t kPiece = 1u << 22;  // evens out the threads
  std::vector<Stretch> all;
  for (const oracle::Interval& interval : intervals) {
    std::uint64_t first = interval.first;
    while (first <= interval.last) {
      const std::uint64_t end =
          std::min<std::uint64_t>((first / kPiece + 1) * kPiece, std::uint64_t{interval.last} + 1);
      all.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(end - first),
                     interval.code});
      first = end;
    }
  }
  return all;
}

void report(const Stretch& s, const oracle::Format& f, const fp4lab::ElementFormat& subject,
            oracle::Mode mode, Mismatches& mismatches) {
  for (std::uint32_t i = 0; i < s.count; ++i) {
    const std::uint32_t bits = s.first + i;
    const std::uint32_t got = fp4lab::encode(subject, float_of(bits), rounding_of(mode));
    if (got == s.code) continue;
    mismatches.add([&] { return mismatch(f, std::string(name(mode)), bits, got, s.code); });
    return;
  }
  ADD_FAILURE() << f.id << "/" << name(mode) << " " << hex(s.first) << ".."
                << hex(s.first + s.count - 1)
                << ": the compile-time conversion differs, the run-time one does not";
}

class EncodeWalk : public testing::TestWithParam<Pair> {};

TEST_P(EncodeWalk, MatchesTheOracle) {
  const auto [row, mode] = GetParam();
  const fp4lab::FormatInfo& info = fp4lab::catalog()[row];
  const oracle::Format& f = oracle::format(info.id);
  const Walker walk = walkers_of(mode)[row];
  const std::vector<Stretch> all = stretches(oracle::intervals(f, mode));

  std::uint64_t covered = 0;
  for (const Stretch& s : all) covered += s.count;
  ASSERT_EQ(covered, std::uint64_t{1} << 32);

  std::vector<char> differs(all.size(), 0);
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < all.size(); ++i) {
    differs[i] = walk(all[i].first, all[i].count, all[i].code) != 0;
  }
  Mismatches mismatches;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (differs[i]) report(all[i], f, info.format, mode, mismatches);
  }
}

/// What this program has walkers for.
bool is_walked(std::size_t row, oracle::Mode mode) {
#if FP4LAB_WALK_MAIN
  if (mode != oracle::Mode::kRne && mode != oracle::Mode::kRna && mode != oracle::Mode::kRtz) {
    return false;
  }
#endif
  return walkers_of(mode)[row] != nullptr;
}

INSTANTIATE_TEST_SUITE_P(All, EncodeWalk, testing::ValuesIn(pairs_where(is_walked)), pair_name);

}  // namespace
}  // namespace fp4lab_property
