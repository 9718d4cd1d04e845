// Engines of the models that are not binary32 chains: exact, chunk, acc, acc-sr, tfs.
#include <algorithm>
#include <bit>
#include <stdexcept>

#include "formats/convert.h"
#include "formats/registry.h"
#include "sim/accumulate_exact.h"
#include "sim/fma.h"
#include "sim/gemm_engine.h"

namespace fp4lab::detail {
namespace {

bool all_finite(float a, float b, float sa, float sb) {
  return is_finite(a) && is_finite(b) && is_finite(sa) && is_finite(sb);
}

/// x = a b sa sb rounded to odd in binary64, and whether that is exact.
struct Product {
  double value = 0.0;
  bool exact = true;
  WideTerm wide;
};
Product product(float a, float b, float sa, float sb) {
  Product p;
  // Values times scales have at most 48 bits each: exact in binary64.
  const double x = static_cast<double>(a) * static_cast<double>(sa);
  const double y = static_cast<double>(b) * static_cast<double>(sb);
  if (!all_finite(a, b, sa, sb) || x == 0.0 || y == 0.0) {
    p.value = x * y;
    return p;
  }
  p.wide = exact_product(a, b, sa, sb);
  const int width = bit_length(p.wide.magnitude);
  const uint128 odd_part = p.wide.magnitude & (~p.wide.magnitude + 1);
  const int trailing = bit_length(odd_part) - 1;
  p.exact = width - trailing <= 53;
  if (p.exact) {
    p.value = x * y;
  } else {
    const int drop = width - 53;
    const bool lost = (p.wide.magnitude & ((uint128{1} << drop) - 1)) != 0;
    const auto kept = static_cast<std::uint64_t>(p.wide.magnitude >> drop) | (lost ? 1u : 0u);
    p.value = static_cast<double>(kept) * pow2_f64(p.wide.exponent + drop);
    if (p.wide.negative) p.value = -p.value;
  }
  return p;
}

/// s + x rounded to odd, x exact.
double sum_to_odd(double s, const Product& x) {
  if (x.exact || !is_finite(static_cast<float>(s))) return add_odd(s, x.value);
  ExactSum sum;
  sum.add(static_cast<float>(s));
  sum.add(x.wide);
  return sum.to_odd();
}

class Exact final : public DotEngine {
 public:
  using DotEngine::DotEngine;
  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float,
            Trace* trace) const override {
    return exact_element(a_, b_, i, j, k0, k1, false, nullptr, trace);
  }
};

/// chunk, acc and acc-sr: every sum is a number of a short format.
class Short final : public DotEngine {
 public:
  Short(const GemmOperand& a, const GemmOperand& b, const Accumulator& acc,
        const EngineContext& context)
      : DotEngine(a, b),
        kind_(acc.kind),
        n_(acc.n),
        name_(acc.format),
        format_(find_format(acc.format)->format),
        context_(context) {
    if (kind_ == AccumulatorKind::acc_sr &&
        static_cast<double>(a.rows()) * static_cast<double>(b.rows()) > 4294967296.0) {
      throw std::invalid_argument("acc-sr: more than 2^32 outputs have no random words");
    }
  }
  bool starts_at_c() const override { return kind_ != AccumulatorKind::chunk; }
  std::string type_name() const override { return name_; }

  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
            Trace* trace) const override {
    const float* a = a_.row_values(i);
    const float* b = b_.row_values(j);
    if (kind_ == AccumulatorKind::chunk) {
      double total = 0.0;
      const auto length = static_cast<std::size_t>(n_);
      for (std::size_t at = k0; at < k1; at += length) {
        double s = 0.0;
        for (std::size_t k = at; k < std::min(k1, at + length); ++k) {
          const Product x = product(a[k], b[k], a_.scale(i, k), b_.scale(j, k));
          s = rounded(add_odd(s, rounded(x.value, kRne, 0)), kRne, 0);
          if (trace != nullptr) product_step(trace, i, j, k, "s = RN(s + RN(x))", s);
        }
        total = rounded(add_odd(total, s), kRne, 0);
        if (trace != nullptr) {
          TraceStep step;
          step.title = "chunk from k=" + std::to_string(at);
          step.rounding = "y = RN(y + s) in " + name_;
          step.result = static_cast<float>(total);
          trace->steps.push_back(std::move(step));
        }
      }
      return canonical(static_cast<float>(total));
    }
    const bool random = kind_ == AccumulatorKind::acc_sr;
    const Rounding mode = random ? stochastic(n_) : kRne;
    RandomStream stream = context_.random;
    stream.purpose = RandomPurpose::accumulator;
    stream.stream = static_cast<std::uint32_t>(i * context_.columns + j);
    stream.repeat = static_cast<std::uint8_t>(context_.random.microbatch);
    stream.microbatch = static_cast<std::uint16_t>(context_.random.stream);
    double s = start;
    for (std::size_t k = k0; k < k1; ++k) {
      const Product x = product(a[k], b[k], a_.scale(i, k), b_.scale(j, k));
      const std::uint32_t word = random ? stream.word(k, mode) : 0;
      s = rounded(sum_to_odd(s, x), mode, word);
      if (trace != nullptr) {
        product_step(trace, i, j, k, random ? "s = SR(s + x)" : "s = RN(s + x)", s);
        if (random) trace->steps.back().note = "random word " + std::to_string(word);
      }
    }
    return canonical(static_cast<float>(s));
  }

 private:
  /// A sum that is carried past the largest value becomes Inf, under random bits too, where a cast
  /// would stay at that value.
  double rounded(double x, const Rounding& mode, std::uint32_t word) const {
    const bool carries = mode.is_stochastic() && format_.has_inf();
    const Policy policy = carries ? Policy::gfloat_nosat : Policy::cuda;
    return decode_f64(format_, encode(format_, x, mode, policy, word));
  }
  void product_step(Trace* trace, std::size_t i, std::size_t j, std::size_t k, const char* rule,
                    double s) const {
    TraceStep step;
    step.title = "k=" + std::to_string(k);
    step.terms.push_back(trace_product(a_, b_, i, j, k));
    step.rounding = std::string(rule) + " in " + name_;
    step.result = static_cast<float>(s);
    trace->steps.push_back(std::move(step));
  }

  AccumulatorKind kind_;
  int n_;
  std::string name_;
  ElementFormat format_;
  EngineContext context_;
};

/// Truncating fused sums with free parameters on any operands.
class Tfs final : public DotEngine {
 public:
  Tfs(const GemmOperand& a, const GemmOperand& b, const FusedSum& fs) : DotEngine(a, b), fs_(fs) {
    pa_ = prepare(a);
    pb_ = prepare(b);
  }
  bool starts_at_c() const override { return true; }
  std::string type_name() const override { return half() ? "fp16" : "fp32"; }
  bool hardware() const override { return true; }

  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
            Trace* trace) const override {
    std::uint32_t acc = half() ? encode(fp16_, start) : bits_as<std::uint32_t>(start);
    for (std::size_t at = k0; at < k1; at += static_cast<std::size_t>(fs_.terms)) {
      const std::size_t end = std::min(k1, at + static_cast<std::size_t>(fs_.terms));
      acc = fused(i, j, at, end, acc, trace);
    }
    return as_float(acc);
  }

 private:
  /// v * s: |x| = significand * 2^quantum, aligned as `exponent`.
  struct Factor {
    std::uint64_t significand = 0;
    std::int32_t exponent = 0, quantum = 0;
    bool negative = false, nan = false, infinite = false;
  };
  bool half() const { return fs_.out == OutRound::f16_rne; }
  float as_float(std::uint32_t bits) const {
    return half() ? decode(fp16_, bits) : bits_as<float>(bits);
  }

  /// The format's own exponents (subnormals keep that of the lowest normal binade) where it is a
  /// minifloat with subnormals, else those of the value as binary32.
  static MmaOperand operand(const GemmOperand& o, std::size_t r, std::size_t k) {
    const ElementFormat& f = o.format();
    const bool fields = o.one_format() && f.kind == FormatKind::minifloat && f.radix_log2 == 1 &&
                        f.low_end == LowEnd::gradual && f.exponent_bits > 0;
    if (fields) return decode_operand(f, o.code(r, k));
    return decode_operand_f32(bits_as<std::uint32_t>(o.values()[r * o.k() + k]));
  }
  static MmaOperand scale_operand(const GemmOperand& o, std::size_t r, std::size_t k) {
    const ScaleFormat& s = o.scale_format();
    if (s.kind == ScaleFormat::Kind::coded && o.scale_codes_valid() && s.format.radix_log2 == 1) {
      return decode_operand(s.format, o.scale_code(r, k));
    }
    if (s.kind == ScaleFormat::Kind::none && o.scale_run() == 0) return {1, 0, 0, 0};
    return decode_operand_f32(bits_as<std::uint32_t>(o.scale(r, k)));
  }
  static std::vector<Factor> prepare(const GemmOperand& o) {
    std::vector<Factor> out(o.rows() * o.k());
    for (std::size_t r = 0; r < o.rows(); ++r) {
      for (std::size_t k = 0; k < o.k(); ++k) {
        const MmaOperand v = operand(o, r, k), s = scale_operand(o, r, k);
        MmaSpecials special;
        special.add_product(v, s);
        Factor& f = out[r * o.k() + k];
        f.significand = static_cast<std::uint64_t>(v.significand) * s.significand;
        f.exponent = v.exponent + s.exponent;
        f.quantum = f.exponent - v.precision - s.precision;
        f.negative = v.negative() != s.negative();
        f.nan = special.is_nan();
        f.infinite = !f.nan && special.any();
      }
    }
    return out;
  }

  MmaTerm<uint128> term(const Factor& x, const Factor& y) const {
    MmaTerm<uint128> t;
    t.magnitude = static_cast<uint128>(x.significand) * y.significand;
    t.exponent = x.exponent + y.exponent;
    t.quantum = x.quantum + y.quantum;
    t.negative = x.negative != y.negative;
    return t;
  }

  std::uint32_t fused(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1,
                      std::uint32_t acc, Trace* trace) const {
    const Factor* x = pa_.data() + i * a_.k() + k0;
    const Factor* y = pb_.data() + j * b_.k() + k0;
    const int n = static_cast<int>(k1 - k0);
    const MmaOperand c = half() ? decode_operand_f16(acc) : decode_operand_f32(acc);
    MmaSpecials special;
    special.add(c);
    for (int t = 0; t < n; ++t) {
      const bool zero_x = !x[t].infinite && x[t].significand == 0;
      const bool zero_y = !y[t].infinite && y[t].significand == 0;
      if (x[t].nan || y[t].nan || (x[t].infinite && zero_y) || (y[t].infinite && zero_x)) {
        special.nan = true;
      } else if (x[t].infinite || y[t].infinite) {
        special.add_infinity(x[t].negative != y[t].negative);
      }
    }
    const auto terms = [&](int t) { return term(x[t], y[t]); };
    MmaTerm<uint128> ct;
    ct.magnitude = c.significand;
    ct.exponent = c.exponent;
    ct.quantum = c.exponent - c.precision;
    ct.negative = c.negative();
    FusedResult r;
    if (special.any()) {
      r.bits = special.bits(half());
    } else {
      r = fused_sum(fs_, terms, n, ct);
    }
    if (trace != nullptr) {
      TraceStep step;
      step.title = "fused sum of k=" + std::to_string(k0) + ".." + std::to_string(k1 - 1);
      step.fused = !special.any();
      step.exponent = r.exponent;
      step.quantum = r.quantum;
      step.sum = r.sum;
      step.result = as_float(r.bits);
      step.rounding = "S 2^Q rounded once";
      if (special.any()) step.note = "an infinity or NaN decides";
      for (int t = 0; t <= n; ++t) {
        TraceTerm tt =
            t < n ? trace_product(a_, b_, i, j, k0 + static_cast<std::size_t>(t)) : TraceTerm{};
        const MmaTerm<uint128> m = t < n ? terms(t) : ct;
        if (t == n) {
          tt.name = "c";
          tt.exact = exact_text(static_cast<double>(as_float(acc)));
        }
        tt.aligned = true;
        tt.exponent = m.exponent;
        tt.shift = m.quantum - r.quantum;
        tt.kept = aligned(fs_, m, r.quantum);
        const std::uint64_t kept = static_cast<std::uint64_t>(tt.kept < 0 ? -tt.kept : tt.kept);
        tt.cut = tt.shift < 0 &&
                 (tt.shift < -127 ? m.magnitude != 0
                                  : (static_cast<uint128>(kept) << -tt.shift) != m.magnitude);
        step.terms.push_back(std::move(tt));
      }
      trace->steps.push_back(std::move(step));
    }
    return r.bits;
  }

  FusedSum fs_;
  ElementFormat fp16_ = find_format("fp16")->format;
  std::vector<Factor> pa_, pb_;
};

}  // namespace

float exact_element(const GemmOperand& a, const GemmOperand& b, std::size_t i, std::size_t j,
                    std::size_t k0, std::size_t k1, bool with_global, const float* c,
                    Trace* trace) {
  const float* va = a.row_values(i);
  const float* vb = b.row_values(j);
  bool nan = false, plus = false, minus = false;
  const auto infinity = [&](bool negative) { (negative ? minus : plus) = true; };
  ExactSum sum;
  for (std::size_t k = k0; k < k1; ++k) {
    const float x = va[k], y = vb[k], sx = a.scale(i, k), sy = b.scale(j, k);
    if (all_finite(x, y, sx, sy)) {
      sum.add(exact_product(x, y, sx, sy));
      continue;
    }
    const bool any_zero = x == 0.0f || y == 0.0f || sx == 0.0f || sy == 0.0f;
    if (is_nan(x) || is_nan(y) || is_nan(sx) || is_nan(sy) || any_zero) {
      nan = true;
    } else {
      infinity(((sign_bit(x) != sign_bit(y)) != sign_bit(sx)) != sign_bit(sy));
    }
  }
  if (with_global) {
    for (const float g : {a.global(i), b.global(j)}) {
      const bool infinite = plus || minus;
      if (is_nan(g) || (infinite && g == 0.0f) || (is_inf(g) && !infinite && sum.is_zero())) {
        nan = true;
      } else if (is_inf(g) && !infinite) {
        infinity((sum.to_odd() < 0.0) != sign_bit(g));
      } else if (infinite) {
        if (sign_bit(g)) std::swap(plus, minus);
      } else {
        sum.multiply(g);
      }
    }
  }
  if (c != nullptr) {
    if (is_finite(*c)) {
      sum.add(*c);
    } else if (is_nan(*c)) {
      nan = true;
    } else {
      infinity(sign_bit(*c));
    }
  }
  float y = sum.to_binary32();
  if (plus || minus) y = minus ? -kFloatInf : kFloatInf;
  if (nan || (plus && minus)) y = canonical_nan();
  if (trace != nullptr) {
    TraceStep step;
    step.title =
        "exact sum of k=" + std::to_string(k0) + ".." + std::to_string(k1 == 0 ? 0 : k1 - 1);
    for (std::size_t k = k0; k < k1; ++k) step.terms.push_back(trace_product(a, b, i, j, k));
    step.note = "sum" + std::string(with_global ? " with global factors and C" : "") +
                ", its first 53 bits (the last one sticky): " + exact_text(sum.to_odd());
    step.rounding = "one rounding to binary32, nearest even";
    step.result = y;
    trace->steps.push_back(std::move(step));
  }
  return y;
}

TraceTerm trace_product(const GemmOperand& a, const GemmOperand& b, std::size_t i, std::size_t j,
                        std::size_t k) {
  TraceTerm t;
  t.name = "k=" + std::to_string(k);
  t.has_codes = true;
  t.a_code = a.code(i, k);
  t.b_code = b.code(j, k);
  t.a = a.row_values(i)[k];
  t.b = b.row_values(j)[k];
  t.scale_a = a.scale(i, k);
  t.scale_b = b.scale(j, k);
  if (all_finite(t.a, t.b, t.scale_a, t.scale_b)) {
    const WideTerm w = exact_product(t.a, t.b, t.scale_a, t.scale_b);
    t.exact = exact_text(w.negative, static_cast<unsigned long long>(w.magnitude >> 64),
                         static_cast<unsigned long long>(w.magnitude), w.exponent);
  } else {
    t.exact = exact_text(static_cast<double>(t.a) * t.b * t.scale_a * t.scale_b);
  }
  return t;
}

std::unique_ptr<DotEngine> make_short_engine(const GemmOperand& a, const GemmOperand& b,
                                             const Accumulator& acc, const EngineContext& context) {
  switch (acc.kind) {
    case AccumulatorKind::exact:
      return std::make_unique<Exact>(a, b);
    case AccumulatorKind::chunk:
    case AccumulatorKind::acc:
    case AccumulatorKind::acc_sr:
      return std::make_unique<Short>(a, b, acc, context);
    case AccumulatorKind::tfs:
      return std::make_unique<Tfs>(a, b, acc.fused);
    default:
      throw std::logic_error("not a reference model: " + to_string(acc));
  }
}

}  // namespace fp4lab::detail
