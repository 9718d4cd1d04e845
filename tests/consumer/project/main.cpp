#include <bit>
#include <cstdio>

#include "expected.h"

std::uint32_t encode_in_second_unit(float x);

// The whole library works at compile time.
static_assert(fp4lab::decode(consumer::kFormat, 7) == 6.0f);
static_assert(fp4lab::encode(consumer::kFormat, 2.5f, fp4lab::kRne) == 4);
static_assert(fp4lab::encode(consumer::kFormat, 2.5f, fp4lab::kRna) == 5);

int main() {
  int failures = 0;
  for (std::uint32_t code = 0; code < 16; ++code) {
    const float got = fp4lab::decode(consumer::kFormat, code);
    if (std::bit_cast<std::uint32_t>(got) != std::bit_cast<std::uint32_t>(consumer::kValues[code])) {
      std::printf("decode %u: got %g want %g\n", code, got, consumer::kValues[code]);
      ++failures;
    }
  }
  for (const auto& [input, want] : consumer::kCases) {
    const std::uint32_t here = fp4lab::encode(consumer::kFormat, input);
    const std::uint32_t there = encode_in_second_unit(input);
    if (here != want || there != want) {
      std::printf("encode %.9g: got %u and %u, want %u\n", input, here, there, want);
      ++failures;
    }
  }
  std::printf("%d differences\n", failures);
  return failures == 0 ? 0 : 1;
}
