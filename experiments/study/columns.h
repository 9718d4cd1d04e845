// Rows of a `/table` as they come, columns when they are stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/store/result_file.h"

namespace fp4lab::study {

/// Collects named columns of equal length.
class Columns {
 public:
  void number(const std::string& name, const std::string& units, const std::string& meaning,
              double value) {
    column(name, units, meaning).numbers.push_back(value);
  }
  void count(const std::string& name, const std::string& meaning, std::int64_t value) {
    Column& c = column(name, "1", meaning);
    c.kind = Kind::count;
    c.counts.push_back(value);
  }
  void text(const std::string& name, const std::string& meaning, std::string value) {
    Column& c = column(name, "", meaning);
    c.kind = Kind::text;
    c.texts.push_back(std::move(value));
  }
  /// Ends a row.
  void next() { ++rows_; }
  std::size_t rows() const noexcept { return rows_; }

  /// Writes the columns under /table.
  void store(store::ResultFile& file) const {
    std::vector<std::int64_t> rows(rows_);
    for (std::size_t i = 0; i < rows_; ++i) rows[i] = static_cast<std::int64_t>(i);
    file.scale("/table/row", std::span<const std::int64_t>(rows));
    for (const Column& c : columns_) {
      const std::string path = "/table/" + c.name;
      if (c.kind == Kind::number) file.put(path, std::span<const double>(c.numbers));
      if (c.kind == Kind::count) file.put(path, std::span<const std::int64_t>(c.counts));
      if (c.kind == Kind::text) file.put(path, std::span<const std::string>(c.texts));
      file.describe(path, c.units, c.meaning);
    }
  }

 private:
  enum class Kind { number, count, text };
  struct Column {
    std::string name, units, meaning;
    Kind kind = Kind::number;
    std::vector<double> numbers;
    std::vector<std::int64_t> counts;
    std::vector<std::string> texts;
  };
  Column& column(const std::string& name, const std::string& units, const std::string& meaning) {
    for (Column& c : columns_) {
      if (c.name == name) return c;
    }
    columns_.push_back({name, units, meaning, Kind::number, {}, {}, {}});
    return columns_.back();
  }
  std::vector<Column> columns_;
  std::size_t rows_ = 0;
};

}  // namespace fp4lab::study
