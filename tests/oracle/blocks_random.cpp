#include "tests/oracle/blocks_random.h"

namespace fp4lab_oracle {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) {
  for (int round = 1; round <= 10; ++round) {
    if (round > 1) {
      key[0] += 0x9E3779B9u;
      key[1] += 0xBB67AE85u;
    }
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
  }
  return counter;
}

std::uint32_t RandomBits::slot(std::uint64_t i, int w) const {
  const auto per_draw = static_cast<std::uint64_t>(128 / w);
  const auto draw =
      philox({static_cast<std::uint32_t>(i / per_draw), stream, step,
              purpose * 16777216u + microbatch * 256u + repeat},
             {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  std::uint32_t result = 0;
  for (int bit = 0; bit < w; ++bit) {
    const int at = w * static_cast<int>(i % per_draw) + bit;
    result |= (draw[static_cast<std::size_t>(at / 32)] >> (at % 32) & 1u) << bit;
  }
  return result;
}

std::uint32_t RandomBits::word(std::uint64_t i, int n_bits) const {
  const std::uint32_t all = given.empty() ? slot(i, n_bits <= 8    ? 8
                                                    : n_bits <= 16 ? 16
                                                                   : 32)
                                          : given[static_cast<std::size_t>(i)];
  return n_bits >= 32 ? all : all & ((1u << n_bits) - 1u);
}

}  // namespace fp4lab_oracle
