// Tensor: a row-major array that owns its memory, and Eigen views of it.
//
// No strides: element (i, j, k) of shape [a, b, c] is at (i * b + j) * c + k. Memory starts on a
// 64-byte boundary (a cache line, a vector register), that of large ones on huge pages. Copying copies the elements; every element
// of a new tensor is zero unless asked for otherwise.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sim/huge_pages.h"
#include "sim/shape.h"

namespace fp4lab {

/// Bytes a tensor's memory is aligned to.
inline constexpr std::size_t kTensorAlignment = 64;

/// Row-major tensor of a plain number type.
template <class T>
class BasicTensor {
  static_assert(std::is_arithmetic_v<T>, "a tensor holds plain numbers");

 public:
  using value_type = T;
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;
  using MatrixMap = Eigen::Map<Matrix, Eigen::Aligned64>;
  using ConstMatrixMap = Eigen::Map<const Matrix, Eigen::Aligned64>;
  using VectorMap = Eigen::Map<Vector, Eigen::Aligned64>;
  using ConstVectorMap = Eigen::Map<const Vector, Eigen::Aligned64>;

  /// Shape [0].
  BasicTensor() = default;
  /// All zeros. Throws std::length_error for a shape that cannot be counted, std::bad_alloc.
  explicit BasicTensor(Shape shape) : BasicTensor(std::move(shape), Raw{}) { fill(T{}); }
  BasicTensor(std::initializer_list<std::size_t> shape) : BasicTensor(Shape(shape)) {}
  /// Copies `values`, row-major. Throws std::invalid_argument when their number is not the shape's.
  BasicTensor(Shape shape, std::span<const T> values) : BasicTensor(std::move(shape), Raw{}) {
    if (values.size() != size_) {
      throw std::invalid_argument("a tensor of " + std::to_string(size_) + " elements from " +
                                  std::to_string(values.size()) + " values");
    }
    copy_from(values.data());
  }
  /// Memory as it comes, for a tensor that is written in full next.
  static BasicTensor uninitialized(Shape shape) { return BasicTensor(std::move(shape), Raw{}); }

  BasicTensor(const BasicTensor& other) : BasicTensor(other.shape_, Raw{}) {
    copy_from(other.data_);
  }
  BasicTensor(BasicTensor&& other) noexcept { swap(other); }
  BasicTensor& operator=(const BasicTensor& other) {
    if (this != &other) {
      resize(other.shape_);
      copy_from(other.data_);
    }
    return *this;
  }
  BasicTensor& operator=(BasicTensor&& other) noexcept {
    BasicTensor(std::move(other)).swap(*this);
    return *this;
  }
  ~BasicTensor() { release(data_); }

  void swap(BasicTensor& other) noexcept {
    std::swap(shape_, other.shape_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(data_, other.data_);
  }

  const Shape& shape() const noexcept { return shape_; }
  std::size_t rank() const noexcept { return shape_.size(); }
  /// Extent of an axis; negative axes count from the last.
  std::size_t extent(int axis) const {
    return shape_.at(axis < 0 ? shape_.size() - static_cast<std::size_t>(-axis)
                              : static_cast<std::size_t>(axis));
  }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// As a matrix (matrix_extents).
  std::size_t rows() const { return matrix_extents(shape_).rows; }
  std::size_t cols() const noexcept { return shape_.empty() ? 1 : shape_.back(); }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::span<T> span() noexcept { return {data_, size_}; }
  std::span<const T> span() const noexcept { return {data_, size_}; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }

  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  /// Element of the matrix.
  T& operator()(std::size_t row, std::size_t col) noexcept { return data_[row * cols() + col]; }
  const T& operator()(std::size_t row, std::size_t col) const noexcept {
    return data_[row * cols() + col];
  }
  /// A row of the matrix.
  std::span<T> row(std::size_t r) noexcept { return {data_ + r * cols(), cols()}; }
  std::span<const T> row(std::size_t r) const noexcept { return {data_ + r * cols(), cols()}; }

  /// Eigen views. Element-wise work and inspection only: products go through sim/gemm.h, whose
  /// order of summation is defined.
  MatrixMap matrix() { return {data_, index(rows()), index(cols())}; }
  ConstMatrixMap matrix() const { return {data_, index(rows()), index(cols())}; }
  VectorMap vector() noexcept { return {data_, index(size_)}; }
  ConstVectorMap vector() const noexcept { return {data_, index(size_)}; }

  void fill(T value) noexcept { std::fill(data_, data_ + size_, value); }

  /// Another shape of as many elements. Throws std::invalid_argument otherwise.
  void reshape(Shape shape) {
    if (shape_size(shape) != size_) {
      throw std::invalid_argument("reshape: a tensor of " + std::to_string(size_) +
                                  " elements to a shape of " + std::to_string(shape_size(shape)));
    }
    shape_ = std::move(shape);
  }
  /// Any shape; the elements are unspecified afterwards. Memory is used again where it suffices.
  void resize(Shape shape) {
    const std::size_t n = shape_size(shape);
    if (n > capacity_) {
      T* fresh = acquire(n);
      release(data_);
      data_ = fresh;
      capacity_ = n;
    }
    shape_ = std::move(shape);
    size_ = n;
  }

 private:
  struct Raw {};
  BasicTensor(Shape shape, Raw) { resize(std::move(shape)); }

  static Eigen::Index index(std::size_t n) noexcept { return static_cast<Eigen::Index>(n); }
  static T* acquire(std::size_t n) {
    if (n > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T)) {
      throw std::bad_alloc();
    }
    void* array = ::operator new(n * sizeof(T), std::align_val_t(kTensorAlignment));
    detail::advise_huge_pages(array, n * sizeof(T));
    return static_cast<T*>(array);
  }
  static void release(T* p) noexcept { ::operator delete(p, std::align_val_t(kTensorAlignment)); }
  void copy_from(const T* p) noexcept {
    if (size_ != 0) std::memcpy(data_, p, size_ * sizeof(T));
  }

  Shape shape_{0};
  std::size_t size_ = 0, capacity_ = 0;
  T* data_ = nullptr;
};

using Tensor = BasicTensor<float>;
using DoubleTensor = BasicTensor<double>;
using IntTensor = BasicTensor<std::int32_t>;
using ByteTensor = BasicTensor<std::uint8_t>;

/// Same shape and same bits: NaN equals the same NaN, -0 differs from +0.
template <class T>
bool same_bits(const BasicTensor<T>& a, const BasicTensor<T>& b) noexcept {
  return a.shape() == b.shape() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace fp4lab
