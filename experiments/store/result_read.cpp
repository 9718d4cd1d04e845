// HDF5 to ResultFile. Files may be cut, damaged or somebody else's: the bytes are taken into memory
// first, so that HDF5 never waits for a disk, and every claim is compared with what is there.
#include <hdf5_hl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "data/byte_source.h"
#include "data/error.h"
#include "data/hdf5_raii.h"
#include "experiments/store/result_file.h"
#include "formats/names.h"

namespace fp4lab::store {

using hdf5::check;
using hdf5::require;

namespace {

constexpr std::uint64_t kLargestFile = std::uint64_t{4} << 30;
constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
/// Deflate shrinks 1032:1 at best.
constexpr std::uint64_t kMaxRatio = 1100;
constexpr std::uint64_t kFreeBytes = std::uint64_t{16} << 20;

struct Listing {
  std::vector<std::string> names;
  static constexpr std::size_t kLimit = 20000;
};

herr_t visit(hid_t, const char* name, const H5O_info_t* info, void* out) {
  auto& names = static_cast<Listing*>(out)->names;
  if (info->type == H5O_TYPE_DATASET) names.push_back(std::string("/") + name);
  return names.size() < Listing::kLimit ? 0 : 1;
}

bool type_of(hid_t stored, Type& type) {
  const H5T_class_t kind = H5Tget_class(stored);
  const std::size_t size = H5Tget_size(stored);
  if (kind == H5T_STRING) {
    type = Type::text;
    return true;
  }
  if (kind == H5T_FLOAT && (size == 8 || size == 4)) {
    type = size == 8 ? Type::f64 : Type::f32;
    return true;
  }
  if (kind != H5T_INTEGER) return false;
  const bool is_signed = H5Tget_sign(stored) == H5T_SGN_2;
  if (size == 1) {
    type = is_signed ? Type::i8 : Type::u8;
    return true;
  }
  if (!is_signed || (size != 4 && size != 8)) return false;
  type = size == 4 ? Type::i32 : Type::i64;
  return true;
}

hid_t memory_type(Type type) {
  switch (type) {
    case Type::f64:
      return H5T_NATIVE_DOUBLE;
    case Type::f32:
      return H5T_NATIVE_FLOAT;
    case Type::i64:
      return H5T_NATIVE_INT64;
    case Type::i32:
      return H5T_NATIVE_INT32;
    case Type::i8:
      return H5T_NATIVE_INT8;
    case Type::u8:
      return H5T_NATIVE_UINT8;
    case Type::text:
      break;
  }
  return -1;
}

/// One text from a fixed or variable string type.
bool read_texts(hid_t stored, std::size_t count, const auto& read, std::vector<std::string>& out) {
  const auto variable = H5Tis_variable_str(stored);
  if (variable < 0) return false;
  if (variable > 0) {
    std::vector<char*> pointers(count, nullptr);
    if (read(pointers.data()) < 0) return false;
    for (char* p : pointers) {
      out.emplace_back(p == nullptr ? "" : p);
      H5free_memory(p);
    }
    return true;
  }
  const std::size_t width = H5Tget_size(stored);
  if (width == 0 || width > (1u << 20) || count > kFreeBytes / width) return false;
  std::vector<char> bytes(width * count);
  if (read(bytes.data()) < 0) return false;
  for (std::size_t i = 0; i < count; ++i) {
    std::string text(bytes.data() + i * width, width);
    out.push_back(text.substr(0, text.find('\0')));
  }
  return true;
}

/// The value of an attribute; false for kinds that results do not have (references, arrays).
bool read_attribute(hid_t object, const std::string& name, AttributeText& value) {
  const hdf5::Attribute attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT));
  if (!attribute.valid()) return false;
  const hdf5::Type stored(H5Aget_type(attribute.get()));
  const hdf5::Space space(H5Aget_space(attribute.get()));
  if (!stored.valid() || !space.valid() || H5Sget_simple_extent_npoints(space.get()) != 1)
    return false;
  Type type;
  if (!type_of(stored.get(), type)) return false;
  if (type == Type::text) {
    std::vector<std::string> texts;
    const auto read = [&](void* to) {
      // A fixed string is read as stored, a variable one through its own type.
      return H5Aread(attribute.get(), stored.get(), to);
    };
    if (!read_texts(stored.get(), 1, read, texts)) return false;
    value = texts[0];
    return true;
  }
  if (type == Type::f64 || type == Type::f32) {
    double number = 0;
    if (H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &number) < 0) return false;
    value = number;
    return true;
  }
  std::int64_t number = 0;
  if (H5Aread(attribute.get(), H5T_NATIVE_INT64, &number) < 0) return false;
  value = number;
  return true;
}

herr_t attribute_name(hid_t, const char* name, const H5A_info_t*, void* out) {
  auto& names = *static_cast<std::vector<std::string>*>(out);
  names.emplace_back(name);
  return names.size() < 1000 ? 0 : 1;
}

std::vector<std::string> attribute_names(hid_t object) {
  std::vector<std::string> names;
  hsize_t position = 0;
  H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &position, attribute_name, &names);
  return names;
}

/// The base name of the scale attached to an axis, or empty.
std::string attached_scale(hid_t set, unsigned axis) {
  std::string found;
  const auto take = [](hid_t, unsigned, hid_t scale, void* out) -> herr_t {
    std::array<char, 512> name{};
    if (H5Iget_name(scale, name.data(), name.size()) > 0) {
      const std::string path(name.data());
      *static_cast<std::string*>(out) = path.substr(path.rfind('/') + 1);
    }
    return 1;
  };
  H5DSiterate_scales(set, axis, nullptr, take, &found);
  return found;
}

}  // namespace

/// Fills a ResultFile from an open HDF5 file.
class ResultReader {
 public:
  ResultReader(hid_t file, std::string shown, std::uint64_t bytes)
      : file_(file), shown_(std::move(shown)), bytes_(bytes) {}

  /// Null: everything, checked against its hash.
  ResultFile read(const std::vector<std::string>* prefixes) {
    for (const std::string& name : attribute_names(file_)) {
      AttributeText value;
      if (read_attribute(file_, name, value)) out_.attributes[name] = std::move(value);
    }
    const auto version = out_.attributes.find("fp4lab_schema");
    if (version == out_.attributes.end()) {
      throw InputError(shown_ + ": not a result file of fp4lab (no attribute fp4lab_schema)");
    }
    const auto* number = std::get_if<std::int64_t>(&version->second);
    if (number == nullptr || *number != kSchemaVersion) {
      throw InputError(shown_ + ": written in another schema than " +
                       std::to_string(kSchemaVersion) + ", the one that this program reads");
    }
    if (out_.text_attribute("status").empty()) {
      throw InputError(shown_ + ": unfinished, it has no status; run it again");
    }
    Listing listing;
    H5Ovisit2(file_, H5_INDEX_NAME, H5_ITER_INC, visit, &listing, H5O_INFO_BASIC);
    for (const std::string& path : listing.names) {
      const auto wanted = [&](const std::string& prefix) { return path.starts_with(prefix); };
      if (prefixes == nullptr || std::any_of(prefixes->begin(), prefixes->end(), wanted)) {
        dataset(path);
      }
    }
    if (prefixes != nullptr) return std::move(out_);
    const std::string expected = out_.text_attribute("content_sha256");
    if (expected != out_.content_sha256()) {
      throw InputError(shown_ +
                       ": its content does not have its hash; the file is damaged or was "
                       "changed");
    }
    return std::move(out_);
  }

 private:
  void dataset(const std::string& path) {
    const std::string where = shown_ + ":" + printable(path, 120);
    const hdf5::Dataset set(H5Dopen2(file_, path.c_str(), H5P_DEFAULT));
    if (!set.valid()) throw InputError(where + ": cannot be opened; the file is damaged");
    const auto creation = require<hdf5::Properties, InputError>(H5Dget_create_plist(set.get()),
                                                                where + ": unreadable properties");
    if (H5Pget_layout(creation.get()) == H5D_VIRTUAL || H5Pget_external_count(creation.get()) > 0) {
      throw InputError(where + ": data outside of the file are not read");
    }
    const auto stored =
        require<hdf5::Type, InputError>(H5Dget_type(set.get()), where + ": unreadable type");
    const auto space =
        require<hdf5::Space, InputError>(H5Dget_space(set.get()), where + ": unreadable shape");
    Dataset d;
    if (!type_of(stored.get(), d.type)) {
      throw InputError(where + ": a type that results do not have");
    }
    std::array<hsize_t, H5S_MAX_RANK> extents{};
    const int rank = H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
    if (rank < 1) throw InputError(where + ": results have one axis at least");
    d.shape.assign(extents.begin(), extents.begin() + rank);
    const auto count = element_count(d.shape);
    const std::uint64_t width = d.type == Type::text ? 16 : type_size(d.type);
    if (!count || *count > (std::uint64_t{1} << 40) ||
        (*count * width > kFreeBytes && *count * width / kMaxRatio > bytes_)) {
      throw InputError(where + ": claims more data than the file can hold");
    }
    if (*count > 0) {
      if (d.type == Type::text) {
        const auto read = [&](void* to) {
          return H5Dread(set.get(), stored.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, to);
        };
        if (!read_texts(stored.get(), *count, read, d.texts)) {
          throw InputError(where + ": cannot be read; the file is damaged");
        }
      } else {
        d.bytes.resize(*count * type_size(d.type));
        check<InputError>(
            H5Dread(set.get(), memory_type(d.type), H5S_ALL, H5S_ALL, H5P_DEFAULT, d.bytes.data()),
            where + ": cannot be read; the file is damaged");
      }
    }
    d.is_scale = H5DSis_scale(set.get()) > 0;
    for (int axis = 0; axis < rank; ++axis) {
      d.axes.push_back(d.is_scale ? path.substr(path.rfind('/') + 1)
                                  : attached_scale(set.get(), static_cast<unsigned>(axis)));
    }
    AttributeText value;
    if (read_attribute(set.get(), "units", value)) {
      if (auto* text = std::get_if<std::string>(&value)) d.units = *text;
    }
    if (read_attribute(set.get(), "long_name", value)) {
      if (auto* text = std::get_if<std::string>(&value)) d.long_name = *text;
    }
    read_edges(set.get(), d);
    const Row* const row = find_row(path);
    d.is_volatile = row != nullptr && row->is_volatile;
    out_.datasets_[path] = std::move(d);
  }

  static void read_edges(hid_t set, Dataset& d) {
    if (H5Aexists(set, "bin_edges") <= 0) return;
    const hdf5::Attribute attribute(H5Aopen(set, "bin_edges", H5P_DEFAULT));
    if (!attribute.valid()) return;
    const hdf5::Space space(H5Aget_space(attribute.get()));
    const hssize_t count = space.valid() ? H5Sget_simple_extent_npoints(space.get()) : 0;
    if (count < 1 || count > 100000) return;
    d.bin_edges.resize(static_cast<std::size_t>(count));
    if (H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, d.bin_edges.data()) < 0) d.bin_edges.clear();
  }

  hid_t file_;
  std::string shown_;
  std::uint64_t bytes_;
  ResultFile out_;
};

ResultFile ResultFile::read(const std::string& path) { return read_from(path, nullptr); }

ResultFile ResultFile::read_some(const std::string& path,
                                 const std::vector<std::string>& prefixes) {
  return read_from(path, &prefixes);
}

ResultFile ResultFile::read_from(const std::string& path,
                                 const std::vector<std::string>* prefixes) {
  hdf5::silence();
  const std::string shown = printable(path, 200);
  AlignedBytes bytes;
  {
    ByteSource source(path);
    bytes = source.read_rest(kLargestFile);
  }
  if (bytes.empty()) throw InputError(shown + ": empty, not a result file");
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!all.starts_with(kSignature)) throw InputError(shown + ": not an HDF5 file");
  const std::size_t size = bytes.size() - std::min(bytes.size(), detail::kSealSize);
  if (!all.substr(size).starts_with(detail::kSealMark)) {
    throw InputError(shown + ": its seal is missing: cut, damaged, or not written by fp4lab");
  }
  if (all.substr(size) != detail::seal_of(bytes.data(), size)) {
    throw InputError(shown + ": damaged or changed since it was written (its checksum differs)");
  }
  bytes.resize(size);
  auto access = require<hdf5::Properties, EnvironmentError>(H5Pcreate(H5P_FILE_ACCESS), shown);
  check<EnvironmentError>(H5Pset_fapl_core(access.get(), std::size_t{1} << 18, false), shown);
  check<EnvironmentError>(H5Pset_file_image(access.get(), bytes.data(), bytes.size()), shown);
  const auto file =
      require<hdf5::File, InputError>(H5Fopen("fp4lab-in-memory.h5", H5F_ACC_RDONLY, access.get()),
                                      shown + ": not an HDF5 file, or damaged");
  return ResultReader(file.get(), shown, bytes.size()).read(prefixes);
}

}  // namespace fp4lab::store
