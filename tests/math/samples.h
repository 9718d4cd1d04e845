// Arguments for the quick tests: reproducible, and dense where the functions have their bends.
#pragma once

#include <bit>
#include <cstdint>
#include <ostream>
#include <vector>

#include "tests/math/functions.h"

namespace fp4lab_test {

/// n arguments from a fixed seed: a third uniform over all bit patterns, a third with magnitudes
/// 2^-24 .. 2^8, a third in [-16, 16].
inline std::vector<float> sample(Function f, std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t word = mix(static_cast<std::uint64_t>(f) << 40 | i);
    const auto low = static_cast<std::uint32_t>(word);
    switch (i % 3) {
      case 0:
        x[i] = std::bit_cast<float>(low);
        break;
      case 1: {
        const std::uint32_t exponent = 127 - 24 + static_cast<std::uint32_t>((word >> 32) % 32);
        x[i] = std::bit_cast<float>((low & 0x807FFFFFu) | exponent << 23);
        break;
      }
      default:
        x[i] = static_cast<float>(static_cast<std::int32_t>(low)) * 0x1p-27f;
    }
  }
  return x;
}

inline std::vector<Function> all_functions() {
  std::vector<Function> all;
  for (int i = 0; i < kFunctionCount; ++i) all.push_back(static_cast<Function>(i));
  return all;
}
inline std::string name_of(Function f) {
  return std::string(kFunctionNames[static_cast<std::size_t>(f)]);
}

/// GoogleTest shows parameters with this.
inline void PrintTo(Function f, std::ostream* out) { *out << name_of(f); }

}  // namespace fp4lab_test
