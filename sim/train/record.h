// What a run measures, column by column, under the paths of result files (experiments/SCHEMA.md).
// Rows are appended as the run goes; axes of fixed extent are set once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "sim/train/bytes.h"

namespace fp4lab::train {

/// Values of one data set or scale, row-major.
using Column = std::variant<std::vector<double>, std::vector<float>, std::vector<std::int64_t>,
                            std::vector<std::int32_t>, std::vector<std::int8_t>,
                            std::vector<std::uint8_t>, std::vector<std::string>>;

class RunRecord {
 public:
  /// All columns by path, "/series/loss".
  const std::map<std::string, Column>& columns() const noexcept { return columns_; }
  bool has(const std::string& path) const { return columns_.count(path) != 0; }

  /// The values of a column of type T, made when it is not there. Throws std::logic_error when it
  /// has another type.
  template <class T>
  std::vector<T>& column(const std::string& path) {
    auto [at, fresh] = columns_.try_emplace(path, std::vector<T>());
    (void)fresh;
    if (auto* values = std::get_if<std::vector<T>>(&at->second)) return *values;
    throw std::logic_error("column " + path + " has another type");
  }
  /// The values of a column that is there. Throws std::logic_error otherwise.
  template <class T>
  const std::vector<T>& values(const std::string& path) const {
    const auto at = columns_.find(path);
    if (at == columns_.end()) throw std::logic_error("no column " + path);
    if (const auto* values = std::get_if<std::vector<T>>(&at->second)) return *values;
    throw std::logic_error("column " + path + " has another type");
  }
  template <class T>
  void append(const std::string& path, T value) {
    column<T>(path).push_back(std::move(value));
  }
  template <class T>
  void append(const std::string& path, const std::vector<T>& values) {
    auto& to = column<T>(path);
    to.insert(to.end(), values.begin(), values.end());
  }

  /// Edges of histograms whose bins are no codes, by path.
  std::map<std::string, std::vector<double>> bin_edges;

  void save(ByteWriter& out) const;
  void load(ByteReader& in);

  friend bool operator==(const RunRecord&, const RunRecord&) = delete;

 private:
  std::map<std::string, Column> columns_;
};

/// Path of the first column in which two records differ in any bit, or empty. `/series/step_time`
/// is not looked at.
std::string first_difference(const RunRecord& a, const RunRecord& b);

}  // namespace fp4lab::train
