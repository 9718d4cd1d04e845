// Philox4x32-10 in vectors, and a cursor that hands out random words by element index.
#if defined(FP4LAB_SIM_SIMD_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_PHILOX_INL_H_
#undef FP4LAB_SIM_SIMD_PHILOX_INL_H_
#else
#define FP4LAB_SIM_SIMD_PHILOX_INL_H_
#endif

#include <hwy/highway.h>

#include "sim/simd/plan.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DU64 = hn::ScalableTag<std::uint64_t>;

/// The state of Lanes(DU64) draws. A word sits in the low half of its 64-bit lane; what is above it
/// is garbage that no operation reads, because the widening product takes low halves only.
struct PhiloxState {
  hn::Vec<DU64> c0, c1, c2, c3;
};

HWY_INLINE hn::Vec<DU64> WideProduct(hn::Vec<DU64> a, hn::Vec<DU64> m) {
  const hn::Repartition<std::uint32_t, DU64> d32;
  return hn::MulEven(hn::BitCast(d32, a), hn::BitCast(d32, m));
}

HWY_INLINE void PhiloxRound(PhiloxState& s, hn::Vec<DU64> m0, hn::Vec<DU64> m1, hn::Vec<DU64> k0,
                            hn::Vec<DU64> k1) {
  const auto p0 = WideProduct(s.c0, m0);
  const auto p1 = WideProduct(s.c2, m1);
  s.c0 = hn::Xor3(hn::ShiftRight<32>(p1), s.c1, k0);
  s.c2 = hn::Xor3(hn::ShiftRight<32>(p0), s.c3, k1);
  s.c1 = p1;
  s.c3 = p0;
}

HWY_INLINE void StoreDraws(const PhiloxState& s, std::uint32_t* words) {
  const DU64 d;
  const auto low = hn::Set(d, 0xFFFFFFFFull);
  const auto a = hn::Or(hn::And(s.c0, low), hn::ShiftLeft<32>(s.c1));
  const auto b = hn::Or(hn::And(s.c2, low), hn::ShiftLeft<32>(s.c3));
  hn::StoreInterleaved2(a, b, d, reinterpret_cast<std::uint64_t*>(words));
}

/// The keys of the ten rounds.
struct PhiloxKeys {
  explicit HWY_INLINE PhiloxKeys(const Plan& plan) {
    for (std::uint32_t r = 0; r < 10; ++r) {
      k0[r] = plan.key0 + r * 0x9E3779B9u;
      k1[r] = plan.key1 + r * 0xBB67AE85u;
    }
  }
  std::uint64_t k0[10], k1[10];
};

/// Draws `first_draw` ... in groups of up to two vectors; writes whole vectors, so `words` needs
/// room for `draws` rounded up to a multiple of Lanes(DU64).
HWY_INLINE void PhiloxDraws(const Plan& plan, const PhiloxKeys& keys, std::uint32_t first_draw,
                            std::size_t draws, std::uint32_t* HWY_RESTRICT words) {
  const DU64 d;
  const std::size_t n = hn::Lanes(d);
  const auto m0 = hn::Set(d, 0xD2511F53ull), m1 = hn::Set(d, 0xCD9E8D57ull);
  const auto start = [&](std::size_t i) HWY_ATTR {
    return PhiloxState{hn::Add(hn::Set(d, std::uint64_t{first_draw} + i), hn::Iota(d, 0)),
                       hn::Set(d, plan.counter1), hn::Set(d, plan.counter2),
                       hn::Set(d, plan.counter3)};
  };
  std::size_t i = 0;
  // Two independent states at a time: one alone would wait for its own products.
  for (; i + n < draws; i += 2 * n) {
    PhiloxState a = start(i), b = start(i + n);
    for (int r = 0; r < 10; ++r) {
      const auto k0 = hn::Set(d, keys.k0[r]), k1 = hn::Set(d, keys.k1[r]);
      PhiloxRound(a, m0, m1, k0, k1);
      PhiloxRound(b, m0, m1, k0, k1);
    }
    StoreDraws(a, words + 4 * i);
    StoreDraws(b, words + 4 * (i + n));
  }
  for (; i < draws; i += n) {
    PhiloxState a = start(i);
    for (int r = 0; r < 10; ++r) {
      PhiloxRound(a, m0, m1, hn::Set(d, keys.k0[r]), hn::Set(d, keys.k1[r]));
    }
    StoreDraws(a, words + 4 * i);
  }
}

/// Random words of consecutive elements, drawn a buffer at a time and spread to one 32-bit word an
/// element: the low random_bits of RandomStream::slot(i, width).
class RandomCursor {
 public:
  static constexpr std::size_t kElements = 1024;

  explicit RandomCursor(const Plan& plan)
      : plan_(plan),
        keys_(plan),
        mask_(plan.random_bits >= 32 ? ~0u : (1u << plan.random_bits) - 1u) {}

  /// Makes the words of elements [i, i + n) available, and of up to `ahead` >= n elements if any
  /// must be drawn; ahead <= kElements.
  HWY_INLINE void Reserve(std::uint64_t i, std::size_t n, std::size_t ahead) {
    if (HWY_LIKELY(i >= begin_ && i + n <= end_)) return;
    Refill(i, ahead);
  }
  /// Words from element i on. Reading a whole vector at the end of what was reserved stays inside
  /// the buffer.
  HWY_INLINE const std::uint32_t* At(std::uint64_t i) const { return words_ + (i - begin_); }

 private:
  HWY_NOINLINE void Refill(std::uint64_t i, std::size_t n) {
    const hn::ScalableTag<std::uint32_t> d;
    const auto mask = hn::Set(d, mask_);
    if (plan_.given != nullptr) {
      for (std::size_t k = 0; k < n; ++k) words_[k] = plan_.given[i + k] & mask_;
      begin_ = i;
      end_ = i + n;
      return;
    }
    const unsigned per_draw = 128u / static_cast<unsigned>(plan_.slot_width);
    const std::uint64_t first = i / per_draw, last = (i + n - 1) / per_draw;
    const std::size_t draws = last - first + 1;
    PhiloxDraws(plan_, keys_, static_cast<std::uint32_t>(first), draws, slots_);
    const std::size_t slots = draws * per_draw;
    const auto spread = [&](auto narrow) HWY_ATTR {
      const auto* from = reinterpret_cast<const hn::TFromD<decltype(narrow)>*>(slots_);
      for (std::size_t k = 0; k < slots; k += hn::Lanes(d)) {
        hn::StoreU(hn::And(hn::PromoteTo(d, hn::LoadU(narrow, from + k)), mask), d, words_ + k);
      }
    };
    if (plan_.slot_width == 8) {
      spread(hn::Rebind<std::uint8_t, decltype(d)>());
    } else if (plan_.slot_width == 16) {
      spread(hn::Rebind<std::uint16_t, decltype(d)>());
    } else {
      for (std::size_t k = 0; k < slots; k += hn::Lanes(d)) {
        hn::StoreU(hn::And(hn::LoadU(d, slots_ + k), mask), d, words_ + k);
      }
    }
    begin_ = first * per_draw;
    end_ = (last + 1) * per_draw;
  }

  const Plan& plan_;
  PhiloxKeys keys_;
  std::uint32_t mask_;
  std::uint64_t begin_ = 0, end_ = 0;
  // Slots of up to 32 bits, part draws at both ends, a vector of draws of rounding up.
  HWY_ALIGN std::uint32_t slots_[kElements + 4 * (2 + hn::MaxLanes(DU64())) + 16];
  // Part draws of up to 15 slots at both ends, a vector read beyond.
  HWY_ALIGN std::uint32_t words_[kElements + 64];
};

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
