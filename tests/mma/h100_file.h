// Reader of the H100 tile files (tests/golden/h100_mma/README.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fp4lab::mma_test {

/// One section: raw bit patterns as words.
struct Section {
  std::string name;
  std::size_t m = 0, n = 0, k = 0, cases = 0, generators = 0;
  int a_bits = 0, b_bits = 0, c_bits = 0;
  std::vector<std::uint32_t> a, b, c, d;  ///< [case][m][k], [case][n][k], [case][m][n] twice
};

/// Throws std::runtime_error when the file is missing, cut short or longer than its sections.
std::vector<Section> read_sections(const std::string& path, bool has_c);

}  // namespace fp4lab::mma_test
