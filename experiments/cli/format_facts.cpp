#include "experiments/cli/format_facts.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "formats/convert.h"

namespace fp4lab::cli {
namespace {

/// Integers in the order of the numbers, so that halving them bisects the number line.
std::int64_t ordered(double x) {
  const auto bits = std::bit_cast<std::int64_t>(x);
  return bits >= 0 ? bits : std::int64_t{-0x7fffffffffffffff} - 1 - bits;
}

double from_ordered(std::int64_t n) {
  return std::bit_cast<double>(n >= 0 ? n : std::int64_t{-0x7fffffffffffffff} - 1 - n);
}

/// Bits of the significand in use: the fewer, the simpler the number.
int significant_bits(double x) {
  if (x == 0.0) return 0;
  const std::uint64_t fraction = std::bit_cast<std::uint64_t>(x) & ((1ull << 52) - 1);
  return fraction == 0 ? 1 : 53 - std::countr_zero(fraction);
}

/// Magnitude code of the smallest normal number.
std::uint64_t first_normal_code(const ElementFormat& format) {
  switch (format.low_end) {
    case LowEnd::gradual:
      return std::uint64_t{1} << format.mantissa_bits;
    case LowEnd::zero_only:
      return 1;
    case LowEnd::no_zero:
      break;
  }
  return 0;
}

std::optional<int> integer_factor_of(const std::vector<double>& values) {
  for (int shift = 0; shift <= 15; ++shift) {
    const double factor = static_cast<double>(1 << shift);
    const bool whole = std::all_of(values.begin(), values.end(), [&](double v) {
      return v * factor == std::trunc(v * factor) && std::fabs(v * factor) <= 32767;
    });
    if (whole) return 1 << shift;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t codes_in_use(const ElementFormat& format) {
  return format.kind == FormatKind::codebook ? format.count : format.code_count();
}

std::vector<double> values_of(const ElementFormat& format) {
  std::vector<double> values;
  for (std::uint64_t code = 0; code < codes_in_use(format); ++code) {
    const auto stored = static_cast<std::uint32_t>(code << format.storage_shift);
    if (classify(format, stored) != ValueClass::finite) continue;
    const double value = decode_f64(format, stored);
    if (value < min_value(format) || value > max_value(format)) continue;
    values.push_back(value == 0.0 ? 0.0 : value);
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

FormatFacts facts_of(const ElementFormat& format) {
  FormatFacts facts;
  facts.codes = codes_in_use(format);
  facts.max = max_value(format);
  facts.min = min_value(format);
  if (format.kind == FormatKind::minifloat && format.exponent_bits > 0) {
    facts.min_normal = minifloat_magnitude(format, first_normal_code(format));
    if (format.low_end == LowEnd::gradual && format.mantissa_bits > 0) {
      facts.min_subnormal = minifloat_magnitude(format, 1);
    }
  }
  if (format.bits > 16) {
    facts.smallest_positive = minifloat_magnitude(format, 1);
    return facts;
  }
  const std::vector<double> values = values_of(format);
  facts.finite_values = values.size();
  const auto positive = std::upper_bound(values.begin(), values.end(), 0.0);
  if (positive != values.end()) facts.smallest_positive = *positive;
  facts.integer_factor = integer_factor_of(values);
  return facts;
}

std::string layout_text(const ElementFormat& format) {
  if (format.kind == FormatKind::codebook) return "table";
  if (format.kind == FormatKind::integer) return "two's compl.";
  std::string out = std::to_string(format.is_signed ? 1 : 0) + "/" +
                    std::to_string(format.exponent_bits) + "/" +
                    std::to_string(format.mantissa_bits);
  if (format.radix_log2 == 2) out += " radix 4";
  return out;
}

std::string specials_text(const ElementFormat& format) {
  if (format.kind != FormatKind::minifloat || !format.has_nan()) return "-";
  return format.has_inf() ? "Inf NaN" : "NaN";
}

std::string bit_text(const ElementFormat& format, std::uint32_t code) {
  std::string out;
  for (int bit = format.bits - 1; bit >= 0; --bit) {
    out += ((code >> bit) & 1) != 0 ? '1' : '0';
    if (format.kind != FormatKind::minifloat || bit == 0) continue;
    const bool after_sign = format.is_signed && bit == format.bits - 1;
    const bool after_exponent = bit == format.mantissa_bits && format.exponent_bits > 0;
    if (after_sign || after_exponent) out += ' ';
  }
  return out;
}

std::vector<Threshold> thresholds_of(const ElementFormat& format, const Rounding& rounding) {
  std::vector<Threshold> out;
  const std::vector<double> values = values_of(format);
  for (std::size_t i = 0; i + 1 < values.size(); ++i) {
    const double low = values[i], high = values[i + 1];
    const auto is_high = [&](double x) {
      return decode_f64(format, encode(format, x, rounding)) >= high;
    };
    // Both ends round to themselves, so the boundary lies between; `below` stays on the low side.
    std::int64_t below = ordered(low), above = ordered(high);
    while (above - below > 1) {
      const std::int64_t middle = below + (above - below) / 2;
      (is_high(from_ordered(middle)) ? above : below) = middle;
    }
    Threshold t{low, high, 0.0, false};
    const double last_low = from_ordered(below), first_high = from_ordered(above);
    t.at_goes_up = significant_bits(first_high) < significant_bits(last_low);
    t.at = t.at_goes_up ? first_high : last_low;
    out.push_back(t);
  }
  return out;
}

}  // namespace fp4lab::cli
