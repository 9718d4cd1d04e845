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
#include "sim/quantized_tensor.h"

namespace fp4lab {

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

/// dequantize(quantize(x)).
std::vector<float> fake_quantize(const QuantSpec& spec, std::span<const float> data,
                                 std::span<const std::size_t> shape,
                                 const QuantizeOptions& options = {});

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
