// Checkpoints as bytes: little endian, sizes in front, every read checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace fp4lab::train {

static_assert(std::endian::native == std::endian::little, "checkpoints are little endian");

class ByteWriter {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    raw(&value, sizeof value);
  }
  template <class T>
  void numbers(std::span<const T> values) {
    number<std::uint64_t>(values.size());
    raw(values.data(), values.size_bytes());
  }
  template <class T>
  void numbers(const std::vector<T>& values) {
    numbers(std::span<const T>(values));
  }
  void text(const std::string& value) {
    number<std::uint64_t>(value.size());
    raw(value.data(), value.size());
  }
  const std::vector<std::byte>& bytes() const noexcept { return bytes_; }
  std::vector<std::byte> take() noexcept { return std::move(bytes_); }

 private:
  void raw(const void* data, std::size_t size) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  std::vector<std::byte> bytes_;
};

/// Every method throws std::invalid_argument where the bytes end early or a size does not fit.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  T number() {
    T value{};
    std::memcpy(&value, raw(sizeof value), sizeof value);
    return value;
  }
  template <class T>
  std::vector<T> numbers() {
    const std::uint64_t n = number<std::uint64_t>();
    if (n > left() / sizeof(T)) refuse();
    std::vector<T> values(static_cast<std::size_t>(n));
    const std::byte* from = raw(values.size() * sizeof(T));
    if (n != 0) std::memcpy(values.data(), from, values.size() * sizeof(T));
    return values;
  }
  /// As many numbers as `to` holds, into it.
  template <class T>
  void numbers_into(std::span<T> to) {
    if (number<std::uint64_t>() != to.size()) refuse();
    const std::byte* from = raw(to.size_bytes());
    if (!to.empty()) std::memcpy(to.data(), from, to.size_bytes());
  }
  std::string text() {
    const std::uint64_t n = number<std::uint64_t>();
    if (n > left()) refuse();
    const std::byte* from = raw(static_cast<std::size_t>(n));
    return {reinterpret_cast<const char*>(from), static_cast<std::size_t>(n)};
  }
  /// Throws unless the next text is `expected`: what a reader and its writer must agree on.
  void expect(const std::string& expected) {
    if (text() != expected) refuse();
  }
  std::size_t left() const noexcept { return bytes_.size() - at_; }

 private:
  [[noreturn]] static void refuse() {
    throw std::invalid_argument("the checkpoint does not fit this run");
  }
  const std::byte* raw(std::size_t size) {
    if (size > left()) refuse();
    const std::byte* const p = bytes_.data() + at_;
    at_ += size;
    return p;
  }
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

}  // namespace fp4lab::train
