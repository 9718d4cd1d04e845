// Which rule of the project each column of scalar_convert is compared with.
#pragma once

#include <optional>
#include <string>

#include "formats/policy.h"
#include "formats/rounding.h"

namespace fp4lab::golden {

struct ScalarRule {
  std::string format;  // id of the element format
  Rounding rounding = kRne;
  Policy policy = Policy::cuda;
  bool through_f32 = false;  // a binary64 source is first rounded to binary32
  std::string name() const;  // "e2m1 rne cuda", for messages
};

// Id of the format a scalar_convert file or column calls `name` (e4m3fn, f16, ...).
std::string format_id(const std::string& name);

// Rule of a column of codes. `file_format` is the format named by the file, empty for the files
// of all 16-bit inputs, whose columns name it; `f64` tells a binary64 source. Empty for columns
// that hold values, not codes.
std::optional<ScalarRule> scalar_rule(const std::string& column, const std::string& file_format,
                                      bool f64);

}  // namespace fp4lab::golden
