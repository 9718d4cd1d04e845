// Memory that a thread keeps from one product to the next, on cache lines.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace fp4lab::detail {

/// At least `count` elements of T, uninitialised. What an earlier call returned is gone.
template <class T>
class Scratch {
 public:
  T* at_least(std::size_t count) {
    if (count > size_) {
      data_.reset();
      size_ = 0;
      const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
      data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
      if (!data_) throw std::bad_alloc();
      size_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace fp4lab::detail
