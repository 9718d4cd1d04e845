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

/// The value of a short fixed or variable string attribute, or nothing.
std::optional<std::string> string_attribute(hid_t object, const char* name) {
  if (H5Aexists(object, name) <= 0) return std::nullopt;
  const hdf5::Attribute attribute(H5Aopen(object, name, H5P_DEFAULT));
  if (!attribute.valid()) return std::nullopt;
  const hdf5::Type type(H5Aget_type(attribute.get()));
  const hdf5::Space space(H5Aget_space(attribute.get()));
  if (!type.valid() || !space.valid() || H5Tget_class(type.get()) != H5T_STRING ||
      H5Sget_simple_extent_npoints(space.get()) != 1) {
    return std::nullopt;
  }
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute.get(), type.get(), &text) < 0 || text == nullptr) return std::nullopt;
    std::string out(text);
    H5free_memory(text);
    return out;
  }
  const std::size_t size = H5Tget_size(type.get());
  if (size == 0 || size > 64) return std::nullopt;
  std::string out(size, '\0');
  if (H5Aread(attribute.get(), type.get(), out.data()) < 0) return std::nullopt;
  return out.substr(0, out.find('\0'));
}

}  // namespace

std::vector<std::string> list_hdf5(const std::string& path, std::size_t limit) {
  const hdf5::File file = open_for_reading(path);
  return list_open(file.get(), limit);
}

Array read_hdf5(const std::string& path, const std::string& dataset_path) {
  const hdf5::File file = open_for_reading(path);
  const std::string where = printable(path, 200) + ":" + printable(dataset_path, 120);
  const hdf5::Properties access = link_access();
  const hdf5::Object object(H5Oopen(file.get(), dataset_path.c_str(), access.get()));
  if (!object.valid()) {
    throw InputError(where + ": no such data set" +
                     nearest_hint(dataset_path, list_open(file.get(), 1000)));
  }
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
