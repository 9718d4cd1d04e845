// FP4 instructions: the sum of 16 products is an integer dot; a group's term s sA sB, its alignment
// and the sum of an instruction's terms are exact in binary64, because every term is a multiple of
// 2^Q below 2^(Q + 47).
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sim/mma_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/mma_fp4_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "sim/simd/byte_dots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#ifdef FP4LAB_BYTE_DOTS

using DD = hn::CappedTag<double, 8>;
using DL = hn::RebindToSigned<DD>;
using DHalfI = hn::Rebind<std::int32_t, DD>;
using DHalfF = hn::Rebind<float, DD>;
using VD = hn::Vec<DD>;
using MD = hn::Mask<DD>;
constexpr std::size_t kDoubles = hn::MaxLanes(DD());

/// Columns that are worked on together.
constexpr std::size_t kWidth = 2 * kLanes;
constexpr std::size_t kMostGroups = kMaxInstructionK / 16;

/// The magnitude cut at multiples of `unit`, a power of two; |x| < 2^52 unit = large.
HWY_INLINE VD Cut(VD x, VD unit, VD large) {
  const VD m = hn::Abs(x);
  const VD nearest = hn::Sub(hn::Add(m, large), large);
  const VD down = hn::Sub(nearest, hn::IfThenElseZero(hn::Gt(nearest, m), unit));
  return hn::CopySign(down, x);
}

/// Zero, or a normal binary32.
HWY_INLINE MD IsOrdinary(VD x) {
  const DD d;
  const VD m = hn::Abs(x);
  return hn::Or(hn::Eq(m, hn::Zero(d)),
                hn::And(hn::Ge(m, hn::Set(d, 0x1p-126)), hn::Lt(m, hn::Set(d, 0x1p128))));
}

/// kMost rows by kWidth columns.
struct Patch {
  HWY_ALIGN double c[kMost][kWidth];                        ///< accumulators
  HWY_ALIGN std::int32_t sums[kMostGroups][kMost][kWidth];  ///< of one instruction's groups
};

/// The operands' scales where a patch begins.
struct Scales {
  const double *scale_a, *power_a, *scale_b, *power_b;
};

/// Integer dots of `groups` groups from quad `q` on.
template <class Dot>
HWY_INLINE void SumGroups(const Fp4Tile& t, std::size_t group, std::size_t groups,
                          const std::int8_t* a, const std::int32_t* start, const std::uint8_t* b,
                          Patch& patch) {
  const DI di;
  std::size_t quad = group == 0 ? 0 : t.quad_ends[group - 1];
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t quads = t.quad_ends[group + g] - quad;
    VI s[kMost][2];
    HWY_UNROLL(16)
    for (int r = 0; r < kMost; ++r) s[r][0] = s[r][1] = hn::Zero(di);
    Dot::template Run<kMost, 2>(a + quad * 4 * kRows, b + quad * 4 * kPanel, quads, t.pair_quads,
                                s);
    HWY_UNROLL(16)
    for (int r = 0; r < kMost; ++r) {
      const VI correction = hn::Set(di, start[(group + g) * kRows + static_cast<std::size_t>(r)]);
      hn::Store(hn::Add(s[r][0], correction), di, patch.sums[g][r]);
      hn::Store(hn::Add(s[r][1], correction), di, patch.sums[g][r] + kLanes);
    }
    quad += quads;
  }
}

/// Terms of one row's vector of outputs: s sA sB, and the power of two that aligns them.
template <class Add>
HWY_INLINE void ForTerms(const Scales& s, const Patch& patch, std::size_t group, std::size_t groups,
                         std::size_t r, std::size_t lane, Add&& add) {
  const DD d;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t at_a = (group + g) * kRows + r, at_b = (group + g) * kPanel + lane;
    const VD power = hn::Mul(hn::Set(d, s.power_a[at_a]), hn::LoadU(d, s.power_b + at_b));
    const VD sum = hn::PromoteTo(d, hn::Load(DHalfI(), patch.sums[g][r] + lane));
    const VD factor = hn::Mul(hn::Set(d, s.scale_a[at_a]), hn::LoadU(d, s.scale_b + at_b));
    add(hn::Mul(sum, factor), power);
  }
}

/// One instruction for a patch of `rows` by `cols`.
HWY_INLINE void Accumulate(const Fp4Tile& t, const Scales& s, Patch& patch, std::size_t group,
                           std::size_t groups, std::size_t i, std::size_t j, std::size_t rows,
                           std::size_t cols) {
  const DD d;
  const DL dl;
  const auto exponent_bits = hn::BitCast(d, hn::Set(dl, std::int64_t{0x7FF0000000000000}));
  const auto kept_bits = hn::BitCast(d, hn::Set(dl, ~std::int64_t{0x1FFFFFFF}));
  const VD zero = hn::Zero(d), c_kept = hn::Set(d, pow2_f64(23 - t.fraction_bits));
  const double keep = pow2_f64(t.kept_distance);
  for (std::size_t r = 0; r < rows; ++r) {
    const VD lowest_a = hn::Set(d, keep * t.lowest_a[i + r]);
    for (std::size_t lane = 0; lane < cols; lane += kDoubles) {
      VD c = hn::Load(d, patch.c[r] + lane), terms = zero, power = hn::And(c, exponent_bits);
      const VD c_power = power;
      ForTerms(s, patch, group, groups, r, lane, [&](VD term, VD p) HWY_ATTR {
        power = hn::Max(power, hn::IfThenElseZero(hn::Ne(term, zero), p));
        terms = hn::Add(terms, term);
      });
      // Does a term or c reach below the lowest kept bit?
      const VD lowest = hn::Mul(lowest_a, hn::LoadU(d, t.lowest_b + j + lane));
      const MD c_cut = hn::And(hn::Lt(c_power, hn::Mul(power, c_kept)), hn::Ne(c_power, zero));
      if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Or(c_cut, hn::Gt(power, lowest))))) {
        const VD unit = hn::Mul(power, hn::Set(d, pow2_f64(-t.fraction_bits)));
        const VD large = hn::Mul(power, hn::Set(d, pow2_f64(52 - t.fraction_bits)));
        c = Cut(c, unit, large);
        terms = zero;
        ForTerms(s, patch, group, groups, r, lane,
                 [&](VD term, VD) HWY_ATTR { terms = hn::Add(terms, Cut(term, unit, large)); });
      }
      // Toward zero to 24 bits; adding +0 turns a sum of negative zeros into +0.
      c = hn::And(hn::Add(hn::Add(c, terms), zero), kept_bits);
      const MD ordinary = IsOrdinary(c);
      if (HWY_UNLIKELY(!hn::AllTrue(d, ordinary))) {
        HWY_ALIGN double flags[kDoubles];
        hn::Store(hn::IfThenZeroElse(ordinary, hn::Set(d, 1.0)), d, flags);
        for (std::size_t l = 0; l < kDoubles && lane + l < cols; ++l) {
          if (flags[l] != 0.0) t.again[(i + r) * t.again_stride + j + lane + l] = 1;
        }
        c = hn::IfThenElseZero(ordinary, c);
      }
      hn::Store(c, d, patch.c[r] + lane);
    }
  }
}

template <class Dot>
HWY_NOINLINE void TileWith(const Fp4Tile& t) {
  const DD d;
  Patch patch;
  HWY_ALIGN float buffer[kWidth];
  for (std::size_t j = 0; j < t.cols; j += kWidth) {
    const std::size_t panel = j / kPanel * kPanel, lane = j % kPanel;
    const std::size_t cols = HWY_MIN(kWidth, t.cols - j);
    for (std::size_t i = 0; i < t.rows; i += kMost) {
      const std::size_t block = i / kRows * kRows, row = i % kRows;
      const std::size_t rows = HWY_MIN(static_cast<std::size_t>(kMost), t.rows - i);
      for (std::size_t r = 0; r < rows; ++r) {
        const float* y = t.y + (i + r) * t.row_stride + j;
        std::uint8_t* again = t.again + (i + r) * t.again_stride + j;
        for (std::size_t l = 0; l < kWidth; ++l) {
          const double c = l < cols ? static_cast<double>(y[l]) : 0.0;
          const double m = c < 0.0 ? -c : c;
          const bool ordinary = m == 0.0 || (m >= 0x1p-126 && m < 0x1p128);
          patch.c[r][l] = ordinary ? c : 0.0;
          if (!ordinary) again[l] = 1;
        }
      }
      const Scales s{t.scale_a + block * t.groups + row, t.power_a + block * t.groups + row,
                     t.scale_b + panel * t.groups + lane, t.power_b + panel * t.groups + lane};
      for (std::size_t group = t.from; group < t.to; group += t.per_instruction) {
        const std::size_t groups = HWY_MIN(t.per_instruction, t.to - group);
        SumGroups<Dot>(t, group, groups, t.a + (block * t.quads + row) * 4,
                       t.start + block * t.groups + row, t.b + (panel * t.quads + lane) * 4, patch);
        Accumulate(t, s, patch, group, groups, i, j, rows, cols);
      }
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t l = 0; l < kWidth; l += kDoubles) {
          hn::Store(hn::DemoteTo(DHalfF(), hn::Load(d, patch.c[r] + l)), DHalfF(), buffer + l);
        }
        // Outputs that are to be computed again keep the c they started from.
        float* y = t.y + (i + r) * t.row_stride + j;
        const std::uint8_t* again = t.again + (i + r) * t.again_stride + j;
        for (std::size_t l = 0; l < cols; ++l) y[l] = again[l] == 0 ? buffer[l] : y[l];
      }
    }
  }
}
bool Tile(const Fp4Tile& t) {
#ifdef FP4LAB_X86_DOTS
  if (HasQuadDot() && (t.kind == DotKind::automatic || t.kind == DotKind::quads)) {
    TileWith<QuadDot>(t);
    return true;
  }
  if (t.kind != DotKind::wide && t.pair_quads > 1) {
    TileWith<PairDot>(t);
    return true;
  }
#endif
  TileWith<WideDot>(t);
  return true;
}

#else

bool Tile(const Fp4Tile&) { return false; }

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(Tile);

bool fp4_tile(const Fp4Tile& tile) { return HWY_DYNAMIC_DISPATCH(Tile)(tile); }

}  // namespace fp4lab::detail
#endif
