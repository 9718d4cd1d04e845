// Entry points of the vector kernels; each call runs on the best instruction set of the machine, or
// on the one that hwy::SetSupportedTargetsForTest leaves.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/simd/plan.h"

namespace fp4lab::simd {

/// Largest |x| as the integer maximum of the magnitude bits; with `finite_only` NaN and Inf count
/// as 0.
std::uint32_t max_magnitude_bits(const float* x, std::size_t n, bool finite_only);

/// Quantizes the blocks of a job. Returns the number of saturated elements.
std::uint64_t quantize_rows(const Plan& plan, const RowJob& job, const Output& out,
                            const SpecialBlocks& special);
std::uint64_t quantize_columns(const Plan& plan, const ColumnJob& job, const Output& out,
                               const SpecialBlocks& special);

/// Philox4x32-10 draws first_draw ... of the plan's stream, four words each.
void philox_draws(const Plan& plan, std::uint32_t first_draw, std::size_t draws,
                  std::uint32_t* words);

/// Copies n floats with non-temporal stores (both 64-byte aligned, n a multiple of 16): the yard
/// stick of the benchmarks.
void stream_copy(const float* from, std::size_t n, float* to);

/// Name of the instruction set that the next call uses.
const char* target_name();

}  // namespace fp4lab::simd
