// Philox4x32-10, the counter-based generator behind every random bit of the house.
// J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11.
#pragma once

#include <cstdint>

#include "formats/host_device.h"
#include "formats/rounding.h"

namespace fp4lab {

struct PhiloxCounter {
  std::uint32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0;
  friend constexpr bool operator==(const PhiloxCounter&, const PhiloxCounter&) = default;
};
/// The four 32-bit words of a draw, in ascending order.
struct PhiloxDraw {
  std::uint32_t word[4] = {};
  FP4LAB_HD constexpr std::uint32_t operator[](unsigned i) const noexcept { return word[i]; }
  friend constexpr bool operator==(const PhiloxDraw&, const PhiloxDraw&) = default;
};

/// One 128-bit draw: ten rounds, words in ascending order.
FP4LAB_HD constexpr PhiloxDraw philox4x32(PhiloxCounter c, std::uint32_t key0,
                                          std::uint32_t key1) noexcept {
  for (int round = 0; round < 10; ++round) {
    if (round != 0) {
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    const std::uint64_t p0 = 0xD2511F53ull * c.c0;
    const std::uint64_t p1 = 0xCD9E8D57ull * c.c2;
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c.c1 ^ key0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c.c3 ^ key1, static_cast<std::uint32_t>(p0)};
  }
  return {{c.c0, c.c1, c.c2, c.c3}};
}

/// What a draw is used for: the top byte of counter word c3.
enum class RandomPurpose : std::uint8_t {
  element_sr = 0,
  scale_sr = 1,
  hadamard_signs = 2,
  init = 3,
  data_order = 4,
  noise = 5,
  write_back = 6,
  accumulator = 7,
  communication = 8,
  synthetic_data = 9,
  calibration = 10,
};

/// One stream of random words. Element i's word depends on these fields and on i alone, never on
/// threads, blocks or call order.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;  ///< 8 * layer + slot; on the command line the input's number
  std::uint32_t step = 0;    ///< optimizer updates finished before this forward
  RandomPurpose purpose = RandomPurpose::element_sr;
  std::uint16_t microbatch = 0;
  std::uint8_t repeat = 0;   ///< sample, candidate or pass number

  /// The 128-bit draw number `n`.
  FP4LAB_HD constexpr PhiloxDraw draw(std::uint32_t n) const noexcept {
    const std::uint32_t c3 = (static_cast<std::uint32_t>(purpose) << 24) |
                             (static_cast<std::uint32_t>(microbatch) << 8) | repeat;
    return philox4x32({n, stream, step, c3}, static_cast<std::uint32_t>(seed),
                      static_cast<std::uint32_t>(seed >> 32));
  }
  /// Width of an element's slot for N random bits: 8, 16 or 32.
  FP4LAB_HD static constexpr int slot_width(int random_bits) noexcept {
    return random_bits <= 8 ? 8 : random_bits <= 16 ? 16 : 32;
  }
  /// Element `i`'s slot of width `w` (8, 16, 32) bits.
  FP4LAB_HD constexpr std::uint32_t slot(std::uint64_t i, int w) const noexcept {
    const unsigned per_draw = 128u / static_cast<unsigned>(w);
    const PhiloxDraw d = draw(static_cast<std::uint32_t>(i / per_draw));
    const unsigned bit = static_cast<unsigned>(w) * static_cast<unsigned>(i % per_draw);
    const std::uint32_t word = d[bit / 32] >> (bit % 32);
    return w == 32 ? word : word & ((1u << w) - 1u);
  }
  /// The random word element `i` gets under rounding `r`. `sr-hw` shares one 32-bit slot, that of
  /// i / 4, among four neighbours.
  FP4LAB_HD constexpr std::uint32_t word(std::uint64_t i, const Rounding& r) const noexcept {
    if (r.kind == RoundingKind::sr_hw) {
      return hw_lane_word(r, slot(i / 4, 32), static_cast<unsigned>(i % 4));
    }
    return slot(i, slot_width(r.random_bits()));
  }
};

}  // namespace fp4lab
