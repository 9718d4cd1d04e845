// What a quantization decides before it looks at blocks: matrix, padding, grid, scopes of the
// global factor. Shared by the CPU engine and its GPU twin.
#pragma once

#include <cstddef>
#include <span>

#include "sim/quantize.h"

namespace fp4lab {

/// Hadamard groups and blocks run along rows for Rx1 and col specs, along columns otherwise.
inline bool runs_along_rows(const QuantSpec& spec) {
  return spec.block.cols == 1 && spec.block.rows != 1;
}

/// A QuantizedTensor with everything but its contents: shape, grid, Hadamard stream, sized scale
/// arrays. Throws std::invalid_argument when shape and size differ or a scope cuts through blocks.
QuantizedTensor plan_quantization(const QuantSpec& spec, std::size_t size,
                                  std::span<const std::size_t> shape,
                                  const QuantizeOptions& options);
/// The same into `q`, whose memory is used again.
void plan_quantization_into(const QuantSpec& spec, std::size_t size,
                            std::span<const std::size_t> shape, const QuantizeOptions& options,
                            QuantizedTensor& q);

/// Global factors a row of the stored matrix has (1, or one a span of 128 columns).
std::size_t global_scopes_per_row(const QuantSpec& spec, const BlockGrid& grid);

/// The bound that the spec's clip puts on prepared data.
float clip_bound(const QuantSpec& spec, std::span<const float> prepared);

}  // namespace fp4lab
