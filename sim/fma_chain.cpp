#include "sim/fma_chain.h"

#include <algorithm>

#include "sim/fma.h"
#include "sim/scratch.h"
#include "sim/tiling.h"

namespace fp4lab::detail {
namespace {

/// k of a packed range: a panel of B of that depth (32 KiB) stays in the first cache.
constexpr std::size_t kDepth = 256;

/// The definition, for machines whose multiply-add is not fused.
void scalar_product(const MatrixView& a, const MatrixView& b, const MutableMatrixView& y,
                    ChainStart start) {
#pragma omp parallel for schedule(static) if (a.rows * b.rows * a.cols > 65536)
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < b.rows; ++j) {
      const float* x = a.data + i * a.row_stride;
      const float* z = b.data + j * b.row_stride;
      float& out = y.data[i * y.row_stride + j];
      float s = start == ChainStart::zero ? 0.0f : out;
      for (std::size_t k = 0; k < a.cols; ++k) {
        s = fma_rn(x[k * a.col_stride], z[k * b.col_stride], s);
      }
      out = canonical(s);
    }
  }
}

}  // namespace

void fma_chain_product(const MatrixView& a, const MatrixView& b, const MutableMatrixView& y,
                       ChainStart start) {
  const std::size_t m = a.rows, n = b.rows, k = a.cols;
  if (m == 0 || n == 0) return;
  if (k == 0 && start == ChainStart::y) return;
  if (k == 0) {
    for (std::size_t i = 0; i < m; ++i) std::fill_n(y.data + i * y.row_stride, n, 0.0f);
    return;
  }
  if (!fma_pack(a, 0, 0, 0, 0, nullptr)) return scalar_product(a, b, y, start);

  static thread_local Scratch<float> b_memory;
  const std::size_t panels = ceil_div(n, kPanelCols), panel_stride = k * kPanelCols;
  float* packed_b = b_memory.at_least(panels * panel_stride);
  const Tiling tile(m, n, m * n * k);

#pragma omp parallel num_threads(tile.threads) if (tile.threads > 1)
  {
#pragma omp for schedule(static)
    for (std::size_t p = 0; p < panels; ++p) {
      fma_pack(b, p * kPanelCols, kPanelCols, 0, k, packed_b + p * panel_stride);
    }
    static thread_local Scratch<float> a_memory;
    float* packed_a = a_memory.at_least(tile.rows * std::min(k, kDepth));
#pragma omp for collapse(2) schedule(dynamic)
    for (std::size_t tm = 0; tm < tile.tiles_m; ++tm) {
      for (std::size_t tn = 0; tn < tile.tiles_n; ++tn) {
        FmaTile t;
        const std::size_t i0 = tm * tile.rows, j0 = tn * tile.cols;
        t.a = packed_a;
        t.panel_stride = panel_stride;
        t.rows = std::min(tile.rows, m - i0);
        t.cols = std::min(tile.cols, n - j0);
        t.y = y.data + i0 * y.row_stride + j0;
        t.row_stride = y.row_stride;
        for (std::size_t k0 = 0; k0 < k; k0 += kDepth) {
          t.depth = std::min(kDepth, k - k0);
          for (std::size_t r = 0; r < t.rows; r += kBlockRows) {
            fma_pack(a, i0 + r, kBlockRows, k0, t.depth, packed_a + r * t.depth);
          }
          t.b = packed_b + j0 / kPanelCols * panel_stride + k0 * kPanelCols;
          t.first = k0 == 0 && start == ChainStart::zero;
          t.last = k0 + t.depth == k;
          fma_tile(t);
        }
      }
    }
  }
}

}  // namespace fp4lab::detail
