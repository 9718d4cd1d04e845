// fp4lab quantize: a tensor under a QuantSpec, its stored form, and what was lost.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/array_file.h"
#include "data/error.h"
#include "experiments/cli/array_arguments.h"
#include "experiments/cli/context.h"
#include "experiments/cli/format_facts.h"
#include "experiments/cli/names.h"
#include "experiments/cli/quantize_outputs.h"
#include "experiments/cli/quantized_file.h"
#include "experiments/cli/table.h"
#include "formats/spec_text.h"
#include "sim/error_statistics.h"
#include "sim/quantize.h"

namespace fp4lab::cli {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string spec, in;
  std::string codes, scales, tensor_scale, zero_points, dequant, out;
  std::string packed, random;
  std::string seed = "0", threads;
  bool swizzle = false, narrow = false, json = false;
  InputOptions input;
};

/// Everything that is reported about one quantization.
struct Report {
  std::string input;
  Shape shape;
  std::string dtype;
  ErrorStatistics errors;
  double saturation_fraction = 0;
  double bits_per_value = 0;
  std::vector<std::uint64_t> histogram;  ///< by code; empty for formats of more than 8 bits
};

// --- output files ----------------------------------------------------------------------------

/// The outputs asked for, parsed and reserved before any work is done.
class Outputs {
 public:
  Outputs(const Options& options, const QuantSpec& spec) : options_(options) {
    for (const std::string* text : {&options.codes, &options.scales, &options.tensor_scale,
                                    &options.zero_points, &options.dequant}) {
      if (!text->empty()) writer_.reserve(parse_array_ref(*text));
    }
    if (!options.out.empty()) whole_.emplace(writer_, options.out, spec);
  }

  bool uses_stdout() const { return writer_.uses_stdout(); }

  void write(const QuantizedTensor& q, const std::vector<float>& values,
             std::optional<NibbleOrder> packing) {
    const std::string spec = to_string(q.spec);
    if (!options_.codes.empty()) {
      Array codes = code_array(q);
      Attributes attributes = code_attributes(element_name(q.spec), codes.shape, packing);
      attributes.push_back({"spec", spec});
      if (packing) codes = pack_rows(codes, *packing);
      put(options_.codes, std::move(codes), std::move(attributes));
    }
    if (!options_.scales.empty()) {
      const std::string layout = options_.swizzle ? "128x4" : "row-major";
      put(options_.scales, options_.swizzle ? swizzled_scale_array(q) : scale_array(q),
          {{"spec", spec}, {"format", detail::print_scale(q.spec.scale)}, {"layout", layout}});
    }
    if (!options_.tensor_scale.empty()) {
      put(options_.tensor_scale, tensor_scale_array(q), {{"spec", spec}});
    }
    if (!options_.zero_points.empty()) {
      put(options_.zero_points, zero_point_array(q), {{"spec", spec}});
    }
    if (!options_.dequant.empty()) {
      Array dequant(DType::kF32, q.shape);
      std::copy(values.begin(), values.end(), dequant.as<float>().begin());
      put(options_.dequant, std::move(dequant), {{"spec", spec}});
    }
    if (whole_) whole_->put(q, packing.value_or(NibbleOrder::low_first));
    writer_.commit();
  }

 private:
  static std::string element_name(const QuantSpec& spec) {
    for (const FormatInfo* info : all_formats()) {
      if (info->format == spec.element) return std::string(info->id);
    }
    return spec.base;
  }

  void put(const std::string& text, Array array, Attributes attributes) {
    writer_.put(parse_array_ref(text), std::move(array), std::move(attributes));
  }

  const Options& options_;
  ArrayWriter writer_;
  std::optional<QuantizedOutput> whole_;
};

// --- report ----------------------------------------------------------------------------------

ordered_json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

ordered_json to_json(const Report& report, const QuantSpec& spec) {
  ordered_json json;
  json["spec"] = to_string(spec);
  json["input"] = report.input;
  json["shape"] = report.shape;
  json["dtype"] = report.dtype;
  json["elements"] = report.errors.elements;
  json["sqnr_db"] = number(report.errors.sqnr_db);
  json["mse"] = number(report.errors.mse);
  json["max_abs_error"] = number(report.errors.max_abs_error);
  json["underflow_fraction"] = number(report.errors.underflow_fraction);
  json["saturation_fraction"] = number(report.saturation_fraction);
  json["zero_fraction"] = number(report.errors.zero_fraction);
  json["nonfinite"] = report.errors.nonfinite;
  json["bits_per_value"] = number(report.bits_per_value);
  json["code_histogram"] = report.histogram;
  return json;
}

/// Bar of at most 40 characters for a share of the largest count.
std::string bar(std::uint64_t count, std::uint64_t largest) {
  if (count == 0 || largest == 0) return "";
  const double share = static_cast<double>(count) / static_cast<double>(largest);
  return std::string(std::max<std::size_t>(1, static_cast<std::size_t>(40.0 * share + 0.5)), '#');
}

/// Blocks of these schemes give a code a meaning of their own.
bool values_vary(const QuantSpec& spec) {
  return spec.scheme == Scheme::if4 || spec.scheme == Scheme::razer ||
         spec.scheme == Scheme::dialect || spec.scheme == Scheme::hif4;
}

void print_histogram(Output& out, const Report& report, const QuantSpec& spec) {
  if (report.histogram.empty() || report.errors.elements == 0) return;
  const bool all_rows = spec.element.bits <= 4;
  const std::uint64_t largest = *std::max_element(report.histogram.begin(), report.histogram.end());
  std::uint64_t total = 0;
  for (const std::uint64_t count : report.histogram) total += count;
  Table table({{"code"},
               {values_vary(spec) ? "" : "value", Align::kRight},
               {"count", Align::kRight},
               {"share", Align::kRight},
               {""}});
  for (std::uint32_t code = 0; code < report.histogram.size(); ++code) {
    const std::uint64_t count = report.histogram[code];
    if (count == 0 && !all_rows) continue;
    const double share = static_cast<double>(count) / static_cast<double>(total);
    table.add({hex_code(code, spec.element.bits),
               values_vary(spec) ? "" : shortest(decode(spec.element, code)), std::to_string(count),
               percent(share), bar(count, largest)});
  }
  out.line();
  table.print(out);
}

void print_report(Output& out, const Report& report, const QuantSpec& spec) {
  out.line(out.bold(to_string(spec)) + "  on " + printable(report.input) + "  (" +
           shape_text(report.shape) + " " + report.dtype + ")");
  out.line();
  const ErrorStatistics& e = report.errors;
  const auto shown = [](double value) {
    return std::isnan(value) ? std::string("-") : general(value);
  };
  Table table({{""}, {"", Align::kRight}, {""}});
  table.add({"SQNR", std::isnan(e.sqnr_db) ? "-" : fixed(e.sqnr_db, 3), "dB"});
  table.add({"mean squared error", shown(e.mse)});
  table.add({"largest error", shown(e.max_abs_error)});
  table.add({"underflow", percent(e.underflow_fraction), "of the nonzero elements become 0"});
  table.add({"saturation", percent(report.saturation_fraction),
             "of the elements exceed the largest value"});
  table.add({"zero", percent(e.zero_fraction), "of the results"});
  if (e.nonfinite > 0) {
    table.add({"not finite", std::to_string(e.nonfinite), "elements, left out of the errors"});
  }
  table.add({"bits a value", shown(report.bits_per_value)});
  table.print(out);
  print_histogram(out, report, spec);
}

// --- the command -----------------------------------------------------------------------------

/// Elements of the matrix that random words belong to: the padded one under a Hadamard.
std::size_t stored_elements(const QuantSpec& spec, const Array& input) {
  if (spec.hadamard == 0) return input.size();
  const std::size_t group = spec.hadamard;
  const auto padded = [&](std::size_t n) { return (n + group - 1) / group * group; };
  const bool along_rows = spec.block.cols == 1 && spec.block.rows != 1;
  return along_rows ? padded(input.rows()) * input.columns()
                    : input.rows() * padded(input.columns());
}

std::vector<std::uint64_t> histogram_of(const QuantizedTensor& q) {
  if (q.spec.element.bits > 8) return {};
  std::vector<std::uint64_t> histogram(std::size_t{1} << q.spec.element.bits, 0);
  for (const std::uint8_t code : q.codes) {
    if (code < histogram.size()) ++histogram[code];
  }
  return histogram;
}

/// The engine counts rows and columns in 32 bits. An array without elements goes in as 0 x 0,
/// however large its other extents are, and keeps its shape.
QuantizedTensor quantize_array(const QuantSpec& spec, const Array& input,
                               const QuantizeOptions& options) {
  if (input.size() > 0xffffffffu) {
    throw InputError(std::to_string(input.size()) + " elements; at most 2^32 - 1 are supported");
  }
  const Shape shape = input.size() == 0 ? Shape{0, 0} : input.shape;
  QuantizedTensor q = quantize(spec, input.as<float>(), shape, options);
  q.shape = input.shape;
  return q;
}

void check_options(const Options& options, const QuantSpec& spec) {
  if (!options.packed.empty() && options.codes.empty() && options.out.empty()) {
    throw InputError("--packed describes --codes or --out, and neither is asked for");
  }
  if (!options.packed.empty() && spec.element.bits > 4) {
    throw InputError("--packed is for codes of at most 4 bits; this element has " +
                     std::to_string(spec.element.bits));
  }
  if (options.swizzle && options.scales.empty()) {
    throw InputError("--swizzle describes --scales, which is not asked for");
  }
}

ExitCode run_quantize(Context& context, const Options& options) {
  register_user_formats(context.format_files);
  const QuantSpec spec = parse_spec(options.spec);
  const auto packing = parse_packed(options.packed);
  check_options(options, spec);
  set_threads(options.threads);
  Outputs outputs(options, spec);
  if (outputs.uses_stdout()) context.out.use_stderr();

  const Array raw = read_input(options.in, options.input, DType::kF32);
  const Array input =
      to_float32(raw, options.narrow ? Narrowing::kRound : Narrowing::kForbid, options.in);
  Array words;
  QuantizeOptions quantize_options;
  quantize_options.random.stream.seed = parse_seed(options.seed);
  if (!options.random.empty()) {
    words = read_random_words(options.random, spec.round, stored_elements(spec, input));
    quantize_options.random.given = words.as<std::uint32_t>().data();
  }
  const auto x = input.as<float>();
  const QuantizedTensor q = quantize_array(spec, input, quantize_options);
  const std::vector<float> y = dequantize(q);

  Report report;
  report.input = options.in;
  report.shape = raw.shape;
  report.dtype = std::string(dtype_name(raw.dtype));
  report.errors = error_statistics(x, y);
  report.saturation_fraction = x.empty() ? std::nan("")
                                         : static_cast<double>(q.saturated) /
                                               static_cast<double>(stored_elements(spec, input));
  report.bits_per_value = bits_per_value(q, x.size());
  report.histogram = histogram_of(q);
  outputs.write(q, y, packing);
  if (options.json) {
    context.out.line(
        to_json(report, spec).dump(2, ' ', false, ordered_json::error_handler_t::replace));
  } else {
    print_report(context.out, report, spec);
  }
  return ExitCode::kDone;
}

}  // namespace

void add_quantize_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = add_command(
      app, context, "quantize", "Quantize a tensor under a spec and show what was lost",
      "  fp4lab quantize --spec mxfp4 sample:gaussian\n"
      "  fp4lab quantize --spec nvfp4,rule=4over6 w.npy --codes q.h5:/codes --scales q.h5:/scales\n"
      "  fp4lab quantize --spec e3m0,round=luq,block=tensor --seed 7 g.f32 --shape 64x256 --json\n"
      "  fp4lab quantize --spec nvfp4 w.npy --out q.h5:/w\n"
      "  fp4lab quantize --spec nvfp4@te w.npy --dequant w_nvfp4.npy\n",
      [&context, options] { return run_quantize(context, *options); });
  CLI::Option* const spec = command->add_option(
      "--spec", options->spec, "BASE[@PROFILE][,key=value]..., as in mxfp4,round=sr:16");
  spec->required()->type_name("S");
  const auto output = [&](const char* name, std::string& target, const char* what) {
    command->add_option(name, target, what)->type_name("O");
  };
  output("--out", options->out,
         "write the whole quantized tensor, self-describing: FILE.h5, FILE.h5:/GROUP or FILE.json");
  output("--codes", options->codes, "write the codes, one u8 an element");
  output("--scales", options->scales, "write the scale codes (u8; f32 for binary32 scales)");
  output("--tensor-scale", options->tensor_scale, "write the global factor g (f32)");
  output("--zero-points", options->zero_points, "write the zero points of asymmetric integers");
  output("--dequant", options->dequant, "write the dequantized tensor (f32)");
  add_packed_option(*command, context, options->packed);
  command->add_flag("--swizzle", options->swizzle, "scales in the 128x4 layout of tensor cores");
  add_seed_option(*command, options->seed);
  command->add_option("--random", options->random, "random words, one u32 an element")
      ->type_name("FILE");
  command->add_flag("--narrow", options->narrow, "round an f64 input to binary32 first");
  add_threads_option(*command, options->threads);
  command->add_flag("--json", options->json, "machine-readable report");
  add_input_options(*command, context, options->input);
  command->add_option("IN", options->in, "tensor: .npy, .h5:/path, raw, - or sample:NAME")
      ->required();
  context.choices[spec] = all_base_names();
}

}  // namespace fp4lab::cli
