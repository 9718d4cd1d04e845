// toml++ as this house includes it, and its failures as errors of the house.
//
// toml++ 3.3 takes some things for granted that foreign text can break (a line of '[' does):
// asserts in debug builds, undefined behaviour in others. Here they end as an error in every build,
// for which the parser must be compiled into the files that include this one.
#pragma once

#include <stdexcept>

namespace fp4lab::detail {
[[noreturn]] inline void refuse_toml() { throw std::logic_error("unexpected text"); }
}  // namespace fp4lab::detail

#undef NDEBUG
#undef TOML_HEADER_ONLY
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::fp4lab::detail::refuse_toml())
#include <toml++/toml.h>

#include <charconv>
#include <string>
#include <string_view>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab {

/// `file:line:column: `, the beginning of a complaint about a node.
inline std::string toml_place(const std::string& file, const toml::source_region& region) {
  return file + ":" + std::to_string(region.begin.line) + ":" +
         std::to_string(region.begin.column) + ": ";
}

/// What stands in the place of something else, for complaints.
inline std::string toml_found(const toml::node& node) {
  if (const auto* v = node.as_string()) return "'" + printable(v->get(), 60) + "'";
  if (const auto* v = node.as_integer()) return std::to_string(v->get());
  if (const auto* v = node.as_floating_point()) {
    char text[40];
    return std::string(text, std::to_chars(text, text + sizeof text, v->get()).ptr);
  }
  if (const auto* v = node.as_boolean()) return v->get() ? "true" : "false";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

/// Parses TOML. Throws InputError with file, line and column. `what` says what would be right where
/// the text is not TOML at all.
inline toml::table parse_toml(std::string_view text, const std::string& file,
                              const std::string& what) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw InputError(toml_place(file, error.source()) + printable(error.description(), 160));
  } catch (const std::logic_error&) {
    throw InputError(file + ": not TOML; " + what);
  }
}

}  // namespace fp4lab
