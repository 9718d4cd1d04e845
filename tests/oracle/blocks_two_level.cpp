// Two-level schemes: an E4M3 block scale under a binary32 factor. NVFP4 in its named identities,
// NVINT4, Four Over Six, IF4 and RaZeR (formats.md 3.5, 3.6).
#include <algorithm>
#include <stdexcept>

#include "tests/oracle/blocks_scheme.h"

namespace fp4lab_oracle {
namespace {

bool is_te(const BlockSpec& s) {
  return s.profile == Profile::kTe || s.profile == Profile::kTe4over6;
}
bool is_torchao(const BlockSpec& s) {
  return s.profile == Profile::kTorchao || s.profile == Profile::kTorchaoSingle;
}
bool is_46(const BlockSpec& s) { return s.profile == Profile::kFouroversix; }

int element_max(const BlockSpec& s) { return s.element->id == "int4" ? 7 : 6; }

// What the global factor maps amax to.
Rational level(const BlockSpec& s) {
  const Rational adjust = s.headroom ? Rational(16, 17) : Rational(1);
  if (s.rule == Rule::kStatic4) return 1792 * adjust;
  return element_max(s) * s.e4m3_max * adjust;
}

const Format& scale_format() {
  static const Format& f = format("ue4m3");
  return f;
}
const Format& e2m1() {
  static const Format& f = format("e2m1");
  return f;
}
const Format& int4() {
  static const Format& f = format("int4");
  return f;
}
std::uint32_t e4m3(F32 v) { return nearest(scale_format(), v, Mode::kRne); }
std::uint32_t e4m3_unsaturated(F32 v) {
  return nearest(scale_format(), v, Mode::kRne, Policy::kCudaNoSat);
}
F32 e4m3_value(std::uint32_t code) { return value_of(scale_format(), code); }

// fouroversix's E2M1 without a clamp: the spacing above 4 stays 2, so 7 and more become 8 (half to
// even in units of 2), which packs to the code of -0 whatever its sign.
struct Cast {
  std::uint32_t code = 0;
  F32 value = 0;  // as it enters errors: 8 stays 8
};
Cast cast_unclamped(F32 v) {
  const Format& f = e2m1();
  if (is_nan(v) || abs32(v) >= kInf32) return {0xB, kNan32};
  const F32 magnitude = abs32(v);
  const F32 sign = v & kSign32;
  static const F32 seven = constant(7), eight = constant(8), nine = constant(9);
  if (less(magnitude, seven)) {
    const std::uint32_t code = v == kSign32 ? 0 : nearest(f, v, Mode::kRne);
    return {code, value_of(f, code)};
  }
  if (less(nine, magnitude)) throw std::logic_error("beyond what a scale can leave");
  return {8, sign | eight};
}

// One element of a plain or profiled two-level spec.
Cast cast_element(const BlockSpec& s, const Format& f, F32 v, std::uint64_t index,
                  const RandomBits& random) {
  if (is_46(s) && &f == &e2m1()) return cast_unclamped(v);
  if (is_te(s) && (is_nan(v) || v == kSign32)) return {0, 0};
  if (s.profile == Profile::kModelopt && v == kSign32) return {0, 0};
  if (is_46(s) && is_nan(v)) return {0, kNan32};
  const std::uint32_t code = cast(s.round, f, v, index, random);
  return {code, value_of(f, code)};
}

// A block quantized with one scale.
struct Candidate {
  std::uint32_t scale = 0;
  std::vector<std::uint32_t> codes;
  std::vector<F32> values;  // element values, 8 included
};

Candidate quantize_with(const BlockSpec& s, const Block& b, const Format& f, std::uint32_t scale,
                        F32 factor, const RandomBits& random, F32 prefactor = kOne32) {
  Candidate c;
  c.scale = scale;
  const bool nothing = is_46(s) && e4m3_value(scale) == 0;
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    if (nothing) {
      c.codes.push_back(0);
      c.values.push_back(0);
      continue;
    }
    F32 v = mul(b.x[i], factor);
    if (prefactor != kOne32) v = mul(v, prefactor);
    const Cast e = cast_element(s, f, v, b.index[i], random);
    c.codes.push_back(e.code);
    c.values.push_back(e.value);
  }
  return c;
}

F32 in_order(const std::vector<F32>& e) {
  F32 sum = e.at(0);
  for (std::size_t i = 1; i < e.size(); ++i) sum = add(sum, e[i]);
  return sum;
}

// fouroversix: lanes of 8; 16 elements are two vectors, 256 go to 4 accumulators.
F32 lane_sum(const std::vector<F32>& e) {
  if (e.size() % 8 != 0) throw std::invalid_argument("the model sums whole lanes only");
  const std::size_t vectors = e.size() / 8;
  const std::size_t accumulators = vectors >= 32 ? 4 : 1;
  std::vector<std::vector<F32>> partial;
  for (std::size_t a = 0; a < accumulators; ++a) {
    std::vector<F32> lanes(e.begin() + static_cast<long>(8 * a),
                           e.begin() + static_cast<long>(8 * a + 8));
    for (std::size_t v = a + accumulators; v < vectors; v += accumulators) {
      for (std::size_t i = 0; i < 8; ++i) lanes[i] = add(lanes[i], e[8 * v + i]);
    }
    partial.push_back(lanes);
  }
  for (std::size_t a = 1; a < accumulators; ++a) {
    for (std::size_t i = 0; i < 8; ++i) partial[0][i] = add(partial[0][i], partial[a][i]);
  }
  return in_order(partial[0]);
}

// Transformer Engine: every row in order, then rows fold at distance 8, 4, 2, 1.
F32 row_tree_sum(const std::vector<F32>& e, std::size_t rows, std::size_t cols) {
  std::vector<F32> sums;
  for (std::size_t r = 0; r < rows; ++r) {
    sums.push_back(in_order(
        {e.begin() + static_cast<long>(r * cols), e.begin() + static_cast<long>((r + 1) * cols)}));
  }
  if (rows == 1) return sums[0];
  if (rows > 16) throw std::invalid_argument("the model folds up to 16 rows");
  sums.resize(16, 0);
  for (const std::size_t h : {8u, 4u, 2u, 1u}) {
    for (std::size_t r = 0; r < h; ++r) sums[r] = add(sums[r], sums[r + h]);
  }
  return sums[0];
}

// Error of a candidate as the definition accumulates it. `extra` = 1 or IF4's constant.
F32 error_of(const BlockSpec& s, const Block& b, const Candidate& c, const Global& g,
             F32 extra = kOne32) {
  std::vector<F32> terms;
  F32 largest = 0;
  const F32 divisor = constant(s.rule == Rule::k4over6 ? Rational(6 * s.e4m3_max) : Rational(2688));
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    const F32 product = mul(c.values[i], e4m3_value(c.scale & 0x7F));
    F32 e;
    if (s.error == Metric::kMseFp16) {
      e = sub(product, mul(b.x[i], g.encode));
    } else {
      F32 y = mul(product, g.amax);
      if (extra != kOne32) y = mul(y, extra);
      e = sub(div(y, divisor), b.x[i]);
    }
    const bool squared = s.error == Metric::kMse || s.error == Metric::kMseFp16;
    terms.push_back(squared ? mul(e, e) : abs32(e));
    largest = max_of(largest, abs32(e));
  }
  if (s.error == Metric::kAbsmax) return largest;
  return is_46(s) ? lane_sum(terms) : row_tree_sum(terms, b.rows, b.cols);
}

// 1 / (s g), capped where the definition caps it.
F32 encode_factor(const BlockSpec& s, std::uint32_t scale, const Global& g) {
  const F32 f = div(kOne32, mul(e4m3_value(scale), g.decode));
  return is_46(s) || is_nan(f) ? f : min_of(f, kMax32);  // torch.min keeps a NaN
}

BlockResult finish(const BlockSpec& s, const Candidate& c, const Global& g, F32 extra = kOne32) {
  BlockResult out;
  out.scale = c.scale;
  out.codes = c.codes;
  const Format& f = *s.element;
  const F32 scale = e4m3_value(c.scale & 0x7F);
  for (const std::uint32_t code : c.codes) {
    const F32 q = value_of(extra == kOne32 ? f : int4(), code);
    F32 y;
    if (is_torchao(s))
      y = mul(q, mul(g.decode, scale));
    else if (s.global == Scope::kRow128)
      y = mul(q, mul(scale, g.decode));
    else if (extra != kOne32)
      y = mul(mul(q, mul(scale, extra)), g.decode);
    else
      y = mul(mul(q, scale), g.decode);
    out.values.push_back(y);
  }
  return out;
}

BlockResult torchao_block(const BlockSpec& s, const Block& b, const Global& g) {
  const Format& f = *s.element;
  const F32 amax = largest_magnitude(b.x);
  const F32 six = constant(element_max(s));
  const F32 lowest = constant(pow2(-6)), highest = constant(448);
  F32 wanted = div(amax, six);
  if (s.profile == Profile::kTorchao) wanted = div(wanted, g.decode);
  Candidate c;
  BlockResult out;
  std::vector<bool> open;
  if (is_nan(wanted)) {
    c.scale = 0x7F;
  } else {
    c.scale = e4m3(min_of(max_of(wanted, lowest), highest));
  }
  const F32 scale = e4m3_value(c.scale);
  const F32 factor =
      s.profile == Profile::kTorchao ? div(div(kOne32, g.decode), scale) : div(kOne32, scale);
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    const F32 v = mul(b.x[i], factor);
    open.push_back(is_nan(v));  // NaN bits pushed through integer arithmetic
    c.codes.push_back(is_nan(v) ? 0 : nearest(f, v, s.round.mode));
  }
  out = finish(s, c, g);
  out.open = open;
  return out;
}

BlockResult modelopt_block(const BlockSpec& s, const Block& b, const Global& g,
                           const RandomBits& random) {
  const F32 amax = largest_magnitude(b.x);
  F32 wanted = div(amax, mul(constant(element_max(s)), g.decode));
  if (wanted == 0) wanted = kOne32;
  Candidate c;
  c.scale = e4m3(wanted);
  BlockResult out;
  std::vector<bool> open;
  const F32 step = mul(e4m3_value(c.scale), g.decode);
  for (std::size_t i = 0; i < b.x.size(); ++i) {
    const F32 v = div(b.x[i], step);
    open.push_back(is_nan(v));  // 0 / 0 under a vanished scale: the source does not say
    const Cast e = cast_element(s, *s.element, v, b.index[i], random);
    c.codes.push_back(e.code);
  }
  out = finish(s, c, g);
  out.open = open;
  return out;
}

// The block scale that maps `share` * amax to the element maximum: fl(fl(a/6) enc) for share 1.
std::uint32_t static_scale(const BlockSpec& s, F32 amax, const Global& g) {
  const Rational adjust = s.headroom ? Rational(16, 17) : Rational(1);
  const Rational top = s.rule == Rule::kStatic4 ? Rational(4) : Rational(element_max(s));
  const F32 wanted = mul(div(amax, constant(top * adjust)), g.encode);
  if (is_46(s)) return g.amax == 0 ? 0 : is_nan(wanted) ? 0x7F : e4m3_unsaturated(wanted);
  return e4m3(wanted);
}

BlockResult four_over_six_block(const BlockSpec& s, const Block& b, const Global& g, F32 amax,
                                const RandomBits& random) {
  const F32 base = mul(div(amax, constant(6)), g.encode);
  const auto code = [&](F32 v) {
    if (!is_46(s)) return e4m3(v);
    return g.amax == 0 ? 0 : e4m3_unsaturated(v);
  };
  const std::uint32_t wide = code(base);
  const std::uint32_t narrow_scale = code(mul(base, constant(Rational(3, 2))));
  const Candidate six = quantize_with(s, b, *s.element, wide, encode_factor(s, wide, g), random);
  const Candidate four =
      quantize_with(s, b, *s.element, narrow_scale, encode_factor(s, narrow_scale, g), random);
  const bool take_four = less(error_of(s, b, four, g), error_of(s, b, six, g));
  return finish(s, take_four ? four : six, g);
}

BlockResult if4_block(const BlockSpec& s, const Block& b, const Global& g, F32 amax,
                      const RandomBits& random) {
  const std::uint32_t scale = static_scale(s, amax, g);
  const F32 factor = encode_factor(s, scale, g);
  const Candidate real = quantize_with(s, b, *s.element, scale, factor, random);
  Candidate integer =
      quantize_with(s, b, int4(), scale, factor, random, constant(parse_rational("1.16666666")));
  const F32 sevenths = constant(parse_rational("0.8571428571"));
  if (less(error_of(s, b, integer, g, sevenths), error_of(s, b, real, g))) {
    integer.scale |= 0x80;
    return finish(s, integer, g, sevenths);
  }
  return finish(s, real, g);
}

}  // namespace

Global global_factor(const BlockSpec& s, F32 amax) {
  Global g;
  g.amax = amax;
  if (s.global == Scope::kNone) return g;
  if (s.profile == Profile::kTorchao || s.profile == Profile::kModelopt) {
    g.decode = div(amax, constant(element_max(s) * 448));
    g.encode = div(kOne32, g.decode);
    return g;
  }
  if (amax == 0 && !is_46(s)) return g;
  const F32 wanted = div(constant(level(s)), amax);
  if (is_nan(wanted) || is_46(s)) {
    g.encode = wanted;
  } else {
    g.encode = min_of(wanted, kMax32);
    if (g.encode == 0) g.encode = kOne32;
  }
  g.decode = div(kOne32, g.encode);
  return g;
}

BlockResult two_level_block(const BlockSpec& s, const Block& b, const Global& g,
                            const RandomBits& random) {
  if (is_torchao(s)) return torchao_block(s, b, g);
  if (s.profile == Profile::kModelopt) return modelopt_block(s, b, g, random);
  const F32 amax = largest_magnitude(b.x, s.ignore_nan);
  const bool portable = s.profile == Profile::kNone;
  if (portable && !is_finite(amax)) return poisoned(s, b, *s.element, random);
  if (portable && amax == 0) {
    BlockResult out;
    for (std::size_t i = 0; i < b.x.size(); ++i) {
      const std::uint32_t code = cast(s.round, *s.element, b.x[i], b.index[i], random);
      out.codes.push_back(code);
      out.values.push_back(mul(mul(value_of(*s.element, code), 0), g.decode));
    }
    return out;
  }
  if (s.family == Family::kIf4) return if4_block(s, b, g, amax, random);
  if (s.rule == Rule::k4over6) return four_over_six_block(s, b, g, amax, random);
  std::uint32_t scale = 0;
  if (s.rule == Rule::kTwoLevel) {
    const Rational adjust = s.headroom ? Rational(17, 16) : Rational(1);
    const F32 mult = mul(g.encode, constant(adjust / element_max(s)));
    F32 wanted = mul(amax, mult);
    if (s.global == Scope::kNone) wanted = max_of(wanted, constant(pow2(-9)));
    scale = is_nan(wanted) ? 0x7F : e4m3(min_of(wanted, kMax32));
  } else {
    scale = static_scale(s, amax, g);
  }
  return finish(s, quantize_with(s, b, *s.element, scale, encode_factor(s, scale, g), random), g);
}

}  // namespace fp4lab_oracle
