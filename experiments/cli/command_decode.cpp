// fp4lab decode: codes of one format to numbers.
#include <memory>

#include "data/array_file.h"
#include "data/error.h"
#include "experiments/cli/array_arguments.h"
#include "experiments/cli/context.h"
#include "experiments/cli/format_facts.h"
#include "experiments/cli/names.h"
#include "experiments/cli/quantized_file.h"
#include "formats/catalog.h"
#include "formats/spec_text.h"

namespace fp4lab::cli {
namespace {

struct Options {
  std::string format, packed, in, out;
  std::size_t columns = 0;
  bool has_columns = false;
  InputOptions input;
};

/// The element's code; unsigned storage of any width, or int8 written by a careless producer.
template <typename Code>
void decode_elements(const FormatInfo& info, std::span<const Code> from, std::span<float> to,
                     const std::string& what) {
  const ElementFormat& f = info.format;
  // Block scales with one spare bit travel in bytes whose sign bit hardware ignores.
  const std::uint64_t spare =
      f.kind == FormatKind::minifloat && !f.is_signed && f.bits == 7 ? 2 : 1;
  const std::uint64_t limit = (codes_in_use(f) * spare) << f.storage_shift;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto code = static_cast<std::uint64_t>(from[i]);
    if (code >= limit) {
      throw InputError(what + ": element " + std::to_string(i) + " is 0x" + hex_code(code, 8) +
                       ", but the codes of " + std::string(info.id) + " end at 0x" +
                       hex_code(limit - 1, 1) +
                       (f.bits == 4 ? "; two codes a byte need --packed low or high" : ""));
    }
    to[i] = decode(f, static_cast<std::uint32_t>(code));
  }
}

Array decode_array(const FormatInfo& info, const Array& codes, const std::string& what) {
  Array out(DType::kF32, codes.shape);
  const auto to = out.as<float>();
  switch (codes.dtype) {
    case DType::kU8:
    case DType::kI8:
      decode_elements(info, codes.as<std::uint8_t>(), to, what);
      return out;
    case DType::kU16:
    case DType::kI16:
    case DType::kF16:
    case DType::kBf16:
      decode_elements(info, codes.as<std::uint16_t>(), to, what);
      return out;
    case DType::kU32:
    case DType::kI32:
      decode_elements(info, codes.as<std::uint32_t>(), to, what);
      return out;
    case DType::kU64:
    case DType::kI64:
      decode_elements(info, codes.as<std::uint64_t>(), to, what);
      return out;
    case DType::kF32:
    case DType::kF64:
      break;
  }
  throw InputError(what + ": elements are " + std::string(dtype_name(codes.dtype)) +
                   ", not codes; codes are u8, u16 or u32");
}

Array unpacked(Array codes, NibbleOrder order, const Options& options) {
  if (codes.dtype != DType::kU8) {
    throw InputError(options.in + ": packed codes are u8, not " +
                     std::string(dtype_name(codes.dtype)));
  }
  const std::size_t full = 2 * codes.columns();
  const std::size_t columns = options.has_columns ? options.columns : full;
  if (columns > full || columns + 1 < full) {
    throw InputError("--columns " + std::to_string(columns) + ": " +
                     std::to_string(codes.columns()) + " packed bytes a row hold " +
                     std::to_string(full) + " codes, or one less");
  }
  return unpack_rows(codes, order, columns);
}

/// A quantized tensor's file to its numbers.
ExitCode run_dequantize(const Options& options) {
  const ArrayRef out = parse_array_ref(options.out);
  ArrayWriter writer;
  writer.reserve(out);
  const QuantizedTensor q = read_quantized(options.in);
  Array numbers(DType::kF32, q.shape);
  dequantize_into(q, numbers.as<float>());
  writer.put(out, std::move(numbers), {{"spec", to_string(q.spec)}});
  writer.commit();
  return ExitCode::kDone;
}

ExitCode run_decode(Context& context, const Options& options) {
  register_user_formats(context.format_files);
  if (options.format.empty()) {
    if (names_quantized(options.in)) {
      if (!options.packed.empty() || options.has_columns) {
        throw InputError(
            "--packed and --columns describe plain codes; a quantized tensor's file "
            "says it all");
      }
      return run_dequantize(options);
    }
    throw InputError("--format is needed: '" + printable(options.in) +
                     "' is no quantized tensor's file (FILE.h5, FILE.h5:/GROUP, FILE.json)");
  }
  const FormatInfo& info = require_format(options.format);
  const auto packing = parse_packed(options.packed);
  if (packing && info.format.bits > 4) {
    throw InputError("--packed is for codes of at most 4 bits; " + std::string(info.id) + " has " +
                     std::to_string(info.format.bits));
  }
  if (options.has_columns && !packing) throw InputError("--columns goes with --packed");
  const ArrayRef out = parse_array_ref(options.out);
  ArrayWriter writer;
  writer.reserve(out);
  const int bits = info.format.bits + info.format.storage_shift;
  const DType stored = bits <= 8 ? DType::kU8 : bits <= 16 ? DType::kU16 : DType::kU32;
  Array codes = read_input(options.in, options.input, stored);
  if (packing) codes = unpacked(std::move(codes), *packing, options);
  Array numbers = decode_array(info, codes, options.in);
  writer.put(out, std::move(numbers), {{"format", std::string(info.id)}});
  writer.commit();
  return ExitCode::kDone;
}

}  // namespace

void add_decode_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, context, "decode",
                  "Convert codes of one format, or a quantized tensor, to numbers (f32)",
                  "  fp4lab decode --format e2m1 codes.npy x.npy\n"
                  "  fp4lab decode q.h5:/w w.npy\n"
                  "  fp4lab decode --format e2m1 --packed low codes.u8 x.f32\n"
                  "  fp4lab cast --format e4m3 x.f32 - | fp4lab decode --format e4m3 - -\n",
                  [&context, options] { return run_decode(context, *options); });
  CLI::Option* const format = command->add_option(
      "--format", options->format, "format of the codes; a quantized tensor's file needs none");
  format->type_name("F");
  add_packed_option(*command, context, options->packed);
  command
      ->add_option_function<std::size_t>(
          "--columns",
          [options](const std::size_t& n) {
            options->columns = n;
            options->has_columns = true;
          },
          "last extent of packed codes when it is odd")
      ->type_name("N");
  add_input_options(*command, context, options->input);
  command->add_option("IN", options->in, "codes: .npy, .h5:/path, raw or -; or FILE.h5, FILE.json")
      ->required();
  command->add_option("OUT", options->out, "numbers: .npy, .h5:/path, raw or -")->required();
  for (const auto& row : catalog()) context.choices[format].emplace_back(row.id);
}

}  // namespace fp4lab::cli
