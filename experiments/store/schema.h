// Schema 1 of result files: the one table of groups, scales and data sets. Files are written
// through it, SCHEMA.md is printed from it, tests walk it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fp4lab::store {

/// Number in the attribute `fp4lab_schema`.
inline constexpr std::int32_t kSchemaVersion = 1;

/// Types that result files hold. Missing values are NaN (floats) and -1 (integers).
enum class Type : std::uint8_t { f64, f32, i64, i32, i8, u8, text };
/// "f64", ..., "text".
const char* type_name(Type type) noexcept;
/// Bytes of one element; 0 for text.
std::size_t type_size(Type type) noexcept;

/// One scale or data set of the schema.
struct Row {
  const char* path;  ///< "/layers/sqnr_db"; a last part `*` stands for any name
  Type type;
  const char* axes;   ///< scales of its group, "step layer slot"; empty for a scale itself
  const char* units;  ///< "1" for pure numbers
  const char* long_name;
  bool is_scale = false;
  bool is_volatile = false;  ///< differs between machines; outside of the content hash
};

/// All rows, grouped as they are in a file.
std::span<const Row> schema();

/// The row for a path, or null.
const Row* find_row(std::string_view path);

/// A root attribute and what it says.
struct RootAttribute {
  const char* name;
  const char* meaning;
  bool is_volatile = false;
};
std::span<const RootAttribute> root_attributes();
/// True for attributes that are no part of a run's identity and content.
bool is_volatile_attribute(std::string_view name);

/// experiments/SCHEMA.md.
std::string schema_markdown();

}  // namespace fp4lab::store
