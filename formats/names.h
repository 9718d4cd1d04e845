// Names on input: one normal form, and "did you mean", the valid name nearest to a mistyped one.
// Host only.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fp4lab {

/// Lower case, '_' read as '-': the form in which ids are compared.
inline std::string normalize_name(std::string_view text) {
  std::string s(text);
  for (char& c : s) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return s;
}

/// Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
/// (each position edited at most once), upper and lower case and `_` and `-` taken as equal.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto fold = [](char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  };
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> before(width), previous(width), current(width);
  for (std::size_t j = 0; j < width; ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j < width; ++j) {
      const bool same = fold(a[i - 1]) == fold(b[j - 1]);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + !same});
      if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1])) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

/// The candidate nearest to `name`; empty when there is no candidate. A candidate that starts with
/// `name` (at least two letters typed) counts as one edit away; the first of equals wins.
/// `Candidates` is any range of things convertible to std::string_view.
template <typename Candidates>
std::string nearest_name(std::string_view name, const Candidates& candidates) {
  // Long foreign text is cut: the distance is quadratic and only the beginning can be a name.
  const std::string_view typed = name.substr(0, 64);
  std::string best;
  std::size_t best_distance = static_cast<std::size_t>(-1);
  for (const auto& candidate : candidates) {
    const std::string_view text(candidate);
    std::size_t distance = edit_distance(typed, text);
    if (typed.size() >= 2 && text.substr(0, typed.size()) == typed) {
      distance = std::min<std::size_t>(distance, 1);
    }
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(text);
    }
  }
  return best;
}

/// `; nearest: 'NAME'`, or nothing when there is no candidate: the tail of an error line.
template <typename Candidates>
std::string nearest_hint(std::string_view name, const Candidates& candidates) {
  const std::string best = nearest_name(name, candidates);
  return best.empty() ? std::string() : "; nearest: '" + best + "'";
}

/// Text of foreign origin made fit for one line of a message: control characters and bytes above
/// 0x7E become `?`, and what is longer than `limit` is cut and marked with `...`.
inline std::string printable(std::string_view text, std::size_t limit = 120) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    out += (byte < 0x20 || byte > 0x7e) ? '?' : c;
  }
  if (text.size() > limit) out += "...";
  return out;
}

}  // namespace fp4lab
