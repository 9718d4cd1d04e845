// Inside the block model: one block and what a scheme makes of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/oracle/blocks.h"

namespace fp4lab_oracle {

/// The elements that share a scale, in row-major order.
struct Block {
  std::size_t rows = 0, cols = 0;
  std::vector<F32> x;
  std::vector<std::uint64_t> index;  // of each element in the stored tensor
};

struct BlockResult {
  std::vector<std::uint32_t> codes;
  std::vector<bool> open;  // codes that the contract leaves free; empty = none
  std::uint32_t scale = 0;
  std::vector<F32> values;
};

/// The global factor of one scope.
struct Global {
  F32 amax = 0;
  F32 encode = kOne32;
  F32 decode = kOne32;  // g
};

/// RN32 of an exact constant.
F32 constant(const Rational& r);

/// Code of v in f under a deterministic mode; binary search among the exact breakpoints.
std::uint32_t nearest(const Format& f, F32 v, Mode mode, Policy policy = Policy::kCuda);
/// The number that a code stands for (Inf and NaN included).
F32 value_of(const Format& f, std::uint32_t code);
/// Code of v under the spec's rounding.
std::uint32_t cast(const ElementRounding& r, const Format& f, F32 v, std::uint64_t index,
                   const RandomBits& random);

/// max |x| over the patterns, so that NaN beats Inf beats numbers.
F32 largest_magnitude(const std::vector<F32>& x, bool ignore_nan = false);

/// A block that holds a NaN or an infinity: NaN scale, elements cast unscaled.
BlockResult poisoned(const BlockSpec& s, const Block& b, const Format& f, const RandomBits& random);

BlockResult plain_block(const BlockSpec& s, const Block& b, F32 g, const RandomBits& random);
BlockResult hif4_block(const BlockSpec& s, const Block& b, const RandomBits& random);

Global global_factor(const BlockSpec& s, F32 amax);
BlockResult two_level_block(const BlockSpec& s, const Block& b, const Global& g,
                            const RandomBits& random);

}  // namespace fp4lab_oracle
