// block-exact on small integers, for whole matrices: y = fma(RN32(d * unit), fl(sA sB), y) for each
// segment of k, d the exact integer dot of the segment; then Y = fl(fl(gA gB) y). Vector and scalar
// forms give the same bits, because d is exact in any order and each remaining operation is one
// IEEE operation an output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/integer_panels.h"
#include "sim/matmul.h"

namespace fp4lab::detail {

/// True when the integers' weight 2^unit keeps RN32(d) 2^unit exact and every d below 2^31.
bool block_exact_fits(const std::vector<std::size_t>& ends, int unit);

/// `ends` are the ends of the segments, the last one is k. Needs block_exact_fits().
void block_exact_product(const IntegerFactor& a, const IntegerFactor& b,
                         const std::vector<std::size_t>& ends, int unit, const MutableMatrixView& y,
                         DotKind kind = DotKind::automatic);

/// A tile of Y for a range of segments.
struct BlockExactTile {
  const std::int8_t* a = nullptr;       ///< packed quads of A
  const std::int32_t* start = nullptr;  ///< [blocks, segments, 12]: correction of the offset of B
  const float* scale_a = nullptr;       ///< [blocks, segments, 12]
  const std::uint8_t* b = nullptr;      ///< packed quads of B
  const float* scale_b = nullptr;       ///< [panels, segments, 32]
  const float *global_a = nullptr, *global_b = nullptr;  ///< one a row and a column, or null
  std::size_t quads = 0, segments = 0;                   ///< of the whole product
  const std::uint32_t* quad_ends = nullptr;              ///< one a segment
  std::size_t from = 0, to = 0;                          ///< segments of this range
  std::size_t rows = 0, cols = 0;
  float* y = nullptr;
  std::size_t row_stride = 0;
  float unit = 1.0f;           ///< weight of the integers that no scale has taken up
  std::size_t pair_quads = 0;  ///< quads whose sums of pairs fit 16 bits
  DotKind kind = DotKind::automatic;
};

/// Kernels on the best instruction set of the machine. False, with nothing done, where that has no
/// fused multiply-add of one rounding.
bool block_exact_tile(const BlockExactTile& tile);

}  // namespace fp4lab::detail
