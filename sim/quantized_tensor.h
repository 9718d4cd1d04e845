// QuantizedTensor: codes, scales and everything else it takes to read a tensor back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/philox.h"
#include "formats/quant_spec.h"
#include "sim/shape.h"

namespace fp4lab {

/// How a matrix is cut into blocks. Blocks cut by an edge keep their own scale.
struct BlockGrid {
  std::size_t rows = 0, cols = 0;              ///< of the matrix that is cut
  std::size_t block_rows = 1, block_cols = 1;  ///< nominal block
  std::size_t grid_rows = 0, grid_cols = 0;    ///< number of blocks each way
  std::size_t blocks() const noexcept { return grid_rows * grid_cols; }
};

/// The grid of `shape` on a rows x cols matrix.
BlockGrid make_grid(const BlockShape& shape, std::size_t rows, std::size_t cols);

/// A quantized tensor: codes, scales and what it takes to read them back.
struct QuantizedTensor {
  QuantSpec spec;
  std::vector<std::size_t> shape;   ///< of the input
  std::size_t rows = 0, cols = 0;   ///< input as a matrix: leading axes folded into rows
  BlockGrid grid;                   ///< of the stored (under a Hadamard: padded) matrix
  std::vector<std::uint8_t> codes;  ///< formats of up to 8 bits: one code an element, row-major
  std::vector<std::uint32_t> wide_codes;   ///< formats of more than 8 bits
  std::vector<std::uint32_t> scale_codes;  ///< one a block, row-major over the grid; binary32 bits
                                           ///< for fp32 and pow2 scales
  std::vector<std::int32_t> zero_points;   ///< one a block for asymmetric integers, else empty
  std::vector<float> global;  ///< g: one for the tensor, one a row, or [rows, ceil(cols/128)]
  HadamardSigns signs = HadamardSigns::none;
  RandomStream hadamard_stream;  ///< what the Hadamard signs were drawn from
  std::uint64_t saturated = 0;   ///< elements scaled beyond the largest value, before clamping

  std::size_t stored_rows() const noexcept { return grid.rows; }
  std::size_t stored_cols() const noexcept { return grid.cols; }
  std::uint32_t code_at(std::size_t i) const noexcept {
    return codes.empty() ? wide_codes[i] : codes[i];
  }
};

/// Shape of the stored codes: the input's, or under a Hadamard with padding the padded one.
Shape stored_shape(const QuantizedTensor& q);

/// The values of a quantized tensor in the input's domain and shape: scales and global factor
/// multiplied in, Hadamard undone, padding cropped, prescale divided out.
std::vector<float> dequantize(const QuantizedTensor& q);

/// The same into `out`, one element each of the input. Throws std::invalid_argument when the number
/// of elements differs.
void dequantize_into(const QuantizedTensor& q, std::span<float> out);

/// A matrix of scale codes as files and hardware want it: [rows, ceil(cols / C)] for blocks of C
/// columns, the row of a 2-D block repeated for each of its rows; [ceil(rows / R), cols] for Rx1;
/// [rows, 1], [1, cols], [1, 1] for row, col and tensor.
struct ScaleMatrix {
  std::size_t rows = 0, cols = 0;
  std::vector<std::uint32_t> codes;
};
ScaleMatrix scale_matrix(const QuantizedTensor& q);

/// Extents of scale_matrix() for a grid of a spec's blocks.
MatrixExtents scale_matrix_extents(const BlockShape& block, const BlockGrid& grid);

/// The inverse of scale_matrix(): one code a block, row-major over the grid. Throws
/// std::invalid_argument when the extents are not scale_matrix_extents() or the repeated rows of a
/// 2-D block differ.
std::vector<std::uint32_t> scale_codes_from_matrix(const BlockShape& block, const BlockGrid& grid,
                                                   const ScaleMatrix& m);

}  // namespace fp4lab
