// Plain aligned tables.
#pragma once

#include <string>
#include <vector>

#include "experiments/cli/terminal.h"

namespace fp4lab::cli {

enum class Align { kLeft, kRight };

/// Columns separated by two spaces, each as wide as its widest cell, without trailing spaces.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Adds a row; missing cells are empty, surplus ones are a programming error.
  void add(std::vector<std::string> cells);

  std::size_t rows() const { return rows_.size(); }

  /// Titles (bold where colours are on) and rows, each line indented by `indent` spaces.
  void print(Output& out, int indent = 0) const;

 private:
  std::string line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                   int indent) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace fp4lab::cli
