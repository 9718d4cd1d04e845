// The cases of the walks: a row of the catalogue and a rounding, under a name that ctest's filters
// can pick: "upto4_e2m1_rn_lower", "upto8_e4m3_rne".
#pragma once

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "tests/property/subject.h"

namespace fp4lab_property {

using Pair = std::tuple<std::size_t, oracle::Mode>;  // row of the catalogue, rounding

/// Every format of up to 8 bits under every deterministic rounding for which `wanted(row, mode)`.
template <class Wanted>
std::vector<Pair> pairs_where(const Wanted& wanted) {
  std::vector<Pair> all;
  for (const oracle::Mode mode : oracle::kDeterministicModes) {
    for (std::size_t row = 0; row < fp4lab::catalog().size(); ++row) {
      if (fp4lab::catalog()[row].format.bits <= 8 && wanted(row, mode)) all.emplace_back(row, mode);
    }
  }
  return all;
}

inline std::vector<Pair> all_pairs() {
  return pairs_where([](std::size_t, oracle::Mode) { return true; });
}

inline std::string pair_name(const testing::TestParamInfo<Pair>& pair) {
  const auto [row, mode] = pair.param;
  const fp4lab::FormatInfo& info = fp4lab::catalog()[row];
  std::string text = (info.format.bits <= 4 ? "upto4_" : "upto8_") + std::string(info.id) + "_" +
                     std::string(name(mode));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

}  // namespace fp4lab_property
