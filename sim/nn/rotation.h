// The Hadamard transform of a whole operand along its contraction axis, with the bits of
// formats/hadamard.h.
#pragma once

#include <cstddef>
#include <span>

#include "formats/hadamard.h"
#include "sim/tensor.h"

namespace fp4lab::nn {

/// One transform shared by both operands of a product. `size` 0 is none.
struct Rotation {
  int size = 0;
  HadamardSigns signs = HadamardSigns::none;
  RandomStream stream{};  ///< what the signs are drawn from (hadamard_signs)
};

/// n as a whole number of groups.
constexpr std::size_t whole_groups(std::size_t n, int size) noexcept {
  const std::size_t g = size == 0 ? 1 : static_cast<std::size_t>(size);
  return (n + g - 1) / g * g;
}

/// out = the transform of the rows x cols matrix x along its rows (groups of consecutive rows) or
/// along its columns, padded with +0 to whole groups: [padded rows, cols] or [rows, padded cols].
void rotate(const Rotation& r, const float* x, std::size_t rows, std::size_t cols, bool along_rows,
            Tensor& out);

/// Undoes rotate: `m`, the padded matrix, is overwritten, its leading rows x cols part goes to out.
void rotate_back(const Rotation& r, Tensor& m, std::size_t rows, std::size_t cols, bool along_rows,
                 float* out);

}  // namespace fp4lab::nn
