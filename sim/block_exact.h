// block-exact on small integers, for whole matrices: y = fma(RN32(d * unit), fl(sA sB), y) for each
// segment of k, d the exact integer dot of the segment; then Y = fl(fl(gA gB) y). Vector and scalar
// forms give the same bits, because d is exact in any order and each remaining operation is one
// IEEE operation an output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/gemm_operand.h"
#include "sim/matmul.h"
#include "sim/tiling.h"

namespace fp4lab::detail {

/// One factor [rows, k]: bytes that stand for integers of magnitude at most `largest` <= 127, or
/// are such integers.
struct IntegerFactor {
  std::size_t rows = 0, k = 0;
  const std::uint8_t* bytes = nullptr;  ///< row-major, rows `stride` bytes apart
  std::size_t stride = 0;
  const std::int8_t* table = nullptr;  ///< 256 integers, indexed by byte; null: bytes are they
  bool nibbles = false;                ///< bytes are below 16
  int largest = 0;
  ScaleGrid scales;
  std::span<const float> global;  ///< empty, one for all rows, or one a row
};

/// How kernels form integer dots: all exact, told apart by tests only.
enum class DotKind : std::uint8_t {
  automatic,  ///< the best of the machine
  quads,      ///< vpdpbusd: four products of bytes a step (VNNI); where it is missing, `pairs`
  pairs,      ///< sums of two in 16 bits, where they fit; else `wide`
  wide,       ///< bytes widened to 16 bits
};

/// True when the integers' weight 2^unit keeps RN32(d) 2^unit exact and every d below 2^31.
bool block_exact_fits(const std::vector<std::size_t>& ends, int unit);

/// `ends` are the ends of the segments, the last one is k. Needs block_exact_fits().
void block_exact_product(const IntegerFactor& a, const IntegerFactor& b,
                         const std::vector<std::size_t>& ends, int unit, const MutableMatrixView& y,
                         DotKind kind = DotKind::automatic);

/// A tile of Y for a range of segments. Four consecutive k of a row lie together (a quad; what a
/// segment does not fill is zeros in A).
struct BlockExactTile {
  const std::int8_t* a = nullptr;       ///< [blocks, quads, 12, 4]
  const std::int32_t* start = nullptr;  ///< [blocks, segments, 12]: minus offset times sum of A
  const float* scale_a = nullptr;       ///< [blocks, segments, 12]
  const std::uint8_t* b = nullptr;      ///< [panels, quads, 32, 4]: integers plus an offset
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
/// to[i] = table[bytes[i]], all bytes below 16.
void look_up_nibbles(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table,
                     std::int8_t* to);
/// to[c * to_stride + r] = from[r * stride + c].
void transpose_bytes(const std::uint8_t* from, std::size_t rows, std::size_t cols,
                     std::size_t stride, std::uint8_t* to, std::size_t to_stride);

}  // namespace fp4lab::detail
