// What a quantization decides before it looks at blocks: matrix, padding, grid, scopes of the
// global factor. Shared by the CPU engine and its GPU twin.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
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

/// Block (i, j) of a matrix.
inline BlockView block_view(const BlockGrid& grid, const float* data, std::size_t i,
                            std::size_t j) {
  BlockView v;
  const std::size_t r0 = i * grid.block_rows, c0 = j * grid.block_cols;
  v.data = data;
  v.offset = r0 * grid.cols + c0;
  v.rows = static_cast<std::uint32_t>(std::min(grid.block_rows, grid.rows - r0));
  v.cols = static_cast<std::uint32_t>(std::min(grid.block_cols, grid.cols - c0));
  v.row_stride = grid.cols;
  v.col_stride = 1;
  return v;
}

/// Which scope of the global factor a block's first element lies in.
struct GlobalScopes {
  GlobalScope scope = GlobalScope::none;
  std::size_t per_row = 1;
  std::size_t index(std::size_t row, std::size_t col) const {
    switch (scope) {
      case GlobalScope::row:
        return row;
      case GlobalScope::row_block128:
        return row * per_row + col / 128;
      default:
        return 0;
    }
  }
};

/// Visits the Hadamard groups of a padded matrix, on all threads: start pointer and stride.
template <class F>
void for_each_hadamard_group(const QuantSpec& spec, float* m, std::size_t rows, std::size_t cols,
                             F&& f) {
  const std::size_t g = spec.hadamard;
  if (runs_along_rows(spec)) {
#if defined(_OPENMP)
#pragma omp parallel for schedule(static)
#endif
    for (std::size_t r = 0; r < rows; r += g) {
      for (std::size_t c = 0; c < cols; ++c) f(m + r * cols + c, cols);
    }
  } else {
#if defined(_OPENMP)
#pragma omp parallel for schedule(static)
#endif
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; c += g) f(m + r * cols + c, std::size_t{1});
    }
  }
}

}  // namespace fp4lab
