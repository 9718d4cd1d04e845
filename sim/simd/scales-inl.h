// The scales of Lanes(DF) blocks at once, from the bits of their amax.
#if defined(FP4LAB_SIM_SIMD_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_SCALES_INL_H_
#undef FP4LAB_SIM_SIMD_SCALES_INL_H_
#else
#define FP4LAB_SIM_SIMD_SCALES_INL_H_
#endif

#include <hwy/highway.h>

#include "sim/simd/elements-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// `factor` is applied to elements, `decode` multiplies values, `code` is stored. Bit i of
/// `special` marks a block that the scalar twin must do.
struct Scales {
  HWY_ALIGN float factor[kLanes];
  HWY_ALIGN float decode[kLanes];
  HWY_ALIGN std::uint32_t code[kLanes];
  std::uint32_t special = 0;
};

/// 2^(field - 127) for field 0..254, field 0 being the subnormal 2^-127.
HWY_INLINE VF PowerOfField(VI field) {
  const DI di;
  return hn::BitCast(DF(), hn::IfThenElse(hn::Eq(field, hn::Zero(di)), hn::Set(di, 0x00400000),
                                          hn::ShiftLeft<23>(field)));
}

HWY_INLINE void MxScales(const Plan& p, VI amax, Scales& out) {
  const DF d;
  const DI di;
  const DU du;
  // Subnormal maxima are lifted into the normal range so that their exponent can be read.
  const auto is_small = hn::Lt(amax, hn::Set(di, 0x00800000));
  const auto lifted = hn::BitCast(di, hn::Mul(hn::BitCast(d, amax), hn::Set(d, 0x1p24f)));
  const auto bits = hn::IfThenElse(is_small, lifted, amax);
  auto field =
      hn::Sub(hn::ShiftRight<23>(hn::Add(bits, hn::Set(di, static_cast<std::int32_t>(p.mx_add)))),
              hn::Set(di, p.mx_offset));
  field = hn::Sub(field, hn::IfThenElseZero(is_small, hn::Set(di, 24)));
  field = hn::Min(hn::Max(field, hn::Zero(di)), hn::Set(di, 254));
  const auto zero = hn::Eq(amax, hn::Zero(di));
  field = hn::IfThenZeroElse(zero, field);
  // A block of zeros is not scaled; its elements are zeros, so any finite factor is as good.
  hn::Store(PowerOfField(hn::Sub(hn::Set(di, 254), field)), d, out.factor);
  hn::Store(PowerOfField(field), d, out.decode);
  hn::Store(hn::BitCast(du, field), du, out.code);
}

HWY_INLINE void TwoLevelScales(const Plan& p, VI amax, Scales& out) {
  const DF d;
  const DU du;
  const int shift = 23 - p.scale_mantissa_bits;
  const auto largest = hn::Set(d, kFloatMax);
  const auto s = hn::Min(hn::Mul(hn::BitCast(d, amax), hn::Set(d, p.mult)), largest);
  const auto bits = hn::BitCast(du, s);
  // Nearest even on the scale's grid: carry into the kept bits, or add and subtract below the
  // smallest normal number.
  const auto lsb = hn::And(hn::ShiftRightSame(bits, shift), hn::Set(du, 1u));
  const auto carried = hn::Add(hn::Add(bits, hn::Set(du, (1u << (shift - 1)) - 1u)), lsb);
  const auto kept = hn::BitCast(d, hn::AndNot(hn::Set(du, (1u << shift) - 1u), carried));
  const auto magic = hn::Set(d, pow2_f32(23 + p.scale_min_exponent - p.scale_mantissa_bits));
  const auto sum = hn::Add(s, magic);
  const auto normal = hn::Ge(s, hn::Set(d, pow2_f32(p.scale_min_exponent)));
  auto q = hn::Min(hn::IfThenElse(normal, kept, hn::Sub(sum, magic)), hn::Set(d, p.scale_highest));
  const auto normal_code = hn::Sub(
      hn::ShiftRightSame(hn::BitCast(du, q), shift),
      hn::Set(du, static_cast<std::uint32_t>(126 + p.scale_min_exponent) << p.scale_mantissa_bits));
  auto code = hn::IfThenElse(hn::RebindMask(du, normal), normal_code,
                             hn::And(hn::BitCast(du, sum), hn::Set(du, 0xFFu)));
  if (p.never_zero) {
    const auto lost = hn::And(hn::RebindMask(du, hn::Eq(q, hn::Zero(d))),
                              hn::Ne(hn::BitCast(du, amax), hn::Zero(du)));
    code = hn::IfThenElse(lost, hn::Set(du, 1u), code);
    q = hn::IfThenElse(hn::RebindMask(d, lost),
                       hn::Set(d, pow2_f32(p.scale_min_exponent - p.scale_mantissa_bits)), q);
  }
  const auto inverse = hn::Div(hn::Set(d, 1.0f), hn::Mul(q, hn::Set(d, p.global)));
  hn::Store(hn::Min(inverse, largest), d, out.factor);
  hn::Store(q, d, out.decode);
  hn::Store(code, du, out.code);
}

HWY_INLINE void AbsmaxScales(const Plan& p, VI amax, Scales& out) {
  const DF d;
  const DI di;
  const DU du;
  const auto zero = hn::Eq(amax, hn::Zero(di));
  auto s = hn::Div(hn::BitCast(d, amax), hn::Set(d, p.qmax));
  s = hn::IfThenElse(hn::Eq(s, hn::Zero(d)), hn::Set(d, 0x1p-149f), s);
  s = hn::IfThenZeroElse(hn::RebindMask(d, zero), s);
  hn::Store(hn::IfThenElse(hn::RebindMask(d, zero), hn::Set(d, 1.0f), s), d, out.factor);
  hn::Store(s, d, out.decode);
  hn::Store(hn::BitCast(du, s), du, out.code);
}

/// The other rules that depend on amax alone, block by block.
HWY_INLINE void ScalarScales(const Plan& p, VI amax, std::size_t blocks, Scales& out) {
  const DI di;
  HWY_ALIGN std::int32_t bits[kLanes];
  hn::Store(amax, di, bits);
  const Apply expected = p.arithmetic == Arithmetic::divide        ? Apply::divide
                         : p.arithmetic == Arithmetic::multiply_34 ? Apply::multiply_34
                                                                   : Apply::multiply;
  for (std::size_t i = 0; i < blocks; ++i) {
    const BlockScale b = p.choose(p.context, bits_as<float>(bits[i]));
    out.factor[i] = b.apply == Apply::none ? 1.0f : b.factor;
    out.decode[i] = b.decode;
    out.code[i] = b.code;
    const bool plain = b.apply == expected || (b.apply == Apply::none && bits[i] == 0);
    if (!plain || b.poisoned || b.zero_codes || !is_finite(b.decode)) out.special |= 1u << i;
  }
}

/// Scales of `blocks` <= Lanes(DF) blocks; further lanes of `amax` are zero.
HWY_INLINE void ChooseScales(const Plan& p, VI amax, std::size_t blocks, Scales& out) {
  const DI di;
  const auto bad = hn::Gt(amax, hn::Set(di, 0x7F7FFFFF));
  out.special = 0;
  if (HWY_UNLIKELY(!hn::AllFalse(di, bad))) {
    HWY_ALIGN std::int32_t bits[kLanes];
    hn::Store(amax, di, bits);
    for (std::size_t i = 0; i < blocks; ++i) {
      if (bits[i] >= 0x7F800000) out.special |= 1u << i;
    }
    amax = hn::IfThenZeroElse(bad, amax);
  }
  switch (p.scale) {
    case ScalePath::mx:
      return MxScales(p, amax, out);
    case ScalePath::two_level:
      return TwoLevelScales(p, amax, out);
    case ScalePath::absmax:
      return AbsmaxScales(p, amax, out);
    case ScalePath::scalar:
      return ScalarScales(p, amax, blocks, out);
    case ScalePath::constant:
      break;
  }
}

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
