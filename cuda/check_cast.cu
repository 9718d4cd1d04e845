// Casts on the GPU against the same headers on the CPU, over all 2^32 binary32 inputs.
#include <cstdio>
#include <vector>

#include "cuda/check.h"
#include "cuda/device.h"
#include "formats/catalog.h"
#include "formats/convert.h"
#include "formats/philox.h"

namespace fp4lab::cuda {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 26;

constexpr ElementFormat format_of(std::string_view id) {
  for (const FormatInfo& f : kCatalog) {
    if (f.id == id) return f.format;
  }
  return {};
}

/// Codes of `n` consecutive inputs (bit pattern first + i * step). Stochastic modes take the words
/// of stream 5 by position.
template <class Format, class Round, class Code>
__global__ void cast_kernel(std::uint64_t first, std::uint64_t step, std::size_t n, Code* codes) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  constexpr ElementFormat f = Format::get();
  constexpr Rounding r = Round::get();
  const float x = bits_as<float>(static_cast<std::uint32_t>(first + i * step));
  const RandomStream stream{1, 5, 0};
  codes[i] = static_cast<Code>(
      encode(f, x, r, Policy::cuda, r.is_stochastic() ? stream.word(i, r) : 0u));
}

template <ElementFormat F, Rounding R>
void check_one(Tally& tally, const char* name, bool quick) {
  const std::uint64_t step = quick ? 257 : 1;
  const std::uint64_t inputs = ((1ull << 32) + step - 1) / step;
  DeviceArray<std::uint8_t> device(kChunk);
  std::vector<std::uint8_t> host(kChunk);
  std::uint64_t bad = 0, first_bad = ~0ull;
  for (std::uint64_t done = 0; done < inputs; done += kChunk) {
    const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, inputs - done));
    const std::uint64_t first = done * step;
    cast_kernel<FormatTag<F>, RoundingTag<R>>
        <<<grid_for(n, 256), 256>>>(first, step, n, device.get());
    check(cudaGetLastError(), "cast kernel");
    device.download(host.data());
    constexpr ElementFormat f = F;
    constexpr Rounding r = R;
    const RandomStream stream{1, 5, 0};
#pragma omp parallel for reduction(+ : bad) reduction(min : first_bad) schedule(static)
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t bits = static_cast<std::uint32_t>(first + i * step);
      const std::uint32_t want = encode(f, bits_as<float>(bits), r, Policy::cuda,
                                        r.is_stochastic() ? stream.word(i, r) : 0u);
      if (host[i] != static_cast<std::uint8_t>(want)) {
        ++bad;
        if (bits < first_bad) first_bad = bits;
      }
    }
  }
  char first_text[64] = "";
  if (bad != 0) {
    std::snprintf(first_text, sizeof first_text, "input %08llx",
                  static_cast<unsigned long long>(first_bad));
  }
  report(tally, std::string("cast ") + name, inputs, bad, first_text);
}

}  // namespace

Tally check_casts(bool quick) {
  Tally t;
#define FP4LAB_CAST(ID, ROUND) check_one<format_of(ID), ROUND>(t, ID " " #ROUND, quick)
  FP4LAB_CAST("e2m1", kRne);
  FP4LAB_CAST("e2m1", kRtz);
  FP4LAB_CAST("e2m1", kRna);
  FP4LAB_CAST("e3m0", kRne);
  FP4LAB_CAST("e3m0", kRtz);
  FP4LAB_CAST("e3m0", kRna);
  FP4LAB_CAST("e4m3", kRne);
  FP4LAB_CAST("e4m3", kRtz);
  FP4LAB_CAST("e4m3", kRna);
  FP4LAB_CAST("e5m2", kRne);
  FP4LAB_CAST("e5m2", kRtz);
  FP4LAB_CAST("e5m2", kRna);
  FP4LAB_CAST("e2m1", stochastic(16));
  FP4LAB_CAST("nf4", kRnLower);
  FP4LAB_CAST("radix4-even", kRne);
#undef FP4LAB_CAST
  return t;
}

}  // namespace fp4lab::cuda
