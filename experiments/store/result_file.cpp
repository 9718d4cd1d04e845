#include "experiments/store/result_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "data/atomic_file.h"
#include "data/error.h"
#include "data/sha256.h"

namespace fp4lab::store {
namespace {

static_assert(std::endian::native == std::endian::little, "bytes are stored as they lie in memory");

std::vector<std::string> split_axes(const char* text) {
  std::vector<std::string> axes;
  std::string word;
  for (const char* p = text;; ++p) {
    if (*p == ' ' || *p == '\0') {
      if (!word.empty()) axes.push_back(word);
      word.clear();
      if (*p == '\0') return axes;
    } else {
      word += *p;
    }
  }
}

std::string group_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

template <class T>
void copy_bytes(Dataset& d, std::span<const T> values) {
  d.bytes.resize(values.size_bytes());
  if (!values.empty()) std::memcpy(d.bytes.data(), values.data(), values.size_bytes());
}

}  // namespace

std::string detail::seal_of(const void* data, std::size_t size) {
  return std::string(kSealMark) + Sha256().update(data, size).hex() + "\n";
}

std::size_t Dataset::size() const { return element_count(shape).value_or(0); }

double Dataset::number(std::size_t i) const {
  const auto load = [&](auto value) {
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    return static_cast<double>(value);
  };
  switch (type) {
    case Type::f64:
      return load(double{});
    case Type::f32:
      return load(float{});
    case Type::i64:
      return load(std::int64_t{});
    case Type::i32:
      return load(std::int32_t{});
    case Type::i8:
      return load(std::int8_t{});
    case Type::u8:
      return load(std::uint8_t{});
    case Type::text:
      break;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<double> Dataset::numbers() const {
  std::vector<double> out(size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = number(i);
  return out;
}

const Dataset& ResultFile::at(const std::string& path) const {
  const auto found = datasets_.find(path);
  if (found == datasets_.end()) throw InputError("the results have no " + path);
  return found->second;
}

std::string ResultFile::text_attribute(const std::string& name) const {
  const auto found = attributes.find(name);
  if (found == attributes.end()) return {};
  const auto* text = std::get_if<std::string>(&found->second);
  return text == nullptr ? std::string() : *text;
}

Dataset& ResultFile::add(const std::string& path, Type type, std::size_t elements, bool as_scale) {
  const Row* const row = find_row(path);
  const bool open = row != nullptr && std::string_view(row->path).ends_with("/*");
  if (row == nullptr || row->is_scale != as_scale || (!open && row->type != type)) {
    throw std::logic_error(path + " (" + type_name(type) + ") is not in the schema");
  }
  Dataset d;
  d.type = type;
  d.is_scale = as_scale;
  d.is_volatile = row->is_volatile;
  d.units = type == Type::text ? "" : row->units;
  d.long_name = row->long_name;
  if (as_scale) {
    d.axes = {path.substr(path.rfind('/') + 1)};
    d.shape = {elements};
  } else {
    d.axes = split_axes(row->axes);
    std::size_t expected = 1;
    for (const std::string& axis : d.axes) {
      const auto found = datasets_.find(group_of(path) + "/" + axis);
      if (found == datasets_.end()) {
        throw std::logic_error(path + ": its scale " + axis + " has to come first");
      }
      d.shape.push_back(found->second.shape[0]);
      expected *= d.shape.back();
    }
    if (expected != elements) {
      throw std::logic_error(path + ": " + std::to_string(elements) + " elements for axes of " +
                             std::to_string(expected));
    }
  }
  return datasets_[path] = std::move(d);
}

void ResultFile::scale(const std::string& path, std::span<const std::int64_t> values) {
  copy_bytes(add(path, Type::i64, values.size(), true), values);
}
void ResultFile::scale(const std::string& path, std::span<const std::string> names) {
  add(path, Type::text, names.size(), true).texts.assign(names.begin(), names.end());
}
void ResultFile::put(const std::string& path, std::span<const double> values) {
  copy_bytes(add(path, Type::f64, values.size(), false), values);
}
void ResultFile::put(const std::string& path, std::span<const std::int64_t> values) {
  copy_bytes(add(path, Type::i64, values.size(), false), values);
}
void ResultFile::put(const std::string& path, std::span<const float> values) {
  copy_bytes(add(path, Type::f32, values.size(), false), values);
}
void ResultFile::put(const std::string& path, std::span<const std::int32_t> values) {
  copy_bytes(add(path, Type::i32, values.size(), false), values);
}
void ResultFile::put(const std::string& path, std::span<const std::uint8_t> values) {
  copy_bytes(add(path, Type::u8, values.size(), false), values);
}
void ResultFile::put(const std::string& path, std::span<const std::int8_t> values) {
  copy_bytes(add(path, Type::i8, values.size(), false), values);
}
void ResultFile::put(const std::string& path, std::span<const std::string> values) {
  add(path, Type::text, values.size(), false).texts.assign(values.begin(), values.end());
}

void ResultFile::bin_edges(const std::string& path, std::vector<double> edges) {
  datasets_.at(path).bin_edges = std::move(edges);
}

void ResultFile::describe(const std::string& path, std::string units, std::string long_name) {
  Dataset& d = datasets_.at(path);
  d.units = std::move(units);
  d.long_name = std::move(long_name);
}

std::string ResultFile::content_sha256() const {
  Sha256 hash;
  const auto number = [&](std::uint64_t n) { hash.update(&n, sizeof(n)); };
  const auto text = [&](const std::string& s) {
    number(s.size());
    hash.update(s);
  };
  for (const auto& [path, d] : datasets_) {
    if (d.is_volatile) continue;
    text(path);
    text(type_name(d.type));
    number(d.shape.size());
    for (const std::size_t extent : d.shape) number(extent);
    if (d.type == Type::text) {
      for (const std::string& s : d.texts) text(s);
    } else {
      hash.update(d.bytes.data(), d.bytes.size());
    }
  }
  return hash.hex();
}

void ResultFile::write(const std::string& path) {
  AtomicFile file(path);
  write(file);
  file.publish();
}

void ResultFile::write(AtomicFile& file) {
  attributes["content_sha256"] = content_sha256();
  const AlignedBytes bytes = image(file.target());
  const std::string seal = detail::seal_of(bytes.data(), bytes.size());
  file.write(bytes.data(), bytes.size());
  file.write(seal.data(), seal.size());
  file.finish();
}

void ResultFile::write(const std::string& path, const std::string& part) {
  attributes["content_sha256"] = content_sha256();
  const AlignedBytes bytes = image(path);
  const std::string seal = detail::seal_of(bytes.data(), bytes.size());
  const auto fail = [&](const char* what, int error) {
    ::unlink(part.c_str());
    throw EnvironmentError(std::string("cannot ") + what + " '" + path +
                           "': " + std::strerror(error));
  };
  const int file = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) fail("write", errno);
  int error = write_all(file, bytes.data(), bytes.size());
  if (error == 0) error = write_all(file, seal.data(), seal.size());
  if (error == 0 && ::fsync(file) != 0) error = errno;
  if (::close(file) != 0 && error == 0) error = errno;
  if (error != 0) fail("write", error);
  if (::rename(part.c_str(), path.c_str()) != 0) fail("name", errno);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);  // makes the name durable; the content is already
    ::close(directory);
  }
}

}  // namespace fp4lab::store
