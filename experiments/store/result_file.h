// A result file in memory: named data sets over named axes, as schema.h lays them out. Written at
// once, read back with every check that a foreign file deserves.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "data/array.h"
#include "data/atomic_file.h"
#include "experiments/store/schema.h"

namespace fp4lab::store {

namespace detail {
/// Behind the HDF5 part of a file, where HDF5 does not look: this mark, 64 hexadecimal digits of
/// the SHA-256 of all bytes before it, a newline. HDF5 1.10 can crash on damaged metadata, so
/// damage has to be seen before HDF5 sees it.
inline constexpr std::string_view kSealMark = "\nfp4lab-seal ";
inline constexpr std::size_t kSealSize = kSealMark.size() + 64 + 1;
std::string seal_of(const void* data, std::size_t size);
}  // namespace detail

/// One data set or scale. Numbers lie in `bytes`, little endian, row-major; texts in `texts`.
struct Dataset {
  Type type = Type::f64;
  std::vector<std::string> axes;  ///< names of the scales of its group; for a scale: its own name
  Shape shape;
  std::vector<std::byte> bytes;
  std::vector<std::string> texts;
  bool is_scale = false;
  bool is_volatile = false;
  std::string units, long_name;
  std::vector<double> bin_edges;  ///< of histograms whose bins are not codes

  std::size_t size() const;
  /// Element as binary64 (NaN for text).
  double number(std::size_t i) const;
  /// All elements as binary64.
  std::vector<double> numbers() const;
};

/// Value of an attribute of the root.
using AttributeText = std::variant<std::string, std::int64_t, double>;

class ResultFile {
 public:
  /// Root attributes by name.
  std::map<std::string, AttributeText> attributes;
  /// Data sets by path ("/layers/sqnr_db").
  const std::map<std::string, Dataset>& datasets() const noexcept { return datasets_; }
  bool has(const std::string& path) const { return datasets_.count(path) != 0; }
  /// Throws InputError naming the path when it is not there.
  const Dataset& at(const std::string& path) const;
  /// Text of an attribute, or empty.
  std::string text_attribute(const std::string& name) const;

  /// A scale of the schema, e.g. scale("/layers/step", steps).
  void scale(const std::string& path, std::span<const std::int64_t> values);
  void scale(const std::string& path, std::span<const std::string> names);
  /// A data set of the schema over the scales that it names; they must be there. Throws
  /// std::logic_error for a path, type or shape that the schema does not have.
  void put(const std::string& path, std::span<const double> values);
  void put(const std::string& path, std::span<const std::int64_t> values);
  void put(const std::string& path, std::span<const float> values);
  void put(const std::string& path, std::span<const std::int32_t> values);
  void put(const std::string& path, std::span<const std::uint8_t> values);
  void put(const std::string& path, std::span<const std::int8_t> values);
  void put(const std::string& path, std::span<const std::string> values);
  /// Edges of a histogram's bins, one more than there are bins.
  void bin_edges(const std::string& path, std::vector<double> edges);
  /// Units and name of a column that the schema leaves open (`/table/*`).
  void describe(const std::string& path, std::string units, std::string long_name);

  /// 64 hexadecimal digits over path, type, shape and bytes of all data sets that are not volatile,
  /// in path order.
  std::string content_sha256() const;
  /// Sets fp4lab_schema and content_sha256 and writes `path`: a `.part` file first, synced, then
  /// renamed. Throws EnvironmentError.
  void write(const std::string& path);
  /// The same into a file that is published later: for places that are reserved early.
  void write(AtomicFile& file);
  /// The same with a name of the caller's for the unfinished file, in the same folder.
  void write(const std::string& path, const std::string& part);
  /// The bytes that write() writes. No time stamps: equal content gives equal bytes.
  AlignedBytes image(const std::string& shown) const;

  /// Reads a whole file. Throws InputError with one line for files that are no results, unfinished,
  /// damaged, or whose content does not have its hash.
  static ResultFile read(const std::string& path);
  /// The attributes and the data sets whose paths begin with one of `prefixes`; the seal vouches
  /// for all bytes. For indices, which need a few numbers of each of many files.
  static ResultFile read_some(const std::string& path, const std::vector<std::string>& prefixes);

 private:
  friend class ResultReader;
  static ResultFile read_from(const std::string& path, const std::vector<std::string>* prefixes);
  Dataset& add(const std::string& path, Type type, std::size_t elements, bool as_scale);
  std::map<std::string, Dataset> datasets_;
};

}  // namespace fp4lab::store
