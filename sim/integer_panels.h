// Matrices of small integers, packed for byte dot products.
//
// Four consecutive k of a row lie together in a quad; what the end of a segment leaves of a quad is
// filled with zeros in A. A is packed in blocks of 12 rows, [block, quad, 12, 4], signed; B in
// panels of 32 rows, [panel, quad, 32, 4], unsigned: an offset makes its integers positive, and
// dots start at minus the offset times the sum of A's integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/gemm_operand.h"
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

/// Integers plus an offset (modulo 256) by byte.
struct ByteTable {
  alignas(16) std::int8_t values[256];
  ByteTable(const IntegerFactor& f, int offset);
};

/// How segments of k are cut into quads.
struct QuadLayout {
  std::vector<std::uint32_t> ends;  ///< quads up to the end of each segment
  std::vector<std::size_t> k_ends;  ///< k at the end of each segment
  bool contiguous = true;           ///< quad q is k = 4 q ..: all segments but the last fill theirs

  explicit QuadLayout(const std::vector<std::size_t>& segment_ends);
  std::size_t segments() const { return ends.size(); }
  std::size_t total() const { return ends.empty() ? 0 : ends.back(); }
};

/// Quads whose sums of pairs of products fit 16 bits when added up.
std::size_t pair_quads(const IntegerFactor& a, const IntegerFactor& b);

/// Integers of one row, k of them and 4 zeros behind.
void decode_row(const IntegerFactor& f, const ByteTable& table, std::size_t row, std::int8_t* to);
/// One block of A (`to` and `start`, [segments, 12], are the block's own). `row_buffer`: k + 4.
void pack_block(const IntegerFactor& a, const ByteTable& table, const QuadLayout& quads,
                std::size_t block, int offset, std::int8_t* to, std::int32_t* start,
                std::int8_t* row_buffer);
/// One panel of B; lanes beyond the last row repeat it.
void pack_panel(const IntegerFactor& b, const ByteTable& offset_table, const QuadLayout& quads,
                std::size_t panel, std::uint8_t* to, std::int8_t* row_buffer);

/// to[i] = table[bytes[i]], all bytes below 16.
void look_up_nibbles(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table,
                     std::int8_t* to);
/// to[c * to_stride + r] = from[r * stride + c].
void transpose_bytes(const std::uint8_t* from, std::size_t rows, std::size_t cols,
                     std::size_t stride, std::uint8_t* to, std::size_t to_stride);

}  // namespace fp4lab::detail
