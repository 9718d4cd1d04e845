// Array arguments shared by the commands: input description, random words, nibble packing.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/array_file.h"
#include "experiments/cli/context.h"
#include "formats/packing.h"
#include "formats/rounding.h"

namespace fp4lab::cli {

/// `--shape` and `--dtype` of a command's raw input.
struct InputOptions {
  std::string shape;
  std::string dtype;
};

/// Adds `--shape` and `--dtype`.
void add_input_options(CLI::App& command, Context& context, InputOptions& options);

/// Reads the command's input; `fallback` is the type of raw bytes that do not name one.
Array read_input(const std::string& text, const InputOptions& options, DType fallback);

/// Adds `--seed N`, a whole number below 2^64, decimal or 0x... hexadecimal.
void add_seed_option(CLI::App& command, std::string& seed);

/// The number of `--seed`. Throws InputError.
std::uint64_t parse_seed(const std::string& text);

/// Adds `--threads N`, and what it does: limits OpenMP. Throws InputError for a text that is no
/// number from 1 to 4096; an empty one changes nothing.
void add_threads_option(CLI::App& command, std::string& threads);
void set_threads(const std::string& text);

/// Adds `--packed low|high`.
void add_packed_option(CLI::App& command, Context& context, std::string& packed);

/// The order named by `--packed`, nothing for an empty text. Throws InputError.
std::optional<NibbleOrder> parse_packed(const std::string& text);

/// Pairs 4-bit codes (u8) along the last axis; an odd one is paired with 0.
/// [..., C] -> [..., ceil(C/2)].
Array pack_rows(const Array& codes, NibbleOrder order);

/// The inverse: [..., P] -> [..., columns], where columns is 2P or 2P - 1.
Array unpack_rows(const Array& packed, NibbleOrder order, std::size_t columns);

/// Random words handed in for stochastic rounding: one u32 an element of an array of `elements`
/// (for `sr-hw` one for four neighbours). Throws InputError for another type or number, or when the
/// rounding uses no random bits.
Array read_random_words(const std::string& text, const Rounding& rounding, std::size_t elements);

/// Attributes that make a stored code array readable on its own.
Attributes code_attributes(const std::string& format, const Shape& logical_shape,
                           std::optional<NibbleOrder> packing);

}  // namespace fp4lab::cli
