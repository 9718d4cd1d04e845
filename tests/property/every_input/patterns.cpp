#include "tests/property/every_input/patterns.h"

// Sanitizers' start-up code has not run yet when the choice of a version is made.
#if defined(__x86_64__) && defined(__gnu_linux__) && !FP4LAB_WALK_SANITIZED
#define FP4LAB_WALK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FP4LAB_WALK_CLONES
#endif

namespace fp4lab_property {

FP4LAB_WALK_CLONES void fill_patterns(std::uint32_t first, float* x, std::size_t n) {
  const std::uint32_t count = static_cast<std::uint32_t>(n);
  for (std::uint32_t i = 0; i < count; ++i) x[i] = __builtin_bit_cast(float, first + i);
}

FP4LAB_WALK_CLONES bool all_equal(const std::uint8_t* bytes, std::size_t n, std::uint8_t want) {
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < n; ++i) {
    difference = static_cast<std::uint8_t>(difference | (bytes[i] ^ want));
  }
  return difference == 0;
}

}  // namespace fp4lab_property
