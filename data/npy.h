// NumPy .npy files (format versions 1, 2 and 3).
#pragma once

#include <string>
#include <string_view>

#include "data/array.h"
#include "data/atomic_file.h"

namespace fp4lab {

/// What the header of an .npy file says.
struct NpyHeader {
  DType dtype = DType::kF32;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
};

/// Parses the header's dictionary text, e.g. `{'descr': '<f4', 'fortran_order': False, 'shape': (3,
/// 4), }`. `name` is the file in error lines. Throws InputError.
NpyHeader parse_npy_header(std::string_view text, const std::string& name);

/// Reads the file: either byte order, C or Fortran order (Fortran is transposed to row-major).
/// Throws InputError for anything that is not a complete array of a plain number type.
Array read_npy(const std::string& path);

/// Header text of a little-endian C-order array, padded so that data start on 64 bytes. bfloat16 is
/// written as its uint16 bit patterns, since NumPy has no such type.
std::string npy_preamble(DType dtype, const Shape& shape);

/// Writes version 1.0, little endian, C order.
void write_npy(AtomicFile& file, const Array& array);

}  // namespace fp4lab
