// Truncating fused sums: a product's significand lies in 32-bit integers at the binary point of the
// largest exponent that a product can have, so that cutting it is one shift to the right.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sim/mma_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/mma_fused_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "sim/simd/byte_dots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#ifdef FP4LAB_BYTE_DOTS

using DU = hn::RebindToUnsigned<DI>;
using DD = hn::CappedTag<double, 8>;
using DL = hn::RebindToSigned<DD>;
using DHalfI = hn::Rebind<std::int32_t, DD>;
using DHalfF = hn::Rebind<float, DD>;
using VD = hn::Vec<DD>;
using MD = hn::Mask<DD>;
constexpr std::size_t kDoubles = hn::MaxLanes(DD());
constexpr int kFusedRows = 4;
/// Sums of so many terms below 2^27 fit 31 bits.
constexpr std::size_t kChunk = 16;

HWY_INLINE VD Low(VI v) { return hn::PromoteTo(DD(), hn::LowerHalf(DHalfI(), v)); }
HWY_INLINE VD High(VI v) { return hn::PromoteTo(DD(), hn::UpperHalf(DHalfI(), v)); }

/// v >> distance for v >= 0 and distances of any size.
HWY_INLINE VI ShiftedDown(VI v, VI distance) {
  const DI d;
  const DU du;
#if HWY_TARGET > HWY_AVX2 || !HWY_ARCH_X86
  distance = hn::Min(distance, hn::Set(d, 31));  // only some machines shift all the way to zero
#endif
  return hn::BitCast(d, hn::Shr(hn::BitCast(du, v), hn::BitCast(du, distance)));
}
/// x where sign is 0, -x where it is -1.
HWY_INLINE VI WithSign(VI x, VI sign) { return hn::Sub(hn::Xor(x, sign), sign); }

/// 2^e for e within binary64's normal range.
HWY_INLINE VD PowerOfTwo(hn::Vec<DHalfI> e) {
  const DL dl;
  const auto field = hn::Add(hn::PromoteTo(dl, e), hn::Set(dl, std::int64_t{1023}));
  return hn::BitCast(DD(), hn::ShiftLeft<52>(field));
}

/// The last step of a fused sum. Results that are no ordinary numbers raise `bad`.
struct Rounder {
  OutRound out;
  VD kept_bits, exponent_bits, normal, overflow, shift_point;
  explicit Rounder(OutRound o) : out(o) {
    const DD d;
    const DL dl;
    const std::int64_t cut = o == OutRound::e8m13_rz ? (std::int64_t{1} << 39) - 1 : 0x1FFFFFFF;
    kept_bits = hn::BitCast(d, hn::Set(dl, ~cut));
    exponent_bits = hn::BitCast(d, hn::Set(dl, std::int64_t{0x7FF0000000000000}));
    const bool half = o == OutRound::f16_rne;
    normal = hn::Set(d, half ? 0x1p-14 : 0x1p-126);
    overflow = hn::Set(d, half ? 0x1p16 : 0x1p128);
    shift_point = hn::Set(d, 0x1.8p42);
  }
  HWY_INLINE VD operator()(VD v, MD& bad) const {
    const DD d;
    VD r;
    MD fine;
    if (out == OutRound::f16_rne) {
      // To nearest at the eleventh bit or the subnormal quantum, whichever is higher.
      const VD large = hn::Mul(hn::Max(hn::And(v, exponent_bits), normal), shift_point);
      r = hn::Sub(hn::Add(v, large), large);
      fine = hn::Lt(hn::Abs(r), overflow);
    } else {
      r = hn::And(v, kept_bits);
      const VD m = hn::Abs(r);
      fine = hn::Or(hn::Eq(m, hn::Zero(d)), hn::And(hn::Ge(m, normal), hn::Lt(m, overflow)));
    }
    bad = hn::Or(bad, hn::Not(fine));
    return r;
  }
};

struct FusedOperands {
  const std::int32_t *am, *ae, *bm, *be;
};

HWY_NOINLINE void Sums(const FusedTile& t, FusedOperands o, std::size_t i, std::size_t j,
                       std::size_t rows, std::size_t cols) {
  const DF df;
  const DI di;
  const DD dd;
  const DHalfI dh;
  const DHalfF dhf;
  constexpr int R = kFusedRows;
  const Rounder round(t.out);
  const bool half = t.out == OutRound::f16_rne;
  const VI lowest_c = hn::Set(di, half ? -14 : -126);
  // Nothing but zeros: any exponent whose powers are numbers.
  const VI floor = hn::Set(di, HWY_MAX(t.floor, -700));
  const VI zero_exponent = hn::Set(di, kZeroExponent);
  const auto c_up = hn::Set(di, 1 << HWY_MAX(t.fraction_bits - 23, 0));
  const VI c_down = hn::Set(di, HWY_MAX(23 - t.fraction_bits, 0));
  const VI fraction = hn::Set(di, t.fraction_bits);

  HWY_ALIGN float buffer[R * kLanes] = {};
  for (std::size_t r = 0; r < rows; ++r) {
    std::memcpy(buffer + r * kLanes, t.y + (i + r) * t.row_stride + j, cols * sizeof(float));
  }
  VI c[R];
  MD bad[R][2];
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    const VF v = hn::Load(df, buffer + static_cast<std::size_t>(r) * kLanes);
    c[r] = hn::BitCast(di, v);
    // Subnormals of binary32 (none are numbers of binary16), infinities, NaN.
    const auto bad_c = [&](VD x) HWY_ATTR {
      const VD m = hn::Abs(x);
      return hn::Not(hn::Or(hn::Eq(m, hn::Zero(dd)),
                            hn::And(hn::Ge(m, hn::Set(dd, 0x1p-126)), hn::Lt(m, round.overflow))));
    };
    bad[r][0] = bad_c(hn::PromoteTo(dd, hn::LowerHalf(dhf, v)));
    bad[r][1] = bad_c(hn::PromoteTo(dd, hn::UpperHalf(dhf, v)));
  }

  for (std::size_t at = t.from; at < t.to; at += t.terms) {
    const std::size_t n = HWY_MIN(t.terms, t.to - at);
    VI e[R], e_c[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      const VI field =
          hn::Sub(hn::And(hn::ShiftRight<23>(c[r]), hn::Set(di, 255)), hn::Set(di, 127));
      const auto is_zero = hn::Eq(hn::Add(c[r], c[r]), hn::Zero(di));
      e_c[r] = hn::IfThenElse(is_zero, zero_exponent, field);
      e[r] = hn::Max(floor, hn::IfThenElse(is_zero, zero_exponent, hn::Max(field, lowest_c)));
    }
    for (std::size_t k = 0; k < n; ++k) {
      const VI be = hn::LoadU(di, o.be + k * kPanel);
      HWY_UNROLL(4)
      for (int r = 0; r < R; ++r) {
        e[r] =
            hn::Max(e[r], hn::Add(hn::Set(di, o.ae[k * kRows + static_cast<std::size_t>(r)]), be));
      }
    }
    VD low[R], high[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      const VI m = hn::Or(hn::And(c[r], hn::Set(di, 0x7FFFFF)), hn::Set(di, 0x800000));
      const VI kept = ShiftedDown(hn::Mul(m, c_up), hn::Add(hn::Sub(e[r], e_c[r]), c_down));
      const VI signed_c = WithSign(kept, hn::BroadcastSignBit(c[r]));
      low[r] = Low(signed_c);
      high[r] = High(signed_c);
    }
    for (std::size_t k = 0; k < n;) {
      const std::size_t end = HWY_MIN(n, k + kChunk);
      VI s[R];
      HWY_UNROLL(4)
      for (int r = 0; r < R; ++r) s[r] = hn::Zero(di);
      for (; k < end; ++k) {
        const VI be = hn::LoadU(di, o.be + k * kPanel), bm = hn::LoadU(di, o.bm + k * kPanel);
        HWY_UNROLL(4)
        for (int r = 0; r < R; ++r) {
          const std::size_t a = k * kRows + static_cast<std::size_t>(r);
          const VI distance = hn::Sub(hn::Sub(e[r], hn::Set(di, o.ae[a])), be);
          const VI product = hn::Mul(hn::Set(di, o.am[a]), bm);
          const VI kept = ShiftedDown(hn::Abs(product), distance);
          s[r] = hn::Add(s[r], WithSign(kept, hn::BroadcastSignBit(product)));
        }
      }
      HWY_UNROLL(4)
      for (int r = 0; r < R; ++r) {
        low[r] = hn::Add(low[r], Low(s[r]));
        high[r] = hn::Add(high[r], High(s[r]));
      }
    }
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      const VI q = hn::Sub(e[r], fraction);
      const VD p0 = PowerOfTwo(hn::LowerHalf(dh, q)), p1 = PowerOfTwo(hn::UpperHalf(dh, q));
      const VD r0 = round(hn::Mul(low[r], p0), bad[r][0]);
      const VD r1 = round(hn::Mul(high[r], p1), bad[r][1]);
      c[r] = hn::BitCast(di, hn::Combine(df, hn::DemoteTo(dhf, r1), hn::DemoteTo(dhf, r0)));
    }
    o.am += n * kRows;
    o.ae += n * kRows;
    o.bm += n * kPanel;
    o.be += n * kPanel;
  }

  for (std::size_t r = 0; r < rows; ++r) {
    float* y = t.y + (i + r) * t.row_stride + j;
    std::uint8_t* again = t.again + (i + r) * t.again_stride + j;
    hn::Store(hn::BitCast(df, c[r]), df, buffer);
    for (std::size_t h = 0; h < 2; ++h) {
      if (HWY_LIKELY(hn::AllFalse(dd, bad[r][h]))) continue;
      HWY_ALIGN double flags[kDoubles];
      hn::Store(hn::IfThenElseZero(bad[r][h], hn::Set(dd, 1.0)), dd, flags);
      for (std::size_t l = 0; l < kDoubles && h * kDoubles + l < cols; ++l) {
        if (flags[l] != 0.0) again[h * kDoubles + l] = 1;
      }
    }
    // Outputs that are to be computed again keep the c they started from.
    for (std::size_t l = 0; l < cols; ++l) {
      if (again[l] == 0) y[l] = buffer[l];
    }
  }
}

bool Tile(const FusedTile& t) {
  for (std::size_t j = 0; j < t.cols; j += kLanes) {
    const std::size_t b = (j / kPanel * t.depth + t.from) * kPanel + j % kPanel;
    for (std::size_t i = 0; i < t.rows; i += kFusedRows) {
      const std::size_t a = (i / kRows * t.depth + t.from) * kRows + i % kRows;
      const FusedOperands o{t.a_significand + a, t.a_exponent + a, t.b_significand + b,
                            t.b_exponent + b};
      Sums(t, o, i, j, HWY_MIN(kFusedRows, t.rows - i), HWY_MIN(kLanes, t.cols - j));
    }
  }
  return true;
}

#else

bool Tile(const FusedTile&) { return false; }

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(Tile);

bool fused_tile(const FusedTile& tile) { return HWY_DYNAMIC_DISPATCH(Tile)(tile); }

}  // namespace fp4lab::detail
#endif
