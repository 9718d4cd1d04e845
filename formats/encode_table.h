// EncodeTable: `encode` of one narrow format under one deterministic rounding, as a table.
//
// Over the binary32 patterns of one sign, `encode` is a staircase: its result changes only on the
// way from one value of the format to the next, once. The table cuts the patterns into cells by
// sign, exponent and the leading mantissa bits, fine enough that a cell holds at most one such
// step, and keeps for each cell where the step is and the code on either side. An element then
// costs a shift, a load and a comparison, whatever the format and the rounding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "formats/convert.h"

namespace fp4lab {

/// Codes of binary32 numbers in a format of at most 8 bits under a deterministic rounding and
/// policy `cuda`; the same as `encode` for every input. Host only.
class EncodeTable {
 public:
  /// The finest cell keeps this many mantissa bits: then the table has 2^16 cells.
  static constexpr int kMostMantissaBits = 7;

  /// The table of `f` under `r`. Nothing for formats of more than 8 bits, stochastic roundings, and
  /// codebooks with entries closer together than cells can be told apart.
  static std::optional<EncodeTable> make(const ElementFormat& f, Rounding r) {
    if (f.bits > 8 || f.storage_shift != 0 || r.is_stochastic()) return std::nullopt;
    std::vector<Step> steps;
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      if (!append_steps(f, r, sign, steps)) return std::nullopt;
    }
    for (int bits = 0; bits <= kMostMantissaBits; ++bits) {
      EncodeTable table(23 - bits);
      if (table.fill(steps)) return table;
    }
    return std::nullopt;
  }

  /// Code of `x`.
  std::uint8_t encode(float x) const noexcept {
    return lookup(cells_.data(), shift_, bits_as<std::uint32_t>(x));
  }
  /// Codes of n numbers.
  void encode(const float* x, std::size_t n, std::uint8_t* codes) const noexcept {
    const std::uint64_t* const cells = cells_.data();
    const int shift = shift_;
    for (std::size_t i = 0; i < n; ++i) {
      codes[i] = lookup(cells, shift, bits_as<std::uint32_t>(x[i]));
    }
  }

  /// For loops of one's own: lookup(cells(), shift(), bits of x) is encode(x).
  const std::uint64_t* cells() const noexcept { return cells_.data(); }
  int shift() const noexcept { return shift_; }
  static std::uint8_t lookup(const std::uint64_t* cells, int shift, std::uint32_t bits) noexcept {
    const std::uint64_t cell = cells[bits >> shift];
    const bool reached = (bits & ((1u << shift) - 1u)) >= static_cast<std::uint32_t>(cell);
    return static_cast<std::uint8_t>(cell >> (reached ? 40 : 32));
  }

 private:
  /// From the pattern `first` on (up to the next step) the code is `code`.
  struct Step {
    std::uint32_t first;
    std::uint8_t code;
  };
  /// A cell without a step: no pattern reaches it.
  static constexpr std::uint32_t kNever = 0xFFFFFFFFu;

  explicit EncodeTable(int shift) : shift_(shift), cells_(std::size_t{1} << (32 - shift)) {}

  /// The steps among the patterns of one sign: bisection between neighbouring magnitudes of the
  /// format. False where a stretch between two of them turns out to hold more than one step.
  static bool append_steps(const ElementFormat& f, Rounding r, std::uint32_t sign,
                           std::vector<Step>& steps) {
    constexpr std::uint32_t kInf = 0x7F800000u;
    const auto code = [&](std::uint32_t magnitude) {
      return static_cast<std::uint8_t>(fp4lab::encode(f, bits_as<float>(sign | magnitude), r));
    };
    std::vector<std::uint32_t> pins = {0u, kInf, kInf + 1};
    const std::uint32_t codes =
        f.kind == FormatKind::codebook ? f.count : static_cast<std::uint32_t>(f.code_count());
    for (std::uint32_t c = 0; c < codes; ++c) {
      if (classify(f, c) != ValueClass::finite) continue;
      pins.push_back(bits_as<std::uint32_t>(decode(f, c)) & 0x7FFFFFFFu);
    }
    std::sort(pins.begin(), pins.end());
    pins.erase(std::unique(pins.begin(), pins.end()), pins.end());
    steps.push_back({sign, code(0)});
    for (std::size_t i = 1; i < pins.size(); ++i) {
      std::uint32_t lo = pins[i - 1], hi = pins[i];
      const std::uint8_t below = code(lo), above = code(hi);
      if (below == above) continue;
      while (hi - lo > 1) {
        const std::uint32_t mid = lo + (hi - lo) / 2;
        const std::uint8_t at = code(mid);
        if (at != below && at != above) return false;
        (at == below ? lo : hi) = mid;
      }
      steps.push_back({sign | hi, above});
    }
    return true;
  }

  /// Fills the cells; false where one would hold two steps.
  bool fill(const std::vector<Step>& steps) {
    std::size_t next = 0;
    std::uint8_t code = 0;
    for (std::size_t c = 0; c < cells_.size(); ++c) {
      const std::uint32_t first = static_cast<std::uint32_t>(c << shift_);
      if (next < steps.size() && steps[next].first == first) code = steps[next++].code;
      const std::uint8_t below = code;
      std::uint32_t step = kNever;
      if (next < steps.size() && steps[next].first >> shift_ == c) {
        step = steps[next].first - first;
        code = steps[next++].code;
        if (next < steps.size() && steps[next].first >> shift_ == c) return false;
      }
      cells_[c] =
          static_cast<std::uint64_t>(code) << 40 | static_cast<std::uint64_t>(below) << 32 | step;
    }
    return true;
  }

  int shift_ = 23;
  std::vector<std::uint64_t> cells_;  ///< step, code below it, code from it on: 32, 8, 8 bits
};

}  // namespace fp4lab
