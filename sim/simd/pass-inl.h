// The pass over elements: load, scale, round, store. What is stored (values, codes, packed codes)
// and the arithmetic around the rounding are template arguments, so that each combination is a loop
// without branches.
#if defined(FP4LAB_SIM_SIMD_PASS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_PASS_INL_H_
#undef FP4LAB_SIM_SIMD_PASS_INL_H_
#else
#define FP4LAB_SIM_SIMD_PASS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "sim/simd/elements-inl.h"
#include "sim/simd/philox-inl.h"
#include "sim/simd/scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

enum class Form { values, codes, packed };

/// Codes of a vector, one a byte.
HWY_INLINE void StoreCodes(VU codes, std::uint8_t* to) {
  const hn::Rebind<std::uint8_t, DU> d8;
  hn::StoreU(hn::TruncateTo(d8, codes), d8, to);
}

/// Codes of a vector, two a byte: the odd element of each pair lies in the high half of a 64-bit
/// lane and comes down beside the even one.
HWY_INLINE void StorePacked(VU codes, std::uint8_t* to) {
  const DU64 d64;
  const auto pairs = hn::BitCast(d64, codes);
  const auto bytes = hn::And(hn::Or(pairs, hn::ShiftRight<28>(pairs)), hn::Set(d64, 0xFFull));
  const hn::Rebind<std::uint8_t, DU64> d8;
  hn::StoreU(hn::TruncateTo(d8, bytes), d8, to);
}

/// What the block loops know of a pass: one call does a group of blocks, so that the loops are
/// compiled once and not for each combination.
class PassBase {
 public:
  virtual ~PassBase() = default;
  /// `blocks` blocks of `size` elements from element i on, the last one cut at `end`; block j has
  /// the scale j of `scales` and is left out if it is special.
  virtual void Blocks(const float* in, std::size_t i, std::size_t size, std::size_t blocks,
                      std::size_t end, std::size_t byte, const Scales& scales) = 0;
  /// A strip of `vectors` vectors of columns: row r is read from x + r * stride and belongs to
  /// element i + r * row_stride and byte `byte + r * byte_stride`. Bit k of `skip` leaves vector k
  /// out.
  virtual void Strip(const float* x, std::size_t stride, std::size_t rows, std::size_t vectors,
                     std::size_t i, std::size_t row_stride, std::size_t byte,
                     std::size_t byte_stride, const Scales* scales, std::uint32_t skip) = 0;

  std::uint64_t saturated() const { return saturated_; }

 protected:
  std::uint64_t saturated_ = 0;
};

template <class Element, Form kForm, Arithmetic kArithmetic>
class Pass final : public PassBase {
 public:
  Pass(const Plan& plan, const Output& out) : plan_(plan), out_(out), cursor_(plan) {}

  void Blocks(const float* in, std::size_t i, std::size_t size, std::size_t blocks,
              std::size_t end, std::size_t byte, const Scales& scales) override {
    Local local(plan_);
    for (std::size_t j = 0; j < blocks; ++j) {
      const std::size_t at = i + j * size, length = std::min(size, end - at);
      if (HWY_UNLIKELY((scales.special >> j & 1u) != 0)) continue;
      Span(local, in, at, length, end, byte + j * size / 2, hn::Set(DF(), scales.factor[j]),
           hn::Set(DF(), scales.decode[j]));
    }
    saturated_ += local.saturated;
  }

  void Strip(const float* x, std::size_t stride, std::size_t rows, std::size_t vectors,
             std::size_t i, std::size_t row_stride, std::size_t byte, std::size_t byte_stride,
             const Scales* scales, std::uint32_t skip) override {
    const DF d;
    Local local(plan_);
    for (std::size_t r = 0; r < rows; ++r) {
      Reserve(i, vectors * kLanes, i + vectors * kLanes);
      for (std::size_t k = 0; k < vectors; ++k) {
        if (HWY_UNLIKELY((skip >> k & 1u) != 0)) continue;
        Vector(local, hn::LoadU(d, x + k * kLanes), i + k * kLanes, byte + k * kLanes / 2,
               hn::Load(d, scales[k].factor), hn::Load(d, scales[k].decode));
      }
      x += stride;
      i += row_stride;
      byte += byte_stride;
    }
    saturated_ += local.saturated;
  }

 private:
  /// Constants in registers: members would be read again after every store.
  struct Local {
    explicit HWY_INLINE Local(const Plan& plan)
        : element(plan),
          highest(hn::Set(DF(), plan.highest)),
          lowest(hn::Set(DF(), plan.lowest)),
          global(hn::Set(DF(), plan.global)) {}
    Element element;
    VF highest, lowest, global;
    std::uint64_t saturated = 0;
  };

  /// Elements [i, i + n) under one scale. `byte` is where element i goes in packed output; i is even
  /// there. Random words may be drawn ahead up to element `end`.
  HWY_INLINE void Span(Local& local, const float* in, std::size_t i, std::size_t n, std::size_t end,
                       std::size_t byte, VF factor, VF decode) {
    while (n != 0) {
      const std::size_t part = std::min(n, RandomCursor::kElements);
      Reserve(i, part, end);
      std::size_t k = 0;
      for (; k + kLanes <= part; k += kLanes) {
        Vector(local, hn::LoadU(DF(), in + i + k), i + k, byte + k / 2, factor, decode);
      }
      if (k < part) Partial(in + i + k, i + k, part - k, byte + k / 2, factor, decode);
      i += part;
      byte += part / 2;
      n -= part;
    }
  }

  /// Random words of elements [i, i + n), n <= RandomCursor::kElements, drawn ahead up to `end`.
  HWY_INLINE void Reserve(std::size_t i, std::size_t n, std::size_t end) {
    if constexpr (Element::kRandom) {
      cursor_.Reserve(i, n, std::min<std::size_t>(end - i, RandomCursor::kElements));
    }
  }

  /// One vector of elements from i on, their words reserved.
  HWY_INLINE void Vector(Local& local, VF x, std::size_t i, std::size_t byte, VF factor,
                         VF decode) {
    const DF d;
    VU random = hn::Zero(DU());
    if constexpr (Element::kRandom) random = cursor_.Load(DU(), i);
    const VF v = Scaled(x, factor);
    local.saturated += hn::CountTrue(d, Beyond(local, v));
    const Rounded r = local.element.Round(Castable(v), random);
    if constexpr (kForm == Form::values) {
      const VF y = Unscaled(local, r.value, decode);
      if (out_.stream) {
        hn::Stream(y, d, out_.values + i);
      } else {
        hn::StoreU(y, d, out_.values + i);
      }
    } else if constexpr (kForm == Form::codes) {
      StoreCodes(r.code, out_.codes + i);
    } else {
      StorePacked(r.code, out_.packed + byte);
    }
  }

  /// n < kLanes elements, by way of a padded copy.
  HWY_NOINLINE void Partial(const float* in, std::size_t i, std::size_t n, std::size_t byte,
                            VF factor, VF decode) {
    const DF d;
    const Local local(plan_);
    HWY_ALIGN float x[kLanes] = {};
    std::copy_n(in, n, x);
    VU random = hn::Zero(DU());
    if constexpr (Element::kRandom) random = cursor_.LoadN(DU(), i, n);
    const VF v = Scaled(hn::Load(d, x), factor);
    saturated_ += hn::CountTrue(d, hn::And(Beyond(local, v), hn::FirstN(d, n)));
    const Rounded r = local.element.Round(Castable(v), random);
    if constexpr (kForm == Form::values) {
      hn::Store(Unscaled(local, r.value, decode), d, x);
      std::copy_n(x, n, out_.values + i);
    } else {
      // The padding's codes must not reach the unused half of an odd row's last byte.
      const VU code = hn::IfThenElseZero(hn::FirstN(DU(), n), r.code);
      HWY_ALIGN std::uint8_t bytes[kLanes];
      if constexpr (kForm == Form::codes) {
        StoreCodes(code, bytes);
        std::copy_n(bytes, n, out_.codes + i);
      } else {
        StorePacked(code, bytes);
        std::copy_n(bytes, (n + 1) / 2, out_.packed + byte);
      }
    }
  }

  static HWY_INLINE VF Scaled(VF x, VF factor) {
    if constexpr (kArithmetic == Arithmetic::divide) return hn::Div(x, factor);
    if constexpr (kArithmetic == Arithmetic::cast) return x;
    const VF v = hn::Mul(x, factor);
    if constexpr (kArithmetic == Arithmetic::multiply_34) {
      return hn::Mul(hn::Set(DF(), 0.75f), v);
    }
    return v;
  }
  /// A plain cast sends NaN to the largest value, as it does +Inf.
  static HWY_INLINE VF Castable(VF v) {
    if constexpr (kArithmetic == Arithmetic::cast) {
      return hn::IfThenElse(hn::IsNaN(v), hn::Set(DF(), kFloatInf), v);
    }
    return v;
  }
  static HWY_INLINE VF Unscaled([[maybe_unused]] const Local& local, VF q, VF decode) {
    if constexpr (kArithmetic == Arithmetic::cast) return q;
    const VF y = hn::Mul(q, decode);
    if constexpr (kArithmetic == Arithmetic::multiply_global ||
                  kArithmetic == Arithmetic::multiply_34) {
      return hn::Mul(y, local.global);
    }
    return y;
  }
  static HWY_INLINE hn::Mask<DF> Beyond(const Local& local, VF v) {
    return hn::Or(hn::Gt(v, local.highest), hn::Lt(v, local.lowest));
  }

  const Plan& plan_;
  const Output& out_;
  RandomCursor cursor_;
};

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
