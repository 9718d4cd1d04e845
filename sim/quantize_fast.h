// The vector engine behind quantize() and fake_quantize(): the same bits as the scalar reference
// for every instruction set and number of threads, at the speed of memory for the common specs.
//
// It covers formats of up to 8 bits under policy `cuda` and no profile (or ocp), any deterministic
// rounding (those of up to 4 bits in vectors throughout, the others with a table look-up for each
// element), `sr:N` (N <= 24) and `luq` on signed radix-2 grids of 4 bits, every scale rule that looks only at
// a block's amax, blocks along rows or columns or the whole tensor, and global factors none, tensor
// and row. Everything else goes to the reference engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/quant_spec.h"
#include "formats/two_level.h"
#include "sim/quantize.h"

namespace fp4lab {

/// True when the vector engine does `spec` on a rows x cols matrix. Inputs can still send it back
/// to the reference: blocks with NaN or Inf go there one by one.
bool has_fast_path(const QuantSpec& spec, std::size_t rows, std::size_t cols,
                   const QuantizeOptions& options = {});

/// fake_quantize without the codes in between. `out` has as many elements as `in` and may be the
/// same memory. Tensors beyond the last-level cache are written with non-temporal stores when `out`
/// is 64-byte aligned and the last axis is a multiple of 16. Returns the number of saturated
/// elements. Throws std::invalid_argument when sizes do not match.
std::uint64_t fake_quantize_into(const QuantSpec& spec, std::span<const float> in,
                                 std::span<const std::size_t> shape, std::span<float> out,
                                 const QuantizeOptions& options = {});

/// Codes of up to 4 bits, two a byte along the last axis, the even element in the low half; an odd
/// row ends with a half byte of 0.
struct PackedTensor {
  BlockGrid grid;
  std::vector<std::uint8_t> codes;        ///< grid.rows x packed_bytes(grid.cols)
  std::vector<std::uint8_t> scale_codes;  ///< coded scales of up to 8 bits, row-major over the grid
  std::vector<std::uint32_t> wide_scale_codes;  ///< other scales, as in QuantizedTensor
  std::vector<float> global;                    ///< g, as in QuantizedTensor
  std::uint64_t saturated = 0;
};

/// Quantizes into packed codes and scales; `out`'s memory is used again where it is large enough.
/// Throws std::invalid_argument for formats of more than 4 bits and for scaled uint4-asym, whose
/// zero points have no place here.
void quantize_packed(const QuantSpec& spec, std::span<const float> in,
                     std::span<const std::size_t> shape, PackedTensor& out,
                     const QuantizeOptions& options = {});

namespace detail {
/// Codes, scale codes, global factors and saturation count of `q`, whose spec, grid and arrays are
/// set, from its stored matrix. False, with nothing done, where the vector engine does not apply.
bool quantize_blocks_fast(QuantizedTensor& q, const float* source, const QuantizeOptions& options);
}  // namespace detail

}  // namespace fp4lab
