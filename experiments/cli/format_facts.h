// What can be said about a format: codes, range, thresholds. Derived from the encoder and decoder
// alone, so that it is true for every format, the user's included.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/element_format.h"
#include "formats/rounding.h"

namespace fp4lab::cli {

struct FormatFacts {
  std::uint64_t codes = 0;          ///< codes in use
  std::uint64_t finite_values = 0;  ///< distinct finite values; -0 and 0 are one
  double max = 0;
  double min = 0;  ///< most negative finite value, or smallest if unsigned
  double smallest_positive = 0;
  std::optional<double> min_subnormal;  ///< none without subnormals
  std::optional<double> min_normal;     ///< none for integers and codebooks
  /// Smallest power of two that makes every value an integer of at most 16 bits.
  std::optional<int> integer_factor;
};

/// Facts of any format up to 16 significant bits; for wider ones only what the record says.
FormatFacts facts_of(const ElementFormat& format);

/// `1/2/1` (sign, exponent, mantissa bits), `two's complement` or `table`.
std::string layout_text(const ElementFormat& format);

/// `NaN`, `Inf NaN` or `-`.
std::string specials_text(const ElementFormat& format);

/// The code's fields, e.g. `1 01 1`.
std::string bit_text(const ElementFormat& format, std::uint32_t code);

/// Rounding boundary between two neighbouring values: numbers above `at` become `high`, below it
/// `low`; `at` itself goes to `high` when `at_goes_up`.
struct Threshold {
  double low = 0, high = 0, at = 0;
  bool at_goes_up = false;
};

/// The boundaries of a deterministic mode, ascending, found by bisection over all binary64 numbers
/// between neighbours. For formats of at most 8 bits.
std::vector<Threshold> thresholds_of(const ElementFormat& format, const Rounding& rounding);

/// The distinct finite values, ascending, of a format of at most 16 bits. Codes that the encoder
/// never produces (int4's -8) are left out.
std::vector<double> values_of(const ElementFormat& format);

/// Codes in use: the table's length for a codebook, 2^bits otherwise.
std::uint64_t codes_in_use(const ElementFormat& format);

}  // namespace fp4lab::cli
