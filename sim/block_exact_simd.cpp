// Four rows of A against sixteen rows of B at a time: exact integer dots by 16-bit multiply-adds,
// then one fused multiply-add an output and segment.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sim/block_exact.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/block_exact_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Instruction sets whose MulAdd is one rounding.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    HWY_TARGET == HWY_AVX3_ZEN4 || HWY_TARGET == HWY_NEON

inline std::int32_t pair_at(const std::int16_t* a, std::size_t p) {
  std::int32_t v;
  std::memcpy(&v, a + 2 * p, sizeof v);
  return v;
}

bool panel(const BlockExactPanel& p, float* out) {
  const hn::CappedTag<std::int32_t, BlockExactTask::kPanel> d32;
  const hn::Repartition<std::int16_t, decltype(d32)> d16;
  const hn::Repartition<float, decltype(d32)> df;
  constexpr std::size_t kLanes = BlockExactTask::kPanel;
  const auto unit = hn::Set(df, p.unit);
  for (std::size_t l = 0; l < kLanes; l += hn::Lanes(d32)) {
    auto y0 = hn::Zero(df), y1 = y0, y2 = y0, y3 = y0;
    std::size_t at = 0;
    for (std::size_t s = 0; s < p.segments; ++s) {
      const std::size_t end = HWY_MIN(p.pairs, at + p.pairs_per_segment);
      auto s0 = hn::Zero(d32), s1 = s0, s2 = s0, s3 = s0;
      auto e0 = s0, e1 = s0, e2 = s0, e3 = s0;
      for (; at < end; ++at) {
        const auto b = hn::LoadU(d16, p.b + (at * kLanes + l) * 2);
        s0 = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, hn::Set(d32, pair_at(p.a[0], at))),
                                           b, s0, e0);
        s1 = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, hn::Set(d32, pair_at(p.a[1], at))),
                                           b, s1, e1);
        s2 = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, hn::Set(d32, pair_at(p.a[2], at))),
                                           b, s2, e2);
        s3 = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, hn::Set(d32, pair_at(p.a[3], at))),
                                           b, s3, e3);
      }
      const auto scale = hn::LoadU(df, p.scale_b + s * kLanes + l);
      const auto dot = [&](auto sum, auto rest) HWY_ATTR {
        return hn::Mul(hn::ConvertTo(df, hn::RearrangeToOddPlusEven(sum, rest)), unit);
      };
      y0 = hn::MulAdd(dot(s0, e0), hn::Mul(hn::Set(df, p.scale_a[0][s]), scale), y0);
      y1 = hn::MulAdd(dot(s1, e1), hn::Mul(hn::Set(df, p.scale_a[1][s]), scale), y1);
      y2 = hn::MulAdd(dot(s2, e2), hn::Mul(hn::Set(df, p.scale_a[2][s]), scale), y2);
      y3 = hn::MulAdd(dot(s3, e3), hn::Mul(hn::Set(df, p.scale_a[3][s]), scale), y3);
    }
    hn::StoreU(y0, df, out + l);
    hn::StoreU(y1, df, out + kLanes + l);
    hn::StoreU(y2, df, out + 2 * kLanes + l);
    hn::StoreU(y3, df, out + 3 * kLanes + l);
  }
  return true;
}

#else

// A fused multiply-add made of several instructions would not be one: the caller's scalar code does
// it.
bool panel(const BlockExactPanel&, float*) { return false; }

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(panel);

bool block_exact_panel(const BlockExactPanel& p, float* out) {
  return HWY_DYNAMIC_DISPATCH(panel)(p, out);
}

}  // namespace fp4lab::detail
#endif
