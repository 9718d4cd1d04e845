// Extents of tensors, apart from the tensors: kernels include them without Eigen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

namespace fp4lab {

/// Extents, slowest first. A 0-d shape has one element.
using Shape = std::vector<std::size_t>;

/// Product of the extents. Throws std::length_error where it does not fit, unless an extent is 0.
inline std::size_t shape_size(std::span<const std::size_t> shape) {
  if (std::find(shape.begin(), shape.end(), std::size_t{0}) != shape.end()) return 0;
  std::size_t n = 1;
  for (const std::size_t extent : shape) {
    if (n > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / extent) {
      throw std::length_error("a shape has more elements than can be counted");
    }
    n *= extent;
  }
  return n;
}

/// A shape as a matrix: all leading axes folded into rows. [a, b, c] -> (a b, c), [c] -> (1, c),
/// 0-d -> (1, 1).
struct MatrixExtents {
  std::size_t rows = 1, cols = 1;
};
inline MatrixExtents matrix_extents(std::span<const std::size_t> shape) {
  if (shape.empty()) return {};
  return {shape_size(shape.first(shape.size() - 1)), shape.back()};
}

}  // namespace fp4lab
