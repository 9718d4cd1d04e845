// ResultFile to HDF5, with a dimension scale on every axis.
#include <hdf5_hl.h>

#include <algorithm>

#include "data/error.h"
#include "data/hdf5_raii.h"
#include "experiments/store/result_file.h"

namespace fp4lab::store {
namespace {

using hdf5::check;
using hdf5::require;

constexpr std::size_t kChunkBytes = std::size_t{256} << 10;
constexpr unsigned kDeflateLevel = 4;

hdf5::Type text_type(const std::string& where) {
  auto type = require<hdf5::Type, EnvironmentError>(H5Tcopy(H5T_C_S1), where);
  check<EnvironmentError>(H5Tset_size(type.get(), H5T_VARIABLE), where);
  check<EnvironmentError>(H5Tset_cset(type.get(), H5T_CSET_UTF8), where);
  return type;
}

hid_t number_type(Type type) {
  switch (type) {
    case Type::f64:
      return H5T_IEEE_F64LE;
    case Type::f32:
      return H5T_IEEE_F32LE;
    case Type::i64:
      return H5T_STD_I64LE;
    case Type::i32:
      return H5T_STD_I32LE;
    case Type::i8:
      return H5T_STD_I8LE;
    case Type::u8:
      return H5T_STD_U8LE;
    case Type::text:
      break;
  }
  return -1;
}

void put_attribute(hid_t object, const char* name, hid_t type, hid_t space, const void* data,
                   const std::string& where) {
  const auto attribute = require<hdf5::Attribute, EnvironmentError>(
      H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), where);
  check<EnvironmentError>(H5Awrite(attribute.get(), type, data), where);
}

void text_attribute(hid_t object, const char* name, const std::string& text,
                    const std::string& where) {
  const auto type = text_type(where);
  const auto space = require<hdf5::Space, EnvironmentError>(H5Screate(H5S_SCALAR), where);
  const char* const pointer = text.c_str();
  put_attribute(object, name, type.get(), space.get(), &pointer, where);
}

/// Time-major: the first axis (steps) is cut before the others.
std::vector<hsize_t> chunk_of(const Dataset& d) {
  std::vector<hsize_t> chunk(d.shape.begin(), d.shape.end());
  std::size_t bytes = std::max<std::size_t>(type_size(d.type), 16);
  for (const std::size_t extent : d.shape) bytes *= extent;
  for (hsize_t& extent : chunk) {
    while (bytes > kChunkBytes && extent > 1) {
      bytes = bytes / extent * ((extent + 1) / 2);
      extent = (extent + 1) / 2;
    }
  }
  return chunk;
}

class Writer {
 public:
  Writer(const ResultFile& results, const std::string& shown) : results_(results), shown_(shown) {}

  AlignedBytes image() {
    hdf5::silence();
    auto access = properties(H5P_FILE_ACCESS);
    check<EnvironmentError>(H5Pset_fapl_core(access.get(), std::size_t{1} << 18, false), shown_);
    auto creation = properties(H5P_FILE_CREATE);
    tracked(creation.get());
    file_ = require<hdf5::File, EnvironmentError>(
        H5Fcreate("fp4lab-in-memory.h5", H5F_ACC_TRUNC, creation.get(), access.get()), shown_);
    root_attributes();
    for (const auto& [path, d] : results_.datasets()) {
      if (d.is_scale) dataset(path, d);
    }
    for (const auto& [path, d] : results_.datasets()) {
      if (!d.is_scale) dataset(path, d);
    }
    check<EnvironmentError>(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), shown_);
    const ssize_t size = H5Fget_file_image(file_.get(), nullptr, 0);
    if (size < 0) throw EnvironmentError(shown_ + ": cannot finish (" + hdf5::last_message() + ")");
    AlignedBytes bytes(static_cast<std::size_t>(size));
    if (H5Fget_file_image(file_.get(), bytes.data(), bytes.size()) != size) {
      throw EnvironmentError(shown_ + ": cannot finish (" + hdf5::last_message() + ")");
    }
    return bytes;
  }

 private:
  hdf5::Properties properties(hid_t kind) {
    return require<hdf5::Properties, EnvironmentError>(H5Pcreate(kind), shown_);
  }
  /// Creation order is what netCDF-4 lists names in; time stamps would differ from run to run.
  void tracked(hid_t list) {
    check<EnvironmentError>(
        H5Pset_link_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), shown_);
    check<EnvironmentError>(
        H5Pset_attr_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), shown_);
    check<EnvironmentError>(H5Pset_obj_track_times(list, false), shown_);
  }

  void root_attributes() {
    const auto space = require<hdf5::Space, EnvironmentError>(H5Screate(H5S_SCALAR), shown_);
    put_attribute(file_.get(), "fp4lab_schema", H5T_STD_I32LE, space.get(), &kSchemaVersion,
                  shown_);
    for (const auto& [name, value] : results_.attributes) {
      if (name == "fp4lab_schema") continue;
      if (const auto* text = std::get_if<std::string>(&value)) {
        text_attribute(file_.get(), name.c_str(), *text, shown_);
      } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        put_attribute(file_.get(), name.c_str(), H5T_STD_I64LE, space.get(), integer, shown_);
      } else {
        put_attribute(file_.get(), name.c_str(), H5T_IEEE_F64LE, space.get(),
                      &std::get<double>(value), shown_);
      }
    }
  }

  void ensure_group(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == 0) return;
    const std::string group = path.substr(0, slash);
    if (H5Lexists(file_.get(), group.c_str(), H5P_DEFAULT) > 0) return;
    auto list = properties(H5P_GROUP_CREATE);
    tracked(list.get());
    require<hdf5::Group, EnvironmentError>(
        H5Gcreate2(file_.get(), group.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT), shown_);
  }

  void dataset(const std::string& path, const Dataset& d) {
    const std::string where = shown_ + ":" + path;
    ensure_group(path);
    auto creation = properties(H5P_DATASET_CREATE);
    check<EnvironmentError>(H5Pset_obj_track_times(creation.get(), false), where);
    check<EnvironmentError>(
        H5Pset_attr_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
        where);
    // Deflate does not reach into the heap that holds variable-length text.
    if (d.type != Type::text && d.size() > 0) {
      const auto chunk = chunk_of(d);
      check<EnvironmentError>(
          H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()), where);
      check<EnvironmentError>(H5Pset_shuffle(creation.get()), where);
      check<EnvironmentError>(H5Pset_deflate(creation.get(), kDeflateLevel), where);
      check<EnvironmentError>(H5Pset_fletcher32(creation.get()), where);
    }
    const std::vector<hsize_t> extents(d.shape.begin(), d.shape.end());
    const auto space = require<hdf5::Space, EnvironmentError>(
        H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), where);
    const hdf5::Type text = d.type == Type::text ? text_type(where) : hdf5::Type();
    const hid_t type = d.type == Type::text ? text.get() : number_type(d.type);
    const auto set = require<hdf5::Dataset, EnvironmentError>(
        H5Dcreate2(file_.get(), path.c_str(), type, space.get(), H5P_DEFAULT, creation.get(),
                   H5P_DEFAULT),
        where);
    if (d.size() > 0) {
      std::vector<const char*> pointers;
      for (const std::string& s : d.texts) pointers.push_back(s.c_str());
      const void* const data =
          d.type == Type::text ? static_cast<const void*>(pointers.data()) : d.bytes.data();
      check<EnvironmentError>(H5Dwrite(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data),
                              where);
    }
    if (!d.units.empty()) text_attribute(set.get(), "units", d.units, where);
    text_attribute(set.get(), "long_name", d.long_name, where);
    if (!d.bin_edges.empty()) {
      const hsize_t count = d.bin_edges.size();
      const auto edges =
          require<hdf5::Space, EnvironmentError>(H5Screate_simple(1, &count, nullptr), where);
      put_attribute(set.get(), "bin_edges", H5T_IEEE_F64LE, edges.get(), d.bin_edges.data(), where);
    }
    const std::string group = path.substr(0, path.rfind('/'));
    if (d.is_scale) {
      check<EnvironmentError>(H5DSset_scale(set.get(), d.axes[0].c_str()), where);
      return;
    }
    for (std::size_t axis = 0; axis < d.axes.size(); ++axis) {
      const auto scale = require<hdf5::Dataset, EnvironmentError>(
          H5Dopen2(file_.get(), (group + "/" + d.axes[axis]).c_str(), H5P_DEFAULT), where);
      check<EnvironmentError>(H5DSattach_scale(set.get(), scale.get(), static_cast<unsigned>(axis)),
                              where);
    }
  }

  const ResultFile& results_;
  std::string shown_;
  hdf5::File file_;
};

}  // namespace

AlignedBytes ResultFile::image(const std::string& shown) const {
  return Writer(*this, shown).image();
}

}  // namespace fp4lab::store
