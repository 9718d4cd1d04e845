// Random blocks in bulk: 10^6 in the quick run, 5 * 10^6 in the default one, 10^8 on request: the scalar
// reference takes minutes for those.
#include <gtest/gtest.h>

#include "sim/quantize_fast.h"
#include "tests/simd/compare.h"

namespace fp4lab::test {
namespace {

struct Share {
  const char* spec;
  unsigned weight;  ///< tenths of all blocks
};
/// Blocks of 16, so that the number of blocks and not of elements is what costs.
const Share kShares[] = {
    {"mxfp4,block=1x16", 2},
    {"mxfp4,rule=rceil,block=1x16", 1},
    {"mxfp4,rule=even,block=1x16", 1},
    {"mxfp4,rule=ceil,round=sr:16,block=1x16", 1},
    {"nvfp4", 2},
    {"mxfp4,block=16x1", 1},
    {"nf4,block=1x16", 1},
    {"e2m1,block=1x16,round=rna", 1},
};
constexpr std::size_t kRows = 512, kCols = 2048;
constexpr std::size_t kBlocks = kRows * kCols / 16;

void compare_blocks(std::size_t blocks) {
  QuantizeOptions o;
  for (const Share& share : kShares) {
    const QuantSpec spec = parse_spec(share.spec);
    const std::size_t tensors = (blocks * share.weight / 10 + kBlocks - 1) / kBlocks;
    for (std::size_t k = 0; k < tensors; ++k) {
      Mix mix;
      mix.special_every = 2000;
      mix.exponent_range = k % 3 == 0 ? 3 : k % 3 == 1 ? 8 : 24;
      const auto x = random_blocks(kRows * kCols, 16, 1000 * share.weight + k, mix);
      o.random.stream.seed = k;
      compare_on_all_targets(spec, x, kRows, kCols, o);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(SimdRandom, AMillionBlocks) { compare_blocks(1'000'000); }

TEST(SimdRandomSlow, FiveMillionBlocks) { compare_blocks(5'000'000); }

TEST(SimdRandomExhaustive, AHundredMillionBlocks) { compare_blocks(100'000'000); }

}  // namespace
}  // namespace fp4lab::test
