#include "experiments/cli/array_arguments.h"

#include <omp.h>

#include <charconv>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab::cli {

void add_input_options(CLI::App& command, Context& context, InputOptions& options) {
  command.add_option("--shape", options.shape, "shape of a raw IN, as in 256x512; else 1-D")
      ->type_name("RxC");
  CLI::Option* const dtype =
      command.add_option("--dtype", options.dtype, "element type of IN when it is .raw, .bin or -")
          ->type_name("T");
  context.choices[dtype] = dtype_names();
}

Array read_input(const std::string& text, const InputOptions& options, DType fallback) {
  ReadOptions read;
  read.default_dtype = fallback;
  if (!options.shape.empty()) read.shape = parse_shape(options.shape);
  if (!options.dtype.empty()) {
    read.dtype = parse_dtype(options.dtype);
    if (!read.dtype) {
      throw InputError("unknown --dtype '" + printable(options.dtype, 40) + "'" +
                       nearest_hint(options.dtype, dtype_names()));
    }
  }
  return read_array(parse_array_ref(text), read);
}

void add_seed_option(CLI::App& command, std::string& seed) {
  command.add_option("--seed", seed, "seed of stochastic rounding (0)")->type_name("N");
}

std::uint64_t parse_seed(const std::string& text) {
  const bool hexadecimal = text.rfind("0x", 0) == 0;
  const char* const first = text.data() + (hexadecimal ? 2 : 0);
  const char* const last = text.data() + text.size();
  std::uint64_t seed = 0;
  const auto result = std::from_chars(first, last, seed, hexadecimal ? 16 : 10);
  if (first == last || result.ec != std::errc() || result.ptr != last) {
    throw InputError("--seed '" + printable(text, 40) + "' is no whole number below 2^64");
  }
  return seed;
}

void add_threads_option(CLI::App& command, std::string& threads) {
  command.add_option("--threads", threads, "threads to use (OMP_NUM_THREADS)")->type_name("N");
}

void set_threads(const std::string& text) {
  if (text.empty()) return;
  int threads = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || threads < 1 ||
      threads > 4096) {
    throw InputError("--threads '" + printable(text, 40) + "' is no whole number from 1 to 4096");
  }
  omp_set_num_threads(threads);
}

void add_packed_option(CLI::App& command, Context& context, std::string& packed) {
  CLI::Option* const option = command.add_option(
      "--packed", packed, "two 4-bit codes a byte, the first in its low or high nibble");
  option->type_name("low|high");
  context.choices[option] = {"low", "high"};
}

std::optional<NibbleOrder> parse_packed(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "low") return NibbleOrder::low_first;
  if (text == "high") return NibbleOrder::high_first;
  throw InputError("--packed '" + printable(text, 40) + "' is neither low nor high" +
                   nearest_hint(text, std::vector<std::string>{"low", "high"}));
}

Array pack_rows(const Array& codes, NibbleOrder order) {
  const std::size_t columns = codes.columns(), packed_columns = packed_bytes(columns);
  Shape shape = codes.shape.empty() ? Shape{1} : codes.shape;
  shape.back() = packed_columns;
  Array out(DType::kU8, shape);
  const auto from = codes.as<std::uint8_t>();
  const auto to = out.as<std::uint8_t>();
  for (std::size_t r = 0; r < codes.rows(); ++r) {
    pack_nibbles(from.data() + r * columns, columns, to.data() + r * packed_columns, order);
  }
  return out;
}

Array unpack_rows(const Array& packed, NibbleOrder order, std::size_t columns) {
  Shape shape = packed.shape.empty() ? Shape{1} : packed.shape;
  shape.back() = columns;
  Array out(DType::kU8, shape);
  const auto from = packed.as<std::uint8_t>();
  const auto to = out.as<std::uint8_t>();
  for (std::size_t r = 0; r < packed.rows(); ++r) {
    unpack_nibbles(from.data() + r * packed.columns(), columns, to.data() + r * columns, order);
  }
  return out;
}

Array read_random_words(const std::string& text, const Rounding& rounding, std::size_t elements) {
  if (!rounding.is_stochastic()) {
    throw InputError("--random is for stochastic rounding; this rounding uses no random bits");
  }
  ReadOptions options;
  options.default_dtype = DType::kU32;
  Array words = read_array(parse_array_ref(text), options);
  if (words.dtype != DType::kU32 && words.dtype != DType::kI32) {
    throw InputError("--random '" + printable(text) + "': elements are " +
                     std::string(dtype_name(words.dtype)) + "; random words are u32");
  }
  const bool shared = rounding.kind == RoundingKind::sr_hw;
  const std::size_t needed = shared ? elements / 4 + (elements % 4 != 0) : elements;
  if (words.size() != needed) {
    throw InputError("--random '" + printable(text) + "': " + std::to_string(words.size()) +
                     " words for " + std::to_string(elements) + " elements; " +
                     (shared ? "sr-hw takes one for four" : "one for each") + ", that is " +
                     std::to_string(needed));
  }
  return words;
}

Attributes code_attributes(const std::string& format, const Shape& logical_shape,
                           std::optional<NibbleOrder> packing) {
  Attributes attributes{{"format", format}};
  attributes.push_back(
      {"logical_shape", std::vector<std::int64_t>(logical_shape.begin(), logical_shape.end())});
  const std::string order = !packing                             ? "none"
                            : *packing == NibbleOrder::low_first ? "low-nibble-first"
                                                                 : "high-nibble-first";
  attributes.push_back({"packing", order});
  return attributes;
}

}  // namespace fp4lab::cli
