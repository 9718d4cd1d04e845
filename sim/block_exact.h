// block-exact on small integers: y = fma(RN32(d * unit), fl(sA sB), y) for each segment, d the exact
// integer dot of the segment. The scalar form is the definition; vector forms give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fp4lab::detail {

/// One row of A against rows of B, all prepared.
struct BlockExactRow {
  const std::int8_t* a = nullptr;     ///< k integers
  const std::int8_t* b = nullptr;     ///< n rows of k integers, `stride` apart
  std::size_t stride = 0;
  const std::size_t* ends = nullptr;  ///< segment ends, ascending, the last one = k
  std::size_t segments = 0;
  std::size_t uniform = 0;            ///< not 0: every segment but the last has this length
  const float* scale_a = nullptr;     ///< one a segment
  const float* scale_b = nullptr;     ///< n rows of `segments` scales
  double unit = 1.0;                  ///< weight of the integers: 2^(uA + uB)
};

/// y[j] for j in [0, n): the whole sum over k from +0; NaNs come out canonical.
void block_exact_row_scalar(const BlockExactRow& r, std::size_t n, float* y);

/// The same with the best instruction set of the machine.
void block_exact_row(const BlockExactRow& r, std::size_t n, float* y);

}  // namespace fp4lab::detail
