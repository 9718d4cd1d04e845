// Finding a format by name: the catalogue, formats added at run time, and names that spell out
// their own record (e4m5, ue3m4-b2, p3109-k6p3se). Host only.
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/catalog.h"
#include "formats/names.h"

namespace fp4lab {
namespace detail {

/// Formats added while the program runs. A deque keeps their addresses.
struct RuntimeFormats {
  struct Row {
    std::string id, aliases, title, source;
    FormatInfo info;
  };
  std::mutex mutex;
  std::deque<Row> rows;
  static RuntimeFormats& instance() {
    static RuntimeFormats formats;
    return formats;
  }
};

inline bool has_alias(std::string_view aliases, std::string_view name) {
  std::size_t at = 0;
  while (at < aliases.size()) {
    const std::size_t end = std::min(aliases.find(' ', at), aliases.size());
    if (aliases.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

/// Reads a decimal number of at most three digits at `at`; nullopt where there is none.
inline std::optional<int> small_number(std::string_view s, std::size_t& at) {
  int value = 0;
  std::size_t digits = 0;
  while (at < s.size() && s[at] >= '0' && s[at] <= '9' && digits < 3) {
    value = 10 * value + (s[at] - '0');
    ++at;
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  return value;
}

/// [u]eXmY[-bBIAS][-fn|-ieee|-fnuz|-nosub|-nz]; the bias defaults to 2^(X-1) - 1 (0 for X = 0).
inline std::optional<ElementFormat> parse_exmy(std::string_view s) {
  bool is_signed = true;
  std::size_t at = 0;
  if (at < s.size() && s[at] == 'u') {
    is_signed = false;
    ++at;
  }
  if (at >= s.size() || s[at] != 'e') return std::nullopt;
  ++at;
  const auto e = small_number(s, at);
  if (!e || at >= s.size() || s[at] != 'm') return std::nullopt;
  ++at;
  const auto m = small_number(s, at);
  if (!m) return std::nullopt;
  int bias = *e == 0 ? 0 : *e > 15 ? 0 : (1 << (*e - 1)) - 1;
  if (s.substr(at, 2) == "-b") {
    at += 2;
    const bool minus = at < s.size() && s[at] == '-';
    if (minus) ++at;
    const auto b = small_number(s, at);
    if (!b) return std::nullopt;
    bias = minus ? -*b : *b;
  }
  Specials specials = Specials::none;
  LowEnd low = LowEnd::gradual;
  const std::string_view tail = s.substr(at);
  if (tail == "-fn") specials = Specials::nan_top;
  else if (tail == "-ieee" && *m > 0 && *e > 0) specials = Specials::ieee;
  else if (tail == "-fnuz" && is_signed) specials = Specials::nan_neg_zero;
  else if (tail == "-nosub") low = LowEnd::zero_only;
  else if (tail == "-nz") low = LowEnd::no_zero;
  else if (!tail.empty()) return std::nullopt;
  const int bits = *e + *m + (is_signed ? 1 : 0);
  if (bits < 2 || bits > 16 || *e + *m < 1) return std::nullopt;
  if (*e == 0 && *m == 0) return std::nullopt;
  return is_signed ? minifloat(*e, *m, bias, specials, low)
                   : unsigned_minifloat(*e, *m, bias, specials, low);
}

/// p3109-kKpP{s|u}{e|f} of 2 to 16 bits.
inline std::optional<ElementFormat> parse_p3109(std::string_view s) {
  if (s.substr(0, 6) == "p3109-") s.remove_prefix(6);
  if (s.empty() || s[0] != 'k') return std::nullopt;
  std::size_t at = 1;
  const auto k = small_number(s, at);
  if (!k || at >= s.size() || s[at] != 'p') return std::nullopt;
  ++at;
  const auto p = small_number(s, at);
  if (!p || s.size() != at + 2) return std::nullopt;
  const char sign = s[at], domain = s[at + 1];
  if ((sign != 's' && sign != 'u') || (domain != 'e' && domain != 'f')) return std::nullopt;
  if (*k < 3 || *k > 16 || *p < 1 || *p > *k) return std::nullopt;
  return p3109(*k, *p, sign == 's', domain == 'e');
}

}  // namespace detail

/// Adds a format; an id already taken is replaced for later look-ups. Returns its row, which lives
/// as long as the program.
inline const FormatInfo& register_format(std::string_view id, std::string_view aliases,
                                         std::string_view title, std::string_view source,
                                         Family family, const ElementFormat& format) {
  auto& runtime = detail::RuntimeFormats::instance();
  const std::lock_guard lock(runtime.mutex);
  auto& row = runtime.rows.emplace_back();
  row.id = normalize_name(id);
  row.aliases = normalize_name(aliases);
  row.title = title;
  row.source = source;
  row.info = {row.id, row.aliases, row.title, row.source, family, format};
  return row.info;
}

/// The catalogue followed by the formats added at run time.
inline std::vector<const FormatInfo*> all_formats() {
  std::vector<const FormatInfo*> list;
  for (const FormatInfo& f : kCatalog) list.push_back(&f);
  auto& runtime = detail::RuntimeFormats::instance();
  const std::lock_guard lock(runtime.mutex);
  for (const auto& row : runtime.rows) list.push_back(&row.info);
  return list;
}

/// Ids and aliases of every known format, for suggestions.
inline std::vector<std::string> all_format_names() {
  std::vector<std::string> names;
  for (const FormatInfo* f : all_formats()) {
    names.emplace_back(f->id);
    std::size_t at = 0;
    while (at < f->aliases.size()) {
      const std::size_t end = std::min(f->aliases.find(' ', at), f->aliases.size());
      names.emplace_back(f->aliases.substr(at, end - at));
      at = end + 1;
    }
  }
  return names;
}

/// The row of a format named by id, alias or record spelling; nullptr when there is none.
inline const FormatInfo* find_format(std::string_view name) {
  const std::string wanted = normalize_name(name);
  const auto formats = all_formats();
  // Run-time formats win over built-in ones of the same name, the latest first.
  for (auto it = formats.rbegin(); it != formats.rend(); ++it) {
    if ((*it)->id == wanted) return *it;
  }
  for (auto it = formats.rbegin(); it != formats.rend(); ++it) {
    if (detail::has_alias((*it)->aliases, wanted)) return *it;
  }
  if (const auto f = detail::parse_exmy(wanted)) {
    return &register_format(wanted, "", "spelled-out record", "name", Family::other, *f);
  }
  if (const auto f = detail::parse_p3109(wanted)) {
    const std::string id = wanted[0] == 'p' ? wanted : "p3109-" + wanted;
    return &register_format(id, "", "IEEE P3109", detail::kP3109, Family::p3109, *f);
  }
  return nullptr;
}

}  // namespace fp4lab
