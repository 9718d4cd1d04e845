#include <algorithm>

#include "tests/oracle/accumulate.h"

namespace fp4lab_oracle {
namespace {

using Kind = Number::Kind;

Row part(const Row& r, std::size_t k0, std::size_t n) {
  return Row(r.begin() + static_cast<std::ptrdiff_t>(std::min(k0, r.size())),
             r.begin() + static_cast<std::ptrdiff_t>(std::min(k0 + n, r.size())));
}

Rational magnitude(const Number& x) { return x.value < 0 ? Rational(-x.value) : x.value; }
bool below(const Number& x, int exponent) {
  return x.kind == Kind::kFinite && magnitude(x) < pow2(exponent);
}
Number flushed_input(const Number& x, int emin, bool flush) {
  return flush && below(x, emin) ? finite(0) : x;
}
Number flushed_sum(Number x, bool flush) {
  if (flush && below(x, -126)) x.value = 0;  // keeps its sign
  return x;
}

Factor padding() {
  Factor f;
  f.value = finite(0);
  f.scale = finite(1);
  return f;
}

Number tree(const Row& a, const Row& b, bool flush) {
  if (a.size() == 1) {
    const Number x = flushed_input(a[0].value, a[0].value_emin, flush);
    const Number y = flushed_input(b[0].value, b[0].value_emin, flush);
    return flushed_sum(fma(x, y, finite(0), kBinary32), flush);
  }
  const std::size_t half = a.size() / 2;
  return flushed_sum(add(tree(part(a, 0, half), part(b, 0, half), flush),
                         tree(part(a, half, half), part(b, half, half), flush), kBinary32),
                     flush);
}

Rational floor_to(const Rational& x, int q) {
  return Rational(floor_integer(x * pow2(-q))) * pow2(q);
}
Rational cut_to(const Rational& x, int q) {
  return x < 0 ? Rational(-floor_to(-x, q)) : floor_to(x, q);
}

/// MMA-Sim's exponent: zeros sit at -126 in every format.
int exponent(const Number& x, int emin) {
  return x.value == 0 ? -126 : std::max(floor_log2(magnitude(x)), emin);
}

struct Stage {
  int e = -1000000;
  Rational sum = 0;
};
Stage first_stage(const Row& a, const Row& b, std::size_t from, std::size_t step) {
  Stage s;
  for (std::size_t k = from; k < a.size(); k += step) {
    s.e = std::max(s.e,
                   exponent(a[k].value, a[k].value_emin) + exponent(b[k].value, b[k].value_emin));
  }
  for (std::size_t k = from; k < a.size(); k += step) {
    s.sum += cut_to(a[k].value.value * b[k].value.value, s.e - 24);
  }
  return s;
}

}  // namespace

std::uint32_t hardware_pattern(const Number& x) {
  return x.kind == Kind::kNan ? 0x7FFFFFFFu : pattern(x, kBinary32);
}

std::uint32_t amd_tree(const Row& a, const Row& b, const Number& c, std::size_t group, bool flush) {
  Number acc = flushed_input(c, -126, flush);
  for (std::size_t k = 0; k < a.size(); k += group) {
    Row x = part(a, k, group), y = part(b, k, group);
    x.resize(group, padding());
    y.resize(group, padding());
    acc = flushed_sum(add(acc, tree(x, y, flush), kBinary32), flush);
  }
  return hardware_pattern(acc);
}

std::uint32_t amd_exact(const Row& a, const Row& b, const Number& c, std::size_t group) {
  Number acc = c;
  for (std::size_t k = 0; k < a.size(); k += group) {
    acc = sum_exact(part(a, k, group), part(b, k, group), finite(1), finite(1), acc);
  }
  return hardware_pattern(acc);
}

std::uint32_t amd_two_stage(const Row& a, const Row& b, const Number& c, std::size_t group,
                            bool fp8) {
  Number acc = c;
  for (std::size_t k0 = 0; k0 < a.size(); k0 += group) {
    Row x = part(a, k0, group), y = part(b, k0, group);
    x.resize(group, padding());
    y.resize(group, padding());
    // Infinities and NaN first, then products beyond the binary32 range.
    Number special = acc, large = finite(0);
    if (special.kind == Kind::kFinite) special = finite(0);
    for (std::size_t k = 0; k < group; ++k) {
      Number p = fma(x[k].value, y[k].value, finite(0), kBinary64);
      if (p.kind != Kind::kFinite) special = add(special, p, kBinary32);
      if (p.kind == Kind::kFinite && !below(p, 128)) {
        p.kind = Kind::kInfinite;
        p.value = 0;
        large = add(large, p, kBinary32);
      }
    }
    if (special.kind != Kind::kFinite || large.kind != Kind::kFinite) {
      acc = special.kind != Kind::kFinite ? special : large;
      continue;
    }
    Stage s;
    if (fp8) {
      const Stage even = first_stage(x, y, 0, 2), odd = first_stage(x, y, 1, 2);
      s.e = std::max(even.e, odd.e);
      s.sum = floor_to(even.sum, s.e - 24) + floor_to(odd.sum, s.e - 24);
    } else {
      s = first_stage(x, y, 0, 1);
    }
    const int ec = exponent(acc, -126), e = std::max(s.e, ec);
    Rational sum = floor_to(s.sum, e - 31);
    if (!(fp8 && ec < e - 25)) sum += floor_to(acc.value, e - 24);
    acc = decode_ieee(encode_ieee_rne(sum, kBinary32, sum < 0), kBinary32);
  }
  return hardware_pattern(acc);
}

}  // namespace fp4lab_oracle
