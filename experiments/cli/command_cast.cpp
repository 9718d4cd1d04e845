// fp4lab cast: numbers to codes of one format, element by element, without a scale.
#include <algorithm>
#include <array>
#include <memory>

#include "data/array_file.h"
#include "data/error.h"
#include "experiments/cli/array_arguments.h"
#include "experiments/cli/context.h"
#include "experiments/cli/names.h"
#include "experiments/cli/progress.h"
#include "formats/block.h"
#include "formats/convert.h"
#include "formats/spec_text.h"

namespace fp4lab::cli {
namespace {

struct Options {
  std::string format, round, policy = "cuda", random, packed, in, out;
  std::string seed = "0";
  InputOptions input;
};

constexpr std::size_t kStride = std::size_t{1} << 20;

/// Unsigned type of a stored code.
DType code_dtype(const ElementFormat& f) {
  const int bits = f.bits + f.storage_shift;
  return bits <= 8 ? DType::kU8 : bits <= 16 ? DType::kU16 : DType::kU32;
}

struct Cast {
  const FormatInfo& info;
  Rounding rounding;
  Policy policy;
  RandomSource random;
};

template <typename Real, typename Code>
void cast_elements(const Cast& cast, std::span<const Real> from, std::span<Code> to) {
  Progress progress("casting", from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (i % kStride == 0) progress.update(i);
    const std::uint32_t code = encode(cast.info.format, from[i], cast.rounding, cast.policy,
                                      cast.random.word(i, cast.rounding));
    if (code == kRefused) {
      throw InputError("policy " + to_string(cast.policy) + " refuses element " +
                       std::to_string(i) + " (" + shortest(from[i]) + ") in " +
                       std::string(cast.info.id));
    }
    to[i] = static_cast<Code>(code);
  }
}

template <typename Real>
Array cast_array(const Cast& cast, const Array& input) {
  Array codes(code_dtype(cast.info.format), input.shape);
  switch (dtype_size(codes.dtype)) {
    case 1:
      cast_elements(cast, input.as<Real>(), codes.as<std::uint8_t>());
      break;
    case 2:
      cast_elements(cast, input.as<Real>(), codes.as<std::uint16_t>());
      break;
    default:
      cast_elements(cast, input.as<Real>(), codes.as<std::uint32_t>());
      break;
  }
  return codes;
}

/// Types wider than binary32 keep their digits: they are rounded once, from binary64.
bool needs_binary64(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kI32 || dtype == DType::kU32 ||
         dtype == DType::kI64 || dtype == DType::kU64;
}

/// The counter of a draw has 32 bits.
void check_draws(const Rounding& rounding, std::size_t elements) {
  if (!rounding.is_stochastic()) return;
  const std::size_t per_draw =
      128 / static_cast<std::size_t>(RandomStream::slot_width(rounding.random_bits()));
  if (elements / per_draw > 0xffffffffu) {
    throw InputError(std::to_string(elements) + " elements need more than 2^32 random draws");
  }
}

ExitCode run_cast(Context& context, const Options& options) {
  register_user_formats(context.format_files);
  const FormatInfo& info = require_format(options.format);
  const Rounding usual = info.format.kind == FormatKind::codebook ? kRnLower : kRne;
  const Rounding rounding = options.round.empty() ? usual : parse_rounding(options.round);
  const Policy policy = parse_policy(options.policy);
  const auto packing = parse_packed(options.packed);
  if (packing && info.format.bits > 4) {
    throw InputError("--packed is for codes of at most 4 bits; " + std::string(info.id) + " has " +
                     std::to_string(info.format.bits));
  }
  const ArrayRef out = parse_array_ref(options.out);
  ArrayWriter writer;
  writer.reserve(out);

  const Array input = read_input(options.in, options.input, DType::kF32);
  Array words;
  RandomSource random;
  random.stream.seed = parse_seed(options.seed);
  if (!options.random.empty()) {
    words = read_random_words(options.random, rounding, input.size());
    random.given = words.as<std::uint32_t>().data();
  }
  check_draws(rounding, input.size());
  const Cast cast{info, rounding, policy, random};
  Array codes = needs_binary64(input.dtype)
                    ? cast_array<double>(cast, to_float64(input, options.in))
                    : cast_array<float>(cast, to_float32(input, Narrowing::kForbid, options.in));

  Attributes attributes = code_attributes(std::string(info.id), codes.shape, packing);
  attributes.push_back({"round", to_string(rounding)});
  attributes.push_back({"policy", to_string(policy)});
  if (rounding.is_stochastic() && options.random.empty()) {
    attributes.push_back({"seed", options.seed});
  }
  if (packing) codes = pack_rows(codes, *packing);
  writer.put(out, std::move(codes), std::move(attributes));
  writer.commit();
  return ExitCode::kDone;
}

}  // namespace

void add_cast_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, context, "cast", "Convert numbers to the codes of one format",
                  "  fp4lab cast --format e2m1 x.npy codes.npy\n"
                  "  fp4lab cast --format e4m3 --round sr:8 --seed 1 weights.h5:/w codes.h5:/w\n"
                  "  fp4lab cast --format e2m1 --packed low x.f32 codes.u8\n"
                  "  generate | fp4lab cast --format bf16 --dtype f32 - - | consume\n",
                  [&context, options] { return run_cast(context, *options); });
  CLI::Option* const format =
      command->add_option("--format", options->format, "format of the codes")->required();
  format->type_name("F");
  CLI::Option* const round = command->add_option(
      "--round", options->round, "rounding: rne (default; tables rn-lower), rna, rtz, sr:8 ...");
  round->type_name("R");
  CLI::Option* const policy = command->add_option(
      "--policy", options->policy, "whose rules for NaN, infinities, overflow and -0");
  policy->type_name("P");
  command->add_option("--random", options->random, "random words, one u32 an element")
      ->type_name("FILE");
  add_seed_option(*command, options->seed);
  add_packed_option(*command, context, options->packed);
  add_input_options(*command, context, options->input);
  command->add_option("IN", options->in, "numbers: .npy, .h5:/path, raw, - or sample:NAME")
      ->required();
  command->add_option("OUT", options->out, "codes: .npy, .h5:/path, raw or -")->required();
  for (const auto& row : catalog()) context.choices[format].emplace_back(row.id);
  context.choices[round] = detail::ids_of(kRoundingNames);
  context.choices[policy] = detail::ids_of(kPolicyNames);
}

}  // namespace fp4lab::cli
