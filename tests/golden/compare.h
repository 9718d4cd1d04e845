// Counting comparison of one column: every number is compared, the first few differences are
// printed with everything needed to repeat them, and the count of all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "tests/golden/exclusions.h"
#include "tests/golden/gv1.h"

namespace fp4lab::golden {

// Numbers of one column against what the project computes.
class Comparison {
 public:
  // `rule` says in ids what the column is compared with.
  Comparison(const File& file, std::string column, std::string rule);
  // Reports to GoogleTest: fails with a message if anything differed or nothing was compared.
  ~Comparison();
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;

  // Bit patterns of the input, of ours and of the golden number at `index` of the column.
  void check(std::size_t index, std::uint64_t input, std::uint64_t got, std::uint64_t want);
  // The same for binary32 results, where any NaN equals any NaN.
  void check_f32(std::size_t index, std::uint64_t input, float got, std::uint32_t want);
  // Leaves one number out, for the reason that row of the table gives.
  void exclude(Exclusion) { ++excluded_; }

  std::size_t compared() const { return compared_; }
  std::size_t excluded() const { return excluded_; }
  std::size_t differing() const { return differing_; }

 private:
  std::string key_;
  std::string source_;
  std::string column_;
  std::string rule_;
  int digits_;
  std::size_t row_length_;
  std::size_t compared_ = 0;
  std::size_t excluded_ = 0;
  std::size_t differing_ = 0;
  std::string examples_;
};

// Columns that a Comparison of this process has compared or excluded, as "source: column" of the stored tensor.
const std::set<std::string>& compared_columns();
std::string column_key(const File& file, const std::string& column);

}  // namespace fp4lab::golden
