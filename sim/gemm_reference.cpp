// Engines of the reference models that work in binary32 and binary64: block-exact, the fp32 family,
// promote.
#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "sim/block_exact.h"
#include "sim/fma.h"
#include "sim/fma_chain.h"
#include "sim/gemm_engine.h"

namespace fp4lab::detail {
namespace {

/// fl(v s), the operand that fp32-seq, fp32-fma, fp32-tree and fp32-split see.
std::vector<float> scaled_values(const GemmOperand& o) {
  std::vector<float> out(o.values().begin(), o.values().end());
  if (o.scale_format().kind == ScaleFormat::Kind::none && o.scale_run() == 0) return out;
  const std::size_t rows = o.rows(), k = o.k();
#pragma omp parallel for schedule(static) if (rows * k > 16384)
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < k; ++c) out[r * k + c] = mul_rn(out[r * k + c], o.scale(r, c));
  }
  return out;
}

std::string range_text(const char* what, std::size_t k0, std::size_t k1) {
  return std::string(what) + " k=" + std::to_string(k0) + ".." + std::to_string(k1 - 1);
}

/// The values as integers times 2^unit, when all magnitudes are at most 127 of them.
struct SmallIntegers {
  bool valid = false;
  int unit = 0;
  int largest = 0;
  std::vector<std::int8_t> values;
};
SmallIntegers small_integers(const GemmOperand& o) {
  SmallIntegers r;
  bool any = false;
  for (const float x : o.values()) {
    if (!is_finite(x)) return r;
    if (x == 0.0f) continue;
    const Magnitude m = magnitude_of(x);
    const int lowest = m.exp + __builtin_ctzll(m.sig);
    r.unit = any ? std::min(r.unit, lowest) : lowest;
    any = true;
  }
  r.values.resize(o.values().size());
  const double scale = pow2_f64(-r.unit);
  for (std::size_t i = 0; i < r.values.size(); ++i) {
    const double v = static_cast<double>(o.values()[i]) * scale;
    if (!(v >= -127.0 && v <= 127.0)) return r;
    r.values[i] = static_cast<std::int8_t>(v);
    r.largest = std::max(r.largest, std::abs(static_cast<int>(r.values[i])));
  }
  r.valid = true;
  return r;
}

/// Models that go segment by segment: what a segment's products come to, times fl(sA sB), joins y.
class Segmented : public DotEngine {
 public:
  Segmented(const GemmOperand& a, const GemmOperand& b, const char* rule)
      : DotEngine(a, b), ends_(gemm_segments(a, b)), rule_(rule) {}

  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float,
            Trace* trace) const final {
    float y = 0.0f;
    auto end = std::upper_bound(ends_.begin(), ends_.end(), k0);
    for (std::size_t at = k0; at < k1; ++end) {
      const std::size_t to = std::min(*end, k1);
      const float scale = mul_rn(a_.scale(i, at), b_.scale(j, at));
      const auto [sum, next] = join(a_.row_values(i), b_.row_values(j), at, to, scale, y);
      y = next;
      if (trace != nullptr) {
        TraceStep step;
        step.title = range_text("segment", at, to);
        for (std::size_t k = at; k < to; ++k) step.terms.push_back(trace_product(a_, b_, i, j, k));
        step.rounding = rule_;
        step.note = "sum = " + exact_text(sum) + ", fl(sA sB) = " + exact_text(scale);
        step.result = y;
        trace->steps.push_back(std::move(step));
      }
      at = to;
    }
    return canonical(y);
  }

 protected:
  /// The segment's sum of values, and y with it.
  struct Joined {
    double sum;
    float y;
  };
  virtual Joined join(const float* a, const float* b, std::size_t k0, std::size_t k1, float scale,
                      float y) const = 0;

  std::vector<std::size_t> ends_;

 private:
  const char* rule_;
};

class BlockExact final : public Segmented {
 public:
  BlockExact(const GemmOperand& a, const GemmOperand& b)
      : Segmented(a, b, "y = fma(RN32(sum), fl(sA sB), y)") {
    ia_ = small_integers(a);
    if (ia_.valid) ib_ = small_integers(b);
    integers_ = ia_.valid && ib_.valid && block_exact_fits(ends_, ia_.unit + ib_.unit);
  }

  /// Starts at +0, whatever y holds: block-exact has no other start.
  bool range_product(std::size_t k0, std::size_t k1, float* y) const override {
    if (!integers_ || k0 != 0 || k1 != a_.k()) return false;
    block_exact_product(factor(a_, ia_), factor(b_, ib_), ends_, ia_.unit + ib_.unit,
                        MutableMatrixView::of(y, a_.rows(), b_.rows()));
    return true;
  }

 private:
  static IntegerFactor factor(const GemmOperand& o, const SmallIntegers& integers) {
    IntegerFactor f;
    f.rows = o.rows();
    f.k = f.stride = o.k();
    f.bytes = reinterpret_cast<const std::uint8_t*>(integers.values.data());
    f.largest = integers.largest;
    f.scales = o.scale_grid();
    return f;
  }
  /// Binary64 sum of the products in ascending k. Products of binary32 numbers are exact in it.
  Joined join(const float* a, const float* b, std::size_t k0, std::size_t k1, float scale,
              float y) const override {
    double s = 0.0;
    for (std::size_t k = k0; k < k1; ++k) {
      s += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    }
    return {s, fma_rn(static_cast<float>(s), scale, y)};
  }

  SmallIntegers ia_, ib_;
  bool integers_ = false;
};

/// fp32-block: binary32 sums of the values a segment, times fl(sA sB).
class Fp32Block final : public Segmented {
 public:
  Fp32Block(const GemmOperand& a, const GemmOperand& b)
      : Segmented(a, b, "y = fl(y + fl(fl(sA sB) sum)), sum in binary32") {}

 private:
  Joined join(const float* a, const float* b, std::size_t k0, std::size_t k1, float scale,
              float y) const override {
    float d = 0.0f;
    for (std::size_t k = k0; k < k1; ++k) d = add_rn(d, mul_rn(a[k], b[k]));
    return {static_cast<double>(d), add_rn(y, mul_rn(scale, d))};
  }
};

/// The models that see a' = fl(v s) and b'.
class Fp32Chain final : public DotEngine {
 public:
  Fp32Chain(const GemmOperand& a, const GemmOperand& b, AccumulatorKind kind, int n)
      : DotEngine(a, b), kind_(kind), n_(static_cast<std::size_t>(n)) {
    va_ = scaled_values(a);
    vb_ = scaled_values(b);
  }
  bool range_product(std::size_t k0, std::size_t k1, float* y) const override {
    if (kind_ != AccumulatorKind::fp32_fma) return false;
    const auto part = [&](const std::vector<float>& v, std::size_t rows) {
      return MatrixView::of(v.data() + k0, rows, k1 - k0, a_.k());
    };
    fma_chain_product(part(va_, a_.rows()), part(vb_, b_.rows()),
                      MutableMatrixView::of(y, a_.rows(), b_.rows()), ChainStart::y);
    return true;
  }
  bool starts_at_c() const override {
    return kind_ == AccumulatorKind::fp32_seq || kind_ == AccumulatorKind::fp32_fma;
  }

  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
            Trace* trace) const override {
    const float* a = va_.data() + i * a_.k();
    const float* b = vb_.data() + j * b_.k();
    if (k0 == k1) return canonical(start);
    switch (kind_) {
      case AccumulatorKind::fp32_seq:
        return sequential(i, j, k0, k1, start, trace);
      case AccumulatorKind::fp32_tree:
        return tree(a, b, k0, k1, trace);
      case AccumulatorKind::fp32_split: {
        const std::size_t length = 32 * ((k1 - k0 + 32 * n_ - 1) / (32 * n_));
        float y = 0.0f;
        for (std::size_t at = k0; at < k1; at += length) {
          const std::size_t end = std::min(k1, at + length);
          const float part = chain(i, j, at, end, 0.0f, nullptr);
          y = at == k0 ? part : add_rn(y, part);
          if (trace != nullptr) note_step(trace, range_text("fp32-fma of", at, end), part, y);
        }
        return canonical(y);
      }
      default:
        return canonical(chain(i, j, k0, k1, start, trace));
    }
  }

 private:
  static void note_step(Trace* trace, std::string title, float part, float y) {
    TraceStep step;
    step.title = std::move(title);
    step.note = "part = " + exact_text(part);
    step.rounding = "y = fl(y + part)";
    step.result = y;
    trace->steps.push_back(std::move(step));
  }
  void product_step(Trace* trace, std::size_t i, std::size_t j, std::size_t k, const char* rule,
                    float y) const {
    TraceStep step;
    step.title = "k=" + std::to_string(k);
    step.terms.push_back(trace_product(a_, b_, i, j, k));
    step.rounding = rule;
    step.result = y;
    trace->steps.push_back(std::move(step));
  }

  float chain(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float y,
              Trace* trace) const {
    const float* a = va_.data() + i * a_.k();
    const float* b = vb_.data() + j * b_.k();
    for (std::size_t k = k0; k < k1; ++k) {
      y = fma_rn(a[k], b[k], y);
      if (trace != nullptr) product_step(trace, i, j, k, "y = fma(a', b', y)", y);
    }
    return y;
  }
  float sequential(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float y,
                   Trace* trace) const {
    const float* a = va_.data() + i * a_.k();
    const float* b = vb_.data() + j * b_.k();
    for (std::size_t k = k0; k < k1; ++k) {
      y = add_rn(y, mul_rn(a[k], b[k]));
      if (trace != nullptr) product_step(trace, i, j, k, "y = fl(y + fl(a' b'))", y);
    }
    return canonical(y);
  }
  /// Runs of `leaf` products one after the other (a run starts with its first product), then
  /// neighbours level by level, an odd last one carried up.
  float tree(const float* a, const float* b, std::size_t k0, std::size_t k1, Trace* trace) const {
    std::vector<float> level;
    level.reserve((k1 - k0 + n_ - 1) / n_);
    for (std::size_t at = k0; at < k1; at += n_) {
      float s = mul_rn(a[at], b[at]);
      for (std::size_t k = at + 1; k < std::min(k1, at + n_); ++k) {
        s = add_rn(s, mul_rn(a[k], b[k]));
      }
      level.push_back(s);
      if (trace != nullptr) {
        note_step(trace, range_text("leaf", at, std::min(k1, at + n_)), s, s);
      }
    }
    while (level.size() > 1) {
      const std::size_t half = level.size() / 2;
      for (std::size_t i = 0; i < half; ++i) level[i] = add_rn(level[2 * i], level[2 * i + 1]);
      if (level.size() % 2 != 0) level[half] = level.back();
      level.resize(half + level.size() % 2);
      if (trace != nullptr) {
        note_step(trace, "tree level of " + std::to_string(level.size()), level[0], level[0]);
      }
    }
    return canonical(level[0]);
  }

  AccumulatorKind kind_;
  std::size_t n_;
  std::vector<float> va_, vb_;
};

/// promote:N:INNER.
class Promote final : public DotEngine {
 public:
  Promote(const GemmOperand& a, const GemmOperand& b, std::unique_ptr<DotEngine> inner, int n)
      : DotEngine(a, b), inner_(std::move(inner)), n_(static_cast<std::size_t>(n)) {}
  bool hardware() const override { return inner_->hardware(); }
  const MmaPreset* preset() const override { return inner_->preset(); }
  bool scales_in_epilogue(bool of_a) const override { return inner_->scales_in_epilogue(of_a); }
  bool range_product(std::size_t k0, std::size_t k1, float* y) const override {
    const std::size_t n = a_.rows() * b_.rows();
    std::vector<float> part(n), sum(n);
    for (std::size_t at = k0; at < k1; at += n_) {
      std::fill(part.begin(), part.end(), 0.0f);
      if (!inner_->range_product(at, std::min(k1, at + n_), part.data())) return false;
      for (std::size_t o = 0; o < n; ++o) sum[o] = add_rn(sum[o], part[o]);
    }
    for (std::size_t o = 0; o < n; ++o) y[o] = canonical(sum[o]);
    return true;
  }
  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float,
            Trace* trace) const override {
    float y = 0.0f;
    for (std::size_t at = k0; at < k1; at += n_) {
      const std::size_t end = std::min(k1, at + n_);
      const float part = inner_->dot(i, j, at, end, 0.0f, trace);
      y = add_rn(y, part);
      if (trace != nullptr) {
        TraceStep step;
        step.title = range_text("promotion of", at, end);
        step.note = "partial sum = " + exact_text(part);
        step.rounding = "y = fl(y + partial)";
        step.result = y;
        trace->steps.push_back(std::move(step));
      }
    }
    return canonical(y);
  }

 private:
  std::unique_ptr<DotEngine> inner_;
  std::size_t n_;
};

}  // namespace

std::unique_ptr<DotEngine> make_short_engine(const GemmOperand& a, const GemmOperand& b,
                                             const Accumulator& accumulator,
                                             const EngineContext& context);

std::unique_ptr<DotEngine> make_reference_engine(const GemmOperand& a, const GemmOperand& b,
                                                 const Accumulator& acc,
                                                 const EngineContext& context) {
  switch (acc.kind) {
    case AccumulatorKind::block_exact:
      // Without codes on both sides there are no blocks: plain fma chains.
      if (!a.quantized() || !b.quantized()) {
        return std::make_unique<Fp32Chain>(a, b, AccumulatorKind::fp32_fma, 0);
      }
      return std::make_unique<BlockExact>(a, b);
    case AccumulatorKind::fp32_seq:
    case AccumulatorKind::fp32_fma:
    case AccumulatorKind::fp32_tree:
    case AccumulatorKind::fp32_split:
      return std::make_unique<Fp32Chain>(a, b, acc.kind, acc.n);
    case AccumulatorKind::fp32_block:
      return std::make_unique<Fp32Block>(a, b);
    case AccumulatorKind::promote:
      return std::make_unique<Promote>(a, b, make_engine(a, b, *acc.inner, context), acc.n);
    default:
      return make_short_engine(a, b, acc, context);
  }
}

}  // namespace fp4lab::detail
