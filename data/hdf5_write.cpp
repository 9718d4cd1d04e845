#include <algorithm>
#include <array>
#include <type_traits>

#include "data/error.h"
#include "data/hdf5_file.h"
#include "data/hdf5_raii.h"
#include "data/hdf5_types.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

using hdf5::check;
using hdf5::require;

/// Arrays from this size on are chunked and compressed; a chunk aims at this many bytes.
constexpr std::size_t kChunkFrom = 4096;
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
constexpr unsigned kDeflateLevel = 4;
/// The in-memory file grows by this many bytes at a time.
constexpr std::size_t kMemoryStep = std::size_t{1} << 20;

hdf5::Properties creation_properties(hid_t kind, const std::string& shown) {
  auto properties =
      require<hdf5::Properties, EnvironmentError>(H5Pcreate(kind), shown + ": cannot set up HDF5");
  // Modification times would make equal input give different bytes.
  check<EnvironmentError>(H5Pset_obj_track_times(properties.get(), false),
                          shown + ": cannot set up HDF5");
  return properties;
}

/// Whole rows per chunk: leading axes shrink first.
std::vector<hsize_t> chunk_shape(const Array& array) {
  std::vector<hsize_t> chunk(array.shape.begin(), array.shape.end());
  std::size_t bytes = array.bytes.size();
  for (auto& extent : chunk) {
    while (bytes > kChunkBytes && extent > 1) {
      bytes = bytes / extent * ((extent + 1) / 2);
      extent = (extent + 1) / 2;
    }
  }
  return chunk;
}

hdf5::Space space_of(const Shape& shape, const std::string& shown) {
  if (shape.empty()) {
    return require<hdf5::Space, EnvironmentError>(H5Screate(H5S_SCALAR),
                                                  shown + ": cannot create a data space");
  }
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  return require<hdf5::Space, EnvironmentError>(
      H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
      shown + ": cannot create a data space");
}

void write_one(hid_t object, const std::string& name, hid_t type, hid_t space, const void* data,
               const std::string& shown) {
  const std::string line = shown + ": cannot write attribute '" + name + "'";
  const auto attribute = require<hdf5::Attribute, EnvironmentError>(
      H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), line);
  check<EnvironmentError>(H5Awrite(attribute.get(), type, data), line);
}

void write_attribute(hid_t object, const AttributeValue& item, const std::string& shown) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          // Variable length and UTF-8: what h5py shows as str and netCDF as string.
          auto type = require<hdf5::Type, EnvironmentError>(H5Tcopy(H5T_C_S1),
                                                            shown + ": cannot create a text type");
          check<EnvironmentError>(H5Tset_size(type.get(), H5T_VARIABLE), shown);
          check<EnvironmentError>(H5Tset_cset(type.get(), H5T_CSET_UTF8), shown);
          const auto space = space_of({}, shown);
          const char* const text = value.c_str();
          write_one(object, item.name, type.get(), space.get(), &text, shown);
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          const auto space = space_of({}, shown);
          write_one(object, item.name, H5T_STD_I64LE, space.get(), &value, shown);
        } else if constexpr (std::is_same_v<T, double>) {
          const auto space = space_of({}, shown);
          write_one(object, item.name, H5T_IEEE_F64LE, space.get(), &value, shown);
        } else {
          const auto space = space_of({value.size()}, shown);
          write_one(object, item.name, H5T_STD_I64LE, space.get(), value.data(), shown);
        }
      },
      item.value);
}

/// Makes room for `path`: an older data set of that name goes, a group is an error, and so is a
/// data set in the place of a parent group.
void clear_place(hid_t file, const std::string& path, const std::string& shown) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    const bool last = slash == std::string::npos;
    if (H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0) return;
    H5L_info_t info{};
    if (H5Lget_info(file, part.c_str(), &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD) {
      throw InputError(shown + ":" + part + " is a link to elsewhere; choose another path");
    }
    const hdf5::Object object(H5Oopen(file, part.c_str(), H5P_DEFAULT));
    const bool is_group = object.valid() && H5Iget_type(object.get()) == H5I_GROUP;
    if (!last) {
      if (!is_group) throw InputError(shown + ":" + part + " is not a group; choose another path");
      continue;
    }
    if (is_group) throw InputError(shown + ":" + part + " is a group; choose another path");
    check<EnvironmentError>(H5Ldelete(file, part.c_str(), H5P_DEFAULT),
                            shown + ":" + part + ": cannot replace the old data set");
    return;
  }
}

void write_item(hid_t file, const Hdf5Item& item, const std::string& shown) {
  const std::string where = shown + ":" + item.dataset;
  const Array& array = *item.array;
  clear_place(file, item.dataset, shown);

  auto links = require<hdf5::Properties, EnvironmentError>(H5Pcreate(H5P_LINK_CREATE),
                                                           where + ": cannot set up HDF5");
  check<EnvironmentError>(H5Pset_create_intermediate_group(links.get(), 1), where);
  auto creation = creation_properties(H5P_DATASET_CREATE, where);
  if (array.bytes.size() >= kChunkFrom) {
    const auto chunk = chunk_shape(array);
    check<EnvironmentError>(
        H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()), where);
    check<EnvironmentError>(H5Pset_shuffle(creation.get()), where);
    check<EnvironmentError>(H5Pset_deflate(creation.get(), kDeflateLevel), where);
    check<EnvironmentError>(H5Pset_fletcher32(creation.get()), where);
  }
  // A float type of one's own is legal HDF5 but surprises readers: bfloat16 travels as its bits.
  const hdf5::Type type =
      hdf5::memory_type(array.dtype == DType::kBf16 ? DType::kU16 : array.dtype);
  const hdf5::Space space = space_of(array.shape, where);
  const std::string line = where + ": cannot write the data set";
  const auto dataset = require<hdf5::Dataset, EnvironmentError>(
      H5Dcreate2(file, item.dataset.c_str(), type.get(), space.get(), links.get(), creation.get(),
                 H5P_DEFAULT),
      line);
  if (array.size() > 0) {
    check<EnvironmentError>(
        H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.bytes.data()),
        line);
  }
  if (array.dtype == DType::kBf16) {
    write_attribute(dataset.get(), {"fp4lab_dtype", std::string("bf16")}, where);
  }
  for (const auto& attribute : item.attributes) write_attribute(dataset.get(), attribute, where);
}

}  // namespace

AlignedBytes hdf5_image(const AlignedBytes& existing, const std::vector<Hdf5Item>& items,
                        const std::string& shown) {
  hdf5::silence();
  constexpr const char* kNever = "fp4lab-in-memory.h5";  // a name HDF5 insists on; no such file
  auto access = require<hdf5::Properties, EnvironmentError>(H5Pcreate(H5P_FILE_ACCESS),
                                                            shown + ": cannot set up HDF5");
  check<EnvironmentError>(H5Pset_fapl_core(access.get(), kMemoryStep, false),
                          shown + ": cannot set up HDF5");
  hdf5::File file;
  if (existing.empty()) {
    const auto creation = creation_properties(H5P_FILE_CREATE, shown);
    file = require<hdf5::File, EnvironmentError>(
        H5Fcreate(kNever, H5F_ACC_TRUNC, creation.get(), access.get()),
        "cannot create '" + shown + "'");
  } else {
    // HDF5 copies the image; its signature asks for a mutable pointer all the same.
    void* const bytes = const_cast<std::byte*>(existing.data());
    check<EnvironmentError>(H5Pset_file_image(access.get(), bytes, existing.size()),
                            shown + ": cannot set up HDF5");
    file = require<hdf5::File, InputError>(H5Fopen(kNever, H5F_ACC_RDWR, access.get()),
                                           shown + ": exists and is not a sound HDF5 file");
  }
  for (const auto& item : items) write_item(file.get(), item, shown);
  check<EnvironmentError>(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), shown + ": cannot finish");
  const ssize_t size = H5Fget_file_image(file.get(), nullptr, 0);
  if (size < 0) throw EnvironmentError(shown + ": cannot finish (" + hdf5::last_message() + ")");
  AlignedBytes image(static_cast<std::size_t>(size));
  if (H5Fget_file_image(file.get(), image.data(), image.size()) != size) {
    throw EnvironmentError(shown + ": cannot finish (" + hdf5::last_message() + ")");
  }
  return image;
}

}  // namespace fp4lab
