#include "sim/gemm_explain.h"

#include <cstdio>
#include <ostream>
#include <stdexcept>

#include "sim/accumulate_exact.h"
#include "sim/fma.h"
#include "sim/gemm_engine.h"

namespace fp4lab {
namespace {

std::string hex_bits(std::uint32_t bits, const std::string& type) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, type == "fp32" ? "%08X" : "%04X", bits);
  return buffer;
}

std::int64_t ordered(float x) noexcept {
  const std::uint32_t b = bits_as<std::uint32_t>(x);
  const auto m = static_cast<std::int64_t>(b & 0x7FFFFFFFu);
  return (b >> 31) != 0 ? -m : m;
}

ModelResult run_model(const GemmOperand& a, const GemmOperand& b, const Accumulator& acc,
                      std::size_t i, std::size_t j, const GemmOptions& options) {
  ModelResult m;
  const detail::GemmElement element(a, b, acc, options);
  m.name = to_string(acc);
  if (acc.kind == AccumulatorKind::plan) {
    const MmaPreset* p = element.preset();
    m.evidence = to_string(acc.plan.name.empty() && p != nullptr ? p->evidence : acc.plan.evidence);
  }
  m.value = element.compute(i, j, nullptr);
  m.bits = element.bits(m.value);
  m.type = element.type_name();
  return m;
}

void print_step(std::ostream& out, const TraceStep& step, std::size_t max_terms) {
  out << "  " << step.title << '\n';
  std::size_t shown = 0;
  for (const TraceTerm& t : step.terms) {
    if (max_terms != 0 && shown == max_terms) {
      out << "    ... " << step.terms.size() - shown << " more\n";
      break;
    }
    ++shown;
    out << "    " << t.name << ':';
    char buffer[96];
    if (t.has_codes) {
      std::snprintf(buffer, sizeof buffer, " codes %X %X, values %.9g * %.9g", t.a_code, t.b_code,
                    static_cast<double>(t.a), static_cast<double>(t.b));
      out << buffer;
    }
    if (t.scale_a != 1.0f || t.scale_b != 1.0f) {
      std::snprintf(buffer, sizeof buffer, ", scales %.9g * %.9g", static_cast<double>(t.scale_a),
                    static_cast<double>(t.scale_b));
      out << buffer;
    }
    out << " = " << t.exact;
    if (t.aligned) {
      out << "; e " << t.exponent << ", shift " << t.shift << " -> " << t.kept;
      if (t.cut) out << " (bits lost)";
    }
    out << '\n';
  }
  if (step.fused) {
    out << "    E = " << step.exponent << ", Q = " << step.quantum << ", S = " << step.sum << '\n';
  }
  if (!step.note.empty()) out << "    " << step.note << '\n';
  if (!step.rounding.empty()) out << "    " << step.rounding << '\n';
  if (!step.rounds) return;
  out << "    -> " << exact_text(static_cast<double>(step.result)) << " ["
      << hex_bits(bits_as<std::uint32_t>(step.result), "fp32") << "]\n";
}

}  // namespace

std::string exact_text(double v) {
  char buffer[80];
  std::snprintf(buffer, sizeof buffer, "%.17g (%a)", v, v);
  return buffer;
}

std::string exact_text(bool negative, unsigned long long high, unsigned long long low, int e) {
  uint128 m = (static_cast<uint128>(high) << 64) | low;
  if (m == 0) return negative ? "-0" : "0";
  while ((m & 1) == 0) {
    m >>= 1;
    ++e;
  }
  std::string digits;
  for (uint128 rest = m; rest != 0; rest /= 10) {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
  }
  std::string s = (negative ? "-" : "") + digits;
  if (e != 0) s += " * 2^" + std::to_string(e);
  return s;
}

std::int64_t ulp_distance(float a, float b) noexcept {
  if (is_nan(a) && is_nan(b)) return 0;
  if (is_nan(a) || is_nan(b)) return INT64_MAX;
  const std::int64_t d = ordered(a) - ordered(b);
  return d < 0 ? -d : d;
}

std::vector<Accumulator> reference_models() {
  std::vector<Accumulator> list;
  for (const char* text : {"exact", "block-exact", "fp32-seq", "fp32-fma", "fp32-tree:1",
                           "fp32-tree:32", "fp32-split:4", "fp32-block", "promote:128:fp32-fma",
                           "promote:64:fp32-fma", "chunk:fp16:64", "acc:fp16", "acc:bf16"}) {
    list.push_back(parse_accumulator(text));
  }
  return list;
}

Explanation explain(const GemmOperand& a, const GemmOperand& b, const Accumulator& acc,
                    std::size_t row, std::size_t col, const GemmOptions& options) {
  const detail::GemmElement element(a, b, acc, options);
  if (row >= a.rows() || col >= b.rows()) {
    throw std::out_of_range("explain: no element [" + std::to_string(row) + ", " +
                            std::to_string(col) + "] in a product [" + std::to_string(a.rows()) +
                            ", " + std::to_string(b.rows()) + "]");
  }
  Explanation e;
  e.row = row;
  e.col = col;
  e.accumulator = to_string(acc);
  e.evidence = acc.kind == AccumulatorKind::plan ? to_string(acc.plan.evidence) : "";
  e.source = acc.plan.source;
  if (const MmaPreset* p = element.preset()) {
    e.instruction = p->id;
    if (acc.plan.name.empty()) {
      e.evidence = to_string(p->evidence);
      e.source = p->source;
    }
  }
  e.has_global = a.has_global() || b.has_global();
  e.global_a = a.global(row);
  e.global_b = b.global(col);
  e.value = element.compute(row, col, &e.trace);
  e.bits = element.bits(e.value);
  e.type = element.type_name();

  std::vector<Accumulator> models = reference_models();
  for (const GemmPlan& p : named_plans()) {
    models.emplace_back();
    models.back().kind = AccumulatorKind::plan;
    models.back().plan = p;
  }
  for (const MmaPreset* p : matching_presets(a, b)) models.push_back(parse_accumulator(p->id));
  for (const Accumulator& m : models) {
    try {
      e.models.push_back(run_model(a, b, m, row, col, options));
    } catch (const std::invalid_argument&) {
      continue;  // a plan that does not take these operands
    }
  }
  const float exact = e.models.front().value;
  for (ModelResult& m : e.models) {
    m.ulps = ulp_distance(m.value, exact);
    m.same = (is_nan(m.value) && is_nan(e.value)) ||
             bits_as<std::uint32_t>(m.value) == bits_as<std::uint32_t>(e.value);
  }
  return e;
}

void print(std::ostream& out, const Explanation& e, std::size_t max_terms) {
  out << "D[" << e.row << ", " << e.col << "] under " << e.accumulator;
  if (!e.instruction.empty() && e.instruction != e.accumulator) out << " = " << e.instruction;
  if (!e.evidence.empty()) out << " (" << e.evidence << ": " << e.source << ")";
  out << '\n';
  for (const TraceStep& step : e.trace.steps) print_step(out, step, max_terms);
  if (e.has_global) {
    out << "  global factors " << exact_text(static_cast<double>(e.global_a)) << " and "
        << exact_text(static_cast<double>(e.global_b)) << '\n';
  }
  out << "  D = " << exact_text(static_cast<double>(e.value)) << ", " << e.type << ' '
      << hex_bits(e.bits, e.type) << "\n\nunder every model that takes these operands:\n";
  for (const ModelResult& m : e.models) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "  %c %-44s %-10s %-4s %8s %16.9g", m.same ? '=' : ' ',
                  m.name.c_str(), m.evidence.c_str(), m.type.c_str(),
                  hex_bits(m.bits, m.type).c_str(), static_cast<double>(m.value));
    out << buffer;
    if (m.ulps == INT64_MAX) {
      out << "  NaN against exact\n";
    } else {
      out << "  " << m.ulps << " ulp from exact\n";
    }
  }
}

}  // namespace fp4lab
