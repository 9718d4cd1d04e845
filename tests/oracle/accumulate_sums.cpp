#include <algorithm>

#include "tests/oracle/accumulate.h"

namespace fp4lab_oracle {
namespace {

using Kind = Number::Kind;

Number nan_number() {
  Number n;
  n.kind = Kind::kNan;
  return n;
}
Number infinity(bool negative) {
  Number n;
  n.kind = Kind::kInfinite;
  n.negative = negative;
  return n;
}
bool is_zero(const Number& x) { return x.kind == Kind::kFinite && x.value == 0; }

Number exact_multiply(const Number& a, const Number& b) {
  if (a.kind == Kind::kNan || b.kind == Kind::kNan) return nan_number();
  const bool negative = a.negative != b.negative;
  if (a.kind == Kind::kInfinite || b.kind == Kind::kInfinite) {
    return is_zero(a) || is_zero(b) ? nan_number() : infinity(negative);
  }
  Number n;
  n.value = a.value * b.value;
  n.negative = negative;
  return n;
}
Number exact_add(const Number& a, const Number& b) {
  if (a.kind == Kind::kNan || b.kind == Kind::kNan) return nan_number();
  if (a.kind == Kind::kInfinite && b.kind == Kind::kInfinite) {
    return a.negative == b.negative ? a : nan_number();
  }
  if (a.kind == Kind::kInfinite) return a;
  if (b.kind == Kind::kInfinite) return b;
  Number n;
  n.value = a.value + b.value;
  // A zero is negative only as the sum of two negative zeros.
  n.negative = n.value != 0 ? n.value < 0 : is_zero(a) && is_zero(b) && a.negative && b.negative;
  return n;
}
Number rounded(const Number& x, IeeeLayout layout) {
  if (x.kind != Kind::kFinite) return x;
  return decode_ieee(encode_ieee_rne(x.value, layout, x.negative), layout);
}

/// fl(v s) as binary32.
Number scaled(const Factor& f) { return multiply(f.value, f.scale, kBinary32); }
Number exact_product(const Factor& a, const Factor& b) {
  return exact_multiply(exact_multiply(a.value, a.scale), exact_multiply(b.value, b.scale));
}
Number scale_product(const Factor& a, const Factor& b) {
  return multiply(a.scale, b.scale, kBinary32);
}

/// Calls f(k0, k1) for each run in which neither scale changes.
template <class F>
void for_each_segment(const Row& a, const Row& b, F&& f) {
  std::size_t k0 = 0;
  for (std::size_t k = 1; k <= a.size(); ++k) {
    const bool last = k == a.size();
    if (!last && a[k].block == a[k - 1].block && b[k].block == b[k - 1].block) continue;
    f(k0, k);
    k0 = k;
  }
}

Number chain(const Row& a, const Row& b, std::size_t k0, std::size_t k1, Number s) {
  for (std::size_t k = k0; k < k1; ++k) s = fma(scaled(a[k]), scaled(b[k]), s, kBinary32);
  return s;
}

}  // namespace

Number finite(const Rational& r) {
  Number n;
  n.value = r;
  n.negative = r < 0;
  return n;
}

Number add(const Number& a, const Number& b, IeeeLayout layout) {
  return rounded(exact_add(a, b), layout);
}
Number multiply(const Number& a, const Number& b, IeeeLayout layout) {
  return rounded(exact_multiply(a, b), layout);
}
Number fma(const Number& a, const Number& b, const Number& c, IeeeLayout layout) {
  return rounded(exact_add(exact_multiply(a, b), c), layout);
}

std::uint32_t pattern(const Number& x, IeeeLayout layout) {
  if (x.kind == Kind::kNan) return layout.width() == 32 ? 0x7FC00000u : 0x7FFFu;
  const std::uint32_t sign = x.negative ? 1u << (layout.width() - 1) : 0u;
  if (x.kind == Kind::kInfinite) {
    return sign | (((1u << layout.exponent_bits) - 1u) << layout.mantissa_bits);
  }
  return static_cast<std::uint32_t>(encode_ieee_rne(x.value, layout, x.negative));
}

Number sum_exact(const Row& a, const Row& b, const Number& ga, const Number& gb, const Number& c) {
  Number s = finite(0);
  for (std::size_t k = 0; k < a.size(); ++k) s = exact_add(s, exact_product(a[k], b[k]));
  s = exact_add(exact_multiply(exact_multiply(s, ga), gb), c);
  if (is_zero(s)) s.negative = false;
  return rounded(s, kBinary32);
}

Number sum_block_exact(const Row& a, const Row& b) {
  Number y = finite(0);
  for_each_segment(a, b, [&](std::size_t k0, std::size_t k1) {
    Number s = finite(0);
    for (std::size_t k = k0; k < k1; ++k) {
      s = add(s, exact_multiply(a[k].value, b[k].value), kBinary64);
    }
    y = fma(rounded(s, kBinary32), scale_product(a[k0], b[k0]), y, kBinary32);
  });
  return y;
}

Number sum_fp32_block(const Row& a, const Row& b) {
  Number y = finite(0);
  for_each_segment(a, b, [&](std::size_t k0, std::size_t k1) {
    Number d = finite(0);
    for (std::size_t k = k0; k < k1; ++k) {
      d = add(d, multiply(a[k].value, b[k].value, kBinary32), kBinary32);
    }
    y = add(y, multiply(scale_product(a[k0], b[k0]), d, kBinary32), kBinary32);
  });
  return y;
}

Number sum_fp32_seq(const Row& a, const Row& b, const Number& c) {
  Number s = c;
  for (std::size_t k = 0; k < a.size(); ++k) {
    s = add(s, multiply(scaled(a[k]), scaled(b[k]), kBinary32), kBinary32);
  }
  return s;
}

Number sum_fp32_fma(const Row& a, const Row& b, const Number& c) {
  return chain(a, b, 0, a.size(), c);
}

Number sum_fp32_tree(const Row& a, const Row& b, std::size_t leaf) {
  std::vector<Number> level;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const Number p = multiply(scaled(a[k]), scaled(b[k]), kBinary32);
    if (k % leaf == 0) {
      level.push_back(p);
    } else {
      level.back() = add(level.back(), p, kBinary32);
    }
  }
  while (level.size() > 1) {
    std::vector<Number> next;
    for (std::size_t i = 0; i < level.size(); i += 2) {
      next.push_back(i + 1 < level.size() ? add(level[i], level[i + 1], kBinary32) : level[i]);
    }
    level = next;
  }
  return level.empty() ? finite(0) : level[0];
}

Number sum_fp32_split(const Row& a, const Row& b, std::size_t parts) {
  std::size_t length = 0;  // the smallest multiple of 32 that covers k in that many parts
  while (length * parts < a.size()) length += 32;
  Number y = finite(0);
  for (std::size_t k0 = 0; k0 < a.size(); k0 += length) {
    const Number part = chain(a, b, k0, std::min(a.size(), k0 + length), finite(0));
    y = k0 == 0 ? part : add(y, part, kBinary32);
  }
  return y;
}

Number sum_promote(const Row& a, const Row& b, std::size_t n,
                   const std::function<Number(const Row&, const Row&)>& inner) {
  Number y = finite(0);
  for (std::size_t k0 = 0; k0 < a.size(); k0 += n) {
    const auto k1 = static_cast<std::ptrdiff_t>(std::min(a.size(), k0 + n));
    const auto from = static_cast<std::ptrdiff_t>(k0);
    y = add(y, inner(Row(a.begin() + from, a.begin() + k1), Row(b.begin() + from, b.begin() + k1)),
            kBinary32);
  }
  return y;
}

Number sum_chunk(const Row& a, const Row& b, IeeeLayout layout, std::size_t length) {
  Number y = finite(0);
  for (std::size_t k0 = 0; k0 < a.size(); k0 += length) {
    Number s = finite(0);
    for (std::size_t k = k0; k < std::min(a.size(), k0 + length); ++k) {
      s = add(s, rounded(exact_product(a[k], b[k]), layout), layout);
    }
    y = add(y, s, layout);
  }
  return y;
}

Number sum_short(const Row& a, const Row& b, IeeeLayout layout, const Number& c) {
  Number s = c;
  for (std::size_t k = 0; k < a.size(); ++k) s = add(s, exact_product(a[k], b[k]), layout);
  return s;
}

Number sum_short_stochastic(const Row& a, const Row& b, IeeeLayout layout, int bits,
                            const Number& c,
                            const std::function<std::uint32_t(std::size_t)>& word) {
  Number s = c;
  for (std::size_t k = 0; k < a.size(); ++k) {
    s = exact_add(s, exact_product(a[k], b[k]));
    if (s.kind != Kind::kFinite || s.value == 0) continue;
    const Rational magnitude = s.value < 0 ? Rational(-s.value) : s.value;
    const int e = std::max(floor_log2(magnitude), 1 - layout.bias());
    const Rational ulps = magnitude * pow2(layout.mantissa_bits - e);
    Integer whole = floor_integer(ulps);
    const Integer rest = floor_integer((ulps - Rational(whole)) * pow2(bits));
    const Integer r = word(k) & ((std::uint64_t{1} << bits) - 1);
    if (rest + r >= (Integer(1) << bits)) ++whole;
    const Rational value = Rational(whole) * pow2(e - layout.mantissa_bits);
    if (value >= pow2(layout.bias() + 1)) {
      s = infinity(s.negative);
    } else {
      const bool negative = s.negative;
      s = finite(negative ? Rational(-value) : value);
      s.negative = negative;
    }
  }
  return s;
}

}  // namespace fp4lab_oracle
