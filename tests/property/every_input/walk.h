// All 2^32 binary32 patterns through `encode`, with format and rounding as template arguments.
//
// The oracle says which stretch of patterns has which code; a walker runs through one stretch and
// ORs together the differences, so that the loop holds nothing but the conversion. With format and
// rounding known, the compiler turns detail::encode_direct into straight vector code.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "formats/fp4lab.h"

namespace fp4lab_property {

/// OR of (code of pattern) ^ `code` over the patterns first .. first + count - 1. Zero: all have
/// that code.
using Walker = std::uint32_t (*)(std::uint32_t first, std::uint32_t count, std::uint32_t code);

inline constexpr std::size_t kCatalogSize = fp4lab::catalog().size();
/// One entry a row of the catalogue; null where the row is not walked.
using WalkerTable = std::array<Walker, kCatalogSize>;

template <std::size_t Row, fp4lab::RoundingKind Kind>
inline std::uint32_t walk(std::uint32_t first, std::uint32_t count, std::uint32_t code) {
  constexpr fp4lab::ElementFormat kFormat = fp4lab::catalog()[Row].format;
  constexpr fp4lab::Rounding kRounding{Kind};
  std::uint32_t difference = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    difference |= fp4lab::encode(kFormat, fp4lab::bits_as<float>(first + i), kRounding) ^ code;
  }
  return difference;
}

/// The same loop for one instruction set each; everything it calls is compiled into it.
struct Baseline {
  template <std::size_t Row, fp4lab::RoundingKind Kind>
  __attribute__((flatten)) static std::uint32_t run(std::uint32_t first, std::uint32_t count,
                                                    std::uint32_t code) {
    return walk<Row, Kind>(first, count, code);
  }
};
#if defined(__x86_64__)
#if defined(__clang__)
#define FP4LAB_WALK_AVX512 "avx512f,avx512bw,avx512dq,avx512vl"
#else
#define FP4LAB_WALK_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"
#endif
struct Avx2 {
  template <std::size_t Row, fp4lab::RoundingKind Kind>
  __attribute__((flatten, target("avx2"))) static std::uint32_t run(std::uint32_t first,
                                                                    std::uint32_t count,
                                                                    std::uint32_t code) {
    return walk<Row, Kind>(first, count, code);
  }
};
struct Avx512 {
  template <std::size_t Row, fp4lab::RoundingKind Kind>
  __attribute__((flatten, target(FP4LAB_WALK_AVX512))) static std::uint32_t run(
      std::uint32_t first, std::uint32_t count, std::uint32_t code) {
    return walk<Row, Kind>(first, count, code);
  }
};
#endif

/// The formats whose `encode` the default run walks: one with -0 and one with NaN.
constexpr bool is_main(std::string_view id) { return id == "e2m1" || id == "p3109-k4p2sf"; }

template <class Set, bool MainOnly, fp4lab::RoundingKind Kind, std::size_t Row>
constexpr Walker walker() {
  constexpr const fp4lab::FormatInfo& kRow = fp4lab::catalog()[Row];
  if constexpr (kRow.format.bits <= 8 && fp4lab::detail::is_direct(kRow.format, {Kind}) &&
                (!MainOnly || is_main(kRow.id))) {
    return &Set::template run<Row, Kind>;
  } else {
    return nullptr;
  }
}

template <class Set, bool MainOnly, fp4lab::RoundingKind Kind>
constexpr WalkerTable make_walkers() {
  return []<std::size_t... Row>(std::index_sequence<Row...>) {
    return WalkerTable{walker<Set, MainOnly, Kind, Row>()...};
  }
  (std::make_index_sequence<kCatalogSize>{});
}

/// The walkers of one rounding for this machine; each specialisation is a translation unit of its
/// own.
template <fp4lab::RoundingKind Kind>
const WalkerTable& walkers();

}  // namespace fp4lab_property
