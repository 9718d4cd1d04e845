// Host/device portability and explicitly rounded binary32 arithmetic.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define FP4LAB_HD __host__ __device__
#else
#define FP4LAB_HD
#endif

/// Keeps a large run-time-dispatched function out of line in kernels: inlined at every use, one
/// such kernel takes ptxas minutes and gigabytes.
#if defined(__CUDA_ARCH__)
#define FP4LAB_DEVICE_NOINLINE __noinline__
#else
#define FP4LAB_DEVICE_NOINLINE
#endif

namespace fp4lab {

/// The bits of `x` seen as a `To` of the same size; usable in constant expressions and kernels.
template <class To, class From>
FP4LAB_HD constexpr To bits_as(From x) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, x);
}

/// Each helper below is exactly one IEEE-754 binary32 operation, rounded to nearest even, with
/// subnormals. They exist so that the order of operations of a quantizer can be read in its code
/// and so that no compiler flag of a translation unit on the device side can change it. On the
/// host, translation units must be built with -ffp-contract=off (the CMake target sees to it).
FP4LAB_HD constexpr float add_rn(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return __fadd_rn(a, b);
#endif
  return a + b;
}
FP4LAB_HD constexpr float sub_rn(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return __fsub_rn(a, b);
#endif
  return a - b;
}
FP4LAB_HD constexpr float mul_rn(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return __fmul_rn(a, b);
#endif
  return a * b;
}
FP4LAB_HD constexpr float div_rn(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return __fdiv_rn(a, b);
#endif
  return a / b;
}

inline constexpr float kFloatMax = 0x1.fffffep+127f;
inline constexpr float kFloatMinNormal = 0x1p-126f;
inline constexpr float kFloatInf = __builtin_huge_valf();
/// The one NaN that our own binary32 results carry (decisions: special results).
inline constexpr std::uint32_t kCanonicalNanBits = 0x7FC00000u;
FP4LAB_HD constexpr float canonical_nan() noexcept { return bits_as<float>(kCanonicalNanBits); }

FP4LAB_HD constexpr bool is_nan(float x) noexcept {
  return (bits_as<std::uint32_t>(x) & 0x7FFFFFFFu) > 0x7F800000u;
}
FP4LAB_HD constexpr bool is_inf(float x) noexcept {
  return (bits_as<std::uint32_t>(x) & 0x7FFFFFFFu) == 0x7F800000u;
}
FP4LAB_HD constexpr bool is_finite(float x) noexcept {
  return (bits_as<std::uint32_t>(x) & 0x7FFFFFFFu) < 0x7F800000u;
}
FP4LAB_HD constexpr bool sign_bit(float x) noexcept { return bits_as<std::uint32_t>(x) >> 31; }
FP4LAB_HD constexpr float abs_bits(float x) noexcept {
  return bits_as<float>(bits_as<std::uint32_t>(x) & 0x7FFFFFFFu);
}

/// 2^e as binary64, exact for -1074 <= e <= 1023, without a library call. Below that 0, above Inf.
FP4LAB_HD constexpr double pow2_f64(int e) noexcept {
  if (e > 1023) return __builtin_huge_val();
  if (e >= -1022) return bits_as<double>(static_cast<std::uint64_t>(e + 1023) << 52);
  if (e >= -1074) return bits_as<double>(1ull << (e + 1074));
  return 0.0;
}

/// 2^e as binary32 for -149 <= e <= 127; exact, subnormals included. Below that 0, above it Inf.
FP4LAB_HD constexpr float pow2_f32(int e) noexcept {
  if (e > 127) return kFloatInf;
  if (e >= -126) return bits_as<float>(static_cast<std::uint32_t>(e + 127) << 23);
  if (e >= -149) return bits_as<float>(1u << (e + 149));
  return 0.0f;
}

/// floor(log2 x) of a positive finite binary32, from its bits (subnormals normalised).
FP4LAB_HD constexpr int floor_log2(float x) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(x) & 0x7FFFFFFFu;
  if (b >= 0x00800000u) return static_cast<int>(b >> 23) - 127;
  int e = -150;
  for (std::uint32_t m = b; m != 0; m >>= 1) ++e;
  return e;
}

/// A finite non-zero magnitude as sig * 2^exp with sig's top bit at bit `kWidth - 1`.
struct Magnitude {
  std::uint64_t sig;
  int exp;
  int width;  ///< number of significand bits: 24 or 53
  /// floor(log2) of the value.
  FP4LAB_HD constexpr int exponent() const noexcept { return exp + width - 1; }
};

/// |x| as a normalised integer significand and exponent; `x` finite and non-zero.
FP4LAB_HD constexpr Magnitude magnitude_of(float x) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(x) & 0x7FFFFFFFu;
  std::uint32_t sig = b & 0x007FFFFFu;
  int field = static_cast<int>(b >> 23);
  if (field != 0) {
    sig |= 0x00800000u;
  } else {
    field = 1;
    while ((sig & 0x00800000u) == 0) {
      sig <<= 1;
      --field;
    }
  }
  return {sig, field - 150, 24};
}
FP4LAB_HD constexpr Magnitude magnitude_of(double x) noexcept {
  const std::uint64_t b = bits_as<std::uint64_t>(x) & 0x7FFFFFFFFFFFFFFFull;
  std::uint64_t sig = b & 0x000FFFFFFFFFFFFFull;
  int field = static_cast<int>(b >> 52);
  if (field != 0) {
    sig |= 0x0010000000000000ull;
  } else {
    field = 1;
    while ((sig & 0x0010000000000000ull) == 0) {
      sig <<= 1;
      --field;
    }
  }
  return {sig, field - 1075, 53};
}

}  // namespace fp4lab
