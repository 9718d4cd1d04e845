// Quantization of whole tensors under a QuantSpec. The reference engine is one scalar path for
// every spec; quantize_fast.h does the common ones in vectors. Same bits for either and for any
// number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/block.h"
#include "formats/quant_spec.h"

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

/// Which code quantizes. Results are the same to the bit.
enum class Engine : std::uint8_t {
  automatic,  ///< vectors where sim/quantize_fast.h covers the spec, else the reference
  scalar,     ///< the reference: the functions of formats/, one element at a time
};

/// What a quantization takes besides spec and data.
struct QuantizeOptions {
  RandomSource random;          ///< stream (seed, stream, step ...) or words handed in
  float external_amax = -1.0f;  ///< for rule=ema; negative: the block's own amax
  Engine engine = Engine::automatic;
};

/// Quantizes `data` (row-major, product of `shape` elements). Order of steps: prescale, Hadamard,
/// clip, amax, scale, cast (decisions.md 4). Throws std::invalid_argument when the shape does not
/// match the data.
QuantizedTensor quantize(const QuantSpec& spec, std::span<const float> data,
                         std::span<const std::size_t> shape, const QuantizeOptions& options = {});
/// The same into `out`, whose memory is used again.
void quantize_into(const QuantSpec& spec, std::span<const float> data,
                   std::span<const std::size_t> shape, QuantizedTensor& out,
                   const QuantizeOptions& options = {});

/// The values of a quantized tensor in the input's domain and shape: scales and global factor
/// multiplied in, Hadamard undone, padding cropped, prescale divided out.
std::vector<float> dequantize(const QuantizedTensor& q);
/// The same into `out`, of rows x cols elements.
void dequantize_into(const QuantizedTensor& q, std::span<float> out);

/// dequantize(quantize(x)).
std::vector<float> fake_quantize(const QuantSpec& spec, std::span<const float> data,
                                 std::span<const std::size_t> shape,
                                 const QuantizeOptions& options = {});

/// A matrix of scale codes as files and hardware want it: [rows, ceil(cols / C)] for blocks of C
/// columns, the row of a 2-D block repeated for each of its rows; [ceil(rows / R), cols] for Rx1;
/// [rows, 1], [1, cols], [1, 1] for row, col and tensor.
struct ScaleMatrix {
  std::size_t rows = 0, cols = 0;
  std::vector<std::uint32_t> codes;
};
ScaleMatrix scale_matrix(const QuantizedTensor& q);

/// Where the operand of a transposed product comes from (formats.md 4.3).
enum class TransposeSource : std::uint8_t {
  high_precision,  ///< the original values, quantized again along the other axis (no double
                   ///< rounding)
  quantized,       ///< the dequantized values, quantized again (double rounding, for ablation)
  codes,           ///< the same codes and scales, transposed; needs square blocks or one scale
};

/// The transpose [cols, rows] of a tensor that was quantized from `data` as `q`. `spec` is the rule
/// of the transposed copy (unused for `codes`). Throws std::invalid_argument where `codes` is asked
/// for and the blocks do not transpose onto themselves.
QuantizedTensor quantize_transposed(const QuantizedTensor& q, std::span<const float> data,
                                    const QuantSpec& spec, TransposeSource source,
                                    const QuantizeOptions& options = {});

}  // namespace fp4lab
