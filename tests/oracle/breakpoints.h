// Where the code changes: the 2^32 binary32 patterns cut into intervals of one code each.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/oracle/rounding.h"

namespace fp4lab_oracle {

/// All binary32 patterns first..last (both included) have this code.
struct Interval {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::uint32_t code = 0;
};

/// The intervals in ascending order of the patterns; together they cover all 2^32 of them, and
/// neighbours have different codes. For formats of up to 8 bits.
std::vector<Interval> intervals(const Format& format, Mode mode, Policy policy = Policy::kCuda);

/// The patterns (both signs) around which a code can change under any mode: every value, midpoint
/// and three-quarter point with up to `reach` patterns on either side, the zeros, the largest
/// finite numbers, infinities and NaNs. Sorted, without repetition.
std::vector<std::uint32_t> critical_patterns(const Format& format, int reach);

}  // namespace fp4lab_oracle
