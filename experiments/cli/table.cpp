#include "experiments/cli/table.h"

#include <algorithm>
#include <stdexcept>

namespace fp4lab::cli {

void Table::add(std::vector<std::string> cells) {
  if (cells.size() > columns_.size()) throw std::logic_error("Table::add: too many cells");
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::line(const std::vector<std::string>& cells,
                        const std::vector<std::size_t>& widths, int indent) const {
  std::string out(static_cast<std::size_t>(indent), ' ');
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::size_t gap = widths[i] - cells[i].size();
    if (i > 0) out += "  ";
    if (columns_[i].align == Align::kRight) out.append(gap, ' ');
    out += cells[i];
    if (columns_[i].align == Align::kLeft) out.append(gap, ' ');
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

void Table::print(Output& out, int indent) const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (const auto& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(column.title.size());
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const bool has_titles =
      std::any_of(titles.begin(), titles.end(), [](const auto& t) { return !t.empty(); });
  if (has_titles) out.line(out.bold(line(titles, widths, indent)));
  for (const auto& row : rows_) out.line(line(row, widths, indent));
}

}  // namespace fp4lab::cli
