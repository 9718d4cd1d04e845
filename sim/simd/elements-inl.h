// One vector of scaled elements to codes and values: the ways of rounding.
#if defined(FP4LAB_SIM_SIMD_ELEMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_ELEMENTS_INL_H_
#undef FP4LAB_SIM_SIMD_ELEMENTS_INL_H_
#else
#define FP4LAB_SIM_SIMD_ELEMENTS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "formats/encode_table.h"
#include "sim/simd/plan.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;

inline constexpr std::size_t kLanes = hn::MaxLanes(DF());

/// How far ahead of the arithmetic memory is asked for, in elements (8 KiB). Measured on Zen 5: the
/// hardware's own prefetcher stops at page ends, and the work on an element is too long for the
/// processor to look that far. Reading past the end of an array is harmless here.
inline constexpr std::size_t kAhead = 2048;

/// Prefetches what lies kAhead beyond kCount vectors from x on, once a cache line.
template <std::size_t kCount>
HWY_INLINE void PrefetchVectors(const float* x) {
  constexpr std::size_t kLine = 16;
  for (std::size_t k = 0; k < kCount * kLanes; k += kLine) hwy::Prefetch(x + kAhead + k);
}

/// Value (before the block scale) and code of a vector of elements. Callers use one of the two; the
/// compiler drops the other.
struct Rounded {
  VF value;
  VU code;
};

/// Nearest-even on a radix-2 grid with subnormals. Adding 2^(e + 23 - m) to a magnitude of binade e
/// leaves a sum whose unit in the last place is the grid's quantum 2^(e - m): the addition itself
/// rounds, the low bits of the sum count quanta, and the parity of that count is the code's.
class MagicElement {
 public:
  static constexpr bool kRandom = false, kSymmetric = true;
  explicit HWY_INLINE MagicElement(const Plan& p)
      : top_(hn::Set(DF(), p.highest)),
        lowest_normal_(hn::Set(DF(), pow2_f32(p.min_exponent))),
        lift_(hn::Set(DU(), static_cast<std::uint32_t>(23 - p.mantissa_bits) << 23)),
        first_field_(
            hn::Set(DU(), static_cast<std::uint32_t>(127 + p.min_exponent) << p.mantissa_bits)),
        field_shift_(23 - p.mantissa_bits) {}

  HWY_INLINE Rounded Round(VF v, VU /*random*/) const {
    const DF d;
    const DU du;
    const auto sign = hn::And(hn::BitCast(du, v), hn::Set(du, 0x80000000u));
    const auto a = hn::Min(hn::Abs(v), top_);
    const auto binade =
        hn::And(hn::BitCast(du, hn::Max(a, lowest_normal_)), hn::Set(du, 0x7F800000u));
    const auto magic = hn::BitCast(d, hn::Add(binade, lift_));
    const auto sum = hn::Add(a, magic);
    const auto value = hn::CopySignToAbs(hn::Sub(sum, magic), v);
    const auto count = hn::And(hn::BitCast(du, sum), hn::Set(du, 15u));
    const auto below = hn::Sub(hn::ShiftRightSame(binade, field_shift_), first_field_);
    const auto code = hn::Or(hn::Add(count, below), hn::ShiftRight<28>(sign));
    return {value, code};
  }

 private:
  VF top_, lowest_normal_;
  VU lift_, first_field_;
  int field_shift_;
};

/// Stochastic, model A: floor(d 2^N) + r >= 2^N is the carry of the magnitude in units of
/// quantum / 2^N plus r into bit N.
class StochasticElement {
 public:
  static constexpr bool kRandom = true, kSymmetric = true;
  explicit HWY_INLINE StochasticElement(const Plan& p)
      : top_(hn::Set(DF(), p.highest)),
        lowest_normal_(hn::Set(DF(), pow2_f32(p.min_exponent))),
        to_fixed_(
            hn::Set(DU(), static_cast<std::uint32_t>(254 + p.random_bits + p.mantissa_bits) << 23)),
        quantum_(hn::Set(DU(), static_cast<std::uint32_t>(p.mantissa_bits) << 23)),
        first_field_(
            hn::Set(DU(), static_cast<std::uint32_t>(127 + p.min_exponent) << p.mantissa_bits)),
        field_shift_(23 - p.mantissa_bits),
        random_bits_(p.random_bits) {}

  HWY_INLINE Rounded Round(VF v, VU random) const {
    const DF d;
    const DI di;
    const DU du;
    const auto sign = hn::And(hn::BitCast(du, v), hn::Set(du, 0x80000000u));
    const auto a = hn::Min(hn::Abs(v), top_);
    const auto binade =
        hn::And(hn::BitCast(du, hn::Max(a, lowest_normal_)), hn::Set(du, 0x7F800000u));
    const auto fixed = hn::ConvertTo(di, hn::Mul(a, hn::BitCast(d, hn::Sub(to_fixed_, binade))));
    const auto count = hn::ShiftRightSame(hn::Add(hn::BitCast(du, fixed), random), random_bits_);
    const auto quantum = hn::BitCast(d, hn::Sub(binade, quantum_));
    const auto magnitude = hn::Mul(hn::ConvertTo(d, hn::BitCast(di, count)), quantum);
    const auto below = hn::Sub(hn::ShiftRightSame(binade, field_shift_), first_field_);
    return {hn::CopySignToAbs(magnitude, v),
            hn::Or(hn::Add(count, below), hn::ShiftRight<28>(sign))};
  }

 private:
  VF top_, lowest_normal_;
  VU to_fixed_, quantum_, first_field_;
  int field_shift_, random_bits_;
};

/// Any format of at most 16 values under any deterministic rounding: the last threshold that is not
/// above the element. With sixteen lanes a table is one register and four steps of bisection find
/// the entry; narrower vectors walk the thresholds.
class TableElement {
 public:
  static constexpr bool kRandom = false, kSymmetric = false;
  explicit HWY_INLINE TableElement(const Plan& p)
      : plan_(p),
        middle_(hn::Set(DI(), p.below[8])),
        quarter_(hn::Set(DI(), p.below[4])),
        three_quarters_(hn::Set(DI(), p.below[12])),
        value_(hn::BitCast(DI(), hn::LoadU(DF(), p.value))),
        code_(hn::BitCast(DI(), hn::LoadU(DU(), p.code))) {
    // Entry i of the last two steps' tables is the threshold two or one places on.
    HWY_ALIGN std::int32_t ahead[16 + 2] = {};
    for (int i = 0; i < 16; ++i) ahead[i] = p.below[i];
    two_ahead_ = hn::LoadU(DI(), ahead + 2);
    one_ahead_ = hn::LoadU(DI(), ahead + 1);
  }

  HWY_INLINE Rounded Round(VF v, VU /*random*/) const {
    const DF d;
    const DI di;
    const DU du;
    const auto bits = hn::BitCast(di, v);
    const auto key = hn::Xor(bits, hn::And(hn::BroadcastSignBit(bits), hn::Set(di, 0x7FFFFFFF)));
    if constexpr (kLanes == 16) {
      const auto upper = hn::Gt(key, middle_);
      const auto second = hn::Gt(key, hn::IfThenElse(upper, three_quarters_, quarter_));
      auto index = hn::IfThenElseZero(upper, hn::Set(di, 8));
      index = hn::IfThenElse(second, hn::Or(index, hn::Set(di, 4)), index);
      const auto third =
          hn::Gt(key, hn::TableLookupLanes(two_ahead_, hn::IndicesFromVec(di, index)));
      index = hn::IfThenElse(third, hn::Or(index, hn::Set(di, 2)), index);
      const auto fourth =
          hn::Gt(key, hn::TableLookupLanes(one_ahead_, hn::IndicesFromVec(di, index)));
      index = hn::IfThenElse(fourth, hn::Or(index, hn::Set(di, 1)), index);
      const auto at = hn::IndicesFromVec(di, index);
      return {hn::BitCast(d, hn::TableLookupLanes(value_, at)),
              hn::BitCast(du, hn::TableLookupLanes(code_, at))};
    } else {
      auto value = hn::Set(d, plan_.value[0]);
      auto code = hn::Set(du, plan_.code[0]);
      for (int i = 1; i < plan_.entries; ++i) {
        const auto reached = hn::Gt(key, hn::Set(di, plan_.below[i]));
        value = hn::IfThenElse(hn::RebindMask(d, reached), hn::Set(d, plan_.value[i]), value);
        code = hn::IfThenElse(hn::RebindMask(du, reached), hn::Set(du, plan_.code[i]), code);
      }
      return {value, code};
    }
  }

 private:
  const Plan& plan_;
  VI middle_, quarter_, three_quarters_, two_ahead_, one_ahead_, value_,
      code_;  // sixteen lanes only
};

/// Any format of at most 8 bits under any deterministic rounding, one element at a time: gathers
/// are no faster than loads where this was measured (Zen 5).
class LookupElement {
 public:
  static constexpr bool kRandom = false, kSymmetric = false;
  explicit HWY_INLINE LookupElement(const Plan& p)
      : cells_(p.cells), value_(p.code_value), shift_(p.cell_shift) {}

  HWY_INLINE Rounded Round(VF v, VU /*random*/) const {
    const DF d;
    const DU du;
    HWY_ALIGN std::uint32_t bits[kLanes];
    HWY_ALIGN float value[kLanes];
    hn::Store(hn::BitCast(du, v), du, bits);
    for (std::size_t i = 0; i < kLanes; ++i) {
      bits[i] = EncodeTable::lookup(cells_, shift_, bits[i]);
      value[i] = value_[bits[i]];
    }
    return {hn::Load(d, value), hn::Load(du, bits)};
  }

 private:
  const std::uint64_t* cells_;
  const float* value_;
  int shift_;
};

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
