// A typed, row-major array in memory: what every file reader returns and every writer takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "data/error.h"

namespace fp4lab {

/// Element type of an Array. f16 and bf16 are carried as their 16-bit patterns.
enum class DType : std::uint8_t {
  kF32,
  kF64,
  kF16,
  kBf16,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64
};

/// Bytes of one element.
constexpr std::size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kU8:
    case DType::kI8:
      return 1;
    case DType::kF16:
    case DType::kBf16:
    case DType::kU16:
    case DType::kI16:
      return 2;
    case DType::kF32:
    case DType::kU32:
    case DType::kI32:
      return 4;
    case DType::kF64:
    case DType::kU64:
    case DType::kI64:
      return 8;
  }
  return 0;
}

/// `f32`, `u8`, ...: the name used for file endings and `--dtype`.
std::string_view dtype_name(DType dtype);

/// The dtype called `text` (`f32` or `float32`, `u8` or `uint8`, ...), or nothing.
std::optional<DType> parse_dtype(std::string_view text);

/// All names of dtype_name().
const std::vector<std::string>& dtype_names();

/// Whether the type is f16, bf16, f32 or f64.
constexpr bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 ||
         dtype == DType::kBf16;
}

/// Hands out memory on 64-byte boundaries (one cache line, one AVX-512 register).
template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::size_t kAlignment = 64;
  CacheLineAllocator() = default;
  template <typename U>
  CacheLineAllocator(const CacheLineAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(kAlignment)));
  }
  void deallocate(T* p, std::size_t) noexcept {
    ::operator delete(p, std::align_val_t(kAlignment));
  }
  bool operator==(const CacheLineAllocator&) const noexcept { return true; }
};

using AlignedBytes = std::vector<std::byte, CacheLineAllocator<std::byte>>;
using Shape = std::vector<std::size_t>;

/// Product of the extents (1 for a 0-d shape), or nothing when it exceeds 2^63 - 1.
std::optional<std::size_t> element_count(const Shape& shape);

/// `256x512`; `scalar` for a 0-d shape.
std::string shape_text(const Shape& shape);

/// Parses `256x512` or `256,512`, at most 32 extents. Throws InputError.
Shape parse_shape(std::string_view text);

/// Row-major array. Invariant: bytes.size() == element_count(shape) * dtype_size(dtype).
struct Array {
  DType dtype = DType::kF32;
  Shape shape{0};
  AlignedBytes bytes;

  Array() = default;
  /// Zero-filled. Throws InputError when the shape's size overflows.
  Array(DType element, Shape extents);

  std::size_t size() const { return bytes.size() / dtype_size(dtype); }

  /// The elements as T, whose size must be the dtype's (std::logic_error otherwise).
  template <typename T>
  std::span<T> as() {
    check_width(sizeof(T));
    return {reinterpret_cast<T*>(bytes.data()), size()};
  }
  template <typename T>
  std::span<const T> as() const {
    check_width(sizeof(T));
    return {reinterpret_cast<const T*>(bytes.data()), size()};
  }

  /// Rows and columns with all leading axes folded into rows: [a,b,c] -> (a*b, c), [c] -> (1, c),
  /// 0-d -> (1, 1). A zero extent gives zero rows.
  std::size_t rows() const;
  std::size_t columns() const;

 private:
  void check_width(std::size_t width) const;
};

/// What to do where a number does not fit binary32.
enum class Narrowing {
  kForbid,  ///< InputError naming the first such element
  kRound    ///< one rounding to nearest even
};

/// Exact binary32 of a binary16 pattern; NaN payloads move up unchanged.
float half_to_float(std::uint16_t bits);

/// Exact binary32 of a bfloat16 pattern.
float bfloat16_to_float(std::uint16_t bits);

/// The same numbers as binary32 (f16, bf16 and small integers widen exactly).
/// `what` names the array in error lines.
Array to_float32(const Array& array, Narrowing narrowing, std::string_view what);

/// The same numbers as binary64. 64-bit integers that do not fit raise InputError.
Array to_float64(const Array& array, std::string_view what);

}  // namespace fp4lab
