// How row-wise loops share out their rows: pieces of some 4096 elements, each on one thread.
#pragma once

#include <algorithm>
#include <cstddef>

namespace fp4lab::nn {

/// Elements that one thread takes at a time; from how many on there is more than one thread.
inline constexpr std::size_t kTileElements = 4096, kParallelElements = 1u << 14;

/// Calls work(first row, number of rows) for pieces that cover all rows, in any order. Results must
/// not depend on the cut.
template <class Work>
void in_row_tiles(std::size_t rows, std::size_t columns, const Work& work) {
  const std::size_t height =
      std::max<std::size_t>(1, kTileElements / std::max<std::size_t>(1, columns));
  const std::ptrdiff_t tiles = static_cast<std::ptrdiff_t>((rows + height - 1) / height);
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
  for (std::ptrdiff_t t = 0; t < tiles; ++t) {
    const std::size_t first = static_cast<std::size_t>(t) * height;
    work(first, std::min(height, rows - first));
  }
}

/// The same over n elements.
template <class Work>
void in_chunks(std::size_t n, const Work& work) {
  in_row_tiles((n + kTileElements - 1) / kTileElements, kTileElements,
               [&](std::size_t chunk, std::size_t) {
                 const std::size_t at = chunk * kTileElements;
                 work(at, std::min(kTileElements, n - at));
               });
}

}  // namespace fp4lab::nn
