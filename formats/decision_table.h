// Decision tables: the distinct values of a narrow format in ascending order, and for a
// deterministic rounding the exact binary32 thresholds at which the result changes. They are
// derived from `encode`, shown by `fp4lab formats` and usable as a branch-free encoder.
#pragma once

#include <cstdint>

#include "formats/convert.h"
#include "formats/element_format.h"
#include "formats/rounding.h"

namespace fp4lab {

/// Values of a format of at most 8 bits: `count` distinct finite values in ascending order; the code
/// of zero is that of +0.
struct ValueTable {
  int count = 0;
  double value[256] = {};
  std::uint8_t code[256] = {};
};

/// Builds the value table. Codes the encoder never produces (int4's -8) are left out.
FP4LAB_HD constexpr ValueTable make_value_table(const ElementFormat& f) noexcept {
  ValueTable t;
  const std::uint32_t n =
      f.kind == FormatKind::codebook ? f.count : static_cast<std::uint32_t>(f.code_count());
  for (std::uint32_t c = 0; c < n && c < 256; ++c) {
    if (classify(f, c) != ValueClass::finite) continue;
    const double v = decode_f64(f, c);
    if (v < min_value(f) || v > max_value(f)) continue;
    int at = t.count;
    bool duplicate = false;
    for (int i = 0; i < t.count && !duplicate; ++i) duplicate = t.value[i] == v;
    if (duplicate) continue;  // -0, or a codebook's repeated entry: the first code stands
    while (at > 0 && t.value[at - 1] > v) {
      t.value[at] = t.value[at - 1];
      t.code[at] = t.code[at - 1];
      --at;
    }
    t.value[at] = v;
    t.code[at] = static_cast<std::uint8_t>(c);
    ++t.count;
  }
  return t;
}

namespace detail {
/// Binary32 values in order as integers: negative ones below, -0 just below +0.
FP4LAB_HD constexpr std::int64_t ordered(float x) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(x);
  return (b >> 31) != 0 ? -static_cast<std::int64_t>(b & 0x7FFFFFFFu) - 1
                        : static_cast<std::int64_t>(b);
}
FP4LAB_HD constexpr float from_ordered(std::int64_t i) noexcept {
  return i < 0 ? bits_as<float>(0x80000000u | static_cast<std::uint32_t>(-i - 1))
               : bits_as<float>(static_cast<std::uint32_t>(i));
}
}  // namespace detail

/// Smallest binary32 number that rounds to the table's value i (i >= 1) under a deterministic `r`;
/// found by bisection between the two values.
FP4LAB_HD constexpr float threshold(const ElementFormat& f, const ValueTable& t, int i, Rounding r,
                                    Policy policy = Policy::cuda) noexcept {
  std::int64_t lo = detail::ordered(static_cast<float>(t.value[i - 1]));
  std::int64_t hi = detail::ordered(static_cast<float>(t.value[i]));
  if (t.value[i] == 0.0) hi = detail::ordered(0.0f);
  while (hi - lo > 1) {
    const std::int64_t mid = lo + (hi - lo) / 2;
    if (decode_f64(f, encode(f, detail::from_ordered(mid), r, policy)) >= t.value[i]) {
      hi = mid;
    } else {
      lo = mid;
    }
  }
  return detail::from_ordered(hi);
}

/// Thresholds of a format under one rounding: `threshold[i]` is the smallest binary32 number whose
/// result is `values.value[i]` (-Inf for i = 0).
struct DecisionTable {
  ValueTable values;
  float threshold[256] = {};
  /// Index of the value that finite `x` rounds to: the number of thresholds not above it.
  FP4LAB_HD constexpr int index_of(float x) const noexcept {
    int n = 0;
    for (int i = 1; i < values.count; ++i) {
      if (detail::ordered(x) >= detail::ordered(threshold[i])) n = i;
    }
    return n;
  }
};
FP4LAB_HD constexpr DecisionTable make_decision_table(const ElementFormat& f, Rounding r,
                                                      Policy policy = Policy::cuda) noexcept {
  DecisionTable d;
  d.values = make_value_table(f);
  d.threshold[0] = -kFloatInf;
  for (int i = 1; i < d.values.count; ++i) {
    d.threshold[i] = threshold(f, d.values, i, r, policy);
  }
  return d;
}

}  // namespace fp4lab
