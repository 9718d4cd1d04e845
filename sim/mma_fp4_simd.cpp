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
constexpr int kHalves = static_cast<int>(kLanes / kDoubles);

/// Rows whose accumulators registers hold beside their alignment.
constexpr int kGroupRows = kLanes == 16 ? 4 : 2;

/// The magnitude cut at multiples of `unit`, a power of two; |x| < 2^52 unit.
HWY_INLINE VD Cut(VD x, VD unit, VD large) {
  const VD m = hn::Abs(x);
  const VD nearest = hn::Sub(hn::Add(m, large), large);
  const VD down = hn::Sub(nearest, hn::IfThenElseZero(hn::Gt(nearest, m), unit));
  return hn::CopySign(down, x);
}

static_assert(kHalves == 2);
HWY_INLINE VD Low(VI v) { return hn::PromoteTo(DD(), hn::LowerHalf(DHalfI(), v)); }
HWY_INLINE VD High(VI v) { return hn::PromoteTo(DD(), hn::UpperHalf(DHalfI(), v)); }

struct GroupOperands {
  const std::int8_t* a;
  const std::int32_t* start;
  const double *scale_a, *power_a;
  const std::uint8_t* b;
  const double *scale_b, *power_b;
};

/// kGroupRows rows by one vector of columns over the tile's groups; `rows` of them are stored.
template <class Dot, bool kPowers>
HWY_NOINLINE void Groups(const Fp4Tile& t, GroupOperands o, std::size_t i, std::size_t j,
                         std::size_t rows, std::size_t cols) {
  const DD d;
  const DL dl;
  const DHalfF df;
  constexpr int R = kGroupRows;
  const auto exponent_bits = hn::BitCast(d, hn::Set(dl, std::int64_t{0x7FF0000000000000}));
  const auto kept_bits = hn::BitCast(d, hn::Set(dl, ~std::int64_t{0x1FFFFFFF}));
  const VD overflow = hn::Set(d, 0x1p128), normal = hn::Set(d, 0x1p-126), zero = hn::Zero(d);
  const VD unit_factor = hn::Set(d, pow2_f64(-t.fraction_bits));
  const VD large_factor = hn::Set(d, pow2_f64(52 - t.fraction_bits));
  const VD c_kept = hn::Set(d, pow2_f64(23 - t.fraction_bits));

  HWY_ALIGN float buffer[R * kLanes] = {};
  for (std::size_t r = 0; r < rows; ++r) {
    std::memcpy(buffer + r * kLanes, t.y + (i + r) * t.row_stride + j, cols * sizeof(float));
  }
  VD c[R][kHalves], all_kept[R][kHalves];
  MD bad[R][kHalves];
  const double keep = pow2_f64(t.kept_distance);
  const auto is_bad = [&](VD x) HWY_ATTR {
    const VD m = hn::Abs(x);
    // Also true for NaN.
    return hn::Not(hn::Or(hn::Eq(m, zero), hn::And(hn::Ge(m, normal), hn::Lt(m, overflow))));
  };
  for (int r = 0; r < R; ++r) {
    const VD low = hn::Set(d, keep * t.lowest_a[i + static_cast<std::size_t>(r)]);
    for (int h = 0; h < kHalves; ++h) {
      const std::size_t at = static_cast<std::size_t>(h) * kDoubles;
      c[r][h] = hn::PromoteTo(d, hn::Load(df, buffer + static_cast<std::size_t>(r) * kLanes + at));
      bad[r][h] = is_bad(c[r][h]);
      // Beyond this exponent a group may lose bits.
      all_kept[r][h] = hn::Mul(low, hn::LoadU(d, t.lowest_b + j + at));
    }
  }

  std::size_t quad = t.from == 0 ? 0 : t.quad_ends[t.from - 1];
  for (std::size_t group = t.from; group < t.to; group += t.per_instruction) {
    const std::size_t end = HWY_MIN(t.to, group + t.per_instruction);
    VD terms[R][kHalves], power[R][kHalves];
    for (int r = 0; r < R; ++r) {
      for (int h = 0; h < kHalves; ++h) terms[r][h] = power[r][h] = zero;
    }
    const GroupOperands first = o;
    const std::size_t first_quad = quad;
    const auto for_groups = [&](auto&& add) HWY_ATTR {
      for (std::size_t g = group; g < end; ++g) {
        const std::size_t quads = t.quad_ends[g] - quad;
        quad += quads;
        VI s[R][1];
        HWY_UNROLL(4)
        for (int r = 0; r < R; ++r) s[r][0] = hn::Zero(DI());
        Dot::template Run<R, 1>(o.a, o.b, quads, t.pair_quads, s);
        HWY_UNROLL(4)
        for (int r = 0; r < R; ++r) {
          const VI sum = hn::Add(s[r][0], hn::Set(DI(), o.start[r]));
          const VD pa = hn::Set(d, o.power_a[r]), sa = hn::Set(d, o.scale_a[r]);
          const auto half = [&](int h, VD value) HWY_ATTR {
            const std::size_t at = static_cast<std::size_t>(h) * kDoubles;
            const VD p = hn::Mul(pa, hn::LoadU(d, o.power_b + at));
            const VD f = kPowers ? p : hn::Mul(sa, hn::LoadU(d, o.scale_b + at));
            add(r, h, hn::Mul(value, f), p);
          };
          half(0, Low(sum));
          half(1, High(sum));
        }
        o.a += quads * 4 * kRows;
        o.b += quads * 4 * kPanel;
        o.start += kRows;
        o.scale_a += kRows;
        o.power_a += kRows;
        o.scale_b += kPanel;
        o.power_b += kPanel;
      }
    };
    for_groups([&](int r, int h, VD term, VD p) HWY_ATTR {
      power[r][h] = hn::Max(power[r][h], hn::IfThenElseZero(hn::Ne(term, zero), p));
      terms[r][h] = hn::Add(terms[r][h], term);
    });
    // The largest exponent with c; does anything lose bits?
    bool cut = false;
    for (int r = 0; r < R; ++r) {
      for (int h = 0; h < kHalves; ++h) {
        const VD pc = hn::And(c[r][h], exponent_bits);
        power[r][h] = hn::Max(power[r][h], pc);
        const MD c_cut = hn::And(hn::Lt(pc, hn::Mul(power[r][h], c_kept)), hn::Ne(pc, zero));
        const MD any = hn::Or(c_cut, hn::Gt(power[r][h], all_kept[r][h]));
        cut = cut || !hn::AllFalse(d, any);
      }
    }
    if (HWY_UNLIKELY(cut)) {
      VD unit[R][kHalves], large[R][kHalves];
      for (int r = 0; r < R; ++r) {
        for (int h = 0; h < kHalves; ++h) {
          unit[r][h] = hn::Mul(power[r][h], unit_factor);
          large[r][h] = hn::Mul(power[r][h], large_factor);
          terms[r][h] = zero;
          c[r][h] = Cut(c[r][h], unit[r][h], large[r][h]);
        }
      }
      o = first;
      quad = first_quad;
      for_groups([&](int r, int h, VD term, VD) HWY_ATTR {
        terms[r][h] = hn::Add(terms[r][h], Cut(term, unit[r][h], large[r][h]));
      });
    }
    for (int r = 0; r < R; ++r) {
      for (int h = 0; h < kHalves; ++h) {
        // Toward zero to 24 bits; adding +0 turns a sum of negative zeros into +0.
        const VD sum = hn::Add(hn::Add(c[r][h], terms[r][h]), zero);
        c[r][h] = hn::And(sum, kept_bits);
        bad[r][h] = hn::Or(bad[r][h], is_bad(c[r][h]));
      }
    }
  }

  for (std::size_t r = 0; r < rows; ++r) {
    float* y = t.y + (i + r) * t.row_stride + j;
    std::uint8_t* again = t.again + (i + r) * t.again_stride + j;
    for (std::size_t h = 0; h < static_cast<std::size_t>(kHalves); ++h) {
      hn::Store(hn::DemoteTo(df, c[r][h]), df, buffer + h * kDoubles);
      if (HWY_UNLIKELY(!hn::AllFalse(d, bad[r][h]))) {
        HWY_ALIGN double flags[kDoubles];
        hn::Store(hn::IfThenElseZero(bad[r][h], hn::Set(d, 1.0)), d, flags);
        for (std::size_t l = 0; l < kDoubles && h * kDoubles + l < cols; ++l) {
          if (flags[l] != 0.0) again[h * kDoubles + l] = 1;
        }
      }
    }
    // Outputs that are to be computed again keep the c they started from.
    for (std::size_t l = 0; l < cols; ++l) {
      if (again[l] == 0) y[l] = buffer[l];
    }
  }
}

template <class Dot, bool kPowers>
HWY_INLINE void TileWith(const Fp4Tile& t) {
  const std::size_t q0 = t.from == 0 ? 0 : t.quad_ends[t.from - 1];
  for (std::size_t j = 0; j < t.cols; j += kLanes) {
    const std::size_t panel = j / kPanel * kPanel, lane = j % kPanel;
    for (std::size_t i = 0; i < t.rows; i += kGroupRows) {
      const std::size_t block = i / kRows * kRows, row = i % kRows;
      GroupOperands o;
      o.a = t.a + (block * t.quads + q0 * kRows + row) * 4;
      o.start = t.start + block * t.groups + t.from * kRows + row;
      o.scale_a = t.scale_a + block * t.groups + t.from * kRows + row;
      o.power_a = t.power_a + block * t.groups + t.from * kRows + row;
      o.b = t.b + (panel * t.quads + q0 * kPanel + lane) * 4;
      o.scale_b = t.scale_b + panel * t.groups + t.from * kPanel + lane;
      o.power_b = t.power_b + panel * t.groups + t.from * kPanel + lane;
      Groups<Dot, kPowers>(t, o, i, j, HWY_MIN(kGroupRows, t.rows - i),
                           HWY_MIN(kLanes, t.cols - j));
    }
  }
}
template <class Dot>
HWY_INLINE void TileOf(const Fp4Tile& t) {
  t.powers_are_scales ? TileWith<Dot, true>(t) : TileWith<Dot, false>(t);
}

bool Tile(const Fp4Tile& t) {
#ifdef FP4LAB_X86_DOTS
  if (HasQuadDot() && (t.kind == DotKind::automatic || t.kind == DotKind::quads)) {
    TileOf<QuadDot>(t);
    return true;
  }
  if (t.kind != DotKind::wide && t.pair_quads > 1) {
    TileOf<PairDot>(t);
    return true;
  }
#endif
  TileOf<WideDot>(t);
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
