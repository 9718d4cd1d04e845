// Random Hadamard transform of groups along one axis: signs, Sylvester butterflies, one scaling.
// Order of operations: decisions.md 4. The matrix is symmetric, so the inverse is the same
// butterflies followed by the signs.
#pragma once

#include <cstdint>

#include "formats/host_device.h"
#include "formats/philox.h"
#include "formats/quant_spec.h"

namespace fp4lab {

/// Largest group a transform handles.
inline constexpr int kMaxHadamard = 256;

/// Transformer Engine's sign vector for groups of 16: bit i set where element i is negated
/// (+ + + - + - - - - - - + - + - -).
inline constexpr std::uint32_t kTeSignBits = 0xD7E8u;

/// The signs of a group, bit i % 32 of word i / 32.
struct HadamardSignBits {
  std::uint32_t word[kMaxHadamard / 32] = {};
  FP4LAB_HD constexpr bool negative(std::uint32_t i) const noexcept {
    return (word[i / 32] >> (i % 32) & 1u) != 0;
  }
};

/// Signs for groups of `size`. `stream` names layer and slot and step; `fixed` ignores them: it is
/// Transformer Engine's vector for 16 and stream 0, step 0 of the seed otherwise.
FP4LAB_HD constexpr HadamardSignBits hadamard_signs(HadamardSigns kind, int size,
                                                    RandomStream stream) noexcept {
  HadamardSignBits s;
  if (kind == HadamardSigns::none) return s;
  if (kind == HadamardSigns::fixed) {
    if (size == 16) {
      s.word[0] = kTeSignBits;
      return s;
    }
    stream.stream = 0;
    stream.step = 0;
    stream.microbatch = 0;
  } else if (kind == HadamardSigns::per_layer_step) {
    stream.stream &= ~7u;
    stream.microbatch = 0;
  }
  stream.purpose = RandomPurpose::hadamard_signs;
  for (int w = 0; w * 32 < size; ++w) {
    s.word[w] = stream.slot(static_cast<std::uint64_t>(w), 32);
    if (size - 32 * w < 32) s.word[w] &= (1u << (size - 32 * w)) - 1u;
  }
  return s;
}

/// RN32(size^-1/2) for a power of two.
FP4LAB_HD constexpr float hadamard_norm(int size) noexcept {
  int k = 0;
  while ((1 << (k + 1)) <= size) ++k;
  const double root = (k & 1) != 0 ? 0.70710678118654752440 : 1.0;
  return static_cast<float>(root * pow2_f64(-(k / 2)));
}

/// Butterflies for stride 1, 2, 4, ... size / 2 in place: (a, b) -> (fl(a + b), fl(a - b)), then the
/// normalisation. `x` has `size` elements `stride` apart.
FP4LAB_HD constexpr void hadamard_butterflies(float* x, int size, std::uint64_t stride) noexcept {
  for (int h = 1; h < size; h *= 2) {
    for (int i = 0; i < size; i += 2 * h) {
      for (int j = i; j < i + h; ++j) {
        const float a = x[static_cast<std::uint64_t>(j) * stride];
        const float b = x[static_cast<std::uint64_t>(j + h) * stride];
        x[static_cast<std::uint64_t>(j) * stride] = add_rn(a, b);
        x[static_cast<std::uint64_t>(j + h) * stride] = sub_rn(a, b);
      }
    }
  }
  const float norm = hadamard_norm(size);
  for (int i = 0; i < size; ++i) {
    x[static_cast<std::uint64_t>(i) * stride] =
        mul_rn(x[static_cast<std::uint64_t>(i) * stride], norm);
  }
}

FP4LAB_HD constexpr void apply_signs(float* x, int size, std::uint64_t stride,
                                     const HadamardSignBits& s) noexcept {
  for (int i = 0; i < size; ++i) {
    if (!s.negative(static_cast<std::uint32_t>(i))) continue;
    float& v = x[static_cast<std::uint64_t>(i) * stride];
    if (!is_nan(v)) v = -v;  // NaN is one value: a result keeps its canonical sign
  }
}

/// One group forward: signs, then butterflies.
FP4LAB_HD constexpr void hadamard_forward(float* x, int size, std::uint64_t stride,
                                          const HadamardSignBits& s) noexcept {
  apply_signs(x, size, stride, s);
  hadamard_butterflies(x, size, stride);
}
/// One group back: butterflies, then signs.
FP4LAB_HD constexpr void hadamard_inverse(float* x, int size, std::uint64_t stride,
                                          const HadamardSignBits& s) noexcept {
  hadamard_butterflies(x, size, stride);
  apply_signs(x, size, stride, s);
}

}  // namespace fp4lab
