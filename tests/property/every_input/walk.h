// All 2^32 binary32 patterns through `encode`, with format and rounding as template arguments.
//
// The oracle says which stretch of patterns has which code; a walker runs through one stretch and
// ORs together the differences, so that the loop holds nothing but the conversion. Format and
// rounding known at compile time make it several times faster than the run-time call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "formats/fp4lab.h"

namespace fp4lab_property {

/// OR of (code of pattern) ^ `code` over the patterns first .. first + count - 1, all of one sign
/// and exponent field. Zero: all have that code.
using Walker = std::uint32_t (*)(std::uint32_t first, std::uint32_t count, std::uint32_t code);

inline constexpr std::size_t kCatalogSize = fp4lab::catalog().size();
/// One entry a row of the catalogue; null where the row is not walked.
using WalkerTable = std::array<Walker, kCatalogSize>;

template <std::size_t Row, fp4lab::RoundingKind Kind>
std::uint32_t walk(std::uint32_t first, std::uint32_t count, std::uint32_t code) {
  constexpr fp4lab::ElementFormat kFormat = fp4lab::catalog()[Row].format;
  constexpr fp4lab::Rounding kRounding{Kind};
  const std::uint32_t sign_and_exponent = first & 0xFF800000u;
  const std::uint32_t field = (first >> 23) & 0xFFu;
  std::uint32_t difference = 0;
  if (field == 0 || field == 0xFF) {
    for (std::uint32_t i = 0; i < count; ++i) {
      difference |= fp4lab::encode(kFormat, fp4lab::bits_as<float>(first + i), kRounding) ^ code;
    }
    return difference;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    // Written so that the compiler sees what the caller promises: a normal number. It then drops
    // the branches for zeros, subnormals, infinities and NaNs from this loop.
    const std::uint32_t bits = sign_and_exponent | ((first + i) & 0x007FFFFFu);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude < 0x00800000u || magnitude >= 0x7F800000u) __builtin_unreachable();
    difference |= fp4lab::encode(kFormat, fp4lab::bits_as<float>(bits), kRounding) ^ code;
  }
  return difference;
}

/// The formats whose `encode` the default run walks: one with -0 and one with NaN. The others of up
/// to 4 bits go through the vector engine there (engine_test.cpp), and through `encode` at every
/// breakpoint.
constexpr bool is_main(std::string_view id) { return id == "e2m1" || id == "p3109-k4p2sf"; }

template <bool MainOnly, fp4lab::RoundingKind Kind, std::size_t Row>
constexpr Walker walker() {
  constexpr const fp4lab::FormatInfo& kRow = fp4lab::catalog()[Row];
  if constexpr (kRow.format.bits <= 8 && (!MainOnly || is_main(kRow.id))) {
    return &walk<Row, Kind>;
  } else {
    return nullptr;
  }
}

template <bool MainOnly, fp4lab::RoundingKind Kind>
constexpr WalkerTable make_walkers() {
  return []<std::size_t... Row>(std::index_sequence<Row...>) {
    return WalkerTable{walker<MainOnly, Kind, Row>()...};
  }
  (std::make_index_sequence<kCatalogSize>{});
}

/// The walkers of one rounding; each specialisation is a translation unit of its own.
template <fp4lab::RoundingKind Kind>
const WalkerTable& walkers();

}  // namespace fp4lab_property
