// Nibble packing, the 128x4 scale layout, Philox and the slots that elements own.
#include "formats/packing.h"

#include <array>
#include <set>
#include <vector>

#include "formats/philox.h"
#include "tests/blocks/compare.h"

namespace fp4lab_blocks {
namespace {

using fp4lab::NibbleOrder;
using fp4lab::ScaleLayout;

TEST(Packing, Nibbles_ComeBackInBothOrders) {
  Generator random(1);
  for (const NibbleOrder order : {NibbleOrder::low_first, NibbleOrder::high_first}) {
    for (std::size_t n = 0; n <= 67; ++n) {
      std::vector<std::uint8_t> codes(n), back(n + 1, 0xAA);
      for (auto& c : codes) c = static_cast<std::uint8_t>(random.below(16));
      ASSERT_EQ(fp4lab::packed_bytes(n), (n + 1) / 2);
      std::vector<std::uint8_t> packed((n + 1) / 2 + 1, 0x55);
      fp4lab::pack_nibbles(codes.data(), n, packed.data(), order);
      ASSERT_EQ(packed.back(), 0x55) << "wrote past the end";
      for (std::size_t i = 0; i < n; ++i) {
        const bool low = (i % 2 == 0) == (order == NibbleOrder::low_first);
        ASSERT_EQ((packed[i / 2] >> (low ? 0 : 4)) & 0xF, codes[i]);
      }
      if (n % 2 == 1) {
        const unsigned padding = packed[n / 2] >> (order == NibbleOrder::low_first ? 4 : 0) & 0xF;
        ASSERT_EQ(padding, 0u);
      }
      fp4lab::unpack_nibbles(packed.data(), n, back.data(), order);
      ASSERT_EQ(back[n], 0xAA);
      back.resize(n);
      ASSERT_EQ(back, codes);
    }
  }
}

TEST(Packing, Nibbles_FollowCudasPair) {
  // __nv_fp4x2 of {1.0, -6.0} is F2.
  const std::uint8_t codes[2] = {0x2, 0xF};
  std::uint8_t packed = 0;
  fp4lab::pack_nibbles(codes, 2, &packed, NibbleOrder::low_first);
  EXPECT_EQ(packed, 0xF2);
}

TEST(ScaleLayoutTest, KnownOffsets) {
  const ScaleLayout l{300, 10};
  EXPECT_EQ(l.offset(0, 0), 0u);
  EXPECT_EQ(l.offset(32, 0), 4u);
  EXPECT_EQ(l.offset(1, 0), 16u);
  EXPECT_EQ(l.offset(0, 4), 512u);
  EXPECT_EQ(l.offset(127, 3), 511u);
  EXPECT_EQ(l.offset(128, 0), 512u * 3);
  EXPECT_EQ(l.bytes(), 384u * 12);
}

TEST(ScaleLayoutTest, OffsetsAreThePermutedReshape) {
  // Reshape (R/128, 4, 32, C/4, 4), permute to (0, 3, 2, 1, 4): count positions in that order.
  const ScaleLayout l{256, 12};
  std::uint64_t at = 0;
  for (std::uint64_t rb = 0; rb < 2; ++rb) {
    for (std::uint64_t cb = 0; cb < 3; ++cb) {
      for (std::uint64_t d3 = 0; d3 < 32; ++d3) {
        for (std::uint64_t d4 = 0; d4 < 4; ++d4) {
          for (std::uint64_t d5 = 0; d5 < 4; ++d5, ++at) {
            ASSERT_EQ(l.offset(rb * 128 + d4 * 32 + d3, cb * 4 + d5), at);
          }
        }
      }
    }
  }
}

TEST(ScaleLayoutTest, SwizzleIsABijection_AndItsInverseUndoesIt) {
  Generator random(2);
  for (const auto& [rows, cols] : {std::pair<std::uint64_t, std::uint64_t>{1, 1},
                                   {128, 4},
                                   {129, 5},
                                   {300, 10},
                                   {64, 3},
                                   {257, 17}}) {
    const ScaleLayout l{rows, cols};
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < l.padded_rows(); ++i) {
      for (std::uint64_t j = 0; j < l.padded_cols(); ++j) {
        const std::uint64_t at = l.offset(i, j);
        ASSERT_LT(at, l.bytes());
        ASSERT_TRUE(seen.insert(at).second);
        std::uint64_t r = 0, c = 0;
        l.position(at, r, c);
        ASSERT_EQ(r, i);
        ASSERT_EQ(c, j);
      }
    }
    std::vector<std::uint8_t> scales(rows * cols), swizzled(l.bytes(), 0xEE), back(rows * cols);
    for (auto& s : scales) s = static_cast<std::uint8_t>(1 + random.below(255));
    fp4lab::swizzle_scales(l, scales.data(), swizzled.data());
    std::size_t padding = 0;
    for (const std::uint8_t b : swizzled) padding += b == 0;
    EXPECT_EQ(padding, l.bytes() - rows * cols) << "padding must be code 0";
    fp4lab::unswizzle_scales(l, swizzled.data(), back.data());
    EXPECT_EQ(back, scales);
  }
}

TEST(Philox, KnownAnswers) {
  using fp4lab::philox4x32;
  const auto zero = philox4x32({0, 0, 0, 0}, 0, 0);
  EXPECT_EQ(zero, (fp4lab::PhiloxDraw{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  const auto pi =
      philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0);
  EXPECT_EQ(pi, (fp4lab::PhiloxDraw{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
  // All ones: the generator's published third known answer.
  const auto ones =
      philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff);
  EXPECT_EQ(ones, (fp4lab::PhiloxDraw{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
}

TEST(Philox, SlotsOfTheContract) {
  fp4lab::RandomStream s;
  s.seed = 1;
  s.stream = 8 * 2 + 3;
  s.step = 3;
  EXPECT_EQ(s.draw(2), (fp4lab::PhiloxDraw{{0xaf511a4b, 0xd7132dcf, 0x2df42933, 0xf1d5d4ea}}));
  EXPECT_EQ(s.slot(21, 16), 0x2df4u);
  EXPECT_EQ(s.slot(21, 8), 0xd1u);
  EXPECT_EQ(s.slot(21, 32), 0x48f69392u);
  EXPECT_EQ(fp4lab::RandomStream::slot_width(8), 8);
  EXPECT_EQ(fp4lab::RandomStream::slot_width(9), 16);
  EXPECT_EQ(fp4lab::RandomStream::slot_width(17), 32);
}

TEST(Philox, EveryFieldOfTheCounter_MatchesTheModel) {
  Generator random(3);
  for (int n = 0; n < 200; ++n) {
    oracle::RandomBits want;
    want.seed = random.next();
    want.stream = random.below(1u << 30);
    want.step = random.below(1u << 30);
    want.purpose = random.below(11);
    want.microbatch = random.below(1u << 16);
    want.repeat = random.below(256);
    fp4lab::RandomStream got;
    got.seed = want.seed;
    got.stream = want.stream;
    got.step = want.step;
    got.purpose = static_cast<fp4lab::RandomPurpose>(want.purpose);
    got.microbatch = static_cast<std::uint16_t>(want.microbatch);
    got.repeat = static_cast<std::uint8_t>(want.repeat);
    const std::uint64_t i = random.next() >> 34;
    for (const int w : {8, 16, 32}) ASSERT_EQ(got.slot(i, w), want.slot(i, w)) << i << " " << w;
  }
}

}  // namespace
}  // namespace fp4lab_blocks
