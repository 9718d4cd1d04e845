// Inputs of the benchmarks: fixed, and varied enough that no branch predictor learns them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/philox.h"

namespace fp4lab::bench {

/// n values, roughly bell-shaped around 0 with standard deviation 1: sums of four uniforms.
inline std::vector<float> bell(std::size_t n) {
  std::vector<float> x(n);
  const RandomStream stream{7, 0, 0, RandomPurpose::synthetic_data};
  for (std::size_t i = 0; i < n; ++i) {
    const PhiloxDraw d = stream.draw(static_cast<std::uint32_t>(i));
    float sum = 0.0f;
    for (unsigned k = 0; k < 4; ++k) sum += static_cast<float>(d[k] >> 8) * 0x1p-24f;
    x[i] = (sum - 2.0f) * 1.7320508f;
  }
  return x;
}

}  // namespace fp4lab::bench
