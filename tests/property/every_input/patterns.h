// The walks' inner loops, compiled for several instruction sets: making the inputs and comparing
// the outputs must not cost more than the conversion between them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fp4lab_property {

/// x[i] = the number whose bits are first + i.
void fill_patterns(std::uint32_t first, float* x, std::size_t n);

/// True when all n bytes are `want`.
bool all_equal(const std::uint8_t* bytes, std::size_t n, std::uint8_t want);

}  // namespace fp4lab_property
