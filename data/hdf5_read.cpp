#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "data/error.h"
#include "data/hdf5_file.h"
#include "data/hdf5_raii.h"
#include "data/hdf5_types.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

using hdf5::check;
using hdf5::require;

/// Deflate cannot shrink more than 1032:1; a claim beyond that over the whole file is no data.
constexpr std::uint64_t kMaxRatio = 1100;
/// Below this, unwritten chunks (fill values) are harmless and common.
constexpr std::uint64_t kFreeBytes = std::uint64_t{64} << 20;

std::uint64_t file_size(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

hdf5::File open_for_reading(const std::string& path) {
  hdf5::silence();
  const std::string shown = printable(path, 200);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    throw InputError("cannot read '" + shown + "': " + std::strerror(errno));
  }
  if (S_ISDIR(info.st_mode)) throw InputError("cannot read '" + shown + "': it is a directory");
  return require<hdf5::File, InputError>(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                                         shown + ": not an HDF5 file, damaged or not readable");
}

herr_t refuse_external_link(const char*, const char*, const char*, const char*, unsigned*, hid_t,
                            void*) {
  return -1;
}

hdf5::Properties link_access() {
  auto access = require<hdf5::Properties, EnvironmentError>(H5Pcreate(H5P_LINK_ACCESS),
                                                            "cannot set up HDF5 link access");
  check<EnvironmentError>(H5Pset_elink_cb(access.get(), refuse_external_link, nullptr),
                          "cannot set up HDF5 link access");
  return access;
}

struct Listing {
  std::vector<std::string> names;
  std::size_t limit = 0;
};

herr_t visit_object(hid_t, const char* name, const H5O_info_t* info, void* data) {
  auto* listing = static_cast<Listing*>(data);
  if (info->type == H5O_TYPE_DATASET) {
    listing->names.push_back(std::string("/").append(name));
  }
  return listing->names.size() < listing->limit ? 0 : 1;
}

std::vector<std::string> list_open(hid_t file, std::size_t limit) {
  Listing listing;
  listing.limit = limit;
  H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &listing, H5O_INFO_BASIC);
  std::sort(listing.names.begin(), listing.names.end());
  return listing.names;
}

/// Foreign storage layouts can point at other files of this machine.
void refuse_foreign_storage(hid_t dataset, const std::string& where) {
  const auto creation = require<hdf5::Properties, InputError>(
      H5Dget_create_plist(dataset), where + ": cannot read the data set's properties");
  if (H5Pget_layout(creation.get()) == H5D_VIRTUAL) {
    throw InputError(where + ": virtual data sets are not supported; store the numbers themselves");
  }
  if (H5Pget_external_count(creation.get()) > 0) {
    throw InputError(where + ": data in external files is not supported; store it in this file");
  }
}

Shape read_shape(hid_t dataset, const std::string& where) {
  const auto space =
      require<hdf5::Space, InputError>(H5Dget_space(dataset), where + ": cannot read the shape");
  const H5S_class_t kind = H5Sget_simple_extent_type(space.get());
  if (kind == H5S_NULL) throw InputError(where + ": the data set has no data (null data space)");
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > H5S_MAX_RANK) throw InputError(where + ": unreadable shape");
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  check<InputError>(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr),
                    where + ": unreadable shape");
  return Shape(extents.begin(), extents.begin() + rank);
}

/// Longest text and list that an attribute may hold here.
constexpr std::size_t kMaxAttributeText = 65536;
constexpr hssize_t kMaxAttributeList = 64;

/// The text of an open fixed or variable string attribute, or nothing.
std::optional<std::string> text_of(hid_t attribute, hid_t type) {
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute, type, &text) < 0 || text == nullptr) return std::nullopt;
    std::string out(text);
    H5free_memory(text);
    return out;
  }
  const std::size_t size = H5Tget_size(type);
  if (size == 0 || size > kMaxAttributeText) return std::nullopt;
  std::string out(size, '\0');
  if (H5Aread(attribute, type, out.data()) < 0) return std::nullopt;
  return out.substr(0, out.find('\0'));
}

/// The value of an open attribute of a kind that AttributeValue knows, or nothing.
std::optional<AttributeValue> value_of(hid_t attribute, std::string name) {
  const hdf5::Type type(H5Aget_type(attribute));
  const hdf5::Space space(H5Aget_space(attribute));
  if (!type.valid() || !space.valid()) return std::nullopt;
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  const bool scalar = H5Sget_simple_extent_type(space.get()) == H5S_SCALAR;
  switch (H5Tget_class(type.get())) {
    case H5T_STRING: {
      if (count != 1) return std::nullopt;
      const auto text = text_of(attribute, type.get());
      if (!text) return std::nullopt;
      return AttributeValue{std::move(name), *text};
    }
    case H5T_INTEGER: {
      if (count < 0 || count > kMaxAttributeList) return std::nullopt;
      std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
      if (count > 0 && H5Aread(attribute, H5T_NATIVE_INT64, numbers.data()) < 0) {
        return std::nullopt;
      }
      if (scalar) return AttributeValue{std::move(name), numbers.at(0)};
      return AttributeValue{std::move(name), std::move(numbers)};
    }
    case H5T_FLOAT: {
      double number = 0;
      if (count != 1 || H5Aread(attribute, H5T_NATIVE_DOUBLE, &number) < 0) return std::nullopt;
      return AttributeValue{std::move(name), number};
    }
    default:
      return std::nullopt;
  }
}

/// The value of a string attribute, or nothing.
std::optional<std::string> string_attribute(hid_t object, const char* name) {
  if (H5Aexists(object, name) <= 0) return std::nullopt;
  const hdf5::Attribute attribute(H5Aopen(object, name, H5P_DEFAULT));
  if (!attribute.valid()) return std::nullopt;
  const auto value = value_of(attribute.get(), name);
  if (!value || !std::holds_alternative<std::string>(value->value)) return std::nullopt;
  return std::get<std::string>(value->value);
}

hdf5::Object open_object(hid_t file, const std::string& path, const std::string& where) {
  const hdf5::Properties access = link_access();
  hdf5::Object object(H5Oopen(file, path.c_str(), access.get()));
  if (!object.valid()) {
    throw InputError(where + ": no such data set" + nearest_hint(path, list_open(file, 1000)));
  }
  return object;
}

}  // namespace

std::vector<std::string> list_hdf5(const std::string& path, std::size_t limit) {
  const hdf5::File file = open_for_reading(path);
  return list_open(file.get(), limit);
}

Attributes read_hdf5_attributes(const std::string& path, const std::string& object_path) {
  const hdf5::File file = open_for_reading(path);
  const std::string where = printable(path, 200) + ":" + printable(object_path, 120);
  const hdf5::Object object = open_object(file.get(), object_path, where);
  Attributes attributes;
  H5O_info_t info{};
  check<InputError>(H5Oget_info2(object.get(), &info, H5O_INFO_NUM_ATTRS),
                    where + ": cannot read the attributes");
  for (hsize_t i = 0; i < std::min<hsize_t>(info.num_attrs, 1000); ++i) {
    const hdf5::Attribute attribute(
        H5Aopen_by_idx(object.get(), ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT));
    if (!attribute.valid()) continue;
    std::array<char, 256> name{};
    if (H5Aget_name(attribute.get(), name.size(), name.data()) < 0) continue;
    if (auto value = value_of(attribute.get(), name.data()))
      attributes.push_back(std::move(*value));
  }
  return attributes;
}

Array read_hdf5(const std::string& path, const std::string& dataset_path) {
  const hdf5::File file = open_for_reading(path);
  const std::string where = printable(path, 200) + ":" + printable(dataset_path, 120);
  const hdf5::Object object = open_object(file.get(), dataset_path, where);
  if (H5Iget_type(object.get()) != H5I_DATASET) {
    throw InputError(where + ": a group, not a data set" +
                     nearest_hint(dataset_path, list_open(file.get(), 1000)));
  }
  const hid_t dataset = object.get();
  refuse_foreign_storage(dataset, where);

  const auto stored = require<hdf5::Type, InputError>(H5Dget_type(dataset),
                                                      where + ": cannot read the element type");
  std::string reason;
  const auto dtype = hdf5::dtype_of(stored.get(), &reason);
  if (!dtype) throw InputError(where + ": " + reason);

  const Shape shape = read_shape(dataset, where);
  const auto count = element_count(shape);
  const std::uint64_t size = file_size(path);
  const std::size_t width = dtype_size(*dtype);
  if (!count || *count > static_cast<std::size_t>(INT64_MAX) / width ||
      (*count * width > kFreeBytes && *count * width / kMaxRatio > size)) {
    throw InputError(where + ": claims shape " + shape_text(shape) + " of " +
                     std::string(dtype_name(*dtype)) + ", but the whole file has only " +
                     std::to_string(size) + " bytes");
  }
  Array array(*dtype, shape);
  if (array.size() > 0) {
    const hdf5::Type memory = hdf5::memory_type(*dtype);
    check<InputError>(
        H5Dread(dataset, memory.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes.data()),
        where + ": cannot read the data; the file is damaged or truncated");
  }
  if (array.dtype == DType::kU16 && string_attribute(dataset, "fp4lab_dtype") == "bf16") {
    array.dtype = DType::kBf16;
  }
  return array;
}

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

}  // namespace fp4lab
