// Reduced-precision storage of weights and of gradient sums: binary32 arithmetic whose result is
// rounded to bf16 before it is stored (optimizers_qat.md 3).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/philox.h"

namespace fp4lab::optim {

/// What a stored number is kept in.
enum class Storage : std::uint8_t { fp32, bf16 };
/// How it gets there: nearest even, or stochastic with 16 random bits (sr:16 on the magnitude).
enum class StoreRounding : std::uint8_t { rne, sr };

/// Nearest bf16, ties to even; overflow to infinity, NaN becomes the canonical quiet NaN.
inline float to_bf16_rne(float x) noexcept {
  const std::uint32_t b = std::bit_cast<std::uint32_t>(x);
  if ((b & 0x7FFFFFFFu) > 0x7F800000u) return std::bit_cast<float>(0x7FC00000u);
  return std::bit_cast<float>((b + 0x7FFFu + (b >> 16 & 1u)) & 0xFFFF0000u);
}

/// bf16 by stochastic rounding: the low half of x plus r carries into the upper half. Infinity
/// stays itself; r = 0 truncates.
inline float to_bf16_sr(float x, std::uint32_t r) noexcept {
  const std::uint32_t b = std::bit_cast<std::uint32_t>(x);
  if ((b & 0x7FFFFFFFu) > 0x7F800000u) return std::bit_cast<float>(0x7FC00000u);
  if ((b & 0x7FFFFFFFu) == 0x7F800000u) return x;
  return std::bit_cast<float>((b + (r & 0xFFFFu)) & 0xFFFF0000u);
}

/// Rounds every element to bf16 in place. Element i of a stochastic rounding gets the 16-bit slot i
/// of `stream`.
void round_to_bf16(std::span<float> x, StoreRounding rounding, const RandomStream& stream);

/// Elements whose binary32 update moved them and whose stored value is the old one all the same.
std::uint64_t count_stalled(std::span<const float> before, std::span<const float> updated,
                            std::span<const float> stored);

/// sum = bf16(sum + addend), element by element.
void accumulate_bf16(std::span<float> sum, std::span<const float> addend, StoreRounding rounding,
                     const RandomStream& stream);

}  // namespace fp4lab::optim
