// The arrays that `fp4lab quantize` can write, made from a quantized tensor.
#pragma once

#include <cstddef>

#include "data/array.h"
#include "sim/quantize.h"

namespace fp4lab::cli {

/// Codes, one an element: u8, or u16 / u32 for formats of more than 8 bits.
Array code_array(const QuantizedTensor& q);

/// Stored bits of a block's scale, 0 without scales, and the type of scale_array().
int scale_bits(const QuantSpec& spec);
DType scale_dtype(const QuantSpec& spec);

/// Scale matrix: u8 codes (u16, u32 for wider ones), f32 for binary32 and power-of-two scales.
/// Throws InputError when the spec has no scale.
Array scale_array(const QuantizedTensor& q);

/// The scale matrix in the 128 x 4 layout of block-scaled tensor cores, 1-D u8, padding 0. Throws
/// InputError for scales that are not one byte or not one for a run of columns.
Array swizzled_scale_array(const QuantizedTensor& q);

/// Global factor g: [1], [rows, 1] or [rows, ceil(columns / 128)], f32. Throws InputError when the
/// spec has none.
Array tensor_scale_array(const QuantizedTensor& q);

/// Zero points of asymmetric integers, i32, one a block in the order of the block grid. Throws
/// InputError when the spec has none.
Array zero_point_array(const QuantizedTensor& q);

/// Stored bits a value of the input: codes, one scale a block, global factors, zero points.
double bits_per_value(const QuantizedTensor& q, std::size_t elements);

}  // namespace fp4lab::cli
