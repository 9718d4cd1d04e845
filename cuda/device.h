// Small things every CUDA translation unit needs: errors as exceptions, owned device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace fp4lab::cuda {

/// Throws std::runtime_error with CUDA's own words when a call failed.
inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
  }
}

/// True when a device can be used.
inline bool available() {
  int n = 0;
  return cudaGetDeviceCount(&n) == cudaSuccess && n > 0;
}

/// n elements of device memory.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::size_t n) : size_(n) {
    if (n != 0) check(cudaMalloc(&data_, n * sizeof(T)), "allocation");
  }
  DeviceArray(const T* host, std::size_t n) : DeviceArray(n) { upload(host); }
  DeviceArray(DeviceArray&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  DeviceArray& operator=(DeviceArray&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* get() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  void upload(const T* host) {
    if (size_ == 0) return;
    check(cudaMemcpy(data_, host, size_ * sizeof(T), cudaMemcpyHostToDevice), "copy to device");
  }
  void download(T* host) const {
    if (size_ == 0) return;
    check(cudaMemcpy(host, data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), "copy from device");
  }
  void zero() {
    if (size_ != 0) check(cudaMemset(data_, 0, size_ * sizeof(T)), "memset");
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Blocks of `threads` that cover n items.
inline unsigned grid_for(std::size_t n, unsigned threads) {
  return static_cast<unsigned>((n + threads - 1) / threads);
}

}  // namespace fp4lab::cuda
