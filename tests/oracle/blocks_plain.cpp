// One-level schemes: real, power-of-two and E8M0 block scales, and HiF4's three levels.
#include <algorithm>
#include <map>
#include <stdexcept>

#include "tests/oracle/blocks_scheme.h"
#include "tests/oracle/breakpoints.h"

namespace fp4lab_oracle {
namespace {

// The largest magnitude, which scale rules map amax to.
const Rational& qmax(const Format& f) {
  static std::map<const Format*, Rational> cache;
  Rational& best = cache[&f];
  if (best != 0) return best;
  for (const Level& l : f.levels) best = std::max<Rational>(best, abs(l.value));
  return best;
}

// Exponent of the element's largest value (formats.md 3.4.1: 2, 2, 4, 8, 15, and 0 for integers).
int emax(const Format& f) { return floor_log2(qmax(f)); }

int mantissa_bits(const Format& f) {
  static const std::map<std::string, int> kBits = {
      {"e2m1", 1}, {"e2m3", 3},        {"e3m2", 2},        {"e4m3", 3},
      {"e5m2", 2}, {"mxint8-elem", 6}, {"mxint4-elem", 2}, {"mxint2-elem", 0}};
  return kBits.at(f.id);
}

constexpr F32 kThreeQuarters = 0x3F400000u;

// numpy's percentile of |x|, binary64 operations.
F32 percentile(const std::vector<F32>& x, const Rational& p) {
  std::vector<F32> sorted;
  for (const F32 v : x) sorted.push_back(abs32(v));
  std::sort(sorted.begin(), sorted.end());
  const F64 position = mul64(to_binary64(Rational(static_cast<long>(x.size()) - 1)),
                             div64(to_binary64(p), to_binary64(100)));
  const Rational exact = decode_ieee(position, kBinary64).value;
  const auto k = static_cast<std::size_t>(floor_integer(exact));
  const F64 t = sub64(position, to_binary64(Rational(static_cast<long>(k))));
  const F64 a = widen(sorted[k]), b = widen(sorted[std::min(k + 1, sorted.size() - 1)]);
  const F64 step = sub64(b, a);
  if (less64(t, to_binary64(Rational(1, 2)))) return narrow(add64(a, mul64(step, t)));
  return narrow(sub64(b, mul64(step, sub64(to_binary64(1), t))));
}

// floor(log2(c std + 1e-8)).
int quest_exponent(const std::vector<F32>& x) {
  const F64 n = to_binary64(Rational(static_cast<long>(x.size())));
  F64 sum = 0;
  for (const F32 v : x) sum = add64(sum, widen(v));
  const F64 mean = div64(sum, n);
  F64 squares = 0;
  for (const F32 v : x) {
    const F64 d = sub64(widen(v), mean);
    squares = add64(squares, mul64(d, d));
  }
  const F64 deviation = sqrt64(div64(squares, n));
  const F64 c = div64(to_binary64(parse_rational("2.92247856")), to_binary64(6));
  return exponent_of64(add64(mul64(c, deviation), to_binary64(parse_rational("0.00000001"))));
}

// Smallest e with amax <= qmax 2^e.
int covering_exponent(F32 amax, const Rational& q) {
  const Rational ratio = from_binary32(amax).value / q;
  const int e = floor_log2(ratio);
  return pow2(e) == ratio ? e : e + 1;
}

bool mantissa_at_least(F32 a, const Rational& m) {
  return from_binary32(a).value >= m * pow2(exponent_of(a));
}

// The exponent of a power-of-two scale, unclamped.
int scale_exponent(const BlockSpec& s, const Block& b, F32 amax) {
  const Format& f = *s.element;
  const int k = exponent_of(amax);
  const Rational ratio = from_binary32(amax).value / qmax(f);
  switch (s.rule) {
    case Rule::kFloor:
    case Rule::kTseng34:
      return k - emax(f);
    case Rule::kCeil:
      return k - emax(f) + (mantissa_at_least(amax, 1) && from_binary32(amax).value != pow2(k));
    case Rule::kEven:
      // Rounded to the element's mantissa, amax reaches the next binade.
      return k - emax(f) + mantissa_at_least(amax, 2 - pow2(-mantissa_bits(f) - 1));
    case Rule::kRceil:
      return covering_exponent(amax, qmax(f));
    case Rule::kQuest:
      return quest_exponent(b.x);
    case Rule::kPow2Floor:
      return floor_log2(ratio);
    case Rule::kPow2Ceil:
      return covering_exponent(amax, qmax(f));
    case Rule::kPow2Near:
      return floor_log2(ratio) + (ratio * 2 >= 3 * pow2(floor_log2(ratio)));
    default:
      throw std::invalid_argument("no power-of-two rule");
  }
}

F32 real_scale(const BlockSpec& s, const Block& b, F32 amax);

// Squared error of the block under scale `scale`, binary64, index order.
F64 squared_error(const BlockSpec& s, const Block& b, F32 scale) {
  F64 sum = 0;
  for (const F32 x : b.x) {
    const F32 q = value_of(*s.element, nearest(*s.element, div(x, scale), s.round.mode));
    const F64 e = sub64(widen(x), mul64(widen(scale), widen(q)));
    sum = add64(sum, mul64(e, e));
  }
  return sum;
}

F32 never_zero(F32 s) { return s == 0 ? F32{1} : s; }

F32 real_scale(const BlockSpec& s, const Block& b, F32 amax) {
  const F32 q = constant(qmax(*s.element));
  switch (s.rule) {
    case Rule::kAbsmax:
      return never_zero(div(amax, q));
    case Rule::kClip:
      return never_zero(div(mul(constant(s.rule_argument), amax), q));
    case Rule::kPercentile:
      return never_zero(div(percentile(b.x, s.rule_argument), q));
    case Rule::kFixed:
      return never_zero(constant(s.rule_argument));
    case Rule::kMse: {
      // The grid in binary64, one rounding of each candidate.
      const F64 whole = div64(widen(amax), widen(q));
      const F64 low = to_binary64(Rational(35, 100)), span = sub64(to_binary64(1), low);
      F32 best = 0;
      F64 best_error = 0;
      for (int i = 0; i <= 100; ++i) {
        const F64 part = div64(mul64(to_binary64(i), span), to_binary64(100));
        const F32 candidate = never_zero(narrow(mul64(whole, add64(low, part))));
        const F64 error = squared_error(s, b, candidate);
        if (i == 0 || less64(error, best_error)) {
          best = candidate;
          best_error = error;
        }
      }
      return best;
    }
    default:
      throw std::invalid_argument("no real-valued rule");
  }
}

}  // namespace

F32 constant(const Rational& r) { return to_binary32(r); }

std::uint32_t nearest(const Format& f, F32 v, Mode mode, Policy policy) {
  if (f.is_wide) return encode(f, from_binary32(v), mode, policy);
  static std::map<std::tuple<const Format*, Mode, Policy>, std::vector<Interval>> cache;
  auto& all = cache[{&f, mode, policy}];
  if (all.empty()) all = intervals(f, mode, policy);
  const auto after = std::upper_bound(all.begin(), all.end(), v,
                                      [](F32 bits, const Interval& i) { return bits < i.first; });
  return (after - 1)->code;
}

namespace {

F32 decoded(const Format& f, std::uint32_t code) {
  const CodeValue v = decode(f, code);
  switch (v.meaning) {
    case CodeValue::Meaning::kFinite:
      return v.value == 0 && v.negative ? kSign32 : constant(v.value);
    case CodeValue::Meaning::kInfinite:
      return v.negative ? kInf32 | kSign32 : kInf32;
    default:
      return kNan32;
  }
}

}  // namespace

F32 value_of(const Format& f, std::uint32_t code) {
  if (f.is_wide) return decoded(f, code);
  static std::map<const Format*, std::vector<F32>> cache;
  std::vector<F32>& all = cache[&f];
  if (all.empty()) {
    for (std::uint32_t c = 0; c < f.codes.size(); ++c) all.push_back(decoded(f, c));
  }
  return all.at(code);
}

std::uint32_t cast(const ElementRounding& r, const Format& f, F32 v, std::uint64_t index,
                   const RandomBits& random) {
  switch (r.kind) {
    case ElementRounding::Kind::kMode:
      return nearest(f, v, r.mode);
    case ElementRounding::Kind::kBits:
      return encode(f, from_binary32(v), r.model, r.n_bits, random.word(index, r.n_bits));
    case ElementRounding::Kind::kUniform:
      return encode_uniform(f, from_binary32(v), Rational(random.word(index, 32) >> 8) * pow2(-24));
  }
  throw std::logic_error("cast");
}

F32 largest_magnitude(const std::vector<F32>& x, bool ignore_nan) {
  F32 best = 0;
  for (const F32 v : x) {
    if (ignore_nan && is_nan(v)) continue;
    best = std::max(best, abs32(v));
  }
  return best;
}

BlockResult poisoned(const BlockSpec& s, const Block& b, const Format& f,
                     const RandomBits& random) {
  BlockResult out;
  out.scale = s.scale == ScaleKind::kCoded ? s.scale_format->nan_code : kNan32;
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    out.codes.push_back(cast(s.round, f, b.x[i], b.index[i], random));
    out.values.push_back(kNan32);
  }
  return out;
}

BlockResult plain_block(const BlockSpec& s, const Block& b, F32 g, const RandomBits& random) {
  const Format& f = *s.element;
  BlockResult out;
  const F32 amax = largest_magnitude(b.x, s.ignore_nan);
  const bool scaled = s.scale != ScaleKind::kNone;
  if (scaled && !is_finite(amax)) return poisoned(s, b, f, random);
  if (!scaled || (amax == 0 && s.rule != Rule::kFixed)) {
    // Nothing is divided; a block of zeros has scale 0 (E8M0: code 00, which stands for 2^-127).
    const bool e8m0 = s.scale == ScaleKind::kCoded && s.scale_format->id == "e8m0";
    const F32 scale = !scaled ? kOne32 : e8m0 ? pow2_32(-127) : 0;
    out.scale = scaled ? 0 : kOne32;
    for (std::size_t i = 0; i < b.x.size(); ++i) {
      const std::uint32_t code = cast(s.round, f, b.x[i], b.index[i], random);
      out.codes.push_back(code);
      out.values.push_back(scaled ? mul(mul(value_of(f, code), scale), g) : value_of(f, code));
    }
    return out;
  }
  if (s.scale == ScaleKind::kFp32) {
    const F32 scale = real_scale(s, b, amax);
    out.scale = scale;
    for (std::size_t i = 0; i < b.x.size(); ++i) {
      const std::uint32_t code = cast(s.round, f, div(b.x[i], scale), b.index[i], random);
      out.codes.push_back(code);
      out.values.push_back(mul(value_of(f, code), scale));
    }
    return out;
  }
  const bool coded = s.scale == ScaleKind::kCoded;
  const int e = std::clamp(scale_exponent(s, b, amax), coded ? -127 : -149, 127);
  out.scale = coded ? static_cast<std::uint32_t>(e + 127) : pow2_32(e);
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    F32 v = scale_by_pow2(b.x[i], -e);
    if (s.rule == Rule::kTseng34) v = mul(kThreeQuarters, v);
    const std::uint32_t code = cast(s.round, f, v, b.index[i], random);
    out.codes.push_back(code);
    const F32 value = mul(value_of(f, code), pow2_32(e));
    out.values.push_back(s.rule == Rule::kTseng34 ? mul(value, g) : value);
  }
  return out;
}

BlockResult hif4_block(const BlockSpec& s, const Block& b, const RandomBits& random) {
  const Format& f = *s.element;
  const F32 amax = largest_magnitude(b.x);
  if (!is_finite(amax)) return poisoned(s, b, f, random);
  BlockResult out;
  out.scale = amax == 0 ? 0 : nearest(*s.scale_format, div(amax, constant(7)), Mode::kRne);
  const F32 s64 = value_of(*s.scale_format, out.scale);
  const auto part_max = [&](std::size_t first, std::size_t n) {
    const std::size_t last = std::min(first + n, b.x.size());
    return first >= last ? F32{0}
                         : largest_magnitude({b.x.begin() + static_cast<long>(first),
                                              b.x.begin() + static_cast<long>(last)});
  };
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    const bool b8 = !less(div(part_max(i / 8 * 8, 8), s64), constant(4));
    const F32 s8 = scale_by_pow2(s64, b8);
    const bool b4 = !less(div(part_max(i / 4 * 4, 4), s8), constant(2));
    const F32 scale = scale_by_pow2(s8, b4);
    const F32 v = amax == 0 ? b.x[i] : div(b.x[i], scale);
    const std::uint32_t code = cast(s.round, f, v, b.index[i], random);
    out.codes.push_back(code);
    out.values.push_back(mul(value_of(f, code), scale));
  }
  return out;
}

}  // namespace fp4lab_oracle
