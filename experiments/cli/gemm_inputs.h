// The two factors of `fp4lab gemm`: floats as they are, floats quantized under a spec, recorded
// codes and scales, or a quantized tensor's file.
#pragma once

#include <optional>
#include <string>

#include "data/array.h"
#include "formats/packing.h"
#include "formats/quant_spec.h"
#include "sim/gemm_operand.h"

namespace fp4lab::cli {

/// What the command line says about one factor. `side` is 'a' or 'b'.
struct FactorOptions {
  char side = 'a';
  std::string in, shape;
  std::string spec;                          ///< quantize floats under it
  std::string format, scales, tensor_scale;  ///< recorded codes
  std::string amax;                          ///< of the tensor behind recorded codes
};

/// What both factors share.
struct FactorContext {
  std::uint64_t seed = 0;
  bool narrow = false;                 ///< f64 input may be rounded to binary32
  std::optional<NibbleOrder> packing;  ///< recorded 4-bit codes are packed
};

/// A factor [rows, k], leading axes folded into rows.
struct Factor {
  GemmOperand operand;
  std::string input, what;  ///< file, and what was made of it
  std::size_t rows = 0, k = 0;
  /// Rule it was quantized under, where there is one, and its Hadamard signs.
  std::optional<QuantSpec> spec;
  RandomStream hadamard_stream;
};

/// Reads a factor. Throws InputError.
Factor read_factor(const FactorOptions& options, const FactorContext& context);

/// Throws InputError where the two cannot be multiplied: different K, Hadamard transforms that do
/// not cancel.
void check_factors(const Factor& a, const Factor& b);

}  // namespace fp4lab::cli
