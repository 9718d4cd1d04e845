// How a product is cut into tiles that threads share out. Bits do not depend on it.
#pragma once

#include <omp.h>

#include <cstddef>

namespace fp4lab::detail {

/// Packed operands: A in blocks of 12 rows, B in panels of 32 (columns of Y).
inline constexpr std::size_t kBlockRows = 12, kPanelCols = 32;

inline constexpr std::size_t ceil_div(std::size_t n, std::size_t d) { return (n + d - 1) / d; }

/// Tiles of about a hundred rows, in a number that threads can share evenly; cut in columns too
/// where there are few rows.
struct Tiling {
  std::size_t threads = 1;
  std::size_t rows = 0, cols = 0;        ///< of a tile: multiples of 12 and of 32
  std::size_t tiles_m = 0, tiles_n = 0;  ///< number of tiles each way

  /// `work` = multiply-adds of the whole product: small ones are over before a second thread has
  /// woken up. Inside a parallel region a product runs on one thread.
  Tiling(std::size_t m, std::size_t n, std::size_t work) {
    constexpr std::size_t kSmall = 65536;
    if (work > kSmall && omp_in_parallel() == 0) {
      threads = static_cast<std::size_t>(omp_get_max_threads());
    }
    const std::size_t rounds = ceil_div(m, threads * 120);
    rows = ceil_div(ceil_div(m, threads * rounds), kBlockRows) * kBlockRows;
    tiles_m = ceil_div(m, rows);
    const std::size_t parts = tiles_m >= threads ? 1 : ceil_div(threads, tiles_m);
    cols = ceil_div(ceil_div(n, parts), kPanelCols) * kPanelCols;
    tiles_n = ceil_div(n, cols);
  }
};

}  // namespace fp4lab::detail
