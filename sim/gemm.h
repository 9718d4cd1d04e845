// Matrix products with a choice of accumulator: Y = A B^T, [M, K] x [N, K] -> [M, N].
//
// For every accumulator the global factors stay out of the sum: Y = fl(fl(gA gB) y), then
// Y = fl(Y + C). Models that start at C do so when no operand has a global factor; `exact` rounds
// all of it once. Results do not depend on the number of threads: one output element is one
// computation, and threads share out elements.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/element_format.h"
#include "formats/philox.h"
#include "sim/accumulate.h"
#include "sim/gemm_operand.h"

namespace fp4lab {

/// What a product takes besides operands and accumulator.
struct GemmOptions {
  /// C, row-major [M, N], or empty. A model with a 16-bit accumulator rounds it to that, nearest
  /// even, before it starts from it.
  std::span<const float> c{};
  /// acc-sr: seed, step, `stream` = 8 * layer + first slot, and microbatch. The words themselves
  /// follow decisions.md 3: draw from k, stream = row * N + column, purpose 7.
  RandomStream random{};
};

/// D with its exact bits, in the accumulator's type; binary32 once a global factor has been
/// multiplied in or C added behind the sum.
struct GemmResult {
  std::size_t rows = 0, cols = 0;
  ElementFormat type{};
  std::string type_name;            ///< "fp32", "fp16", or the format of acc: and chunk:
  std::vector<std::uint32_t> bits;  ///< codes of `type`
  std::string instruction;          ///< preset that a chip name or plan came down to, else empty
  Evidence evidence = Evidence::unverified;  ///< of that preset or plan
  /// The numbers as binary32 (exact for every accumulator type).
  std::vector<float> values() const;
};

/// Multiplies. Throws std::invalid_argument when shapes do not match or the accumulator cannot take
/// these operands (an instruction that does not read the format, block scales that it lacks); the
/// message says what was asked, what was found and what would do.
GemmResult gemm(const GemmOperand& a, const GemmOperand& b, const Accumulator& accumulator,
                const GemmOptions& options = {});

/// The number of different preset ids that accept these operands, for "under every preset" tables:
/// all presets whose instruction reads both formats and scales.
std::vector<const MmaPreset*> matching_presets(const GemmOperand& a, const GemmOperand& b);

}  // namespace fp4lab
