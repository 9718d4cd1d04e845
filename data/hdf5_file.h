// Arrays in HDF5 files.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "data/array.h"

namespace fp4lab {

/// An attribute stored beside a data set.
struct AttributeValue {
  std::string name;
  std::variant<std::string, std::int64_t, double, std::vector<std::int64_t>> value;
};
using Attributes = std::vector<AttributeValue>;

/// One data set to be written.
struct Hdf5Item {
  std::string dataset;  ///< absolute path inside the file, e.g. `/w/codes`
  const Array* array = nullptr;
  Attributes attributes;
};

/// Reads the data set at `dataset`. Number types only: IEEE binary16/32/64, bfloat16 (as a custom
/// float or as uint16 with the attribute `fp4lab_dtype` = "bf16") and 8 to 64-bit integers, either
/// byte order. Foreign files are hostile: external files, external links and virtual data sets are
/// refused, and so is a logical size that the file's bytes cannot account for. Throws InputError.
Array read_hdf5(const std::string& path, const std::string& dataset);

/// The attributes of the object at `object` that are texts, whole numbers, lists of them, or floats;
/// others are left out. Throws InputError where there is no such object.
Attributes read_hdf5_attributes(const std::string& path, const std::string& object);

/// Paths of the data sets in the file (at most `limit`), sorted.
std::vector<std::string> list_hdf5(const std::string& path, std::size_t limit = 1000);

/// The bytes of an HDF5 file that holds the items, added to those of `existing` (bytes of an HDF5
/// file, or empty for a new one). Missing groups are made, a data set of the same name is replaced.
/// Larger arrays are chunked, shuffled, deflated and check-summed. No time stamps: equal input
/// gives equal bytes. The file is made in memory, so that HDF5 never meets a full disk (it does not
/// survive one). `shown` is the file's name in error lines. Throws InputError when `existing` is no
/// sound HDF5 file or a path collides with a group, EnvironmentError for failures of the library.
AlignedBytes hdf5_image(const AlignedBytes& existing, const std::vector<Hdf5Item>& items,
                        const std::string& shown);

/// `HDF5 1.10.8`-style version numbers of the library in use.
std::string hdf5_version();

}  // namespace fp4lab
