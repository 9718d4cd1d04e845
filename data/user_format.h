// Number formats that a user defines in TOML, without recompiling.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fp4lab {

/// Which codes of a user's float format are not numbers, by the words of the file.
enum class UserSpecials {
  kNone,    ///< "none": every code is a finite number
  kNanTop,  ///< "nan-top": the largest magnitude is NaN
  kIeee,    ///< "ieee": the top exponent holds infinities and NaN
  kFnuz     ///< "fnuz": the code of -0 is NaN
};

/// One `[[format]]` table, checked for itself (names against the catalogue are checked where it is
/// registered).
struct UserFormatSpec {
  enum class Kind { kValues, kFloat };

  std::string name;                  ///< id: lower case, `_` turned into `-`
  std::vector<std::string> aliases;  ///< same spelling rules
  std::string title;                 ///< one line for tables; may be empty
  std::string source;                ///< where the definition comes from; may be empty
  std::string place;                 ///< `file:line:column` of the table

  Kind kind = Kind::kFloat;

  /// kValues: 2 to 16 values, values[code]; each one is a binary32 number after one rounding to
  /// nearest even. With `codes` in the file the list is already put into code order.
  std::vector<float> values;

  /// kFloat: value = radix^(E - bias) * (1 + M / 2^mantissa_bits), at most 16 bits altogether.
  int exponent_bits = 0;
  int mantissa_bits = 0;
  int bias = 0;  ///< without the key: 2^(exponent_bits - 1) - 1, or 0 without exponent bits
  bool is_signed = true;
  UserSpecials specials = UserSpecials::kNone;
  bool subnormals = true;  ///< false: code 0 is zero and all other codes are normal numbers
  int radix = 2;           ///< 2, or 4 (then mantissa_bits = 0)
};

/// Reads all `[[format]]` tables of a file. Throws InputError as `file:line:column: what`, with the
/// nearest key or word for a mistyped one.
std::vector<UserFormatSpec> read_user_formats(const std::string& path);

/// The same from text; `name` stands for the file in error lines.
std::vector<UserFormatSpec> parse_user_formats(std::string_view text, const std::string& name);

}  // namespace fp4lab
