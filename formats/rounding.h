// Rounding: the rule that picks one of the two neighbours of a real number.
//
// Every conversion in the house goes through `rounds_up`. A value between two representable
// neighbours is described by a `Position`: how far it lies from the neighbour toward zero, as an
// exact fixed-point fraction with a sticky bit. Modes are defined in formats.md 2.1 and 2.3.
#pragma once

#include <cstdint>

#include "formats/host_device.h"

namespace fp4lab {

enum class RoundingKind : std::uint8_t {
  rne,         ///< nearest, tie to the even code
  rna,         ///< nearest, tie away from zero
  rnz,         ///< nearest, tie toward zero
  rtz,         ///< toward zero
  rtp,         ///< toward +infinity
  rtn,         ///< toward -infinity
  odd,         ///< inexact results get the odd code (round to odd)
  rn_lower,    ///< nearest, tie to the smaller real number
  rn_upper,    ///< nearest, tie to the larger real number
  sr,          ///< stochastic, model A: floor(d 2^N) + r >= 2^N (PTX .rs, gfloat StochasticFastest)
  sr_fast,     ///< model B: floor(d 2^(N+1)) + 2r + 1 >= 2^(N+1) (gfloat StochasticFast)
  sr_rne,      ///< model C: rne(d 2^N) + r >= 2^N (gfloat Stochastic)
  sr_rno,      ///< model C': the same with inner ties to odd (gfloat StochasticOdd)
  sr_uniform,  ///< u < d with u = (r >> 8) 2^-24
  sr_noise,    ///< rne(fl(d + u - 1/2)) = 1, binary32 (noise added before rounding)
  sr_hw,       ///< cvt.rs on E2M1: model A on a slice of a word shared by four lanes
  luq,         ///< sr:16; on the e3m0 grid this is LUQ with stochastic underflow
  luq_sr,      ///< ablation: nearest below the smallest level, sr:16 above
  luq_su,      ///< ablation: sr:16 below the smallest level, rdnp above
  rdnp,        ///< nearest in the linear domain, cut at 1.5 * 2^k, ties up (0.75 of the smallest)
};

/// How `sr-hw` reads its random word; formats.md 2.4 lists what is known about silicon.
enum class HwForwardLane : std::uint8_t { first, second, none };

/// A rounding rule. Structural, so that it can be a template argument beside ElementFormat.
struct Rounding {
  RoundingKind kind = RoundingKind::rne;
  std::uint8_t bits = 0;  ///< N of the stochastic modes (1..32); slice width (8, 16) for sr_hw
  HwForwardLane forward = HwForwardLane::first;

  friend constexpr bool operator==(const Rounding&, const Rounding&) = default;

  /// True when the result depends on a random word.
  FP4LAB_HD constexpr bool is_stochastic() const noexcept {
    switch (kind) {
      case RoundingKind::sr:
      case RoundingKind::sr_fast:
      case RoundingKind::sr_rne:
      case RoundingKind::sr_rno:
      case RoundingKind::sr_uniform:
      case RoundingKind::sr_noise:
      case RoundingKind::sr_hw:
      case RoundingKind::luq:
      case RoundingKind::luq_sr:
      case RoundingKind::luq_su:
        return true;
      default:
        return false;
    }
  }
  /// Bits an element takes from the random stream: its slot is 8, 16 or 32 bits wide.
  FP4LAB_HD constexpr int random_bits() const noexcept {
    switch (kind) {
      case RoundingKind::sr_uniform:
      case RoundingKind::sr_noise:
        return 32;
      case RoundingKind::luq:
      case RoundingKind::luq_sr:
      case RoundingKind::luq_su:
        return 16;
      case RoundingKind::sr_hw:
        return 32;
      default:
        return bits;
    }
  }
};

inline constexpr Rounding kRne{RoundingKind::rne};
inline constexpr Rounding kRna{RoundingKind::rna};
inline constexpr Rounding kRnz{RoundingKind::rnz};
inline constexpr Rounding kRtz{RoundingKind::rtz};
inline constexpr Rounding kRtp{RoundingKind::rtp};
inline constexpr Rounding kRtn{RoundingKind::rtn};
inline constexpr Rounding kOdd{RoundingKind::odd};
inline constexpr Rounding kRnLower{RoundingKind::rn_lower};
inline constexpr Rounding kRnUpper{RoundingKind::rn_upper};
inline constexpr Rounding kRdnp{RoundingKind::rdnp};
/// kRne as a function: device code may not take the address of a host constant of class type, and
/// passing one along does.
FP4LAB_HD constexpr Rounding nearest_even() noexcept { return {RoundingKind::rne}; }
/// Stochastic rounding, model A, with `n` random bits.
FP4LAB_HD constexpr Rounding stochastic(int n) noexcept {
  return {RoundingKind::sr, static_cast<std::uint8_t>(n)};
}

/// Where a value lies between its neighbours lo (toward zero) and hi (away from zero):
/// d = |x - lo| / |hi - lo| in [0, 1), held as floor(d 2^62) and a sticky bit for the rest.
struct Position {
  std::uint64_t d62 = 0;
  bool sticky = false;
  bool lo_odd = false;    ///< parity of code(lo)
  bool negative = false;  ///< sign of x
  bool lowest = false;    ///< lo is zero

  FP4LAB_HD constexpr bool inexact() const noexcept { return d62 != 0 || sticky; }
};

inline constexpr std::uint64_t kHalf62 = 1ull << 61;

/// d as binary32, rounded to nearest even (exact whenever d has at most 24 significant bits).
FP4LAB_HD constexpr float position_as_float(const Position& p) noexcept {
  // binary64 holds 53 bits; fold what is below into a sticky bit so that the second rounding, to
  // 24 bits, is the only one that matters.
  std::uint64_t d = p.d62;
  bool rest = p.sticky;
  int shift = 0;
  while (d >= (1ull << 52)) {
    rest = rest || (d & 1);
    d >>= 1;
    ++shift;
  }
  d = (d << 1) | (rest ? 1u : 0u);
  return static_cast<float>(static_cast<double>(d) * pow2_f64(shift - 63));
}

/// True when the value moves to `hi`, the neighbour away from zero. `random` is the element's
/// random word; only its low N bits count (all 32 for sr_uniform and sr_noise).
FP4LAB_HD constexpr bool rounds_up(const Rounding& r, const Position& p,
                                   std::uint32_t random) noexcept {
  if (!p.inexact()) return false;
  const bool tie = p.d62 == kHalf62 && !p.sticky;
  const bool above = p.d62 > kHalf62 || (p.d62 == kHalf62 && p.sticky);
  const auto model_a = [&](int n) {
    const std::uint64_t word = random & ((1ull << n) - 1);
    return (p.d62 >> (62 - n)) + word >= (1ull << n);
  };
  const bool rdnp = p.lowest ? p.d62 >= kHalf62 + (kHalf62 >> 1) : (above || tie);
  switch (r.kind) {
    case RoundingKind::rne:
      return above || (tie && p.lo_odd);
    case RoundingKind::rna:
      return above || tie;
    case RoundingKind::rnz:
      return above;
    case RoundingKind::rtz:
      return false;
    case RoundingKind::rtp:
      return !p.negative;
    case RoundingKind::rtn:
      return p.negative;
    case RoundingKind::odd:
      return !p.lo_odd;
    case RoundingKind::rn_lower:
      return above || (tie && p.negative);
    case RoundingKind::rn_upper:
      return above || (tie && !p.negative);
    case RoundingKind::sr:
      return model_a(r.bits);
    case RoundingKind::sr_hw:
      return model_a(r.bits);
    case RoundingKind::luq:
      return model_a(16);
    case RoundingKind::sr_fast: {
      const int n = r.bits;
      const std::uint64_t word = random & ((1ull << n) - 1);
      return (p.d62 >> (61 - n)) + 2 * word + 1 >= (2ull << n);
    }
    case RoundingKind::sr_rne:
    case RoundingKind::sr_rno: {
      const int n = r.bits;
      const std::uint64_t word = random & ((1ull << n) - 1);
      std::uint64_t q = p.d62 >> (62 - n);
      const std::uint64_t rest = p.d62 & ((1ull << (62 - n)) - 1);
      const std::uint64_t half = 1ull << (61 - n);
      const bool up_on_tie = r.kind == RoundingKind::sr_rne ? (q & 1) != 0 : (q & 1) == 0;
      if (rest > half || (rest == half && (p.sticky || up_on_tie))) ++q;
      return q + word >= (1ull << n);
    }
    case RoundingKind::sr_uniform: {
      const std::uint64_t u = static_cast<std::uint64_t>(random >> 8) << 38;
      return u < p.d62 || (u == p.d62 && p.sticky);
    }
    case RoundingKind::sr_noise: {
      const float u = mul_rn(static_cast<float>(random >> 8), 0x1p-24f);
      return add_rn(position_as_float(p), sub_rn(u, 0.5f)) > 0.5f;
    }
    case RoundingKind::luq_sr:
      return p.lowest ? (above || (tie && p.lo_odd)) : model_a(16);
    case RoundingKind::luq_su:
      return p.lowest ? model_a(16) : rdnp;
    case RoundingKind::rdnp:
      return rdnp;
  }
  return false;
}

/// The random word lane `lane` (0..3) of an E2M1x4 stochastic conversion sees, cut out of the
/// 32-bit word the four lanes share (formats.md 2.4). With 16-bit slices lanes 0, 1 read bytes
/// {0, 2} and lanes 2, 3 bytes {1, 3}, and one lane of each pair reads them bit-reversed; with
/// 8-bit slices lane i reads byte i. Unverified against silicon.
FP4LAB_HD constexpr std::uint32_t hw_lane_word(const Rounding& r, std::uint32_t shared,
                                               unsigned lane) noexcept {
  if (r.bits == 8) return (shared >> (8 * lane)) & 0xFFu;
  const unsigned byte = lane >> 1;
  std::uint32_t w = ((shared >> (8 * byte)) & 0xFFu) | (((shared >> (8 * byte + 16)) & 0xFFu) << 8);
  const bool first = (lane & 1) == 0;
  const bool forward = r.forward == HwForwardLane::none ||
                       (r.forward == HwForwardLane::first ? first : !first);
  if (!forward) {
    std::uint32_t v = 0;
    for (int i = 0; i < 16; ++i) v |= ((w >> i) & 1u) << (15 - i);
    w = v;
  }
  return w;
}

/// A rounding rule as a type, for kernels (see FormatTag).
template <Rounding R>
struct RoundingTag {
  FP4LAB_HD static constexpr Rounding get() noexcept { return R; }
};

}  // namespace fp4lab
