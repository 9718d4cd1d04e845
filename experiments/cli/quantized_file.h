// Quantized tensors in files that say all about themselves.
//
// HDF5: a group with the data sets `codes`, `scales`, `tensor_scale` and `zero_points` (those that
// the spec has). Without HDF5: NAME.json beside NAME.codes.npy, NAME.scales.npy and so on. What
// the data are is written in attributes of `codes`, or in the JSON under the same names:
//   fp4lab_quantized  version of this layout, 1
//   spec              canonical text of the rule
//   format            element format of the codes
//   shape             of the tensor
//   stored_shape      of the codes before packing (padded under a Hadamard)
//   packing           low-nibble-first, high-nibble-first or none
//   scale_format, block, scale_layout   what a scale is, which elements share it, row-major
//   saturated         elements that were beyond the largest value
//   seed, stream, step, microbatch      what Hadamard signs were drawn from
#pragma once

#include <optional>
#include <string>

#include "data/array_file.h"
#include "formats/packing.h"
#include "sim/quantize.h"

namespace fp4lab::cli {

/// The arrays of a quantized tensor, as files hold them.
struct QuantizedParts {
  std::string where;  ///< what error lines begin with
  Shape shape;
  std::optional<NibbleOrder> packing;
  Array codes;
  std::optional<Array> scales, tensor_scale, zero_points;
  RandomStream hadamard_stream;
  std::uint64_t saturated = 0;
};

/// Puts a tensor together. Throws InputError where arrays, shape and spec do not agree.
QuantizedTensor assemble(const QuantSpec& spec, QuantizedParts parts);

/// True when the argument names a quantized tensor: FILE.json, FILE.h5, or FILE.h5:/GROUP with
/// `codes` in it.
bool names_quantized(const std::string& text);

/// Reads one. Throws InputError.
QuantizedTensor read_quantized(const std::string& text);

/// One that is written with the other outputs of a command.
class QuantizedOutput {
 public:
  /// Reserves the files. Throws InputError when the argument names none.
  QuantizedOutput(ArrayWriter& writer, const std::string& text, const QuantSpec& spec);
  /// Hands the tensor to the writer. Codes of up to 4 bits are packed, low nibble first unless
  /// asked otherwise.
  void put(const QuantizedTensor& q, NibbleOrder order = NibbleOrder::low_first);

 private:
  ArrayRef part(const std::string& name) const;

  ArrayWriter& writer_;
  std::string file_, group_;  ///< HDF5: path and group ("/w" or ""); JSON: path, no group
  bool json_ = false;
};

}  // namespace fp4lab::cli
