// Between DType and HDF5's data types.
#pragma once

#include <optional>
#include <string>

#include "data/array.h"
#include "data/hdf5_raii.h"

namespace fp4lab::hdf5 {

/// The DType with the stored type's class, size and (for floats) field layout; byte order is HDF5's
/// matter. Nothing, with one line in `*reason`, for any other type.
std::optional<DType> dtype_of(hid_t stored, std::string* reason);

/// The little-endian type under which an Array's bytes lie in memory.
Type memory_type(DType dtype);

/// IEEE binary16, which HDF5 1.10 has no predefined name for; h5py shows it as float16.
Type half_type();

/// bfloat16 as a custom float, for reading files of others.
Type bfloat16_type();

}  // namespace fp4lab::hdf5
