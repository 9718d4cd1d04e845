// The products of layers: factors as slots leave them, any accumulator, into plain memory.
#pragma once

#include <cstddef>

#include "formats/philox.h"
#include "sim/accumulate.h"
#include "sim/quantize.h"

namespace fp4lab::nn {

/// One factor of Y = A B^T. Its stored matrix is rows x cols; the contraction runs along its
/// columns, or along its rows when `transposed`. Codes or plain numbers, not both.
struct Factor {
  const QuantizedTensor* codes = nullptr;
  const float* plain = nullptr;
  std::size_t rows = 0, cols = 0;
  bool transposed = false;

  std::size_t outer() const noexcept { return transposed ? cols : rows; }
  std::size_t inner() const noexcept { return transposed ? rows : cols; }
};

/// y [a.outer(), b.outer()] = A B^T by `accumulator`. Tensor-core plans ask for quantized factors:
/// a product with a plain one is an fp32-fma chain there, as under block-exact. `random` feeds
/// acc-sr (stream = 8 * layer + first slot of the product). Throws std::invalid_argument when inner
/// sizes differ or the accumulator cannot take the factors.
void multiply(const Factor& a, const Factor& b, const Accumulator& accumulator,
              const RandomStream& random, float* y);

}  // namespace fp4lab::nn
