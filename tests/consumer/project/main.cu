// Kernels and device functions with an element format as their template argument. Without a device
// the host half runs.
#include <cstdio>
#include <cstring>

#include "expected.h"

template <fp4lab::ElementFormat kFormat>
__device__ std::uint32_t encode_on_device(float x) {
  static_assert(fp4lab::encode(kFormat, 1e30f) == 7);  // the encoder runs at compile time here too
  return fp4lab::encode(kFormat, x);
}

// A __global__ template takes the format inside a type; formats/element_format.h tells why.
template <class Format>
__global__ void encode_kernel(const float* in, std::uint32_t* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = encode_on_device<Format::get()>(in[i]);
}

template <class Format>
__global__ void decode_kernel(float* out) {
  out[threadIdx.x] = fp4lab::decode(Format::get(), threadIdx.x);
}

namespace {

constexpr int kCount = sizeof(consumer::kCases) / sizeof(consumer::kCases[0]);
static_assert(kCount <= 32, "one warp encodes them all");

int check(const char* where, const std::uint32_t* codes, const float* values) {
  int failures = 0;
  for (int i = 0; i < kCount; ++i) {
    if (codes[i] != consumer::kCases[i].code) {
      std::printf("%s: encode %.9g: got %u want %u\n", where, consumer::kCases[i].input, codes[i],
                  consumer::kCases[i].code);
      ++failures;
    }
  }
  for (int code = 0; code < 16; ++code) {
    if (std::memcmp(&values[code], &consumer::kValues[code], sizeof(float)) != 0) {
      std::printf("%s: decode %d: got %g want %g\n", where, code, values[code],
                  consumer::kValues[code]);
      ++failures;
    }
  }
  return failures;
}

bool ok(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return true;
  std::printf("%s: %s\n", what, cudaGetErrorString(status));
  return false;
}

int on_device() {
  using Format = fp4lab::FormatTag<consumer::kFormat>;
  float* in = nullptr;
  std::uint32_t* codes = nullptr;
  float* values = nullptr;
  if (!ok(cudaMallocManaged(&in, kCount * sizeof(float)), "allocate") ||
      !ok(cudaMallocManaged(&codes, kCount * sizeof(std::uint32_t)), "allocate") ||
      !ok(cudaMallocManaged(&values, 16 * sizeof(float)), "allocate")) {
    return 1;
  }
  for (int i = 0; i < kCount; ++i) in[i] = consumer::kCases[i].input;
  encode_kernel<Format><<<1, 32>>>(in, codes, kCount);
  decode_kernel<Format><<<1, 16>>>(values);
  if (!ok(cudaGetLastError(), "launch") || !ok(cudaDeviceSynchronize(), "run")) return 1;
  const int failures = check("device", codes, values);
  cudaFree(in);
  cudaFree(codes);
  cudaFree(values);
  return failures;
}

}  // namespace

int main() {
  std::uint32_t codes[kCount];
  float values[16];
  for (int i = 0; i < kCount; ++i) {
    codes[i] = fp4lab::encode(consumer::kFormat, consumer::kCases[i].input);
  }
  for (std::uint32_t code = 0; code < 16; ++code) {
    values[code] = fp4lab::decode(consumer::kFormat, code);
  }
  int failures = check("host", codes, values);
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0) {
    failures += on_device();
    std::printf("host and device: %d differences\n", failures);
  } else {
    std::printf("host: %d differences; no device here, the kernels were only compiled\n", failures);
  }
  return failures == 0 ? 0 : 1;
}
