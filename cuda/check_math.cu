// sim/math.h on the GPU against the CPU's array functions: every function of one argument over all
// 2^32 inputs, pow over random pairs. Both sides hash their results chunk by chunk; only a chunk
// whose hashes differ is copied and compared one by one.
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <span>
#include <vector>

#include "cuda/check.h"
#include "cuda/device.h"
#include "sim/math.h"
#include "sim/math_array.h"

namespace fp4lab::cuda {
namespace {

/// The output step of SplitMix64.
FP4LAB_HD constexpr std::uint64_t mix(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/// A function of one argument over the 2^24 inputs of a leading byte, or every 257th of them.
/// Hash: the sum over x of mix(x * 2^32 + bits of the result).
template <class Scalar>
struct Unary {
  std::uint32_t step;
  FP4LAB_HD std::uint32_t inputs() const { return ((1u << 24) + step - 1) / step; }
  FP4LAB_HD std::uint32_t input(std::uint64_t chunk, std::uint32_t i) const {
    return static_cast<std::uint32_t>(chunk << 24) + i * step;
  }
  FP4LAB_HD std::uint64_t tag(std::uint64_t chunk, std::uint32_t i) const {
    return std::uint64_t{input(chunk, i)} << 32;
  }
  FP4LAB_HD float value(std::uint64_t chunk, std::uint32_t i) const {
    return Scalar::call(bits_as<float>(input(chunk, i)));
  }
  void values(std::uint64_t chunk, std::uint32_t first, std::span<float> y) const {
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = bits_as<float>(input(chunk, first + static_cast<std::uint32_t>(i)));
    }
    Scalar::array(y, y);
  }
  void describe(std::uint64_t chunk, std::uint32_t i, char* text, std::size_t size) const {
    std::snprintf(text, size, "x %08x", input(chunk, i));
  }
};

#define FP4LAB_MATH_FUNCTIONS(X)                                                              \
  X(exp)                                                                                      \
  X(exp2)                                                                                     \
  X(expm1) X(log) X(log2) X(log1p) X(tanh) X(erf) X(sigmoid) X(silu) X(gelu) X(rsqrt) X(sqrt) \
      X(sin) X(cos)
#define FP4LAB_CALL(NAME)                                                                 \
  struct Call_##NAME {                                                                    \
    FP4LAB_HD static float call(float x) { return math::NAME(x); }                        \
    static void array(std::span<const float> x, std::span<float> y) { math::NAME(x, y); } \
  };
FP4LAB_MATH_FUNCTIONS(FP4LAB_CALL)
#undef FP4LAB_CALL

/// pow over pairs made from their number: any bits, results all over the range, common arguments.
struct Power {
  FP4LAB_HD std::uint32_t inputs() const { return 1u << 22; }
  FP4LAB_HD void pair(std::uint64_t chunk, std::uint32_t i, float& x, float& y) const {
    const std::uint64_t word = mix(chunk << 22 | i);
    const auto low = static_cast<std::uint32_t>(word),
               high = static_cast<std::uint32_t>(word >> 32);
    const auto signed_high = static_cast<std::int32_t>(high);
    x = bits_as<float>(low & 0x7FFFFFFFu);
    if (i % 4 == 0) {
      x = bits_as<float>(low);
      y = bits_as<float>(high);
    } else if (i % 4 == 1) {
      const int exponent = static_cast<int>((low & 0x7FFFFFFFu) >> 23) - 127;
      y = div_rn(mul_rn(static_cast<float>(signed_high), 0x1.2cp-24f),
                 add_rn(static_cast<float>(exponent), 0.5f));
    } else if (i % 4 == 2) {
      x = mul_rn(static_cast<float>(low >> 1), 0x1p-27f);
      y = mul_rn(static_cast<float>(signed_high), 0x1p-27f);
    } else {
      x = add_rn(1.0f, mul_rn(static_cast<float>(static_cast<std::int32_t>(low)), 0x1p-40f));
      y = mul_rn(static_cast<float>(signed_high), 0x1p-16f);
    }
  }
  FP4LAB_HD std::uint64_t tag(std::uint64_t chunk, std::uint32_t i) const {
    return (chunk << 22 | i) << 32;
  }
  FP4LAB_HD float value(std::uint64_t chunk, std::uint32_t i) const {
    float x = 0, y = 0;
    pair(chunk, i, x, y);
    return math::pow(x, y);
  }
  void values(std::uint64_t chunk, std::uint32_t first, std::span<float> z) const {
    std::vector<float> x(z.size());
    for (std::size_t i = 0; i < z.size(); ++i) {
      pair(chunk, first + static_cast<std::uint32_t>(i), x[i], z[i]);
    }
    math::pow(std::span<const float>(x), std::span<const float>(z), z);
  }
  void describe(std::uint64_t chunk, std::uint32_t i, char* text, std::size_t size) const {
    float x = 0, y = 0;
    pair(chunk, i, x, y);
    std::snprintf(text, size, "x %08x y %08x", bits_as<std::uint32_t>(x),
                  bits_as<std::uint32_t>(y));
  }
};

template <class Work>
__global__ void hash_kernel(Work work, std::uint64_t first_chunk, unsigned long long* sums) {
  const std::uint64_t chunk = first_chunk + blockIdx.y;
  unsigned long long sum = 0;
  const std::uint32_t n = work.inputs(), stride = gridDim.x * blockDim.x;
  for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
    sum += mix(work.tag(chunk, i) + bits_as<std::uint32_t>(work.value(chunk, i)));
  }
  for (int lane = 16; lane != 0; lane /= 2) sum += __shfl_down_sync(0xFFFFFFFFu, sum, lane);
  if (threadIdx.x % 32 == 0) atomicAdd(&sums[blockIdx.y], sum);
}

template <class Work>
__global__ void value_kernel(Work work, std::uint64_t chunk, float* y) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < work.inputs()) y[i] = work.value(chunk, i);
}

constexpr std::uint32_t kBlock = 4096;

/// Calls use(first, results) for each block of the chunk's results.
template <class Work, class Use>
void for_cpu_blocks(const Work& work, std::uint64_t chunk, Use use) {
  std::vector<float> y(kBlock);
  for (std::uint32_t first = 0; first < work.inputs(); first += kBlock) {
    const std::span<float> part(y.data(), std::min(kBlock, work.inputs() - first));
    work.values(chunk, first, part);
    use(first, part);
  }
}

template <class Work>
void compare(Tally& tally, const char* name, const Work& work, std::uint64_t chunks) {
  DeviceArray<unsigned long long> device(chunks);
  device.zero();
  constexpr std::uint64_t kLaunch = 256;  // chunks a launch
  for (std::uint64_t first = 0; first < chunks; first += kLaunch) {
    const dim3 grid(64, static_cast<unsigned>(std::min(kLaunch, chunks - first)));
    hash_kernel<<<grid, 256>>>(work, first, device.get() + first);
    check(cudaGetLastError(), "math kernel");
  }
  std::vector<unsigned long long> want(chunks), got(chunks);
#pragma omp parallel for schedule(dynamic)
  for (std::uint64_t chunk = 0; chunk < chunks; ++chunk) {
    for_cpu_blocks(work, chunk, [&](std::uint32_t first, std::span<const float> y) {
      for (std::uint32_t i = 0; i < y.size(); ++i) {
        want[chunk] += mix(work.tag(chunk, first + i) + bits_as<std::uint32_t>(y[i]));
      }
    });
  }
  device.download(got.data());

  std::uint64_t bad = 0, total = 0;
  char first_text[96] = "";
  std::vector<float> results;
  for (std::uint64_t chunk = 0; chunk < chunks; ++chunk) {
    total += want[chunk];
    if (got[chunk] == want[chunk]) continue;
    DeviceArray<float> y(work.inputs());
    results.resize(work.inputs());
    value_kernel<<<grid_for(work.inputs(), 256), 256>>>(work, chunk, y.get());
    check(cudaGetLastError(), "math kernel");
    y.download(results.data());
    for_cpu_blocks(work, chunk, [&](std::uint32_t first, std::span<const float> cpu) {
      for (std::uint32_t i = 0; i < cpu.size(); ++i) {
        if (bits_as<std::uint32_t>(cpu[i]) == bits_as<std::uint32_t>(results[first + i])) continue;
        if (bad++ != 0) continue;
        char arguments[48];
        work.describe(chunk, first + i, arguments, sizeof arguments);
        std::snprintf(first_text, sizeof first_text, "%s: GPU %08x, CPU %08x", arguments,
                      bits_as<std::uint32_t>(results[first + i]), bits_as<std::uint32_t>(cpu[i]));
      }
    });
    if (bad == 0) {  // the hashes differ, so something does
      bad = 1;
      std::snprintf(first_text, sizeof first_text, "results of chunk %llu change between two runs",
                    static_cast<unsigned long long>(chunk));
    }
  }
  char title[64];
  std::snprintf(title, sizeof title, "math %s, hash %016llx", name,
                static_cast<unsigned long long>(total));
  report(tally, title, chunks * work.inputs(), bad, first_text);
}

}  // namespace

Tally check_math(bool quick) {
  Tally t;
  const std::uint32_t step = quick ? 257 : 1;
#define FP4LAB_COMPARE(NAME) compare(t, #NAME, Unary<Call_##NAME>{step}, 256);
  FP4LAB_MATH_FUNCTIONS(FP4LAB_COMPARE)
#undef FP4LAB_COMPARE
  const std::uint64_t chunks = quick ? 1 : 1024;  // 2^22 or 2^32 pairs
  compare(t, "pow", Power{}, chunks);
  return t;
}

}  // namespace fp4lab::cuda
