#include "sim/optim/write_back.h"

#include <algorithm>
#include <stdexcept>

namespace fp4lab::optim {
namespace {

[[maybe_unused]] constexpr std::int64_t kParallelElements = 1 << 15;
constexpr std::int64_t kPerDraw = 8;  // 16-bit slots of a 128-bit draw

/// x[i] = bf16(value(i)) for all i, by slots of 16 bits.
template <class Value>
void store(std::span<float> x, StoreRounding rounding, const RandomStream& stream, Value value) {
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  float* const out = x.data();
  if (rounding == StoreRounding::rne) {
#pragma omp parallel for schedule(static) if (n >= kParallelElements)
    for (std::int64_t i = 0; i < n; ++i) out[i] = to_bf16_rne(value(i));
    return;
  }
  const std::int64_t draws = (n + kPerDraw - 1) / kPerDraw;
#pragma omp parallel for schedule(static) if (n >= kParallelElements)
  for (std::int64_t d = 0; d < draws; ++d) {
    const PhiloxDraw draw = stream.draw(static_cast<std::uint32_t>(d));
    const std::int64_t end = std::min(n, (d + 1) * kPerDraw);
    for (std::int64_t i = d * kPerDraw; i < end; ++i) {
      const unsigned slot = static_cast<unsigned>(i % kPerDraw);
      out[i] = to_bf16_sr(value(i), draw[slot / 2] >> (slot % 2 * 16));
    }
  }
}

}  // namespace

void round_to_bf16(std::span<float> x, StoreRounding rounding, const RandomStream& stream) {
  const float* const in = x.data();
  store(x, rounding, stream, [in](std::int64_t i) { return in[i]; });
}

std::uint64_t count_stalled(std::span<const float> before, std::span<const float> updated,
                            std::span<const float> stored) {
  std::uint64_t stalled = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (updated[i] != before[i] && stored[i] == before[i]) ++stalled;
  }
  return stalled;
}

void accumulate_bf16(std::span<float> sum, std::span<const float> addend, StoreRounding rounding,
                     const RandomStream& stream) {
  if (sum.size() != addend.size()) {
    throw std::invalid_argument("gradient sum and addend differ in size");
  }
  const float* const a = sum.data();
  const float* const b = addend.data();
  store(sum, rounding, stream, [a, b](std::int64_t i) { return a[i] + b[i]; });
}

}  // namespace fp4lab::optim
