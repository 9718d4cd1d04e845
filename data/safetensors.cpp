#include "data/safetensors.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "data/byte_source.h"
#include "data/error.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

/// The format's own limit on its header.
constexpr std::uint64_t kLargestHeader = 100'000'000;

struct DTypeName {
  const char* name;
  DType dtype;
};
constexpr std::array<DTypeName, 12> kTypes = {{{"F64", DType::kF64},
                                               {"F32", DType::kF32},
                                               {"F16", DType::kF16},
                                               {"BF16", DType::kBf16},
                                               {"I64", DType::kI64},
                                               {"U64", DType::kU64},
                                               {"I32", DType::kI32},
                                               {"U32", DType::kU32},
                                               {"I16", DType::kI16},
                                               {"U16", DType::kU16},
                                               {"I8", DType::kI8},
                                               {"U8", DType::kU8}}};

std::optional<DType> dtype_of(const std::string& name) {
  for (const auto& [text, dtype] : kTypes) {
    if (name == text) return dtype;
  }
  return std::nullopt;
}

std::uint64_t whole_number(const nlohmann::json& value, const std::string& where) {
  if (!value.is_number_unsigned()) {
    throw InputError(where + " is not a whole number; the header is damaged");
  }
  return value.get<std::uint64_t>();
}

SafetensorsEntry entry_of(const std::string& name, const nlohmann::json& value,
                          std::uint64_t data_begin, std::uint64_t file_size,
                          const std::string& shown) {
  const std::string where = shown + ": tensor '" + printable(name, 120) + "'";
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    throw InputError(where + " lacks dtype, shape or data_offsets; the header is damaged");
  }
  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = value["dtype"].get<std::string>();
  for (const auto& extent : value["shape"]) {
    entry.shape.push_back(whole_number(extent, where + ": an extent"));
  }
  const std::uint64_t begin = whole_number(value["data_offsets"][0], where + ": its offset");
  const std::uint64_t end = whole_number(value["data_offsets"][1], where + ": its offset");
  if (begin > end || end > file_size - data_begin) {
    throw InputError(where + " lies at bytes " + std::to_string(begin) + " to " +
                     std::to_string(end) + " of " + std::to_string(file_size - data_begin) +
                     "; the file is truncated or damaged");
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  if (const auto dtype = dtype_of(entry.dtype)) {
    const auto count = element_count(entry.shape);
    if (!count || *count > (end - begin) || *count * dtype_size(*dtype) != end - begin) {
      throw InputError(where + " has shape " + shape_text(entry.shape) + " of " + entry.dtype +
                       " but " + std::to_string(end - begin) + " bytes");
    }
    entry.readable = true;
  }
  return entry;
}

}  // namespace

std::vector<SafetensorsEntry> list_safetensors(const std::string& path) {
  const std::string shown = printable(path, 200);
  ByteSource source(path);
  const std::uint64_t size = source.remaining().value_or(0);
  if (size < 8) throw InputError(shown + ": too short to be a .safetensors file");
  const AlignedBytes prefix = source.read_exactly(8, "the header's length");
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, prefix.data(), 8);
  if (header_size > kLargestHeader || header_size > size - 8) {
    throw InputError(shown + ": not a .safetensors file (its header would have " +
                     std::to_string(header_size) + " bytes, the file has " + std::to_string(size) +
                     ")");
  }
  const AlignedBytes text = source.read_exactly(header_size, "the header");
  const char* const begin = reinterpret_cast<const char*>(text.data());
  const auto header = nlohmann::json::parse(begin, begin + text.size(), nullptr, false);
  if (!header.is_object()) throw InputError(shown + ": not a .safetensors file (no JSON header)");
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    entries.push_back(entry_of(name, value, 8 + header_size, size, shown));
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

Array read_safetensor(const std::string& path, const SafetensorsEntry& entry) {
  const std::string where = printable(path, 200) + ": tensor '" + printable(entry.name, 120) + "'";
  const auto dtype = dtype_of(entry.dtype);
  if (!entry.readable || !dtype) {
    throw InputError(where + " is of type " + printable(entry.dtype, 20) +
                     "; floating-point and integer tensors are read");
  }
  Array array(*dtype, entry.shape);
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(entry.begin));
  file.read(reinterpret_cast<char*>(array.bytes.data()),
            static_cast<std::streamsize>(array.bytes.size()));
  if (!file) throw InputError(where + " cannot be read: " + std::strerror(errno));
  return array;
}

void write_safetensors(AtomicFile& file, const std::vector<SafetensorsItem>& items,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const SafetensorsItem& item : items) {
    if (header.contains(item.name) || element_count(item.shape) != item.values.size()) {
      throw std::logic_error("safetensors: tensor '" + item.name +
                             "' twice, or with a wrong shape");
    }
    const std::uint64_t end = at + item.values.size_bytes();
    header[item.name] = {{"dtype", "F32"}, {"shape", item.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the format's way to align the data
  const std::uint64_t size = text.size();
  file.write(&size, sizeof size);
  file.write(text.data(), text.size());
  for (const SafetensorsItem& item : items) {
    file.write(item.values.data(), item.values.size_bytes());
  }
}

}  // namespace fp4lab
