#include "sim/train/record.h"

#include <cstring>

namespace fp4lab::train {
namespace {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if constexpr (std::is_same_v<T, std::string>) {
    return a == b;
  } else {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  }
}

template <std::size_t I = 0>
Column read_column(ByteReader& in, std::size_t index) {
  if constexpr (I == std::variant_size_v<Column>) {
    (void)in, (void)index;
    throw std::invalid_argument("the checkpoint does not fit this run");
  } else {
    if (I != index) return read_column<I + 1>(in, index);
    using T = typename std::variant_alternative_t<I, Column>::value_type;
    if constexpr (std::is_same_v<T, std::string>) {
      std::vector<std::string> texts(static_cast<std::size_t>(in.number<std::uint32_t>()));
      for (auto& text : texts) text = in.text();
      return texts;
    } else {
      return in.numbers<T>();
    }
  }
}

}  // namespace

void RunRecord::save(ByteWriter& out) const {
  out.number<std::uint64_t>(columns_.size());
  for (const auto& [path, column] : columns_) {
    out.text(path);
    out.number(static_cast<std::uint8_t>(column.index()));
    std::visit(
        [&](const auto& values) {
          using T = typename std::decay_t<decltype(values)>::value_type;
          if constexpr (std::is_same_v<T, std::string>) {
            out.number(static_cast<std::uint32_t>(values.size()));
            for (const auto& text : values) out.text(text);
          } else {
            out.numbers(values);
          }
        },
        column);
  }
  out.number<std::uint64_t>(bin_edges.size());
  for (const auto& [path, edges] : bin_edges) {
    out.text(path);
    out.numbers(edges);
  }
}

void RunRecord::load(ByteReader& in) {
  columns_.clear();
  bin_edges.clear();
  for (std::uint64_t n = in.number<std::uint64_t>(); n != 0; --n) {
    const std::string path = in.text();
    const std::size_t index = in.number<std::uint8_t>();
    columns_[path] = read_column(in, index);
  }
  for (std::uint64_t n = in.number<std::uint64_t>(); n != 0; --n) {
    const std::string path = in.text();
    bin_edges[path] = in.numbers<double>();
  }
}

std::string first_difference(const RunRecord& a, const RunRecord& b) {
  const auto missing = [](const RunRecord& from, const RunRecord& in) -> std::string {
    for (const auto& [path, column] : from.columns()) {
      if (!in.has(path)) return path;
    }
    return {};
  };
  if (const std::string path = missing(a, b); !path.empty()) return path;
  if (const std::string path = missing(b, a); !path.empty()) return path;
  for (const auto& [path, column] : a.columns()) {
    if (path == "/series/step_time") continue;
    const Column& other = b.columns().at(path);
    const bool same =
        column.index() == other.index() &&
        std::visit(
            [&](const auto& values) {
              return same_bits(values, std::get<std::decay_t<decltype(values)>>(other));
            },
            column);
    if (!same) return path;
  }
  return {};
}

}  // namespace fp4lab::train
