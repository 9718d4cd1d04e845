// encode: one real number to one code, for every format, rounding rule and policy.
//
// A format answers one question, "which two codes surround |x| and where between them does it
// lie" (`locate`); rounding.h decides which of the two it becomes; policy.h what happens off the
// ends. All decisions are made on integers.
#pragma once

#include <cstdint>

#include "formats/element_format.h"
#include "formats/policy.h"
#include "formats/rounding.h"

namespace fp4lab {
namespace detail {

/// The cell of a value: codes of the neighbours toward and away from zero, and the position.
struct Cell {
  std::uint32_t lo = 0, hi = 0;
  Position position;
  bool overflow = false;   ///< beyond the last finite value; `hi` is then no finite code
  bool past_cell = false;  ///< at or beyond the value that would follow it in an unbounded format
  bool straddles = false;  ///< the cell around zero of a codebook without a zero
};

/// d = rest / 2^s as fixed point, for 0 <= rest < 2^s, s >= 0 and rest below 2^62.
FP4LAB_HD constexpr void set_fraction(Position& p, std::uint64_t rest, int s) noexcept {
  if (s <= 62) {
    p.d62 = rest << (62 - s);
    p.sticky = false;
    return;
  }
  const int shift = s - 62;
  p.d62 = shift >= 64 ? 0 : rest >> shift;
  p.sticky = shift >= 64 ? rest != 0 : (rest & ((1ull << shift) - 1)) != 0;
}

/// d = num / den for the cells whose width is no power of two: one binary64 division (formats.md
/// 2.3). `twice_x_vs_sum` is the exact comparison of x with the midpoint and wins where the
/// quotient was rounded onto 1/2.
FP4LAB_HD constexpr void set_quotient(Position& p, double num, double den,
                                      int twice_x_vs_sum) noexcept {
  const double d = num / den;
  if (d == 0.0) {
    p.d62 = 0;
    p.sticky = num != 0.0;
    return;
  }
  const Magnitude m = magnitude_of(d);
  const int s = -m.exp;  // d = sig * 2^-s
  set_fraction(p, m.sig, s);
  if (p.d62 >= (1ull << 62)) p.d62 = (1ull << 62) - 1;
  const bool is_tie = p.d62 == kHalf62 && !p.sticky;
  if (is_tie && twice_x_vs_sum > 0) p.sticky = true;
  if (is_tie && twice_x_vs_sum < 0) {
    p.d62 = kHalf62 - 1;
    p.sticky = true;
  }
}

/// Modes that ask only on which side of the midpoint a value lies.
FP4LAB_HD constexpr bool needs_fraction(const Rounding& r) noexcept {
  return r.is_stochastic() || r.kind == RoundingKind::rdnp;
}

/// The position of an inexact value in a cell whose width is no power of two: the quotient where
/// the mode reads it, its side of the midpoint otherwise (a division saved).
FP4LAB_HD constexpr void set_position(Position& p, const Rounding& r, double num, double den,
                                      int twice_x_vs_sum) noexcept {
  if (needs_fraction(r)) {
    set_quotient(p, num, den, twice_x_vs_sum);
    return;
  }
  p.d62 = twice_x_vs_sum < 0 ? 1 : kHalf62;
  p.sticky = twice_x_vs_sum > 0;
}

/// Sign of 2x - (a + b), exactly.
FP4LAB_HD constexpr int compare_with_midpoint(double x, double a, double b) noexcept {
  const double s = a + b;
  const double bb = s - a;
  const double err = (a - (s - bb)) + (b - bb);
  const double twice = 2.0 * x;
  if (twice != s) return twice > s ? 1 : -1;
  return err == 0.0 ? 0 : (err < 0.0 ? 1 : -1);
}

/// Fills a cell from the unbounded magnitude code `m` of lo and its position.
FP4LAB_HD constexpr void set_codes(Cell& c, const ElementFormat& f, std::uint64_t m) noexcept {
  const std::uint64_t top = f.max_magnitude_code();
  c.position.lo_odd = (m & 1) != 0;
  c.position.lowest = m == 0 && f.low_end != LowEnd::no_zero;
  c.overflow = m > top || (m == top && c.position.inexact());
  c.past_cell = m > top;
  c.lo = static_cast<std::uint32_t>(m > top ? top : m);
  c.hi = c.lo + 1;
}

/// Exponent of the lowest binade of normal numbers.
FP4LAB_HD constexpr int lowest_exponent(const ElementFormat& f) noexcept {
  return (f.low_end == LowEnd::no_zero ? 0 : 1) - f.bias + f.shift;
}

/// Sign-magnitude formats of radix 2 with subnormals, or without a zero and `x` not below their
/// smallest value: arithmetic on the significand.
FP4LAB_HD constexpr Cell locate_binary(const ElementFormat& f, const Magnitude& x) noexcept {
  const int man = f.mantissa_bits;
  const int emin = lowest_exponent(f);
  int e = x.exponent();
  if (e < emin) e = emin;
  const int s = (e - man) - x.exp;  // the quantum is 2^s significand units
  Cell c;
  std::uint64_t k = 0;
  if (s <= 0) {
    k = x.sig << -s;
  } else {
    k = s >= 64 ? 0 : x.sig >> s;
    const std::uint64_t rest = s >= 64 ? x.sig : x.sig & ((1ull << s) - 1);
    set_fraction(c.position, rest, s);
  }
  // k = 2^man .. 2^(man+1)-1 in a normal binade; adding (e - emin) binades gives the code. Without
  // subnormals the lowest binade starts at code 0.
  std::uint64_t m = k + (static_cast<std::uint64_t>(e - emin) << man);
  if (f.low_end == LowEnd::no_zero) m -= 1ull << man;
  set_codes(c, f, m);
  return c;
}

/// The same for a binary32 source and a format with subnormals whose binades lie inside those of
/// binary32: no branches. `a` are the bits of a finite |x|.
FP4LAB_HD constexpr Cell locate_gradual(const ElementFormat& f, std::uint32_t a) noexcept {
  const int man = f.mantissa_bits;
  const int emin = lowest_exponent(f);
  const std::uint32_t field = a >> 23;
  const std::uint64_t sig = (a & 0x007FFFFFu) | (field != 0 ? 0x00800000u : 0u);
  const int exponent = static_cast<int>(field) + (field == 0 ? 1 : 0) - 127;
  const int e = exponent < emin ? emin : exponent;
  // Quantum in significand units, 0 for formats as fine as binary32. Beyond 62 the value is so far
  // below the first midpoint that no mode tells more zeros from fewer.
  int s = e - exponent + 23 - man;
  s = s > 62 ? 62 : s;
  Cell c;
  c.position.d62 = (sig & ((1ull << s) - 1)) << (62 - s);
  set_codes(c, f, (sig >> s) + (static_cast<std::uint64_t>(e - emin) << man));
  return c;
}

/// Other sign-magnitude formats (radix 4, zero but no subnormals): bisection over the codes.
FP4LAB_HD constexpr Cell locate_by_code(const ElementFormat& f, double x,
                                        const Rounding& r) noexcept {
  const std::uint32_t top = f.max_magnitude_code();
  std::uint32_t lo = 0, hi = top + 1;  // value(lo) <= x < value(hi), once x >= value(0)
  while (hi - lo > 1) {
    const std::uint32_t mid = lo + (hi - lo) / 2;
    if (minifloat_magnitude(f, mid) <= x) {
      lo = mid;
    } else {
      hi = mid;
    }
  }
  Cell c;
  c.lo = lo;
  c.hi = lo + 1;
  const double a = minifloat_magnitude(f, lo), b = minifloat_magnitude(f, lo + 1ull);
  c.position.lo_odd = (lo & 1) != 0;
  c.position.lowest = lo == 0 && a == 0.0;
  c.overflow = lo == top && x > a;
  c.past_cell = lo == top && x >= b;
  if (!c.past_cell && x > a) {
    set_position(c.position, r, x - a, b - a, compare_with_midpoint(x, a, b));
  }
  return c;
}

/// Two's complement integers: magnitudes are multiples of 2^shift.
FP4LAB_HD constexpr Cell locate_integer(const ElementFormat& f, const Magnitude& x,
                                        bool negative) noexcept {
  const std::uint64_t top = static_cast<std::uint64_t>(negative ? -f.min_int : f.max_int);
  const int s = f.shift - x.exp;
  Cell c;
  std::uint64_t k = 0;
  if (s <= 0) {
    k = -s >= 40 ? (1ull << 62) : x.sig << -s;
    if (x.width > 24 && -s >= 10) k = 1ull << 62;
  } else {
    k = s >= 64 ? 0 : x.sig >> s;
    const std::uint64_t rest = s >= 64 ? x.sig : x.sig & ((1ull << s) - 1);
    set_fraction(c.position, rest, s);
  }
  c.position.lo_odd = (k & 1) != 0;
  c.position.lowest = k == 0;
  c.overflow = k >= top && (k > top || c.position.inexact());
  c.past_cell = k > top;
  if (k > top) k = top;
  const auto code = [&](std::uint64_t v) {
    const std::uint32_t u = static_cast<std::uint32_t>(v);
    return (negative ? 0u - u : u) & f.code_mask();
  };
  c.lo = code(k);
  c.hi = code(k + 1);
  return c;
}

/// Codebooks: neighbours by value among at most 16 entries, on x's own side of zero.
FP4LAB_HD constexpr Cell locate_codebook(const ElementFormat& f, double x, bool negative,
                                         const Rounding& r) noexcept {
  // Mirrored so that `x` is the magnitude and "up" is away from zero.
  std::uint32_t lo = 16, hi = 16;
  double lo_value = 0, hi_value = 0;
  for (std::uint32_t i = 0; i < f.count; ++i) {
    double v = bits_as<float>(f.table[i]);
    if (negative) v = -v;
    if (v <= x && (lo == 16 || v > lo_value)) {
      lo = i;
      lo_value = v;
    }
    if (v >= x && (hi == 16 || v < hi_value)) {
      hi = i;
      hi_value = v;
    }
  }
  Cell c;
  if (lo == 16) {  // below the smallest entry of a codebook that lies on one side of zero
    c.lo = c.hi = hi;
    return c;
  }
  c.lo = lo;
  c.hi = hi == 16 ? lo : hi;
  c.position.lo_odd = (lo & 1) != 0;
  c.position.lowest = lo_value == 0.0;
  c.straddles = lo_value < 0.0 && hi != 16 && hi_value > 0.0;
  c.overflow = hi == 16;
  c.past_cell = c.overflow;
  if (!c.overflow && hi_value > lo_value && x > lo_value) {
    set_position(c.position, r, x - lo_value, hi_value - lo_value,
                 compare_with_midpoint(x, lo_value, hi_value));
  }
  return c;
}

/// The cell around zero of a format that has no zero: `hi` is the neighbour on x's own side.
/// Nearest modes go by distance (a tie keeps the sign of x), truncation and round-to-odd keep the
/// sign, directed and stochastic modes follow the ordinary rule.
FP4LAB_HD constexpr bool straddle_rounds_up(const Rounding& r, const Position& p,
                                            std::uint32_t random) noexcept {
  if (r.is_stochastic() || r.kind == RoundingKind::rtp || r.kind == RoundingKind::rtn) {
    return rounds_up(r, p, random);
  }
  if (r.kind == RoundingKind::rtz || r.kind == RoundingKind::odd) return true;
  return p.d62 >= kHalf62;
}

/// Formats and roundings that `encode_direct` does: evenly spaced numbers, and radix-2 floats with
/// subnormals whose binades lie inside those of binary32, under any deterministic rounding.
FP4LAB_HD constexpr bool is_direct(const ElementFormat& f, const Rounding& r) noexcept {
  if (r.is_stochastic() || f.bits > 19) return false;
  if (f.kind == FormatKind::integer) return f.shift + f.bits > -126 && f.shift + f.bits < 127;
  return f.kind == FormatKind::minifloat && f.low_end == LowEnd::gradual && f.radix_log2 == 1 &&
         lowest_exponent(f) >= -126 && lowest_exponent(f) < 127;
}

/// What a rounding adds below the quantum so that cutting there rounds. `fixed` is a magnitude with
/// `shift` fraction bits, the last of them sticky.
FP4LAB_HD constexpr std::uint32_t rounding_addend(RoundingKind kind, std::uint32_t fixed, int shift,
                                                  bool negative) noexcept {
  const std::uint32_t half = 1u << (shift - 1), all = (1u << shift) - 1u;
  const std::uint32_t odd = (fixed >> shift) & 1u;
  switch (kind) {
    case RoundingKind::rne:
      return half - 1u + odd;
    case RoundingKind::rna:
      return half;
    case RoundingKind::rnz:
      return half - 1u;
    case RoundingKind::rtp:
      return negative ? 0u : all;
    case RoundingKind::rtn:
      return negative ? all : 0u;
    case RoundingKind::odd:
      return odd != 0 ? 0u : all;
    case RoundingKind::rn_lower:
      return half - (negative ? 0u : 1u);
    case RoundingKind::rn_upper:
      return half - (negative ? 1u : 0u);
    case RoundingKind::rdnp:
      return fixed >> shift == 0 ? half >> 1 : half;
    default:
      return 0u;  // rtz
  }
}

/// `encode` of the binary32 number with these bits, not NaN, where is_direct(f, r): the same as
/// locating its cell and asking `rounds_up`, in 32-bit integers and almost without branches. An
/// integer format is the subnormal range of a float whose binades begin above its largest value.
FP4LAB_HD constexpr std::uint32_t encode_direct(const ElementFormat& f, std::uint32_t bits,
                                                const Rounding& r, Policy policy) noexcept {
  const bool integer = f.kind == FormatKind::integer;
  const bool negative = (bits >> 31) != 0;
  const std::uint32_t a = bits & 0x7FFFFFFFu;
  const int man = integer ? f.bits : f.mantissa_bits;
  const int shift = 23 - man;
  const std::uint32_t lowest =
      static_cast<std::uint32_t>(integer ? f.shift + man + 127 : lowest_exponent(f) + 127);
  // The magnitude in units of 2^-shift quanta of the lowest binade; further binades follow on as
  // they do in the code.
  const std::uint32_t field = a >> 23;
  const std::uint32_t sig = (a & 0x007FFFFFu) | (field != 0 ? 0x00800000u : 0u);
  const std::uint32_t binade = field != 0 ? field : 1u;
  const std::uint32_t down = binade < lowest ? (lowest - binade < 31u ? lowest - binade : 31u) : 0u;
  std::uint32_t fixed = sig >> down;
  fixed |= (fixed << down) != sig ? 1u : 0u;
  fixed += (binade > lowest ? binade - lowest : 0u) << 23;

  std::uint32_t m = (fixed + rounding_addend(r.kind, fixed, shift, negative)) >> shift;
  const std::uint32_t top = integer ? static_cast<std::uint32_t>(negative ? -f.min_int : f.max_int)
                                    : f.max_magnitude_code();
  if (!saturates(f, policy) && (m > top || a == 0x7F800000u)) {
    // Beyond the cell above the largest value directed roundings still end at that value.
    const bool toward_max = r.kind == RoundingKind::rtz ||
                            (r.kind == RoundingKind::rtp && negative) ||
                            (r.kind == RoundingKind::rtn && !negative);
    if (!toward_max || a == 0x7F800000u) return overflow_result(f, policy, negative);
  }
  m = m > top ? top : m;
  if (integer) return (negative ? 0u - m : m) & f.code_mask();
  if (m == 0) return zero_result(f, policy, negative, a == 0);
  return (m | (negative ? f.sign_mask() : 0u)) << f.storage_shift;
}

/// fouroversix's three-grid rounding to E2M1's grid, without a clamp: quantum 1/2 below 2, 1 below
/// 4, 2 above, ties to even (formats.md 2.6). Magnitude in, magnitude out.
FP4LAB_HD constexpr double fouroversix_magnitude(double a) noexcept {
  const double quantum = a < 2.0 ? 0.5 : a < 4.0 ? 1.0 : 2.0;
  const double t = a / quantum;
  if (!(t < 0x1p52)) return a;  // NaN too
  double n = static_cast<double>(static_cast<std::uint64_t>(t));
  const double d = t - n;
  if (d > 0.5 || (d == 0.5 && (static_cast<std::uint64_t>(n) & 1) != 0)) n += 1.0;
  return n * quantum;
}

/// fouroversix's rounding and packer: the exponent field and the top mantissa bit of the value as
/// bf16, so that 8 becomes the code of -0.
template <class Real>
FP4LAB_HD constexpr std::uint32_t encode_fouroversix(Real x, bool negative) noexcept {
  const std::uint32_t sign = negative ? 8u : 0u;
  const double a = x < Real(0) ? -static_cast<double>(x) : static_cast<double>(x);
  if (a == 0.0) return 0;
  if (a >= 0x1p127) return 0xBu;  // twice the value overflows binary32, then Inf * 0 = NaN
  const double v = fouroversix_magnitude(a);
  if (v == 0.0) return sign;
  if (v == 0.5) return 1u | sign;
  const std::uint32_t b = bits_as<std::uint32_t>(static_cast<float>(v));
  const std::uint32_t bf16 = (b + 0x7FFFu + ((b >> 16) & 1u)) >> 16;
  const std::uint32_t e = (bf16 >> 7) & 0xFFu, top = (bf16 >> 6) & 1u;
  return ((((e - 126u) << 1) | top) | sign) & 0xFFu;
}

}  // namespace detail

/// Code of `x` (binary32 or binary64) in format `f` under rounding `r` and special-value policy
/// `policy`. `random` is the element's random word; only stochastic modes read it. The result
/// includes the storage shift (TF32); `kRefused` where the policy refuses the input.
/// Source: formats.md 1 and 2.
template <class Real>
FP4LAB_HD constexpr std::uint32_t encode(const ElementFormat& f, Real x,
                                         Rounding r = nearest_even(), Policy policy = Policy::cuda,
                                         std::uint32_t random = 0) noexcept {
  static_assert(sizeof(Real) == 4 || sizeof(Real) == 8, "binary32 or binary64");
  constexpr bool is_f64 = sizeof(Real) == 8;
  bool negative = false, infinite = false, zero = false;
  if constexpr (is_f64) {
    const std::uint64_t b = bits_as<std::uint64_t>(x);
    const std::uint64_t a = b & 0x7FFFFFFFFFFFFFFFull;
    negative = (b >> 63) != 0;
    zero = a == 0;
    infinite = a == 0x7FF0000000000000ull;
    if (a > 0x7FF0000000000000ull) {
      const std::uint32_t narrow = (static_cast<std::uint32_t>(b >> 32) & 0x80000000u) |
                                   0x7FC00000u | static_cast<std::uint32_t>((a >> 29) & 0x3FFFFFu);
      return nan_result(f, policy, negative, a & 0x000FFFFFFFFFFFFFull, narrow, true);
    }
  } else {
    const std::uint32_t b = bits_as<std::uint32_t>(x);
    const std::uint32_t a = b & 0x7FFFFFFFu;
    negative = (b >> 31) != 0;
    zero = a == 0;
    infinite = a == 0x7F800000u;
    if (a > 0x7F800000u) {
      return nan_result(f, policy, negative, static_cast<std::uint64_t>(a & 0x7FFFFFu) << 29, b,
                        false);
    }
  }

  const bool e8m0 = detail::is_e8m0(f);
  const bool gfloat = policy == Policy::gfloat_sat || policy == Policy::gfloat_nosat;
  if (e8m0 && (gfloat || policy == Policy::ml_dtypes || policy == Policy::jax)) {
    if (zero || negative) return policy == Policy::gfloat_sat && infinite ? 0xFEu : 0xFFu;
  }
  if (!f.is_signed && negative && f.kind != FormatKind::codebook) {
    if (!e8m0) return 0;
    negative = false;
  }
  if (policy == Policy::fouroversix && f.bits == 4 && f.exponent_bits == 2) {
    return detail::encode_fouroversix(x, negative);
  }

  if constexpr (!is_f64) {
    if (detail::is_direct(f, r)) {
      return detail::encode_direct(f, bits_as<std::uint32_t>(x), r, policy);
    }
  }

  if (zero && f.has_zero()) return zero_result(f, policy, negative, true);

  const std::uint32_t sign = negative ? f.sign_mask() : 0u;
  if (infinite) {
    if (f.kind == FormatKind::minifloat && !saturates(f, policy)) {
      return overflow_result(f, policy, negative);
    }
    if (f.kind == FormatKind::minifloat) {
      return (f.max_magnitude_code() | sign) << f.storage_shift;
    }
    // Integers and codebooks: as the largest number, cut. (A call of encode would be a second copy
    // of all this in every kernel.)
    x = negative ? -kFloatMax : kFloatMax;
    r = Rounding{RoundingKind::rtz};
  }

  // Not `negative`: E8M0 has dropped the sign by now and uses |x|.
  const double a = x < Real(0) ? -static_cast<double>(x) : static_cast<double>(x);
  detail::Cell c;
  switch (f.kind) {
    case FormatKind::codebook:
      c = detail::locate_codebook(f, a, negative, r);
      break;
    case FormatKind::integer:
      c = detail::locate_integer(f, magnitude_of(x), negative);
      break;
    case FormatKind::minifloat:
      if (f.low_end == LowEnd::gradual && f.radix_log2 == 1) {
        if constexpr (!is_f64) {
          if (detail::lowest_exponent(f) >= -126) {
            c = detail::locate_gradual(f, bits_as<std::uint32_t>(x) & 0x7FFFFFFFu);
            break;
          }
        }
        c = detail::locate_binary(f, magnitude_of(x));
        break;
      }
      if (f.low_end == LowEnd::no_zero && a < minifloat_magnitude(f, 0)) {
        if (f.is_signed) {
          const double smallest = minifloat_magnitude(f, 0);
          Position p;
          p.negative = negative;
          detail::set_quotient(p, a + smallest, 2.0 * smallest,
                               detail::compare_with_midpoint(a, -smallest, smallest));
          return detail::straddle_rounds_up(r, p, random) ? sign : (sign ^ f.sign_mask());
        }
        if (e8m0 && gfloat) {
          // The exponent range is unbounded below: the rounded power counts if it reaches 2^-127.
          const Magnitude m = magnitude_of(x);
          Position p;
          p.lo_odd = ((m.exponent() + 127) & 1) != 0;
          detail::set_fraction(p, m.sig & ((1ull << (m.width - 1)) - 1), m.width - 1);
          return m.exponent() == -128 && rounds_up(r, p, random) ? 0u : 0xFFu;
        }
        return 0;
      }
      c = f.low_end == LowEnd::no_zero && f.radix_log2 == 1
              ? detail::locate_binary(f, magnitude_of(x))
              : detail::locate_by_code(f, a, r);
      break;
  }
  c.position.negative = negative;

  if (e8m0 && c.lo == 0 && c.position.inexact() &&
      (policy == Policy::torch || policy == Policy::ml_dtypes || policy == Policy::jax)) {
    return 1;  // these treat subnormal inputs above 2^-127 as a ceiling
  }

  if (c.overflow) {
    // Random bits never carry a finite number past the largest value (formats.md 2.2); only gfloat
    // lets them.
    if (saturates(f, policy) || (r.is_stochastic() && !gfloat)) {
      return f.kind == FormatKind::minifloat ? (c.lo | sign) << f.storage_shift : c.lo;
    }
    // Without saturation the value is rounded with an unbounded exponent range first.
    bool up = true;
    if (c.past_cell) {
      const bool toward_max = r.kind == RoundingKind::rtz ||
                              (r.kind == RoundingKind::rtp && negative) ||
                              (r.kind == RoundingKind::rtn && !negative);
      up = !toward_max;
    } else {
      up = rounds_up(r, c.position, random);
    }
    if (up) return overflow_result(f, policy, negative);
    return (c.lo | sign) << f.storage_shift;
  }

  const bool up = c.straddles ? detail::straddle_rounds_up(r, c.position, random)
                              : rounds_up(r, c.position, random);
  const std::uint32_t code = up ? c.hi : c.lo;
  if (f.kind != FormatKind::minifloat) {
    if (!up && c.position.lowest) return zero_result(f, policy, negative, false);
    return code;
  }
  if (code == 0 && f.low_end != LowEnd::no_zero) return zero_result(f, policy, negative, false);
  return (code | sign) << f.storage_shift;
}

/// `encode` for formats known only at run time: the same function, kept out of line in kernels.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr std::uint32_t encode_any(
    const ElementFormat& f, float x, Rounding r = nearest_even(), Policy policy = Policy::cuda,
    std::uint32_t random = 0) noexcept {
  return encode(f, x, r, policy, random);
}

/// `decode` for formats known only at run time, likewise.
FP4LAB_HD FP4LAB_DEVICE_NOINLINE constexpr float decode_any(const ElementFormat& f,
                                                            std::uint32_t code) noexcept {
  return decode(f, code);
}

/// decode(encode(x)): the value that `x` becomes, as binary32.
FP4LAB_HD constexpr float round_to(const ElementFormat& f, float x, Rounding r = nearest_even(),
                                   Policy policy = Policy::cuda,
                                   std::uint32_t random = 0) noexcept {
  const std::uint32_t code = encode(f, x, r, policy, random);
  return code == kRefused ? canonical_nan() : decode(f, code);
}

}  // namespace fp4lab
