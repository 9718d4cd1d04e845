#include "sim/block_exact.h"

#include "sim/fma.h"

namespace fp4lab::detail {
namespace {

/// Exact for any length: partial sums of 2^16 products of 7-bit integers fit 32 bits.
std::int64_t integer_dot(const std::int8_t* a, const std::int8_t* b, std::size_t n) {
  std::int64_t total = 0;
  for (std::size_t base = 0; base < n; base += 65536) {
    const std::size_t end = n - base < 65536 ? n : base + 65536;
    std::int32_t part = 0;
    for (std::size_t k = base; k < end; ++k) part += static_cast<std::int32_t>(a[k]) * b[k];
    total += part;
  }
  return total;
}

}  // namespace

void block_exact_row_scalar(const BlockExactRow& r, std::size_t n, float* y) {
  for (std::size_t j = 0; j < n; ++j) {
    const std::int8_t* b = r.b + j * r.stride;
    float sum = 0.0f;
    std::size_t at = 0;
    for (std::size_t s = 0; s < r.segments; ++s) {
      const std::int64_t d = integer_dot(r.a + at, b + at, r.ends[s] - at);
      at = r.ends[s];
      const float dot = static_cast<float>(static_cast<double>(d) * r.unit);
      sum = fma_rn(dot, mul_rn(r.scale_a[s], r.scale_b[j * r.segments + s]), sum);
    }
    y[j] = canonical(sum);
  }
}

void block_exact_row(const BlockExactRow& r, std::size_t n, float* y) {
  block_exact_row_scalar(r, n, y);
}

}  // namespace fp4lab::detail
