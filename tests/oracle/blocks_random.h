// The model's random bits: Philox4x32-10 and the slots that elements own (written from the
// definition, not shared with the library).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace fp4lab_oracle {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

/// Where an element's word comes from: a counter stream, or one word an element handed in.
struct RandomBits {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  std::uint32_t step = 0;
  std::uint32_t purpose = 0;
  std::uint32_t microbatch = 0;
  std::uint32_t repeat = 0;
  std::vector<std::uint32_t> given;

  /// The w-bit slot (w = 8, 16, 32) of element i.
  std::uint32_t slot(std::uint64_t i, int w) const;
  /// The low n_bits of element i's slot, or of the word handed in.
  std::uint32_t word(std::uint64_t i, int n_bits) const;
};

}  // namespace fp4lab_oracle
