// fp32-fma for whole matrices: each output is one chain of fused multiply-adds, k ascending from
// +0. Outputs lie side by side in vectors, so an output has the bits of its own scalar chain.
#pragma once

#include <cstdint>

#include "sim/matmul.h"
#include "sim/tiling.h"

namespace fp4lab::detail {

/// What chains begin with: +0, or what y holds.
enum class ChainStart : std::uint8_t { zero, y };

/// y = a b^T, shapes already checked.
void fma_chain_product(const MatrixView& a, const MatrixView& b, const MutableMatrixView& y,
                       ChainStart start = ChainStart::zero);

/// One range of k for a tile of Y. Operands are packed (tiling.h), missing rows are zeros.
struct FmaTile {
  const float* a = nullptr;      ///< packed, [ceil(rows / 12), depth, 12]
  const float* b = nullptr;      ///< packed, first panel at the range's first k
  std::size_t panel_stride = 0;  ///< floats from one panel to the next
  std::size_t rows = 0, cols = 0, depth = 0;
  float* y = nullptr;
  std::size_t row_stride = 0;
  bool first = false;  ///< chains start at +0, else at what y holds
  bool last = false;   ///< NaNs become the house's
};

/// Kernels on the best instruction set of the machine. Both return false, with nothing done, where
/// that has no fused multiply-add of one rounding.
bool fma_tile(const FmaTile& tile);
/// to[kk * width + r] = m(row0 + r, k0 + kk) for r < width (zeros beyond the matrix), kk < depth.
bool fma_pack(const MatrixView& m, std::size_t row0, std::size_t width, std::size_t k0,
              std::size_t depth, float* to);

}  // namespace fp4lab::detail
