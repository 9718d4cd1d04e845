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
  s.c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), s.c1), k0);
  s.c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), s.c3), k1);
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

/// Draws `first_draw` ... in groups of up to two vectors; writes whole vectors, so `words` needs
/// room for `draws` rounded up to a multiple of Lanes(DU64).
HWY_INLINE void PhiloxDraws(const Plan& plan, std::uint32_t first_draw, std::size_t draws,
                            std::uint32_t* words) {
  const DU64 d;
  const std::size_t n = hn::Lanes(d);
  const auto m0 = hn::Set(d, 0xD2511F53ull), m1 = hn::Set(d, 0xCD9E8D57ull);
  const auto start = [&](std::size_t i) HWY_ATTR {
    return PhiloxState{
        hn::Add(hn::Set(d, std::uint64_t{first_draw} + i), hn::Iota(d, 0)),
        hn::Set(d, plan.counter1), hn::Set(d, plan.counter2), hn::Set(d, plan.counter3)};
  };
  std::size_t i = 0;
  // Two independent states at a time: one alone would wait for its own products.
  for (; i + n < draws; i += 2 * n) {
    PhiloxState a = start(i), b = start(i + n);
    std::uint32_t k0 = plan.key0, k1 = plan.key1;
    for (int round = 0; round < 10; ++round) {
      const auto v0 = hn::Set(d, k0), v1 = hn::Set(d, k1);
      PhiloxRound(a, m0, m1, v0, v1);
      PhiloxRound(b, m0, m1, v0, v1);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    StoreDraws(a, words + 4 * i);
    StoreDraws(b, words + 4 * (i + n));
  }
  for (; i < draws; i += n) {
    PhiloxState a = start(i);
    std::uint32_t k0 = plan.key0, k1 = plan.key1;
    for (int round = 0; round < 10; ++round) {
      PhiloxRound(a, m0, m1, hn::Set(d, k0), hn::Set(d, k1));
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    StoreDraws(a, words + 4 * i);
  }
}

/// Random words of consecutive elements, drawn a buffer at a time. Element i's slot is
/// RandomStream::slot(i, width).
class RandomCursor {
 public:
  explicit RandomCursor(const Plan& plan)
      : plan_(plan), mask_(plan.random_bits >= 32 ? ~0u : (1u << plan.random_bits) - 1u) {}

  /// Makes the words of elements [i, i + n) available, and of up to `ahead` >= n elements if any
  /// must be drawn; ahead <= kElements.
  HWY_INLINE void Reserve(std::uint64_t i, std::size_t n, std::size_t ahead) {
    if (plan_.given != nullptr || (i >= begin_ && i + n <= end_)) return;
    n = ahead;
    const unsigned per_draw = 128u / static_cast<unsigned>(plan_.slot_width);
    const std::uint64_t first = i / per_draw, last = (i + n - 1) / per_draw;
    PhiloxDraws(plan_, static_cast<std::uint32_t>(first), last - first + 1, words_);
    begin_ = first * per_draw;
    end_ = (last + 1) * per_draw;
  }
  /// Words of Lanes(d) elements from i on; the buffer is longer than what was reserved, so that
  /// reading a whole vector at the end stays inside it.
  template <class D>
  HWY_INLINE hn::Vec<D> Load(D d, std::uint64_t i) const {
    const auto mask = hn::Set(d, mask_);
    if (plan_.given != nullptr) return hn::And(hn::LoadU(d, plan_.given + i), mask);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(words_);
    const std::size_t at = static_cast<std::size_t>(i - begin_);
    switch (plan_.slot_width) {
      case 8: {
        const hn::Rebind<std::uint8_t, D> d8;
        return hn::And(hn::PromoteTo(d, hn::LoadU(d8, bytes + at)), mask);
      }
      case 16: {
        const hn::Rebind<std::uint16_t, D> d16;
        return hn::And(hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(
                                                           bytes) + at)), mask);
      }
      default:
        return hn::And(hn::LoadU(d, words_ + at), mask);
    }
  }
  /// Words of n < Lanes(d) elements; reads no given word beyond the last.
  template <class D>
  HWY_INLINE hn::Vec<D> LoadN(D d, std::uint64_t i, std::size_t n) const {
    if (plan_.given == nullptr) return Load(d, i);
    HWY_ALIGN std::uint32_t part[hn::MaxLanes(d)] = {};
    for (std::size_t k = 0; k < n; ++k) part[k] = plan_.given[i + k] & mask_;
    return hn::Load(d, part);
  }

  static constexpr std::size_t kElements = 1024;

 private:
  const Plan& plan_;
  std::uint32_t mask_;
  std::uint64_t begin_ = 0, end_ = 0;
  // Slots of up to 32 bits, two part draws at the ends, a vector of draws of rounding up.
  HWY_ALIGN std::uint32_t words_[kElements + 4 * (2 + hn::MaxLanes(DU64())) + 16];
};

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
