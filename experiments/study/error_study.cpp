#include <array>
#include <cmath>
#include <limits>

#include "data/error.h"
#include "experiments/study/columns.h"
#include "experiments/study/study.h"
#include "formats/spec_text.h"
#include "sim/error_statistics.h"
#include "sim/quantize.h"

namespace fp4lab::study {
namespace {

/// What a tensor adds to the last row.
struct Totals {
  double elements = 0, nonzero = 0, signal = 0, noise = 0, underflow = 0, zero = 0, saturated = 0,
         bits = 0, largest = 0, nonfinite = 0;
};

/// Elements that share a scale; rows, columns and whole tensors count what the tensor has.
std::int64_t elements_of_block(const QuantSpec& spec, std::size_t rows, std::size_t columns) {
  const auto high = spec.block.rows == 0 ? rows : spec.block.rows;
  const auto wide = spec.block.cols == 0 ? columns : spec.block.cols;
  return static_cast<std::int64_t>(high * wide);
}

/// Bits that the scales and global factors of a quantized tensor take.
double overhead_bits(const QuantizedTensor& q) {
  double per_scale = 32;
  if (q.spec.scale.kind == ScaleFormat::Kind::none) per_scale = 0;
  if (q.spec.scale.kind == ScaleFormat::Kind::coded) {
    per_scale = (q.spec.scale.format.bits + 7) / 8 * 8;  // whole bytes, as ue4m3 is stored
  }
  return per_scale * static_cast<double>(q.grid.blocks()) +
         32.0 * static_cast<double>(q.global.size()) +
         32.0 * static_cast<double>(q.zero_points.size());
}

}  // namespace

store::ResultFile run_error(const ErrorConfig& config, const Progress& progress) {
  QuantSpec spec;
  try {
    spec = parse_spec(config.spec);
  } catch (const SpecError& e) {
    throw InputError(std::string("error.spec: ") + e.what());
  }
  const std::string spec_text = to_string(spec);
  Columns table;
  Totals total;
  const auto row = [&](const std::string& name, std::size_t rows, std::size_t columns,
                       const Totals& t) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto share = [&](double part, double whole) { return whole > 0 ? part / whole : nan; };
    table.text("tensor", "name of the tensor; `total` is over all elements", name);
    table.text("spec", "rule", spec_text);
    table.text("base", "base of the rule, with its profile",
               spec_text.substr(0, spec_text.find(',')));
    table.text("scale_rule", "how the scale follows from the block",
               std::string(detail::id_of(spec.rule, kRuleNames)));
    table.text("rounding", "rounding of the elements", to_string(spec.round));
    table.count("element_bits", "bits of an element's code", spec.element.bits);
    table.count("block", "elements that share a scale; -1 where it differs between tensors",
                rows == 0 && (spec.block.rows == 0 || spec.block.cols == 0)
                    ? -1
                    : elements_of_block(spec, rows, columns));
    table.count("rows", "rows of the tensor", static_cast<std::int64_t>(rows));
    table.count("columns", "columns of the tensor", static_cast<std::int64_t>(columns));
    table.count("elements", "elements", static_cast<std::int64_t>(t.elements));
    table.number("sqnr_db", "dB", "signal to quantization noise",
                 t.signal > 0 || t.noise > 0 ? sqnr_db(t.signal, t.noise) : nan);
    table.number("mse", "1", "mean squared error", share(t.noise, t.elements - t.nonfinite));
    table.number("relative_mse", "1", "mean squared error over mean square",
                 share(t.noise, t.signal));
    table.number("max_abs_error", "1", "largest error", t.largest);
    table.number("underflow_fraction", "1", "share of the non-zero inputs that became zero",
                 share(t.underflow, t.nonzero));
    table.number("zero_fraction", "1", "share of zeros in the output", share(t.zero, t.elements));
    table.number("saturation_fraction", "1", "share scaled beyond the largest value",
                 share(t.saturated, t.elements));
    table.number("bits_per_value", "bit", "codes, scales and global factors an element",
                 share(t.bits, t.elements));
    table.count("nonfinite", "elements that are NaN or Inf before or after",
                static_cast<std::int64_t>(t.nonfinite));
    table.next();
  };
  for_each_tensor(
      config.source,
      [&](const NamedTensor& tensor) {
        const Tensor& x = tensor.values;
        const std::array<std::size_t, 2> shape = {x.rows(), x.cols()};
        QuantizeOptions options;
        options.random.stream.seed = config.source.seed;
        options.random.stream.stream = tensor.stream;
        const QuantizedTensor q = quantize(spec, {x.data(), x.size()}, shape, options);
        const std::vector<float> y = dequantize(q);
        const ErrorStatistics e = error_statistics({x.data(), x.size()}, y);
        Totals t;
        t.elements = static_cast<double>(e.elements);
        for (std::size_t i = 0; i < x.size(); ++i) t.nonzero += x.data()[i] != 0.0f;
        t.signal = e.signal;
        t.noise = e.noise;
        t.underflow = t.nonzero > 0 ? std::round(e.underflow_fraction * t.nonzero) : 0;
        t.zero = t.elements > 0 ? std::round(e.zero_fraction * t.elements) : 0;
        t.saturated = static_cast<double>(q.saturated);
        t.bits = static_cast<double>(q.spec.element.bits) * t.elements + overhead_bits(q);
        t.largest = e.max_abs_error;
        t.nonfinite = static_cast<double>(e.nonfinite);
        row(tensor.name, x.rows(), x.cols(), t);
        total.elements += t.elements;
        total.nonzero += t.nonzero;
        total.signal += t.signal;
        total.noise += t.noise;
        total.underflow += t.underflow;
        total.zero += t.zero;
        total.saturated += t.saturated;
        total.bits += t.bits;
        total.nonfinite += t.nonfinite;
        if (t.largest > total.largest) total.largest = t.largest;
      },
      progress);
  row("total", 0, 0, total);
  store::ResultFile file;
  table.store(file);
  file.attributes["kind"] = std::string("error");
  file.attributes["status"] = std::string("complete");
  file.attributes["title"] = spec_text + " on " + config.source.name;
  return file;
}

}  // namespace fp4lab::study
