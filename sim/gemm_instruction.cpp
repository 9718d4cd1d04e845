// The engine of one tensor-core instruction.
#include <algorithm>
#include <optional>
#include <stdexcept>
#include <tuple>

#include "formats/convert.h"
#include "formats/registry.h"
#include "sim/fma.h"
#include "sim/gemm_engine.h"
#include "sim/mma_tiles.h"

namespace fp4lab::detail {
std::string format_text(const GemmOperand& o) {
  if (!o.one_format()) return "a format chosen block by block";
  for (const FormatInfo* f : all_formats()) {
    if (f->format == o.format()) return std::string(f->id);
  }
  return "a format of " + std::to_string(o.format().bits) + " bits";
}

std::string scale_text(const GemmOperand& o) {
  const ScaleFormat& s = o.scale_format();
  std::string name = "fp32";
  if (s.kind == ScaleFormat::Kind::none) name = "no";
  if (s.kind == ScaleFormat::Kind::pow2) name = "pow2";
  if (s.kind == ScaleFormat::Kind::coded) name = print_scale(s);
  if (o.scale_run() == 0) return name + " scales constant along k";
  return name + " scales per " + std::to_string(o.scale_run()) + " of k";
}

/// ue8m0 or ue4m3 for the scale formats that instructions read.
std::string ptx_scale(const GemmOperand& o) {
  const ScaleFormat& s = o.scale_format();
  if (s.kind != ScaleFormat::Kind::coded || !o.scale_codes_valid()) return "other";
  if (s.is_e8m0()) return "ue8m0";
  static const ElementFormat ue4m3 = find_format("ue4m3")->format;
  return s.format == ue4m3 ? "ue4m3" : "other";
}

/// Why this preset cannot take this operand as its `type` side; empty when it can.
std::string mismatch(const MmaPreset& p, const std::string& type, const GemmOperand& o,
                     const char* which, bool ignore_scales) {
  const auto wanted = format_of_ptx_type(type);
  if (!o.one_format() || !wanted || o.format() != *wanted) {
    return std::string(which) + " is " + format_text(o) + " where the instruction reads " + type;
  }
  if (o.scale_run() == 0 || ignore_scales) return {};
  if (p.params.scale_block == 0) {
    return std::string(which) + " has " + scale_text(o) +
           " and the instruction knows no block scales";
  }
  const auto block = static_cast<std::size_t>(p.params.scale_block);
  if (ptx_scale(o) != p.scale || o.scale_run() % block != 0) {
    return std::string(which) + " has " + scale_text(o) + " where the instruction reads " +
           p.scale + " per " + std::to_string(block);
  }
  return {};
}

namespace {

class Instruction final : public DotEngine {
 public:
  Instruction(const GemmOperand& a, const GemmOperand& b, const MmaPreset& preset,
              const ZeroRule* zero, bool scales_at_promotion)
      : DotEngine(a, b), preset_(preset), params_(preset.params) {
    if (zero != nullptr) params_.fused.zero = *zero;
    prepare(a, side_[0], scales_at_promotion);
    prepare(b, side_[1], scales_at_promotion);
    tiles_.emplace(params_, source(a, side_[0]), source(b, side_[1]));
  }

  bool starts_at_c() const override { return true; }
  bool hardware() const override { return true; }
  std::string type_name() const override { return params_.f16_accumulator ? "fp16" : "fp32"; }
  const MmaPreset* preset() const override { return &preset_; }
  bool scales_in_epilogue(bool of_a) const override { return side_[of_a ? 0 : 1].epilogue; }

  float dot(std::size_t i, std::size_t j, std::size_t k0, std::size_t k1, float start,
            Trace* trace) const override {
    std::uint32_t acc =
        params_.f16_accumulator ? encode(fp16_, start) : bits_as<std::uint32_t>(start);
    const auto step = static_cast<std::size_t>(params_.k);
    for (std::size_t at = k0; at < k1; at += step) {
      acc = run(i, j, at, std::min(k1, at + step), acc, trace);
    }
    return as_float(acc);
  }

  bool range_product(std::size_t k0, std::size_t k1, float* y) const override {
    const std::size_t cols = b_.rows();
    std::vector<std::uint8_t> again(a_.rows() * cols);
    if (!tiles_->run(k0, k1, y, again.data())) return false;
#pragma omp parallel for schedule(dynamic, 64) if (again.size() * (k1 - k0) > 65536)
    for (std::size_t o = 0; o < again.size(); ++o) {
      if (again[o] != 0) y[o] = dot(o / cols, o % cols, k0, k1, y[o], nullptr);
    }
    return true;
  }

 private:
  /// One operand as the instruction sees it.
  struct Side {
    std::vector<MmaOperand> elements;  ///< [rows, k]
    std::vector<MmaOperand> scales;    ///< [rows, scale_cols]
    std::size_t scale_cols = 0;
    bool epilogue = false;              ///< its scale is left to the epilogue
    std::vector<std::uint8_t> special;  ///< a row with a NaN or an infinity in values or scales
  };

  static InstructionTiles::Source source(const GemmOperand& o, const Side& s) {
    return {o.rows(), o.k(), s.elements.data(), s.scales.data(), s.scale_cols, s.special.data()};
  }
  void prepare(const GemmOperand& o, Side& s, bool scales_at_promotion) {
    const std::size_t rows = o.rows(), k = o.k();
    s.elements.resize(rows * k);
    s.special.assign(rows, 0);
    const auto block = static_cast<std::size_t>(params_.scale_block);
    // A constant scale joins the instruction if that reads its format, else the epilogue.
    const bool feeds = block != 0 && (o.scale_run() != 0 || ptx_scale(o) == preset_.scale);
    const bool unscaled = o.scale_format().kind == ScaleFormat::Kind::none;
    s.epilogue = !feeds && !unscaled && !scales_at_promotion;
    s.scale_cols = block == 0 ? 0 : (k + block - 1) / block;
    s.scales.assign(rows * s.scale_cols, MmaOperand{1, 0, 0, 0});
#pragma omp parallel for schedule(static) if (rows * k > 16384)
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < k; ++c) {
        s.elements[r * k + c] = decode_operand(o.format(), o.code(r, c));
        if (!s.elements[r * k + c].finite()) s.special[r] = 1;
      }
      for (std::size_t c = 0; feeds && c < s.scale_cols; ++c) {
        MmaOperand& x = s.scales[r * s.scale_cols + c];
        x = decode_operand(o.scale_format().format, o.scale_code(r, c * block));
        x.flags &= MmaOperand::kNan;  // block scales have no sign
        if (x.nan()) s.special[r] = 1;
      }
    }
  }

  float as_float(std::uint32_t bits) const {
    return params_.f16_accumulator ? decode(fp16_, bits) : bits_as<float>(bits);
  }
  MmaOperand accumulator(std::uint32_t bits) const {
    return params_.f16_accumulator ? decode_operand_f16(bits) : decode_operand_f32(bits);
  }

  /// One instruction by the header's function, on a padded copy at the end of a range.
  std::uint32_t run(std::size_t i, std::size_t j, std::size_t at, std::size_t end,
                    std::uint32_t acc, Trace* trace) const {
    const std::size_t k = a_.k(), n = end - at;
    const MmaOperand* a = side_[0].elements.data() + i * k + at;
    const MmaOperand* b = side_[1].elements.data() + j * k + at;
    MmaOperand tail_a[kMaxInstructionK], tail_b[kMaxInstructionK];
    if (n < static_cast<std::size_t>(params_.k)) {
      std::copy(a, a + n, tail_a);
      std::copy(b, b + n, tail_b);
      for (std::size_t t = n; t < static_cast<std::size_t>(params_.k); ++t) {
        tail_a[t] = tail_b[t] = MmaOperand{0, 0, 0, 0};
        tail_a[t].precision = a[0].precision;
        tail_b[t].precision = b[0].precision;
      }
      a = tail_a;
      b = tail_b;
    }
    const MmaOperand* sa = nullptr;
    const MmaOperand* sb = nullptr;
    if (params_.scale_block != 0) {
      const std::size_t c = at / static_cast<std::size_t>(params_.scale_block);
      sa = side_[0].scales.data() + i * side_[0].scale_cols + c;
      sb = side_[1].scales.data() + j * side_[1].scale_cols + c;
    }
    const int groups = static_cast<int>((n + 15) / 16);
    const std::uint32_t out = mma_dot(params_, a, b, sa, sb, groups, acc);
    if (trace != nullptr) record(i, j, at, end, a, b, sa, sb, acc, out, trace);
    return out;
  }

  /// Trace of one instruction. Fused sums are shown term by term, other kinds as a whole.
  void record(std::size_t i, std::size_t j, std::size_t at, std::size_t end, const MmaOperand* a,
              const MmaOperand* b, const MmaOperand* sa, const MmaOperand* sb, std::uint32_t acc,
              std::uint32_t out, Trace* trace) const;
  /// One fused sum of the terms named by `order`.
  template <class Term>
  std::uint32_t record_fused(const std::string& title, std::vector<TraceTerm> names, Term&& term,
                             bool finite, std::uint32_t acc, Trace* trace) const;

  const MmaPreset& preset_;
  MmaParams params_;
  ElementFormat fp16_ = *format_of_ptx_type("f16");
  Side side_[2];
  std::optional<InstructionTiles> tiles_;
};

template <class Term>
std::uint32_t Instruction::record_fused(const std::string& title, std::vector<TraceTerm> names,
                                        Term&& term, bool finite, std::uint32_t acc,
                                        Trace* trace) const {
  const FusedSum& fs = params_.fused;
  const MmaOperand c = with_zero_rule(accumulator(acc), fs.zero);
  const int n = static_cast<int>(names.size());
  TraceStep step;
  step.title = title;
  step.fused = finite && c.finite();
  FusedResult r;
  if (step.fused) r = fused_sum(fs, term, n, single_term(c));
  step.exponent = r.exponent;
  step.quantum = r.quantum;
  step.sum = r.sum;
  switch (fs.out) {
    case OutRound::f32_rz:
      step.rounding = "S 2^Q toward zero to 24 bits";
      break;
    case OutRound::f16_rne:
      step.rounding = "S 2^Q to binary16, nearest even";
      break;
    case OutRound::e8m13_rz:
      step.rounding = "S 2^Q toward zero to 14 bits";
      break;
    case OutRound::f32_rne:
      step.rounding = "S 2^Q to binary32, nearest even";
      break;
  }
  for (int t = 0; t <= n; ++t) {
    TraceTerm tt;
    MmaTerm<> m;
    if (t < n) {
      tt = std::move(names[static_cast<std::size_t>(t)]);
      m = term(t);
    } else {
      tt.name = "c";
      tt.exact = exact_text(static_cast<double>(as_float(acc)));
      m = single_term(c);
    }
    if (step.fused) {
      tt.aligned = true;
      tt.exponent = m.exponent;
      tt.shift = m.quantum - r.quantum;
      tt.kept = aligned(fs, m, r.quantum);
      tt.cut = tt.shift < 0 &&
               (tt.shift < -63 ? m.magnitude != 0 : (m.magnitude & ((1ull << -tt.shift) - 1)) != 0);
    }
    step.terms.push_back(std::move(tt));
  }
  step.result = as_float(r.bits);
  trace->steps.push_back(std::move(step));
  return r.bits;
}

void Instruction::record(std::size_t i, std::size_t j, std::size_t at, std::size_t end,
                         const MmaOperand* a, const MmaOperand* b, const MmaOperand* sa,
                         const MmaOperand* sb, std::uint32_t acc, std::uint32_t out,
                         Trace* trace) const {
  const auto range = [](std::size_t k0, std::size_t k1) {
    return "k=" + std::to_string(k0) + ".." + std::to_string(k1 - 1);
  };
  bool finite = true;
  for (std::int32_t t = 0; t < params_.k; ++t) finite = finite && a[t].finite() && b[t].finite();
  const int blocks =
      params_.scale_block == 0 ? 0 : (params_.k + params_.scale_block - 1) / params_.scale_block;
  const auto used = static_cast<int>((end - at + 15) / 16) * 16;
  for (int t = 0; t < blocks && t * params_.scale_block < used; ++t) {
    finite = finite && !sa[t].nan() && !sb[t].nan();
  }
  switch (params_.kind) {
    case MmaKind::fused_sum:
    case MmaKind::block_scaled: {
      std::uint32_t c = acc;
      for (std::int32_t base = 0; base < params_.k && at + static_cast<std::size_t>(base) < end;
           base += params_.fused.terms) {
        const std::size_t k0 = at + static_cast<std::size_t>(base);
        const std::size_t k1 = std::min(end, k0 + static_cast<std::size_t>(params_.fused.terms));
        std::vector<TraceTerm> names;
        for (std::size_t k = k0; k < k1; ++k) names.push_back(trace_product(a_, b_, i, j, k));
        const auto term = [&](int t) { return instruction_term(params_, a, b, sa, sb, base + t); };
        c = record_fused("fused sum of " + range(k0, k1), std::move(names), term, finite, c, trace);
      }
      break;
    }
    case MmaKind::fp4_groups: {
      std::vector<TraceTerm> names;
      for (std::size_t k0 = at; k0 < end; k0 += 16) {
        TraceTerm t;
        t.name = range(k0, std::min(end, k0 + 16));
        const int g = static_cast<int>((k0 - at) / 16);
        const int s = 16 * g / params_.scale_block;
        t.scale_a = operand_as_float(sa[s]);
        t.scale_b = operand_as_float(sb[s]);
        const MmaTerm<> m = fp4_group_term(params_, a, b, sa[s], sb[s], g);
        t.exact = exact_text(m.negative, 0, m.magnitude, m.quantum);
        TraceStep group;
        group.title = "exact sum of " + t.name + " times both scales";
        for (std::size_t k = k0; k < std::min(end, k0 + 16); ++k) {
          group.terms.push_back(trace_product(a_, b_, i, j, k));
        }
        group.note = "sum = " + t.exact;
        group.rounds = false;
        trace->steps.push_back(std::move(group));
        names.push_back(std::move(t));
      }
      const auto term = [&](int g) {
        const int s = 16 * g / params_.scale_block;
        return fp4_group_term(params_, a, b, sa[s], sb[s], g);
      };
      record_fused("groups of 16 in " + range(at, end), std::move(names), term, finite, acc, trace);
      break;
    }
    case MmaKind::fp8_as_f16: {
      std::uint32_t c = 0;
      for (int half = 0; half < 2; ++half) {
        std::vector<TraceTerm> names;
        for (int t = 0; t < params_.k / 2; ++t) {
          const std::size_t k = at + static_cast<std::size_t>(fp8_as_f16_order(half, t));
          if (k < end) {
            names.push_back(trace_product(a_, b_, i, j, k));
          } else {
            names.emplace_back();
            names.back().name = "padding";
          }
        }
        const auto term = [&](int t) {
          const int k = fp8_as_f16_order(half, t);
          return product_term(widen_to_f16(a[k]), widen_to_f16(b[k]));
        };
        c = record_fused(std::string("widened to binary16, k mod 4 in ") +
                             (half == 0 ? "{0,1}" : "{2,3}") + " of " + range(at, end),
                         std::move(names), term, finite, c, trace);
      }
      TraceStep add;
      add.title = "IEEE addition of c";
      add.note = "c = " + exact_text(static_cast<double>(as_float(acc)));
      add.rounding = "nearest even";
      trace->steps.push_back(std::move(add));
      break;
    }
    default: {
      TraceStep step;
      step.title = preset_.id + " on " + range(at, end);
      for (std::size_t k = at; k < end; ++k) step.terms.push_back(trace_product(a_, b_, i, j, k));
      step.note = "c = " + exact_text(static_cast<double>(as_float(acc)));
      trace->steps.push_back(std::move(step));
      break;
    }
  }
  TraceStep& last = trace->steps.back();
  last.result = as_float(out);
  if (!finite) last.note += "an infinity or NaN decides";
}

}  // namespace

std::unique_ptr<DotEngine> make_instruction_engine(const GemmOperand& a, const GemmOperand& b,
                                                   const MmaPreset& preset, const ZeroRule* zero,
                                                   bool scales_at_promotion) {
  return std::make_unique<Instruction>(a, b, preset, zero, scales_at_promotion);
}

bool preset_accepts(const MmaPreset& p, const GemmOperand& a, const GemmOperand& b) {
  return mismatch(p, p.a, a, "A").empty() && mismatch(p, p.b, b, "B").empty();
}

}  // namespace fp4lab::detail
