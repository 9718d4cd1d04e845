#include "experiments/cli/gemm_report.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "experiments/cli/table.h"
#include "formats/names.h"
#include "sim/error_statistics.h"
#include "sim/mma_presets.h"

namespace fp4lab::cli {
namespace {

using nlohmann::ordered_json;

/// 0, 1, 2, 3..4, 5..8, ...: place of a distance.
std::size_t bucket_of(std::uint64_t ulp) {
  return ulp < 2 ? static_cast<std::size_t>(ulp)
                 : static_cast<std::size_t>(std::bit_width(ulp - 1)) + 1;
}

ordered_json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

/// Numbers that JSON cannot hold become texts.
ordered_json any_number(double value) {
  if (!std::isfinite(value)) return shortest(value);
  return value;
}

std::string range_text(const ExactComparison::Bucket& b) {
  if (b.low == b.high) return std::to_string(b.low);
  return std::to_string(b.low) + " to " + std::to_string(b.high);
}

std::string extents(std::size_t rows, std::size_t cols) {
  return std::to_string(rows) + "x" + std::to_string(cols);
}

void print_error(Output& out, const ExactComparison& e) {
  out.line();
  out.line(out.bold("against exact") +
           "  (the exact sum rounded once to binary32; ULP of binary32)");
  out.line();
  Table table({{""}, {"", Align::kRight}, {""}});
  const auto shown = [](double v) { return std::isnan(v) ? std::string("-") : general(v); };
  table.add({"largest distance", std::to_string(e.max_ulp), "ULP"});
  table.add({"mean of |D| - |exact|", shown(e.mean_signed_ulp), "ULP; below 0: falls short"});
  table.add({"largest error", shown(e.max_abs_error)});
  table.add({"SQNR", std::isnan(e.sqnr_db) ? "-" : fixed(e.sqnr_db, 3), "dB"});
  if (e.one_nan > 0) table.add({"NaN on one side", std::to_string(e.one_nan), "outputs"});
  table.print(out);
  if (e.outputs == 0) return;
  out.line();
  Table histogram({{"ULP", Align::kRight}, {"outputs", Align::kRight}, {"share", Align::kRight}});
  for (const auto& b : e.histogram) {
    histogram.add({range_text(b), std::to_string(b.count),
                   percent(static_cast<double>(b.count) / static_cast<double>(e.outputs))});
  }
  histogram.print(out);
}

ordered_json to_json(const ExactComparison& e) {
  ordered_json json;
  json["outputs"] = e.outputs;
  json["max_ulp"] = e.max_ulp;
  json["mean_signed_ulp"] = number(e.mean_signed_ulp);
  json["max_abs_error"] = number(e.max_abs_error);
  json["sqnr_db"] = number(e.sqnr_db);
  json["one_nan"] = e.one_nan;
  json["ulp_histogram"] = ordered_json::array();
  for (const auto& b : e.histogram) {
    json["ulp_histogram"].push_back({{"low", b.low}, {"high", b.high}, {"count", b.count}});
  }
  return json;
}

ordered_json to_json(const TraceTerm& t) {
  ordered_json json;
  json["name"] = t.name;
  if (t.has_codes) {
    json["a_code"] = t.a_code;
    json["b_code"] = t.b_code;
    json["a"] = any_number(static_cast<double>(t.a));
    json["b"] = any_number(static_cast<double>(t.b));
  }
  json["scale_a"] = any_number(static_cast<double>(t.scale_a));
  json["scale_b"] = any_number(static_cast<double>(t.scale_b));
  json["exact"] = t.exact;
  if (t.aligned) {
    json["exponent"] = t.exponent;
    json["shift"] = t.shift;
    json["kept"] = t.kept;
    json["bits_lost"] = t.cut;
  }
  return json;
}

ordered_json to_json(const Explanation& e) {
  ordered_json json;
  json["row"] = e.row;
  json["col"] = e.col;
  json["accumulator"] = e.accumulator;
  json["instruction"] = e.instruction;
  json["evidence"] = e.evidence;
  json["source"] = e.source;
  if (e.has_global) {
    json["global_a"] = any_number(static_cast<double>(e.global_a));
    json["global_b"] = any_number(static_cast<double>(e.global_b));
  }
  json["steps"] = ordered_json::array();
  for (const TraceStep& s : e.trace.steps) {
    ordered_json step;
    step["title"] = s.title;
    step["terms"] = ordered_json::array();
    for (const TraceTerm& t : s.terms) step["terms"].push_back(to_json(t));
    if (s.fused) {
      step["exponent"] = s.exponent;
      step["quantum"] = s.quantum;
      step["sum"] = s.sum;
    }
    step["rounding"] = s.rounding;
    step["note"] = s.note;
    if (s.rounds) step["result"] = any_number(static_cast<double>(s.result));
    json["steps"].push_back(std::move(step));
  }
  json["type"] = e.type;
  json["bits"] = e.bits;
  json["value"] = any_number(static_cast<double>(e.value));
  json["models"] = ordered_json::array();
  for (const ModelResult& m : e.models) {
    ordered_json model;
    model["name"] = m.name;
    model["evidence"] = m.evidence.empty() ? ordered_json("definition") : ordered_json(m.evidence);
    model["type"] = m.type;
    model["bits"] = m.bits;
    model["value"] = any_number(static_cast<double>(m.value));
    model["ulp_from_exact"] = m.ulps == INT64_MAX ? ordered_json(nullptr) : ordered_json(m.ulps);
    model["same"] = m.same;
    json["models"].push_back(std::move(model));
  }
  return json;
}

/// One row of --list.
struct Listed {
  std::string name, kind, evidence, source;
};

std::vector<Listed> listed() {
  std::vector<Listed> rows;
  for (const std::string& name : accumulator_names()) {
    Listed row;
    row.name = name;
    if (const GemmPlan* plan = find_plan(name)) {
      row = {name, "plan", std::string(to_string(plan->evidence)), plan->source};
    } else if (const MmaPreset* preset = find_preset(name)) {
      row = {name, "instruction", std::string(to_string(preset->evidence)), preset->source};
    } else if (!canonical_prefix(name).empty()) {
      row = {name, "chip", "",
             "the chip's widest instruction for the two formats; carries its tag"};
    } else {
      row = {name, "model", "definition", ""};
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

ExactComparison compare_with_exact(std::span<const float> d, std::span<const float> exact) {
  ExactComparison e;
  e.outputs = d.size();
  const ErrorStatistics s = error_statistics(exact, d);
  e.sqnr_db = s.sqnr_db;
  e.max_abs_error = s.max_abs_error;
  std::vector<std::uint64_t> counts;
  const auto magnitude = [](float x) {
    return static_cast<std::int64_t>(bits_as<std::uint32_t>(x) & 0x7FFFFFFFu);
  };
  for (std::size_t i = 0; i < d.size(); ++i) {
    const std::int64_t distance = ulp_distance(d[i], exact[i]);
    if (distance == std::numeric_limits<std::int64_t>::max()) {
      ++e.one_nan;
      continue;
    }
    const auto ulp = static_cast<std::uint64_t>(distance);
    e.max_ulp = std::max(e.max_ulp, ulp);
    const std::size_t at = bucket_of(ulp);
    if (counts.size() <= at) counts.resize(at + 1, 0);
    ++counts[at];
  }
  // Differences of bit patterns are whole numbers below 2^32: their sum is exact in 64 bits.
  std::int64_t total = 0;
  for (std::size_t i = 0; i < d.size(); ++i) {
    if (std::isfinite(d[i]) && std::isfinite(exact[i]))
      total += magnitude(d[i]) - magnitude(exact[i]);
  }
  const std::size_t comparable = e.outputs - static_cast<std::size_t>(e.one_nan);
  e.mean_signed_ulp = comparable == 0
                          ? std::numeric_limits<double>::quiet_NaN()
                          : static_cast<double>(total) / static_cast<double>(comparable);
  for (std::size_t at = 0; at < counts.size(); ++at) {
    const std::uint64_t high = at < 2 ? at : std::uint64_t{1} << (at - 1);
    const std::uint64_t low = at < 3 ? high : high / 2 + 1;
    e.histogram.push_back({low, high, counts[at]});
  }
  return e;
}

void print_report(Output& out, const GemmReport& r, std::size_t max_terms) {
  const Factor &a = *r.a, &b = *r.b;
  const GemmResult& d = *r.d;
  out.line(out.bold("D = A B^T" + std::string(r.has_c ? " + C" : "")) + "  " +
           extents(a.rows, a.k) + " by " + extents(b.rows, b.k) + " -> " + extents(d.rows, d.cols) +
           " " + d.type_name);
  out.line("A  " + a.what + "  (" + printable(a.input) + ")");
  out.line("B  " + b.what + "  (" + printable(b.input) + ")");
  std::string how = r.accumulator;
  if (!d.instruction.empty() && d.instruction != r.accumulator) how += " = " + d.instruction;
  how += r.evidence.empty() ? "  (definition)"
                            : "  (" + r.evidence + (r.source.empty() ? "" : ": " + r.source) + ")";
  out.line("summed by " + how);
  if (r.error != nullptr) print_error(out, *r.error);
  if (r.explanation != nullptr) {
    std::ostringstream text;
    print(text, *r.explanation, max_terms);
    out.line();
    out.print(text.str());
  }
}

std::string report_json(const GemmReport& r) {
  const auto factor = [](const Factor& f) {
    return ordered_json{{"input", f.input}, {"rows", f.rows}, {"k", f.k}, {"what", f.what}};
  };
  const GemmResult& d = *r.d;
  ordered_json json;
  json["a"] = factor(*r.a);
  json["b"] = factor(*r.b);
  json["c"] = r.has_c;
  json["accumulator"] = r.accumulator;
  json["instruction"] = d.instruction;
  json["evidence"] = r.evidence.empty() ? "definition" : r.evidence;
  json["source"] = r.source;
  json["rows"] = d.rows;
  json["cols"] = d.cols;
  json["type"] = d.type_name;
  if (r.error != nullptr) json["error"] = to_json(*r.error);
  if (r.explanation != nullptr) json["explain"] = to_json(*r.explanation);
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

void print_accumulators(Output& out) {
  Table table({{"accumulator"}, {"is"}, {"evidence"}, {"source"}});
  for (const Listed& row : listed()) table.add({row.name, row.kind, row.evidence, row.source});
  table.print(out);
}

std::string accumulators_json() {
  ordered_json json = ordered_json::array();
  for (const Listed& row : listed()) {
    json.push_back({{"name", row.name},
                    {"kind", row.kind},
                    {"evidence", row.evidence},
                    {"source", row.source}});
  }
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace fp4lab::cli
