#include "data/array_file.h"

#include <algorithm>
#include <array>
#include <utility>

#include "data/byte_source.h"
#include "data/error.h"
#include "data/npy.h"
#include "data/samples.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

constexpr std::array<std::string_view, 3> kHdf5Endings{".h5", ".hdf5", ".nc"};

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() > ending.size() && text.substr(text.size() - ending.size()) == ending;
}

/// The place where `.h5:` separates file and data set, or npos.
std::size_t hdf5_split(std::string_view text) {
  for (const std::string_view ending : kHdf5Endings) {
    const std::size_t at = text.find(std::string(ending) + ":");
    if (at != std::string_view::npos && at > 0) return at + ending.size();
  }
  return std::string_view::npos;
}

std::string normalized_dataset(std::string_view raw, std::string_view text) {
  std::string out;
  std::size_t start = 0;
  while (start < raw.size()) {
    const std::size_t end = std::min(raw.find('/', start), raw.size());
    const std::string_view part = raw.substr(start, end - start);
    if (part == "." || part == "..") {
      throw InputError("'" + printable(text) + "': '" + std::string(part) +
                       "' is no name for a data set");
    }
    if (!part.empty()) (out += '/') += part;
    start = end + 1;
  }
  if (out.empty()) {
    throw InputError("'" + printable(text) + "': name the data set, as in x.h5:/path");
  }
  return out;
}

Array read_raw(ByteSource& source, DType dtype, const std::optional<Shape>& shape) {
  Array array;
  array.dtype = dtype;
  const std::size_t width = dtype_size(dtype);
  if (shape) {
    array.shape = *shape;
    const auto count = element_count(*shape);
    if (!count || *count > static_cast<std::size_t>(INT64_MAX) / width) {
      throw InputError("shape " + shape_text(*shape) + " needs more than 2^63 - 1 bytes");
    }
    const std::string what =
        "shape " + shape_text(*shape) + " of " + std::string(dtype_name(dtype));
    array.bytes = source.read_exactly(*count * width, what);
    source.expect_end(what);
    return array;
  }
  array.bytes = source.read_rest();
  if (array.bytes.size() % width != 0) {
    throw InputError(source.name() + ": " + std::to_string(array.bytes.size()) +
                     " bytes are no whole number of " + std::string(dtype_name(dtype)) +
                     " elements");
  }
  array.shape = {array.bytes.size() / width};
  return array;
}

}  // namespace

ArrayRef parse_array_ref(std::string_view text) {
  ArrayRef ref;
  ref.text = std::string(text);
  if (text.find('\0') != std::string_view::npos || text.empty()) {
    throw InputError("an empty file name");
  }
  if (text == "-") {
    ref.kind = FileKind::kStream;
    return ref;
  }
  constexpr std::string_view kSample = "sample:";
  if (text.substr(0, kSample.size()) == kSample) {
    ref.kind = FileKind::kSample;
    ref.name = std::string(text.substr(kSample.size()));
    return ref;
  }
  if (const std::size_t split = hdf5_split(text); split != std::string_view::npos) {
    ref.kind = FileKind::kHdf5;
    ref.path = std::string(text.substr(0, split));
    ref.name = normalized_dataset(text.substr(split + 1), text);
    return ref;
  }
  for (const std::string_view ending : kHdf5Endings) {
    if (ends_with(text, ending)) {
      throw InputError("'" + printable(text) + "': name the data set, as in " +
                       printable(text, 60) + ":/path");
    }
  }
  ref.path = std::string(text);
  if (ends_with(text, ".npy")) {
    ref.kind = FileKind::kNpy;
    return ref;
  }
  ref.kind = FileKind::kRaw;
  const std::size_t dot = text.rfind('.');
  const std::size_t slash = text.rfind('/');
  const bool has_ending =
      dot != std::string_view::npos && (slash == std::string_view::npos || dot > slash);
  const std::string_view ending = has_ending ? text.substr(dot + 1) : std::string_view();
  if (ending == "raw" || ending == "bin") return ref;
  const auto& names = dtype_names();
  if (std::find(names.begin(), names.end(), ending) != names.end()) {
    ref.dtype = parse_dtype(ending);
    return ref;
  }
  // Devices and pipes have no ending and carry raw bytes.
  if (text.substr(0, 5) == "/dev/" || text.substr(0, 6) == "/proc/") return ref;
  std::vector<std::string> endings(names);
  endings.insert(endings.end(), {"npy", "h5", "raw", "bin"});
  throw InputError(
      "'" + printable(text) + "': " +
      (ending.empty() ? "no file ending" : "unknown file ending '." + printable(ending, 20) + "'") +
      "; use .npy, .h5:/path, .f32 .u8 ... or .raw" +
      (ending.empty() ? "" : nearest_hint(ending, endings)));
}

Array read_array(const ArrayRef& ref, const ReadOptions& options) {
  const bool raw = ref.kind == FileKind::kRaw || ref.kind == FileKind::kStream;
  if (options.shape && !raw) {
    throw InputError("--shape describes raw input; '" + printable(ref.text) +
                     "' carries its own shape");
  }
  if (options.dtype && (!raw || ref.dtype) && options.dtype != ref.dtype) {
    throw InputError("--dtype describes .raw, .bin and '-'; '" + printable(ref.text) +
                     "' names its own type");
  }
  switch (ref.kind) {
    case FileKind::kNpy:
      return read_npy(ref.path);
    case FileKind::kHdf5:
      return read_hdf5(ref.path, ref.name);
    case FileKind::kSample:
      return sample_tensor(ref.name);
    case FileKind::kRaw:
    case FileKind::kStream:
      break;
  }
  const DType dtype = ref.dtype ? *ref.dtype : options.dtype.value_or(options.default_dtype);
  ByteSource source(ref.kind == FileKind::kStream ? "-" : ref.path);
  return read_raw(source, dtype, options.shape);
}

void write_array(const ArrayRef& ref, Array array, Attributes attributes) {
  ArrayWriter writer;
  writer.reserve(ref);
  writer.put(ref, std::move(array), std::move(attributes));
  writer.commit();
}

}  // namespace fp4lab
