// .safetensors checkpoints: a JSON header in front of raw tensors.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/array.h"
#include "data/atomic_file.h"

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

/// A binary32 tensor to be written.
struct SafetensorsItem {
  std::string name;
  Shape shape;
  std::span<const float> values;
};

/// Writes a checkpoint: the items in their order, `metadata` as the header's texts. finish() and
/// publish() are the caller's. Throws EnvironmentError, std::logic_error for a name used twice or a
/// shape that is not that of the values.
void write_safetensors(AtomicFile& file, const std::vector<SafetensorsItem>& items,
                       const std::map<std::string, std::string>& metadata);

}  // namespace fp4lab
