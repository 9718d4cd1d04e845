#include "sim/math_array.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sim/math.h"

// The scalar functions are free of branches, so the compiler vectorises a loop over them. Highway
// compiles this file once for each instruction set and picks one at run time; IEEE arithmetic makes
// the bits equal. SSSE3 adds nothing to SSE2 here, nor do the later AVX-512 parts to the first.
#include "hwy/detect_targets.h"
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/math_array.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::math::HWY_NAMESPACE {

constexpr std::size_t kBlock = 256;

/// Works on copies of whole blocks: no tail loop, and x may be y.
template <float (*kFunction)(float) noexcept>
void map(const float* x, float* y, std::size_t n) {
  float in[kBlock], out[kBlock];
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    std::copy_n(x + at, count, in);
    std::fill(in + count, in + kBlock, 0.0f);
    for (std::size_t i = 0; i < kBlock; ++i) out[i] = kFunction(in[i]);
    std::copy_n(out, count, y + at);
  }
}

/// The same for sin and cos; the rare large arguments are done one by one.
template <float (*kSmall)(float) noexcept, float (*kLarge)(float) noexcept>
void map_trig(const float* x, float* y, std::size_t n) {
  float in[kBlock], out[kBlock];
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    std::copy_n(x + at, count, in);
    std::fill(in + count, in + kBlock, 0.0f);
    int large = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      out[i] = kSmall(in[i]);
      large |= !(detail::magnitude(in[i]) < detail::kTrigSmall);
    }
    for (std::size_t i = 0; large != 0 && i < count; ++i) {
      if (!(detail::magnitude(in[i]) < detail::kTrigSmall)) out[i] = kLarge(in[i]);
    }
    std::copy_n(out, count, y + at);
  }
}

/// What the fast path cannot decide, and all special arguments, are done one by one.
/// y advances by `step` (0 or 1).
void Pow(const float* x, const float* y, std::size_t step, float* z, std::size_t n) {
  float base[kBlock], exponent[kBlock], out[kBlock];
  double value[kBlock];
  std::uint32_t again[kBlock];
  for (std::size_t at = 0; at < n; at += kBlock) {
    const std::size_t count = std::min(kBlock, n - at);
    std::copy_n(x + at, count, base);
    std::fill(base + count, base + kBlock, 1.0f);
    for (std::size_t i = 0; i < count; ++i) exponent[i] = y[(at + i) * step];
    std::fill(exponent + count, exponent + kBlock, 1.0f);
    for (std::size_t i = 0; i < kBlock; ++i) value[i] = detail::pow_value(base[i], exponent[i]).v;
    std::uint32_t any = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const detail::PowTry t = detail::pow_rounded({value[i]});
      // Positive and finite, finite: bit patterns in the right interval.
      const std::uint32_t x_bits = bits_as<std::uint32_t>(base[i]) - 1;
      const std::uint32_t y_bits = bits_as<std::uint32_t>(exponent[i]) & 0x7FFFFFFFu;
      out[i] = t.value;
      again[i] = (t.doubt ? 1u : 0u) | (x_bits >= 0x7F7FFFFFu ? 1u : 0u) |
                 (y_bits >= 0x7F800000u ? 1u : 0u);
      any |= again[i];
    }
    for (std::size_t i = 0; any != 0 && i < count; ++i) {
      if (again[i] != 0) out[i] = math::pow(base[i], exponent[i]);
    }
    std::copy_n(out, count, z + at);
  }
}

void Exp(const float* x, float* y, std::size_t n) { map<detail::exp>(x, y, n); }
void Exp2(const float* x, float* y, std::size_t n) { map<detail::exp2>(x, y, n); }
void Expm1(const float* x, float* y, std::size_t n) { map<detail::expm1>(x, y, n); }
void Log(const float* x, float* y, std::size_t n) { map<detail::log>(x, y, n); }
void Log2(const float* x, float* y, std::size_t n) { map<detail::log2>(x, y, n); }
void Log1p(const float* x, float* y, std::size_t n) { map<detail::log1p>(x, y, n); }
void Tanh(const float* x, float* y, std::size_t n) { map<detail::tanh>(x, y, n); }
void Erf(const float* x, float* y, std::size_t n) { map<detail::erf>(x, y, n); }
void Sigmoid(const float* x, float* y, std::size_t n) { map<detail::sigmoid>(x, y, n); }
void Silu(const float* x, float* y, std::size_t n) { map<detail::silu>(x, y, n); }
void Gelu(const float* x, float* y, std::size_t n) { map<detail::gelu>(x, y, n); }
void Rsqrt(const float* x, float* y, std::size_t n) { map<detail::rsqrt>(x, y, n); }
void Sqrt(const float* x, float* y, std::size_t n) { map<detail::sqrt>(x, y, n); }
void Sin(const float* x, float* y, std::size_t n) {
  map_trig<detail::sin_small, detail::sin_large>(x, y, n);
}
void Cos(const float* x, float* y, std::size_t n) {
  map_trig<detail::cos_small, detail::cos_large>(x, y, n);
}

}  // namespace fp4lab::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::math {

#define FP4LAB_MATH_ARRAY(name, Name)                         \
  HWY_EXPORT(Name);                                           \
  void name(std::span<const float> x, std::span<float> y) {   \
    HWY_ASSERT(y.size() >= x.size());                         \
    HWY_DYNAMIC_DISPATCH(Name)(x.data(), y.data(), x.size()); \
  }

FP4LAB_MATH_ARRAY(exp, Exp)
FP4LAB_MATH_ARRAY(exp2, Exp2)
FP4LAB_MATH_ARRAY(expm1, Expm1)
FP4LAB_MATH_ARRAY(log, Log)
FP4LAB_MATH_ARRAY(log2, Log2)
FP4LAB_MATH_ARRAY(log1p, Log1p)
FP4LAB_MATH_ARRAY(tanh, Tanh)
FP4LAB_MATH_ARRAY(erf, Erf)
FP4LAB_MATH_ARRAY(sigmoid, Sigmoid)
FP4LAB_MATH_ARRAY(silu, Silu)
FP4LAB_MATH_ARRAY(gelu, Gelu)
FP4LAB_MATH_ARRAY(rsqrt, Rsqrt)
FP4LAB_MATH_ARRAY(sqrt, Sqrt)
FP4LAB_MATH_ARRAY(sin, Sin)
FP4LAB_MATH_ARRAY(cos, Cos)

#undef FP4LAB_MATH_ARRAY

HWY_EXPORT(Pow);
void pow(std::span<const float> x, std::span<const float> y, std::span<float> z) {
  HWY_ASSERT(y.size() >= x.size() && z.size() >= x.size());
  HWY_DYNAMIC_DISPATCH(Pow)(x.data(), y.data(), 1, z.data(), x.size());
}
void pow(std::span<const float> x, float y, std::span<float> z) {
  HWY_ASSERT(z.size() >= x.size());
  HWY_DYNAMIC_DISPATCH(Pow)(x.data(), &y, 0, z.data(), x.size());
}

}  // namespace fp4lab::math
#endif  // HWY_ONCE
