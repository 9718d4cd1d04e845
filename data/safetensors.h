// .safetensors checkpoints: a JSON header in front of raw tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/array.h"

namespace fp4lab {

/// One tensor as the header describes it.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  ///< as written: "BF16", "F8_E4M3", ...
  Shape shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes of the file
  /// Whether read_safetensor() can read it (F64, F32, F16, BF16 and 8- to 64-bit integers).
  bool readable = false;
};

/// The tensors of a file, sorted by name. Sizes are checked against the file before anything is
/// read. Throws InputError with one line for a file that is damaged or something else.
std::vector<SafetensorsEntry> list_safetensors(const std::string& path);

/// Reads one tensor. Throws InputError for a type that is not readable.
Array read_safetensor(const std::string& path, const SafetensorsEntry& entry);

}  // namespace fp4lab
