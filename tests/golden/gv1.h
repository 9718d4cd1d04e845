// Reader of GV1 golden-vector files (README.md beside this file describes the format).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fp4lab::golden {

// Thrown for every file that is not exactly GV1; the message names the file, the line and what
// was expected there.
class Gv1Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Dtype { kU8, kU16, kBf16, kF16, kU32, kI32, kF32, kU64, kF64 };

// Hexadecimal digits of one number of this type: 2, 4, 8 or 16.
int digits(Dtype dtype);
std::string_view name(Dtype dtype);

// A tensor as bit patterns in row-major order, in the narrowest unsigned type that holds them.
class Tensor {
 public:
  using Storage = std::variant<std::vector<std::uint8_t>, std::vector<std::uint16_t>,
                               std::vector<std::uint32_t>, std::vector<std::uint64_t>>;

  Tensor(std::string name, Dtype dtype, std::vector<std::size_t> shape, Storage bits)
      : name_(std::move(name)), dtype_(dtype), shape_(std::move(shape)), bits_(std::move(bits)) {}

  const std::string& name() const { return name_; }
  Dtype dtype() const { return dtype_; }
  const std::vector<std::size_t>& shape() const { return shape_; }
  std::size_t size() const;
  // Extent of the last axis; 1 for a scalar.
  std::size_t row_length() const { return shape_.empty() ? 1 : shape_.back(); }
  // The bit pattern of element i, zero-extended.
  std::uint64_t bits(std::size_t i) const;

  // The patterns as unsigned integers of exactly the stored width; throws Gv1Error on another one.
  const std::vector<std::uint8_t>& u8() const { return get<std::uint8_t>(); }
  const std::vector<std::uint16_t>& u16() const { return get<std::uint16_t>(); }
  const std::vector<std::uint32_t>& u32() const { return get<std::uint32_t>(); }
  const std::vector<std::uint64_t>& u64() const { return get<std::uint64_t>(); }
  // The numbers; throws Gv1Error unless the dtype is f32 (or f64).
  std::vector<float> f32() const;
  std::vector<double> f64() const;

 private:
  template <typename T>
  const std::vector<T>& get() const;

  std::string name_;
  Dtype dtype_;
  std::vector<std::size_t> shape_;
  Storage bits_;
};

// One file: `# key: value` headers and tensors by name. A header `# same: a = b` makes `a` another
// name of tensor `b`.
class File {
 public:
  // Reads a gzip stream from disk. Throws Gv1Error.
  static File load(const std::string& path);
  // Reads the text itself; `source` is used in messages only. Throws Gv1Error.
  static File parse(std::string_view text, const std::string& source);

  const std::string& source() const { return source_; }
  bool has(const std::string& name) const { return index_.count(name) != 0; }
  // Throws Gv1Error when there is no such tensor.
  const Tensor& at(const std::string& name) const;
  // Value of a header; empty when absent. A repeated key keeps its first value.
  std::string header(const std::string& key) const;
  // All names, aliases included, tensors in file order and then the aliases.
  const std::vector<std::string>& names() const { return names_; }
  // Name of the tensor that holds the numbers of `name` (`name` itself unless it is an alias).
  const std::string& stored_name(const std::string& name) const { return at(name).name(); }

 private:
  std::string source_;
  std::map<std::string, std::string> headers_;
  std::vector<std::string> names_;
  std::vector<Tensor> tensors_;
  std::map<std::string, std::size_t> index_;
};

// Decompresses one gzip member; throws Gv1Error when it is damaged, cut short, followed by other
// bytes, or larger than `limit` bytes.
std::string gunzip(std::string_view compressed, const std::string& source, std::size_t limit);

}  // namespace fp4lab::golden
