#include <algorithm>
#include <optional>

#include "tests/oracle/accumulate.h"

namespace fp4lab_oracle {
namespace {

using Kind = Number::Kind;

/// What the sum meets besides finite numbers.
struct Specials {
  bool nan = false, plus = false, minus = false;
  void add(const Number& x) {
    if (x.kind == Kind::kNan) nan = true;
    if (x.kind == Kind::kInfinite) (x.negative ? minus : plus) = true;
  }
  /// The answer, when they decide it.
  std::optional<std::uint32_t> answer(bool half) const {
    if (nan || (plus && minus)) return half ? 0x7FFFu : 0x7FFFFFFFu;
    if (plus) return half ? 0x7C00u : 0x7F800000u;
    if (minus) return half ? 0xFC00u : 0xFF800000u;
    return std::nullopt;
  }
};

bool zero(const Number& x) { return x.kind == Kind::kFinite && x.value == 0; }

Number times(const Number& a, const Number& b) {
  Number n;
  n.negative = a.negative != b.negative;
  if (a.kind == Kind::kNan || b.kind == Kind::kNan) {
    n.kind = Kind::kNan;
  } else if (a.kind == Kind::kInfinite || b.kind == Kind::kInfinite) {
    n.kind = zero(a) || zero(b) ? Kind::kNan : Kind::kInfinite;
  } else {
    n.value = a.value * b.value;
  }
  return n;
}

/// A non-zero number's exponent in a format whose lowest normal binade is 2^emin.
int exponent_of(const Number& x, int emin) {
  return std::max(floor_log2(x.value < 0 ? Rational(-x.value) : x.value), emin);
}

struct Term {
  Rational value;
  int exponent = 0;
};

/// |t| in units of 2^q, cut or rounded.
Rational aligned(const Rational& t, int q, bool nearest) {
  const Rational magnitude = (t < 0 ? Rational(-t) : t) * pow2(-q);
  Integer n = floor_integer(magnitude);
  if (nearest) {
    const Rational rest = magnitude - Rational(n);
    if (rest > Rational(1, 2) || (rest == Rational(1, 2) && (n & 1) != 0)) ++n;
  }
  const Rational v = Rational(n) * pow2(q);
  return t < 0 ? Rational(-v) : v;
}

/// Toward zero to 1 + fraction bits; binary32 pattern.
std::uint32_t toward_zero(const Rational& s, int fraction) {
  const Rational magnitude = s < 0 ? Rational(-s) : s;
  const int e = std::max(floor_log2(magnitude), -126);
  const Rational kept =
      Rational(floor_integer(magnitude * pow2(fraction - e))) * pow2(e - fraction);
  if (kept == 0) return 0;
  const std::uint32_t sign = s < 0 ? 0x80000000u : 0u;
  return e > 127 ? sign | 0x7F800000u : sign | to_binary32(kept);
}

std::uint32_t fuse(const std::vector<Term>& terms, const Fused& f) {
  std::optional<int> e;
  if (f.has_floor) e = f.floor;
  bool any = false;
  for (const Term& t : terms) {
    if (t.value == 0) continue;
    any = true;
    if (!e || t.exponent > *e) e = t.exponent;
  }
  if (!any) return 0;
  Rational sum = 0;
  for (const Term& t : terms) sum += aligned(t.value, *e - f.fraction_bits, f.nearest_alignment);
  if (sum == 0) return 0;
  std::uint32_t bits = 0;
  switch (f.out) {
    case Fused::Out::kF32Rz:
      return toward_zero(sum, 23);
    case Fused::Out::kE8m13Rz:
      return toward_zero(sum, 13);
    case Fused::Out::kF16Rne:
      bits = static_cast<std::uint32_t>(encode_ieee_rne(sum, kBinary16));
      return bits == 0x8000u ? 0u : bits;
    case Fused::Out::kF32Rne:
      bits = to_binary32(sum);
      return bits == 0x80000000u ? 0u : bits;
  }
  return 0;
}

bool half_output(const Fused& f) { return f.out == Fused::Out::kF16Rne; }
Term c_term(const Number& c, const Fused& f) {
  Term t;
  t.value = c.value;
  if (c.value != 0) t.exponent = exponent_of(c, half_output(f) ? -14 : -126);
  return t;
}
Number as_number(std::uint32_t bits, const Fused& f) {
  return decode_ieee(bits, half_output(f) ? kBinary16 : kBinary32);
}
Row part(const Row& r, std::size_t k0, std::size_t n) {
  const auto from = r.begin() + static_cast<std::ptrdiff_t>(std::min(k0, r.size()));
  const auto to = r.begin() + static_cast<std::ptrdiff_t>(std::min(k0 + n, r.size()));
  return Row(from, to);
}

}  // namespace

std::uint32_t fused_sum(const Row& a, const Row& b, const Number& c, const Fused& f) {
  Specials special;
  special.add(c);
  std::vector<Term> terms = {c_term(c, f)};
  for (std::size_t k = 0; k < a.size(); ++k) {
    const Number p = times(times(a[k].value, a[k].scale), times(b[k].value, b[k].scale));
    special.add(p);
    Term t;
    if (p.kind == Kind::kFinite && p.value != 0) {
      t.value = p.value;
      t.exponent =
          exponent_of(a[k].value, a[k].value_emin) + exponent_of(b[k].value, b[k].value_emin) +
          exponent_of(a[k].scale, a[k].scale_emin) + exponent_of(b[k].scale, b[k].scale_emin);
    }
    terms.push_back(t);
  }
  if (const auto bits = special.answer(half_output(f))) return *bits;
  return fuse(terms, f);
}

std::uint32_t fused_chain(const Row& a, const Row& b, const Number& c, const Fused& f,
                          std::size_t terms) {
  std::uint32_t bits = pattern(c, half_output(f) ? kBinary16 : kBinary32);
  for (std::size_t k = 0; k < a.size(); k += terms) {
    bits = fused_sum(part(a, k, terms), part(b, k, terms), as_number(bits, f), f);
  }
  return bits;
}

std::uint32_t fp4_chain(const Row& a, const Row& b, const Number& c, const Fused& f,
                        std::size_t k) {
  std::uint32_t bits = pattern(c, kBinary32);
  for (std::size_t k0 = 0; k0 < a.size(); k0 += k) {
    const Number start = as_number(bits, f);
    Specials special;
    special.add(start);
    std::vector<Term> terms = {c_term(start, f)};
    for (std::size_t g = k0; g < std::min(a.size(), k0 + k); g += 16) {
      Rational dot = 0;
      for (std::size_t i = g; i < std::min(a.size(), g + 16); ++i) {
        dot += a[i].value.value * b[i].value.value;
      }
      special.add(a[g].scale);
      special.add(b[g].scale);
      Term t;
      t.value = dot * a[g].scale.value * b[g].scale.value;
      if (t.value != 0) {
        t.exponent =
            exponent_of(a[g].scale, a[g].scale_emin) + exponent_of(b[g].scale, b[g].scale_emin);
      }
      terms.push_back(t);
    }
    const auto answer = special.answer(false);
    bits = answer ? *answer : fuse(terms, f);
  }
  return bits;
}

std::uint32_t fp8_through_f16(const Row& a, const Row& b, const Number& c, const Fused& f) {
  std::uint32_t bits = 0;
  for (const std::size_t half : {std::size_t{0}, std::size_t{1}}) {
    Row x, y;
    for (std::size_t k = 0; k < a.size(); ++k) {
      if ((k / 2) % 2 != half) continue;
      x.push_back(a[k]);
      y.push_back(b[k]);
      x.back().value_emin = y.back().value_emin = -14;
    }
    bits = fused_sum(x, y, as_number(bits, f), f);
  }
  const IeeeLayout layout = half_output(f) ? kBinary16 : kBinary32;
  const Number d = add(as_number(bits, f), c, layout);
  if (d.kind == Kind::kNan) return half_output(f) ? 0x7FFFu : 0x7FFFFFFFu;
  return pattern(d, layout);
}

}  // namespace fp4lab_oracle
