#include "tests/oracle/rounding.h"

#include <algorithm>
#include <stdexcept>

namespace fp4lab_oracle {
namespace {

const Rational kHalf(1, 2);
const Rational kThreeQuarters(3, 4);

Placement decided(std::uint32_t code) {
  Placement p;
  p.decided = true;
  p.code = code;
  return p;
}

void set_cell(Placement& p, const Rational& x) {
  p.d = Rational(abs(Rational(x - p.near_value))) /
        Rational(abs(Rational(p.far_value - p.near_value)));
}

std::uint32_t zero_code(const Format& f, std::uint32_t positive_zero, bool negative) {
  return negative && f.has_negative_zero ? f.negative_zero_code : positive_zero;
}

// |x| is larger than the largest value of its sign (or infinite).
Placement place_beyond(const Format& f, const Number& x, Policy policy) {
  const Level& extreme = x.negative ? f.levels.front() : f.levels.back();
  if (policy == Policy::kCuda || !f.can_overflow) return decided(extreme.code);
  const std::uint32_t overflow = f.overflow_code[x.negative ? 1 : 0];
  if (x.kind == Number::Kind::kInfinite) return decided(overflow);
  Placement p;
  p.beyond_maximum = true;
  p.negative = x.negative;
  p.near_value = extreme.value;
  p.near_code = extreme.code;
  p.far_value = x.negative ? Rational(-f.overflow_magnitude) : f.overflow_magnitude;
  p.far_code = overflow;
  set_cell(p, x.value);
  return p;
}

Placement place_narrow(const Format& f, Number x, Policy policy) {
  if (x.negative && f.negatives == Negatives::kToCode0) return decided(0);
  if (f.negatives == Negatives::kMagnitude) {
    x.negative = false;
    x.value = abs(x.value);
  }
  if (x.kind == Number::Kind::kInfinite || x.value > f.levels.back().value) {
    return place_beyond(f, x, policy);
  }
  if (x.value < f.levels.front().value) {
    if (f.negatives == Negatives::kKept) return place_beyond(f, x, policy);
    return decided(f.levels.front().code);  // no zero to fall to: the smallest value
  }
  const auto upper =
      std::lower_bound(f.levels.begin(), f.levels.end(), x.value,
                       [](const Level& l, const Rational& v) { return l.value < v; });
  if (upper->value == x.value) {
    return decided(x.value == 0 ? zero_code(f, upper->code, x.negative) : upper->code);
  }
  const auto lower = upper - 1;
  Placement p;
  p.negative = x.negative;
  p.straddles = lower->value < 0 && upper->value > 0;
  const bool far_is_upper = !x.negative;  // own side when straddling, away from zero otherwise
  const Level& near = far_is_upper ? *lower : *upper;
  const Level& far = far_is_upper ? *upper : *lower;
  p.near_value = near.value;
  p.far_value = far.value;
  p.near_code = near.value == 0 ? zero_code(f, near.code, x.negative) : near.code;
  p.far_code = far.code;
  set_cell(p, x.value);
  return p;
}

// IEEE layouts: the neighbours by exponent arithmetic; the value after the maximum is Inf.
Placement place_wide(const Format& f, const Number& x) {
  const IeeeLayout& layout = f.layout;
  const std::uint32_t sign = x.negative ? 1u << (f.bits - 1) : 0;
  const std::uint32_t infinity = ((1u << layout.exponent_bits) - 1) << layout.mantissa_bits;
  const auto code = [&](std::uint32_t pattern) { return sign | (pattern << f.shift); };
  if (x.kind == Number::Kind::kInfinite) return decided(code(infinity));
  const Rational magnitude = abs(x.value);
  if (magnitude == 0) return decided(sign);
  const int exponent = std::min(std::max(floor_log2(magnitude), 1 - layout.bias()), layout.bias());
  const Rational ulp = pow2(exponent - layout.mantissa_bits);
  const std::uint32_t binade = static_cast<std::uint32_t>(exponent + layout.bias() - 1)
                               << layout.mantissa_bits;
  // At the clamped exponent the count may be astronomically large: compare before narrowing.
  const Integer pattern = floor_integer(magnitude / ulp) + binade;
  const std::uint32_t near =
      pattern < infinity ? static_cast<std::uint32_t>(pattern) : infinity - 1;
  const Rational near_magnitude = ulp * Rational(near - binade);
  if (near_magnitude == magnitude) return decided(code(near));
  Placement p;
  p.negative = x.negative;
  p.near_code = code(near);
  p.far_code = code(near + 1);
  p.beyond_maximum = near + 1 == infinity;
  p.near_value = x.negative ? Rational(-near_magnitude) : near_magnitude;
  p.far_value = x.negative ? Rational(-near_magnitude - ulp) : Rational(near_magnitude + ulp);
  set_cell(p, x.value);
  return p;
}

bool is_odd(const Format& f, std::uint32_t code) { return ((code >> f.shift) & 1) != 0; }

bool goes_far(const Format& f, const Placement& p, Mode mode) {
  if (p.beyond_maximum && p.d >= 1) {
    // At or past the value after the maximum: only rounding toward zero stays at the maximum.
    const bool toward_zero = mode == Mode::kRtz || (mode == Mode::kRtp && p.negative) ||
                             (mode == Mode::kRtn && !p.negative);
    return !toward_zero;
  }
  if (p.straddles) {
    switch (mode) {
      case Mode::kRtp:
        return !p.negative;
      case Mode::kRtn:
        return p.negative;
      default:
        return true;  // the own side is the nearer one, wins the tie at zero, is the smallest
    }
  }
  switch (mode) {
    case Mode::kRne:
      return p.d > kHalf || (p.d == kHalf && is_odd(f, p.near_code));
    case Mode::kRna:
      return p.d >= kHalf;
    case Mode::kRnz:
      return p.d > kHalf;
    case Mode::kRtz:
      return false;
    case Mode::kRtp:
      return !p.negative;
    case Mode::kRtn:
      return p.negative;
    case Mode::kOdd:
      return !is_odd(f, p.near_code);
    case Mode::kRnLower:
      return p.d > kHalf || (p.d == kHalf && p.negative);
    case Mode::kRnUpper:
      return p.d > kHalf || (p.d == kHalf && !p.negative);
    case Mode::kRdnp:
      return p.d >= (p.near_value == 0 ? kThreeQuarters : kHalf);
  }
  throw std::logic_error("unknown mode");
}

// d as the definition of stochastic rounding takes it: one binary64 division of two differences.
// Only where the cell's width is no power of two does the quotient round.
Rational stochastic_d(const Placement& p) { return p.straddles ? p.d : round_to_binary64(p.d); }

}  // namespace

std::string_view name(Mode mode) {
  constexpr std::string_view kNames[] = {"rne", "rna", "rnz",      "rtz",      "rtp",
                                         "rtn", "odd", "rn-lower", "rn-upper", "rdnp"};
  return kNames[static_cast<int>(mode)];
}

std::string_view name(Stochastic model) {
  constexpr std::string_view kNames[] = {"sr", "sr-fast", "sr-rne", "sr-rno"};
  return kNames[static_cast<int>(model)];
}

Placement locate(const Format& format, const Number& x, Policy policy) {
  if (x.kind == Number::Kind::kNan) return decided(format.nan_code);
  return format.is_wide ? place_wide(format, x) : place_narrow(format, x, policy);
}

std::uint32_t resolve(const Format& format, const Placement& p, Mode mode) {
  if (p.decided) return p.code;
  return goes_far(format, p, mode) ? p.far_code : p.near_code;
}

std::uint32_t encode(const Format& format, const Number& x, Mode mode, Policy policy) {
  return resolve(format, locate(format, x, policy), mode);
}

bool is_random(const Placement& placement) {
  return !placement.decided && !placement.beyond_maximum;
}

std::uint64_t round_up_count(const Placement& cell, Stochastic model, int n_bits) {
  const Rational scaled = stochastic_d(cell) * pow2(n_bits);
  const Integer whole = floor_integer(scaled);
  const Rational rest = scaled - Rational(whole);
  bool one_more = false;
  switch (model) {
    case Stochastic::kFloor:
      break;
    case Stochastic::kFast:
      one_more = rest >= kHalf;
      break;
    case Stochastic::kRne:
      one_more = rest > kHalf || (rest == kHalf && (whole & 1) != 0);
      break;
    case Stochastic::kRno:
      one_more = rest > kHalf || (rest == kHalf && (whole & 1) == 0);
      break;
  }
  return static_cast<std::uint64_t>(whole) + (one_more ? 1 : 0);
}

std::uint32_t encode(const Format& format, const Number& x, Stochastic model, int n_bits,
                     std::uint64_t r, Policy policy) {
  const Placement p = locate(format, x, policy);
  if (!is_random(p)) return p.decided ? p.code : p.near_code;
  const std::uint64_t words = std::uint64_t{1} << n_bits;
  const bool far = (r & (words - 1)) + round_up_count(p, model, n_bits) >= words;
  return far ? p.far_code : p.near_code;
}

std::uint32_t encode_uniform(const Format& format, const Number& x, const Rational& u,
                             Policy policy) {
  const Placement p = locate(format, x, policy);
  if (!is_random(p)) return p.decided ? p.code : p.near_code;
  return u < stochastic_d(p) ? p.far_code : p.near_code;
}

std::uint64_t round_up_count_uniform(const Placement& cell) {
  const Rational scaled = stochastic_d(cell) * pow2(24);
  const Integer whole = floor_integer(scaled);
  return static_cast<std::uint64_t>(whole) + (Rational(whole) == scaled ? 0 : 1);
}

std::string neighbours_text(const Format& format, const Number& x) {
  const Placement p = locate(format, x);
  if (!p.decided) {
    const bool ascending = p.near_value < p.far_value;
    return to_text(ascending ? p.near_value : p.far_value) + " | " +
           to_text(ascending ? p.far_value : p.near_value);
  }
  const CodeValue v = decode(format, p.code);
  switch (v.meaning) {
    case CodeValue::Meaning::kNan:
      return "nan";
    case CodeValue::Meaning::kInfinite:
      return v.negative ? "-inf" : "inf";
    default:
      break;
  }
  std::string text = v.negative && v.value == 0 ? "-" : "";
  text += to_text(v.value);
  return text;
}

}  // namespace fp4lab_oracle
