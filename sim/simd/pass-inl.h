// The pass over elements: load, scale, round, store. What is stored (values, codes, packed codes)
// and the arithmetic around the rounding are template arguments, so that each combination is a loop
// without branches.
#if defined(FP4LAB_SIM_SIMD_PASS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_PASS_INL_H_
#undef FP4LAB_SIM_SIMD_PASS_INL_H_
#else
#define FP4LAB_SIM_SIMD_PASS_INL_H_
#endif

#include <hwy/cache_control.h>
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
#if HWY_TARGET == HWY_AVX3  // one instruction; Highway 1.0 makes several of it
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(codes.raw));
  return;
#endif
  const hn::Rebind<std::uint8_t, DU> d8;
  hn::StoreU(hn::TruncateTo(d8, codes), d8, to);
}

/// Codes of a vector, two a byte: the odd element of each pair lies in the high half of a 64-bit
/// lane and comes down beside the even one.
HWY_INLINE void StorePacked(VU codes, std::uint8_t* to) {
  const DU64 d64;
  const auto pairs = hn::BitCast(d64, codes);
  const auto bytes = hn::And(hn::Or(pairs, hn::ShiftRight<28>(pairs)), hn::Set(d64, 0xFFull));
#if HWY_TARGET == HWY_AVX3
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm512_cvtepi64_epi8(bytes.raw));
  return;
#endif
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

  std::uint64_t saturated() const {
    std::uint64_t sum = saturated_;
    for (const std::uint32_t n : saturated_lanes_) sum += n;
    return sum;
  }

 protected:
  std::uint64_t saturated_ = 0;
  /// Counted in each lane; a job has far less than 2^32 vectors.
  HWY_ALIGN std::uint32_t saturated_lanes_[kLanes] = {};
};

template <class Element, Form kForm, Arithmetic kArithmetic>
class Pass final : public PassBase {
 public:
  Pass(const Plan& plan, const Output& out) : constants_(plan, out), out_(out), cursor_(plan) {}

  void Blocks(const float* in, std::size_t i, std::size_t size, std::size_t blocks, std::size_t end,
              std::size_t byte, const Scales& scales) override {
    Local local = constants_;
    const bool whole = scales.special == 0 && i + blocks * size <= end &&
                       (!Element::kRandom || blocks * size <= RandomCursor::kElements);
    if (whole && size == kLanes) {
      Whole<1>(local, in, i, blocks, end, byte, scales);
    } else if (whole && size == 2 * kLanes) {
      Whole<2>(local, in, i, blocks, end, byte, scales);
    } else if (whole && size == 4 * kLanes) {
      Whole<4>(local, in, i, blocks, end, byte, scales);
    } else {
      for (std::size_t j = 0; j < blocks; ++j) {
        const std::size_t at = i + j * size, length = std::min(size, end - at);
        if (HWY_UNLIKELY((scales.special >> j & 1u) != 0)) continue;
        Span(local, in, at, length, end, byte + j * size / 2, hn::Set(DF(), scales.factor[j]),
             hn::Set(DF(), scales.decode[j]));
      }
    }
    local.AddSaturatedTo(saturated_lanes_);
  }

  void Strip(const float* x, std::size_t stride, std::size_t rows, std::size_t vectors,
             std::size_t i, std::size_t row_stride, std::size_t byte, std::size_t byte_stride,
             const Scales* scales, std::uint32_t skip) override {
    const DF d;
    Local local = constants_;
    for (std::size_t r = 0; r < rows; ++r) {
      Reserve(i, vectors * kLanes, i + vectors * kLanes);
      if (HWY_LIKELY(vectors == 4 && skip == 0)) {
        for (std::size_t k = 0; k < 4; ++k) {
          Vector(local, hn::LoadU(d, x + k * kLanes), i + k * kLanes, byte + k * kLanes / 2,
                 hn::Load(d, scales[k].factor), hn::Load(d, scales[k].decode));
        }
        x += stride;
        i += row_stride;
        byte += byte_stride;
        continue;
      }
      for (std::size_t k = 0; k < vectors; ++k) {
        if (HWY_UNLIKELY((skip >> k & 1u) != 0)) continue;
        Vector(local, hn::LoadU(d, x + k * kLanes), i + k * kLanes, byte + k * kLanes / 2,
               hn::Load(d, scales[k].factor), hn::Load(d, scales[k].decode));
      }
      x += stride;
      i += row_stride;
      byte += byte_stride;
    }
    local.AddSaturatedTo(saturated_lanes_);
  }

 private:
  /// Constants, copied into registers: members would be read again after every store.
  struct Local {
    HWY_INLINE Local(const Plan& plan, const Output& out)
        : element(plan),
          highest(hn::Set(DF(), plan.highest)),
          lowest(hn::Set(DF(), plan.lowest)),
          global(hn::Set(DF(), plan.global)),
          nan_as(hn::Set(DF(), plan.nan_as)),
          values(out.values),
          bytes(kForm == Form::codes ? out.codes : out.packed),
          stream(out.stream) {}
    Element element;
    VF highest, lowest, global, nan_as;
    float* values;
    std::uint8_t* bytes;
    bool stream;
    VU saturated = hn::Zero(DU());  ///< counted in each lane

    HWY_INLINE void Count(hn::Mask<DF> beyond) {
      const DU du;
      const auto mask = hn::RebindMask(du, beyond);
      if constexpr (kLanes == 16) {  // one instruction where masks have registers of their own
        saturated = hn::IfThenElse(mask, hn::Add(saturated, hn::Set(du, 1u)), saturated);
      } else {
        saturated = hn::Sub(saturated, hn::VecFromMask(du, mask));
      }
    }
    HWY_INLINE void AddSaturatedTo(std::uint32_t* lanes) const {
      const DU du;
      hn::Store(hn::Add(hn::Load(du, lanes), saturated), du, lanes);
    }
  };

  /// Whole blocks of kVectors vectors, none of them special.
  template <std::size_t kVectors>
  HWY_INLINE void Whole(Local& local, const float* in, std::size_t i, std::size_t blocks,
                        std::size_t end, std::size_t byte, const Scales& scales) {
    Reserve(i, blocks * kVectors * kLanes, end);
    for (std::size_t j = 0; j < blocks; ++j) {
      const VF factor = hn::Set(DF(), scales.factor[j]);
      const VF decode = hn::Set(DF(), scales.decode[j]);
      for (std::size_t k = 0; k < kVectors; ++k) {
        PrefetchVectors<1>(in + i);
        Vector(local, hn::LoadU(DF(), in + i), i, byte, factor, decode);
        i += kLanes;
        byte += kLanes / 2;
      }
    }
  }

  /// Elements [i, i + n) under one scale. `byte` is where element i goes in packed output; i is
  /// even there. Random words may be drawn ahead up to element `end`.
  HWY_INLINE void Span(Local& local, const float* in, std::size_t i, std::size_t n, std::size_t end,
                       std::size_t byte, VF factor, VF decode) {
    while (n != 0) {
      const std::size_t part = std::min(n, RandomCursor::kElements);
      Reserve(i, part, end);
      std::size_t k = 0;
      for (; k + kLanes <= part; k += kLanes) {
        PrefetchVectors<1>(in + i + k);
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
    if constexpr (Element::kRandom) random = hn::LoadU(DU(), cursor_.At(i));
    const VF v = Scaled(x, factor);
    local.Count(Beyond(local, v));
    const Rounded r = local.element.Round(Castable(local, v), random);
    if constexpr (kForm == Form::values) {
      const VF y = Unscaled(local, r.value, decode);
      if (local.stream) {
        hn::Stream(y, d, local.values + i);
      } else {
        hn::StoreU(y, d, local.values + i);
      }
    } else if constexpr (kForm == Form::codes) {
      StoreCodes(r.code, local.bytes + i);
    } else {
      StorePacked(r.code, local.bytes + byte);
    }
  }

  /// n < kLanes elements, by way of a padded copy.
  HWY_NOINLINE void Partial(const float* in, std::size_t i, std::size_t n, std::size_t byte,
                            VF factor, VF decode) {
    const DF d;
    const Local& local = constants_;
    HWY_ALIGN float x[kLanes] = {};
    std::copy_n(in, n, x);
    VU random = hn::Zero(DU());
    if constexpr (Element::kRandom) random = hn::LoadU(DU(), cursor_.At(i));
    const VF v = Scaled(hn::Load(d, x), factor);
    saturated_ += hn::CountTrue(d, hn::And(Beyond(local, v), hn::FirstN(d, n)));
    const Rounded r = local.element.Round(Castable(local, v), random);
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
  /// Every NaN of a plain cast becomes the one that the roundings know.
  static HWY_INLINE VF Castable([[maybe_unused]] const Local& local, VF v) {
    if constexpr (kArithmetic == Arithmetic::cast) {
      return hn::IfThenElse(hn::IsNaN(v), local.nan_as, v);
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
    if constexpr (Element::kSymmetric) return hn::Gt(hn::Abs(v), local.highest);
    return hn::Or(hn::Gt(v, local.highest), hn::Lt(v, local.lowest));
  }

  const Local constants_;  ///< made once: a block of 16 elements is less work than making them
  const Output& out_;
  RandomCursor cursor_;
};

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
