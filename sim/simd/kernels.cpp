// The vector kernels, compiled once for each instruction set.
#include "sim/simd/kernels.h"

// Scalable vectors are left out: tables and lane arrays here have a fixed size. The emulated target
// stands for plain scalar code, SSE4 for what every x86-64 machine of the last decade has.
#define HWY_WANT_SSE4 1
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/simd/kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "sim/simd/elements-inl.h"
#include "sim/simd/pass-inl.h"
#include "sim/simd/philox-inl.h"
#include "sim/simd/scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE VI MagnitudeBits(VF x) {
  const DI di;
  return hn::And(hn::BitCast(di, x), hn::Set(di, 0x7FFFFFFF));
}

/// Lane-wise maxima of |x| as integers.
HWY_NOINLINE VI LaneMaxima(const float* x, std::size_t n) {
  const DF d;
  const DI di;
  VI a = hn::Zero(di), b = a, c = a, e = a;
  std::size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    PrefetchVectors<4>(x + i);
    a = hn::Max(a, MagnitudeBits(hn::LoadU(d, x + i)));
    b = hn::Max(b, MagnitudeBits(hn::LoadU(d, x + i + kLanes)));
    c = hn::Max(c, MagnitudeBits(hn::LoadU(d, x + i + 2 * kLanes)));
    e = hn::Max(e, MagnitudeBits(hn::LoadU(d, x + i + 3 * kLanes)));
  }
  for (; i + kLanes <= n; i += kLanes) a = hn::Max(a, MagnitudeBits(hn::LoadU(d, x + i)));
  if (i < n) {
    HWY_ALIGN float rest[kLanes] = {};
    std::copy_n(x + i, n - i, rest);
    b = hn::Max(b, MagnitudeBits(hn::Load(d, rest)));
  }
  return hn::Max(hn::Max(a, b), hn::Max(c, e));
}

std::uint32_t MaxMagnitudeBits(const float* x, std::size_t n, bool finite_only) {
  const DF d;
  const DI di;
  const auto inf = hn::Set(di, 0x7F800000);
  VI best;
  if (finite_only) {
    best = hn::Zero(di);
    VI other = best;
    std::size_t i = 0;
    const auto finite = [&](VF v) HWY_ATTR {
      const VI m = MagnitudeBits(v);
      return hn::IfThenElseZero(hn::Lt(m, inf), m);
    };
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
      PrefetchVectors<2>(x + i);
      best = hn::Max(best, finite(hn::LoadU(d, x + i)));
      other = hn::Max(other, finite(hn::LoadU(d, x + i + kLanes)));
    }
    HWY_ALIGN float rest[2 * kLanes] = {};
    std::copy_n(x + i, n - i, rest);
    best = hn::Max(best, finite(hn::Load(d, rest)));
    other = hn::Max(other, finite(hn::Load(d, rest + kLanes)));
    best = hn::Max(best, other);
  } else {
    best = LaneMaxima(x, n);
  }
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(di, best)));
}

/// The maximum of each of leaf(first) .. leaf(first + 3) within every 128-bit block, one a lane.
/// Shuffles inside 128-bit blocks are the cheap ones.
template <class Leaf>
HWY_INLINE VI FoldFour(std::size_t first, const Leaf& leaf) {
  const DI di;
  const hn::RepartitionToWide<DI> pairs;
  const auto fold_two = [di](VI a, VI b) HWY_ATTR {  // max(a0,a2) max(b0,b2) max(a1,a3) max(b1,b3)
    return hn::Max(hn::InterleaveLower(di, a, b), hn::InterleaveUpper(di, a, b));
  };
  const auto ab = hn::BitCast(pairs, fold_two(leaf(first), leaf(first + 1)));
  const auto cd = hn::BitCast(pairs, fold_two(leaf(first + 2), leaf(first + 3)));
  return hn::Max(hn::BitCast(di, hn::InterleaveLower(pairs, ab, cd)),
                 hn::BitCast(di, hn::InterleaveUpper(pairs, ab, cd)));
}

/// Maxima of kLanes vectors where a vector has several 128-bit blocks.
template <class D, class Leaf>
HWY_INLINE VI FoldBlocks(D di, const Leaf& leaf) {
  const auto halves = [di](VI low, VI high) HWY_ATTR {
    return hn::Max(hn::ConcatLowerLower(di, high, low), hn::ConcatUpperUpper(di, high, low));
  };
  if constexpr (kLanes == 8) {
    return halves(FoldFour(0, leaf), FoldFour(4, leaf));
  } else {
    const VI even = halves(FoldFour(0, leaf), FoldFour(8, leaf));
    const VI odd = halves(FoldFour(4, leaf), FoldFour(12, leaf));
    return hn::OddEvenBlocks(hn::Max(odd, hn::SwapAdjacentBlocks(odd)),
                             hn::Max(even, hn::SwapAdjacentBlocks(even)));
  }
}

/// Maxima of the kLanes vectors leaf(0), leaf(1) ..., one a lane.
template <class Leaf>
HWY_INLINE VI FoldMaxima(const Leaf& leaf) {
  static_assert(kLanes == 4 || kLanes == 8 || kLanes == 16);
  if constexpr (kLanes == 4) {
    return FoldFour(0, leaf);
  } else {
    return FoldBlocks(DI(), leaf);
  }
}

/// amax of kLanes whole blocks of kVectors vectors, one a lane.
template <std::size_t kVectors>
HWY_INLINE VI WholeMaxima(const float* x) {
  return FoldMaxima([x](std::size_t j) HWY_ATTR {
    const float* block = x + j * kVectors * kLanes;
    VI m = MagnitudeBits(hn::LoadU(DF(), block));
    for (std::size_t k = 1; k < kVectors; ++k) {
      m = hn::Max(m, MagnitudeBits(hn::LoadU(DF(), block + k * kLanes)));
    }
    return m;
  });
}

/// amax of `blocks` <= kLanes blocks of `size` elements, `elements` in all; other lanes 0.
HWY_INLINE VI BlockMaxima(const float* x, std::size_t size, std::size_t blocks,
                          std::size_t elements) {
  if (blocks == kLanes && elements >= kLanes * size) {
    if (size == kLanes) return WholeMaxima<1>(x);
    if (size == 2 * kLanes) return WholeMaxima<2>(x);
    if (size == 4 * kLanes) return WholeMaxima<4>(x);
  }
  return FoldMaxima([=](std::size_t j) HWY_ATTR {
    if (j >= blocks) return hn::Zero(DI());
    return LaneMaxima(x + j * size, std::min(size, elements - j * size));
  });
}

HWY_INLINE void StoreScaleCodes(const Output& out, std::size_t first, std::size_t n,
                                const Scales& s) {
  if (out.scales32 != nullptr) std::copy_n(s.code, n, out.scales32 + first);
  if (out.scales8 != nullptr) {
    if (n == kLanes) {
      StoreCodes(hn::Load(DU(), s.code), out.scales8 + first);
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        out.scales8[first + i] = static_cast<std::uint8_t>(s.code[i]);
      }
    }
  }
}

std::uint64_t Rows(PassBase& pass, const Plan& plan, const RowJob& job, const Output& out,
                   const SpecialBlocks& special) {
  std::uint64_t scalar_saturated = 0;
  const std::size_t end = job.first + job.elements;
  if (plan.scale == ScalePath::constant) {
    Scales one;
    one.factor[0] = plan.factor;
    one.decode[0] = plan.decode;
    pass.Blocks(job.in, job.first, job.elements, 1, end, job.packed_byte, one);
    return pass.saturated();
  }
  const std::size_t size = job.block_size;
  const std::size_t blocks = (job.elements + size - 1) / size;
  // A group is read twice, two others in between, so it has to stay in the first-level cache.
  const std::size_t group = std::clamp<std::size_t>(4096 / size, 1, kLanes);
  const std::size_t groups = (blocks + group - 1) / group;
  // A group's amax and the scales from it are two long chains of dependent operations. They run two
  // groups and one group ahead, so that a processor has the elements of the group before, the
  // scales of the next and the amax of the one after it to choose from.
  HWY_ALIGN std::int32_t amax[2][kLanes];
  Scales scales[2];
  const auto measure = [&](std::size_t k) HWY_ATTR {
    const std::size_t at = k * group * size;
    hn::Store(BlockMaxima(job.in + job.first + at, size, std::min(group, blocks - k * group),
                          job.elements - at),
              DI(), amax[k % 2]);
  };
  const auto choose = [&](std::size_t k) HWY_ATTR {
    const std::size_t n = std::min(group, blocks - k * group);
    ChooseScales(plan, hn::Load(DI(), amax[k % 2]), n, scales[k % 2]);
    StoreScaleCodes(out, job.first_block + k * group, n, scales[k % 2]);
  };
  measure(0);
  choose(0);
  if (groups > 1) measure(1);
  for (std::size_t k = 0; k < groups; ++k) {
    if (k + 1 < groups) choose(k + 1);
    if (k + 2 < groups) measure(k + 2);
    const std::size_t g = k * group, n = std::min(group, blocks - g), at = g * size;
    const Scales& s = scales[k % 2];
    pass.Blocks(job.in, job.first + at, size, n, end, job.packed_byte + at / 2, s);
    for (std::size_t j = 0; HWY_UNLIKELY(s.special != 0) && j < n; ++j) {
      if ((s.special >> j & 1u) == 0) continue;
      const std::size_t length = std::min(size, job.elements - (at + j * size));
      scalar_saturated += special.quantize(
          special.context, {job.first + at + j * size, 1, length, job.first_block + g + j});
    }
  }
  return pass.saturated() + scalar_saturated;
}

/// A strip of up to four vectors of columns between its two passes.
struct StripState {
  static constexpr std::size_t kCopyRows = 64;
  HWY_ALIGN float copy[kCopyRows * 4 * kLanes];
  Scales scales[4];
  std::uint32_t skip = 0;  ///< vectors with a special column
};

/// First pass, top to bottom: scales. The strip is copied on the way, so that the second pass reads
/// the first-level cache and not lines that a power-of-two stride has thrown out of it.
template <std::size_t kVectors>
HWY_INLINE void ChooseStrip(const Plan& plan, const ColumnJob& job, const Output& out,
                            std::size_t column, StripState& s) {
  const DF d;
  const DI di;
  constexpr std::size_t kWidth = kVectors * kLanes;
  const bool copied = job.rows <= StripState::kCopyRows;
  const float* x = job.in + job.first + column;
  VI m0 = hn::Zero(di), m1 = m0, m2 = m0, m3 = m0;
  const auto take = [&](const float* from, float* to, VI& best) HWY_ATTR {
    const VF v = hn::LoadU(d, from);
    best = hn::Max(best, MagnitudeBits(v));
    if (copied) hn::Store(v, d, to);
  };
  for (std::size_t r = 0; r < job.rows; ++r) {
    const float* from = x + r * job.row_stride;
    float* to = s.copy + r * kWidth;
    // The strip's right neighbour comes next; no hardware prefetcher follows this stride.
    for (std::size_t line = 0; line < kWidth; line += 16) hwy::Prefetch(from + kWidth + line);
    take(from, to, m0);
    if constexpr (kVectors == 4) {
      take(from + kLanes, to + kLanes, m1);
      take(from + 2 * kLanes, to + 2 * kLanes, m2);
      take(from + 3 * kLanes, to + 3 * kLanes, m3);
    }
  }
  s.skip = 0;
  for (std::size_t k = 0; k < kVectors; ++k) {
    const VI amax = k == 0 ? m0 : k == 1 ? m1 : k == 2 ? m2 : m3;
    ChooseScales(plan, amax, kLanes, s.scales[k]);
    StoreScaleCodes(out, job.first_block + column + k * kLanes, kLanes, s.scales[k]);
    if (HWY_UNLIKELY(s.scales[k].special != 0)) s.skip |= 1u << k;
  }
}

/// Second pass. Returns the saturated elements of special columns.
HWY_INLINE std::uint64_t QuantizeStrip(PassBase& pass, const ColumnJob& job,
                                       const SpecialBlocks& special, std::size_t column,
                                       std::size_t vectors, const StripState& s) {
  const std::size_t width = vectors * kLanes;
  const bool copied = job.rows <= StripState::kCopyRows;
  pass.Strip(copied ? s.copy : job.in + job.first + column, copied ? width : job.row_stride,
             job.rows, vectors, job.first + column, job.row_stride, job.packed_byte + column / 2,
             job.packed_stride, s.scales, s.skip);
  std::uint64_t saturated = 0;
  for (std::size_t k = 0; HWY_UNLIKELY(s.skip != 0) && k < width; ++k) {
    if ((s.skip >> (k / kLanes) & 1u) == 0) continue;
    saturated += special.quantize(
        special.context, {job.first + column + k, job.rows, 1, job.first_block + column + k});
  }
  return saturated;
}

std::uint64_t Columns(PassBase& pass, const Plan& plan, const ColumnJob& job, const Output& out,
                      const SpecialBlocks& special) {
  constexpr std::size_t kWidth = 4 * kLanes;
  StripState state[2];  // the next strip's first pass runs ahead of this one's second
  std::uint64_t scalar_saturated = 0;
  const std::size_t whole = job.cols / kWidth * kWidth;
  if (whole != 0) ChooseStrip<4>(plan, job, out, 0, state[0]);
  for (std::size_t c = 0; c < whole; c += kWidth) {
    const std::size_t n = c / kWidth;
    if (c + kWidth < whole) ChooseStrip<4>(plan, job, out, c + kWidth, state[(n + 1) % 2]);
    scalar_saturated += QuantizeStrip(pass, job, special, c, 4, state[n % 2]);
  }
  std::size_t c = whole;
  for (; c + kLanes <= job.cols; c += kLanes) {
    ChooseStrip<1>(plan, job, out, c, state[0]);
    scalar_saturated += QuantizeStrip(pass, job, special, c, 1, state[0]);
  }
  for (; c < job.cols; ++c) {
    scalar_saturated +=
        special.quantize(special.context, {job.first + c, job.rows, 1, job.first_block + c});
  }
  return pass.saturated() + scalar_saturated;
}

std::uint64_t Work(PassBase& pass, const Plan& plan, const RowJob& job, const Output& out,
                   const SpecialBlocks& special) {
  return Rows(pass, plan, job, out, special);
}
std::uint64_t Work(PassBase& pass, const Plan& plan, const ColumnJob& job, const Output& out,
                   const SpecialBlocks& special) {
  return Columns(pass, plan, job, out, special);
}

template <class Element, Form kForm, Arithmetic kArithmetic, class Job>
std::uint64_t Start(const Plan& plan, const Job& job, const Output& out,
                    const SpecialBlocks& special) {
  Pass<Element, kForm, kArithmetic> pass(plan, out);
  return Work(pass, plan, job, out, special);
}

template <class Element, Form kForm, class Job>
std::uint64_t PickArithmetic(const Plan& plan, const Job& job, const Output& out,
                             const SpecialBlocks& special) {
  switch (plan.arithmetic) {
    case Arithmetic::multiply_global:
      if constexpr (kForm == Form::values) {
        return Start<Element, kForm, Arithmetic::multiply_global>(plan, job, out, special);
      }
      [[fallthrough]];  // the global factor enters values only
    case Arithmetic::multiply:
      return Start<Element, kForm, Arithmetic::multiply>(plan, job, out, special);
    case Arithmetic::multiply_34:
      return Start<Element, kForm, Arithmetic::multiply_34>(plan, job, out, special);
    case Arithmetic::divide:
      return Start<Element, kForm, Arithmetic::divide>(plan, job, out, special);
    case Arithmetic::cast:
      return Start<Element, kForm, Arithmetic::cast>(plan, job, out, special);
  }
  return 0;
}

template <class Element, class Job>
std::uint64_t PickForm(const Plan& plan, const Job& job, const Output& out,
                       const SpecialBlocks& special) {
  if (out.values != nullptr) {
    return PickArithmetic<Element, Form::values>(plan, job, out, special);
  }
  if (out.codes != nullptr) return PickArithmetic<Element, Form::codes>(plan, job, out, special);
  return PickArithmetic<Element, Form::packed>(plan, job, out, special);
}

template <class Job>
std::uint64_t PickElement(const Plan& plan, const Job& job, const Output& out,
                          const SpecialBlocks& special) {
  std::uint64_t saturated = 0;
  switch (plan.element) {
    case ElementPath::magic:
      saturated = PickForm<MagicElement>(plan, job, out, special);
      break;
    case ElementPath::stochastic:
      saturated = PickForm<StochasticElement>(plan, job, out, special);
      break;
    case ElementPath::table:
      saturated = PickForm<TableElement>(plan, job, out, special);
      break;
    case ElementPath::lookup:
      saturated = PickForm<LookupElement>(plan, job, out, special);
      break;
  }
  if (out.stream) hwy::FlushStream();
  return saturated;
}

std::uint64_t QuantizeRows(const Plan& plan, const RowJob& job, const Output& out,
                           const SpecialBlocks& special) {
  return PickElement(plan, job, out, special);
}

std::uint64_t QuantizeColumns(const Plan& plan, const ColumnJob& job, const Output& out,
                              const SpecialBlocks& special) {
  return PickElement(plan, job, out, special);
}

void Draws(const Plan& plan, std::uint32_t first_draw, std::size_t draws, std::uint32_t* words) {
  // Whole vectors are written: the last ones go through a buffer.
  const std::size_t n = hn::Lanes(DU64());
  const std::size_t whole = draws / (2 * n) * (2 * n);
  const PhiloxKeys keys(plan);
  PhiloxDraws(plan, keys, first_draw, whole, words);
  HWY_ALIGN std::uint32_t rest[4 * 2 * hn::MaxLanes(DU64())];
  PhiloxDraws(plan, keys, first_draw + static_cast<std::uint32_t>(whole), draws - whole, rest);
  std::copy_n(rest, 4 * (draws - whole), words + 4 * whole);
}

void StreamCopy(const float* from, std::size_t n, float* to) {
  const DF d;
  for (std::size_t i = 0; i < n; i += 16) {
    for (std::size_t k = 0; k < 16; k += kLanes) {
      hn::Stream(hn::Load(d, from + i + k), d, to + i + k);
    }
  }
  hwy::FlushStream();
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::simd {

HWY_EXPORT(MaxMagnitudeBits);
HWY_EXPORT(QuantizeRows);
HWY_EXPORT(QuantizeColumns);
HWY_EXPORT(Draws);
HWY_EXPORT(StreamCopy);
HWY_EXPORT(TargetName);

std::uint32_t max_magnitude_bits(const float* x, std::size_t n, bool finite_only) {
  return HWY_DYNAMIC_DISPATCH(MaxMagnitudeBits)(x, n, finite_only);
}
std::uint64_t quantize_rows(const Plan& plan, const RowJob& job, const Output& out,
                            const SpecialBlocks& special) {
  return HWY_DYNAMIC_DISPATCH(QuantizeRows)(plan, job, out, special);
}
std::uint64_t quantize_columns(const Plan& plan, const ColumnJob& job, const Output& out,
                               const SpecialBlocks& special) {
  return HWY_DYNAMIC_DISPATCH(QuantizeColumns)(plan, job, out, special);
}
void philox_draws(const Plan& plan, std::uint32_t first_draw, std::size_t draws,
                  std::uint32_t* words) {
  HWY_DYNAMIC_DISPATCH(Draws)(plan, first_draw, draws, words);
}
void stream_copy(const float* from, std::size_t n, float* to) {
  HWY_DYNAMIC_DISPATCH(StreamCopy)(from, n, to);
}
const char* target_name() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace fp4lab::simd
#endif  // HWY_ONCE
