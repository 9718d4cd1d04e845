// The oracle's own catalogue: every format as a list "code -> exact value", typed by hand from the
// documents that define the formats. Nothing is derived from the library under test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/oracle/rational.h"

namespace fp4lab_oracle {

/// What one code stands for.
struct CodeValue {
  enum class Meaning { kFinite, kInfinite, kNan, kUnused };
  Meaning meaning = Meaning::kUnused;
  bool negative = false;  // also tells -0 from +0
  Rational value = 0;     // 0 unless finite
};

/// One representable number and the code that a positive or exact result takes.
struct Level {
  Rational value;
  std::uint32_t code = 0;
};

/// What becomes of a negative input.
enum class Negatives {
  kKept,       // the format has negative values
  kToCode0,    // unsigned: code 0
  kMagnitude,  // unsigned: |x| is encoded (E8M0)
};

struct Format {
  std::string id;
  int bits = 0;
  Negatives negatives = Negatives::kKept;
  std::uint32_t nan_code = 0;  // what a NaN becomes under the policies `cuda` and `cuda-nosat`

  // Up to 8 bits: the code table and the sorted distinct values.
  std::vector<CodeValue> codes;
  std::vector<Level> levels;
  bool has_negative_zero = false;
  std::uint32_t negative_zero_code = 0;

  // Without saturation: does anything lie above the maximum, at which magnitude would the next
  // value sit, and which code (per sign) stands for it?
  bool can_overflow = false;
  Rational overflow_magnitude = 0;
  std::uint32_t overflow_code[2] = {0, 0};

  // Wider than 8 bits: an IEEE layout whose pattern is shifted left by `shift` in the code word.
  bool is_wide = false;
  IeeeLayout layout{};
  int shift = 0;
};

/// Every format, the 4-bit ones first.
const std::vector<Format>& formats();

/// The format of that id; throws std::out_of_range if there is none.
const Format& format(std::string_view id);

/// What `code` stands for, also for the wide formats.
CodeValue decode(const Format& format, std::uint32_t code);

/// A format given as 2^bits blank-separated tokens in code order: a decimal, a quotient "8/12",
/// "-0", "nan", "inf", "-inf" or "unused". Values are rounded to binary32 as stored tables are.
Format format_from_table(std::string id, int bits, std::string_view tokens);

}  // namespace fp4lab_oracle
