#include "experiments/cli/quantize_outputs.h"

#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include "data/error.h"
#include "formats/packing.h"
#include "formats/spec_text.h"

namespace fp4lab::cli {
namespace {

/// How scale codes are stored.
struct ScaleStorage {
  DType dtype = DType::kU8;
  int bits = 8;
};

ScaleStorage scale_storage(const QuantSpec& spec) {
  if (spec.scheme == Scheme::hif4) return {DType::kU32, 32};    // E6M2 and 24 micro-exponents
  if (spec.scheme == Scheme::dialect) return {DType::kU16, 9};  // dialect and exponent
  switch (spec.scale.kind) {
    case ScaleFormat::Kind::none:
      return {DType::kU8, 0};
    case ScaleFormat::Kind::fp32:
    case ScaleFormat::Kind::pow2:
      return {DType::kF32, 32};
    case ScaleFormat::Kind::coded:
      break;
  }
  const int bits = spec.scale.format.bits;
  // Narrower codes travel in whole bytes (UE4M3 is E4M3 without sign).
  return bits <= 8 ? ScaleStorage{DType::kU8, 8} : ScaleStorage{DType::kU16, 16};
}

template <typename Code>
void copy_codes(const std::vector<std::uint32_t>& from, Array& to) {
  const auto out = to.as<Code>();
  for (std::size_t i = 0; i < from.size(); ++i) out[i] = static_cast<Code>(from[i]);
}

/// Unsigned codes into an array of any width; f32 receives bit patterns.
void fill(const std::vector<std::uint32_t>& codes, Array& array) {
  switch (dtype_size(array.dtype)) {
    case 1:
      return copy_codes<std::uint8_t>(codes, array);
    case 2:
      return copy_codes<std::uint16_t>(codes, array);
    default:
      if (!codes.empty()) std::memcpy(array.bytes.data(), codes.data(), array.bytes.size());
  }
}

}  // namespace

int scale_bits(const QuantSpec& spec) { return scale_storage(spec).bits; }

DType scale_dtype(const QuantSpec& spec) { return scale_storage(spec).dtype; }

Array code_array(const QuantizedTensor& q) {
  const int bits = q.spec.element.bits + q.spec.element.storage_shift;
  Array array(bits <= 8 ? DType::kU8 : bits <= 16 ? DType::kU16 : DType::kU32, stored_shape(q));
  if (!q.codes.empty()) {
    std::memcpy(array.bytes.data(), q.codes.data(), q.codes.size());
  } else {
    fill(q.wide_codes, array);
  }
  return array;
}

Array scale_array(const QuantizedTensor& q) {
  const ScaleStorage storage = scale_storage(q.spec);
  if (storage.bits == 0) {
    throw InputError("--scales: spec '" + to_string(q.spec) + "' has no scale");
  }
  const ScaleMatrix matrix = scale_matrix(q);
  Array array(storage.dtype, {matrix.rows, matrix.cols});
  fill(matrix.codes, array);
  return array;
}

Array swizzled_scale_array(const QuantizedTensor& q) {
  const ScaleStorage storage = scale_storage(q.spec);
  const BlockShape& block = q.spec.block;
  if (storage.dtype != DType::kU8 || storage.bits == 0) {
    throw InputError("--swizzle is for scales of one byte (e8m0, ue4m3 ...); spec '" +
                     to_string(q.spec) + "' has others");
  }
  if (block.rows == 0 || block.cols <= 1) {
    throw InputError("--swizzle is for blocks that run along columns (1x16, 1x32, 16x16 ...)");
  }
  const Array plain = scale_array(q);
  const ScaleLayout layout{plain.shape[0], plain.shape[1]};
  Array array(DType::kU8, {layout.bytes()});
  if (array.size() > 0) {
    swizzle_scales(layout, plain.as<std::uint8_t>().data(), array.as<std::uint8_t>().data());
  }
  return array;
}

Array tensor_scale_array(const QuantizedTensor& q) {
  if (!q.spec.has_global()) {
    throw InputError("--tensor-scale: spec '" + to_string(q.spec) + "' has no global factor");
  }
  Shape shape{q.global.size()};
  if (q.spec.global == GlobalScope::row || q.spec.global == GlobalScope::row_block128) {
    const std::size_t rows = q.stored_rows();
    shape = {rows, rows == 0 ? 0 : q.global.size() / rows};
  }
  Array array(DType::kF32, shape);
  if (!q.global.empty()) {
    std::memcpy(array.bytes.data(), q.global.data(), array.bytes.size());
  }
  return array;
}

Array zero_point_array(const QuantizedTensor& q) {
  if (q.zero_points.empty() && q.grid.blocks() > 0) {
    throw InputError("--zero-points: spec '" + to_string(q.spec) + "' has no zero point");
  }
  Array array(DType::kI32, {q.grid.grid_rows, q.grid.grid_cols});
  if (!q.zero_points.empty()) {
    std::memcpy(array.bytes.data(), q.zero_points.data(), array.bytes.size());
  }
  return array;
}

double bits_per_value(const QuantizedTensor& q, std::size_t elements) {
  if (elements == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto stored = static_cast<double>(q.stored_rows()) * static_cast<double>(q.stored_cols());
  const double bits = stored * q.spec.element.bits +
                      static_cast<double>(q.grid.blocks()) * scale_storage(q.spec).bits +
                      32.0 * static_cast<double>(q.global.size()) +
                      32.0 * static_cast<double>(q.zero_points.size());
  return bits / static_cast<double>(elements);
}

}  // namespace fp4lab::cli
