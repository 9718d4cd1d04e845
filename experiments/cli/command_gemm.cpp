// fp4lab gemm: one matrix product under a named way of summing, to the bit.
#include <charconv>
#include <cstring>
#include <memory>

#include "data/array_file.h"
#include "data/error.h"
#include "experiments/cli/array_arguments.h"
#include "experiments/cli/context.h"
#include "experiments/cli/gemm_inputs.h"
#include "experiments/cli/gemm_report.h"
#include "experiments/cli/names.h"
#include "experiments/cli/progress.h"
#include "formats/spec_text.h"
#include "sim/gemm.h"
#include "sim/gemm_explain.h"

namespace fp4lab::cli {
namespace {

struct Options {
  FactorOptions a, b;
  std::string accumulate = "block-exact";
  std::string c, out, explain, packed;
  std::string seed = "0", threads;
  std::size_t terms = 0;
  bool narrow = false, json = false, no_error = false, list = false;
};

/// `i,j`.
std::pair<std::size_t, std::size_t> parse_element(const std::string& text) {
  std::size_t at[2] = {0, 0};
  const char* p = text.data();
  const char* const end = p + text.size();
  bool good = true;
  for (int n = 0; n < 2 && good; ++n) {
    const auto r = std::from_chars(p, end, at[n]);
    good = r.ec == std::errc() && (n == 0 ? r.ptr != end && *r.ptr == ',' : r.ptr == end);
    p = r.ptr + (n == 0 ? 1 : 0);
  }
  if (!good) {
    throw InputError("--explain '" + printable(text, 40) +
                     "' is not I,J: row and column of one output element, from 0");
  }
  return {at[0], at[1]};
}

std::vector<float> read_c(const std::string& text, std::size_t rows, std::size_t cols) {
  ReadOptions read;
  const ArrayRef ref = parse_array_ref(text);
  if (ref.kind == FileKind::kRaw || ref.kind == FileKind::kStream) read.shape = Shape{rows, cols};
  const Array c = to_float32(read_array(ref, read), Narrowing::kForbid, text);
  const MatrixExtents m = matrix_extents(c.shape);
  if (m.rows != rows || m.cols != cols) {
    throw InputError("C '" + printable(text) + "' is " + shape_text(c.shape) + ", the product " +
                     std::to_string(rows) + "x" + std::to_string(cols));
  }
  const auto values = c.as<float>();
  return {values.begin(), values.end()};
}

/// D in the accumulator's type, bit for bit.
Array output_array(const GemmResult& d) {
  const int bits = d.type.bits + d.type.storage_shift;
  DType dtype = bits <= 8 ? DType::kU8 : bits <= 16 ? DType::kU16 : DType::kU32;
  if (d.type_name == "fp32") dtype = DType::kF32;
  if (d.type_name == "fp16") dtype = DType::kF16;
  if (d.type_name == "bf16") dtype = DType::kBf16;
  Array out(dtype, {d.rows, d.cols});
  const std::size_t width = dtype_size(dtype);
  for (std::size_t i = 0; i < d.bits.size(); ++i) {
    std::memcpy(out.bytes.data() + i * width, &d.bits[i], width);  // little endian
  }
  return out;
}

void split_evidence(const GemmResult& d, const Accumulator& accumulator, GemmReport& report) {
  if (evidence_text(accumulator).empty() && d.instruction.empty()) return;
  report.evidence = std::string(to_string(d.evidence));
  report.source = accumulator.plan.source;
  if (const MmaPreset* p = find_preset(d.instruction); p != nullptr && report.source.empty()) {
    report.source = p->source;
  }
}

ExitCode run_gemm(Context& context, const Options& options) {
  register_user_formats(context.format_files);
  if (options.list) {
    if (options.json) {
      context.out.line(accumulators_json());
    } else {
      print_accumulators(context.out);
    }
    return ExitCode::kDone;
  }
  if (options.a.in.empty() || options.b.in.empty()) {
    throw InputError("two inputs are needed: A [M, K] and B [N, K] (--list shows accumulators)");
  }
  const Accumulator accumulator = parse_accumulator(options.accumulate);
  std::optional<std::pair<std::size_t, std::size_t>> element;
  if (!options.explain.empty()) element = parse_element(options.explain);
  set_threads(options.threads);

  ArrayWriter writer;
  if (!options.out.empty()) writer.reserve(parse_array_ref(options.out));
  if (writer.uses_stdout()) context.out.use_stderr();

  FactorContext shared;
  shared.seed = parse_seed(options.seed);
  shared.narrow = options.narrow;
  shared.packing = parse_packed(options.packed);
  const Factor a = read_factor(options.a, shared), b = read_factor(options.b, shared);
  check_factors(a, b);

  GemmOptions gemm_options;
  gemm_options.random.seed = shared.seed;
  std::vector<float> c;
  if (!options.c.empty()) {
    c = read_c(options.c, a.rows, b.rows);
    gemm_options.c = c;
  }
  if (element && (element->first >= a.rows || element->second >= b.rows)) {
    throw InputError("--explain " + options.explain + ": the product is " + std::to_string(a.rows) +
                     "x" + std::to_string(b.rows) + "; rows and columns count from 0");
  }

  const GemmResult d = [&] {
    const Heartbeat shown("summing by " + to_string(accumulator));
    return gemm(a.operand, b.operand, accumulator, gemm_options);
  }();
  GemmReport report;
  report.accumulator = to_string(accumulator);
  split_evidence(d, accumulator, report);
  report.a = &a;
  report.b = &b;
  report.has_c = !options.c.empty();
  report.d = &d;
  ExactComparison error;
  if (!options.no_error) {
    const Heartbeat shown("summing exactly, for comparison");
    const GemmResult exact = gemm(a.operand, b.operand, parse_accumulator("exact"), gemm_options);
    error = compare_with_exact(d.values(), exact.values());
    report.error = &error;
  }
  Explanation explanation;
  if (element) {
    explanation =
        explain(a.operand, b.operand, accumulator, element->first, element->second, gemm_options);
    report.explanation = &explanation;
  }

  if (!options.out.empty()) {
    Attributes attributes{{"accumulator", report.accumulator},
                          {"instruction", d.instruction},
                          {"evidence", report.evidence.empty() ? "definition" : report.evidence},
                          {"format", d.type_name},
                          {"a", a.what},
                          {"b", b.what}};
    writer.put(parse_array_ref(options.out), output_array(d), std::move(attributes));
    writer.commit();
  }
  if (options.json) {
    context.out.line(report_json(report));
  } else {
    print_report(context.out, report, options.terms);
  }
  return ExitCode::kDone;
}

void add_factor_options(CLI::App& command, Context& context, FactorOptions& o) {
  const std::string side(1, o.side);
  const std::string name = o.side == 'a' ? "A" : "B";
  const auto option = [&](const std::string& what, std::string& target, const std::string& help,
                          const char* type) {
    return command.add_option("--" + what + "-" + side, target, help)->type_name(type);
  };
  CLI::Option* const spec =
      option("spec", o.spec, "quantize " + name + " under a spec, as in mxfp4", "S");
  context.choices[spec] = all_base_names();
  option("format", o.format,
         name +
             " holds codes: of an element format (e4m3), or of a spec that also says what scales "
             "are (nvfp4)",
         "F");
  option("scales", o.scales, "scale codes of " + name + ", laid out as quantize --scales", "FILE");
  option("tensor-scale", o.tensor_scale, "global factor of " + name + ": one, or one a row",
         "FILE");
  option("amax", o.amax, "largest magnitude behind the codes of " + name + " (plan te-qgemm)", "X");
  option("shape", o.shape, "shape of a raw " + name + ", as in 256x512", "RxC");
}

}  // namespace

void add_gemm_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  options->b.side = 'b';
  CLI::App* const command = add_command(
      app, context, "gemm", "Multiply D = A B^T to the bit under a named way of summing",
      "  fp4lab gemm --spec-a nvfp4 --spec-b nvfp4 x.npy w.npy y.npy\n"
      "  fp4lab gemm --spec-a mxfp4 --spec-b mxfp4 --accumulate sm100 x.npy w.npy y.npy\n"
      "  fp4lab gemm --format-a e4m3 --format-b e4m3 --accumulate cublaslt-fp8-slow a.npy b.npy\n"
      "  fp4lab gemm --format-a nvfp4 --scales-a sa.npy --tensor-scale-a ga.npy --spec-b nvfp4 \\\n"
      "              a.npy w.npy --explain 3,5\n"
      "  fp4lab gemm q.h5:/x q.h5:/w --accumulate sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16\n"
      "  fp4lab gemm --list\n",
      [&context, options] { return run_gemm(context, *options); });
  add_factor_options(*command, context, options->a);
  add_factor_options(*command, context, options->b);
  CLI::Option* const accumulate =
      command->add_option("--accumulate", options->accumulate,
                          "accumulator, instruction or plan (block-exact); --list shows all");
  accumulate->type_name("M");
  context.choices[accumulate] = accumulator_names();
  command->add_option("--c", options->c, "C [M, N], in the accumulator's type or one it contains")
      ->type_name("FILE");
  command
      ->add_option("--explain", options->explain,
                   "print the whole computation of one output element, and all models' results")
      ->type_name("I,J");
  command->add_option("--terms", options->terms, "terms shown a step of --explain (0 = all)")
      ->type_name("N");
  command->add_flag("--no-error", options->no_error, "leave the comparison with exact out");
  command->add_flag("--list", options->list, "list accumulators, plans and instructions");
  add_packed_option(*command, context, options->packed);
  add_seed_option(*command, options->seed);
  command->add_flag("--narrow", options->narrow, "round f64 inputs to binary32 first");
  add_threads_option(*command, options->threads);
  command->add_flag("--json", options->json, "machine-readable report");
  command->add_option("A", options->a.in,
                      "A [M, K]: array, or quantized tensor FILE.h5, FILE.json");
  command->add_option("B", options->b.in, "B [N, K], the same");
  command->add_option("OUT", options->out, "D [M, N] in the accumulator's type");
}

}  // namespace fp4lab::cli
