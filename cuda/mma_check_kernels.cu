// Every sm_90a instruction that sim/mma_presets.h models, one instruction an output tile.
//
// Fragment layouts are those of the PTX manual. An operand row of an mma.sync is 16 or 32 bytes
// whatever the type, so one loader serves all: word w of row g goes to lane 4 g + w % 4.

#include "cuda/device.h"
#include "cuda/mma_check.h"

namespace fp4lab::cuda {
namespace {

// --- mma.sync --------------------------------------------------------------------------------

/// Instructions by shape of their registers: A words, B words, D words a lane.
#define FP4LAB_MMA_422(NAME, PTX)                                                                  \
  struct NAME {                                                                                    \
    static constexpr int a_words = 4, b_words = 2, d_words = 2;                                    \
    __device__ static void run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b) { \
      asm volatile("mma.sync.aligned." PTX " {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};"            \
                   : "+r"(d[0]), "+r"(d[1])                                                        \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));            \
    }                                                                                              \
  };
#define FP4LAB_MMA_212(NAME, PTX)                                                                  \
  struct NAME {                                                                                    \
    static constexpr int a_words = 2, b_words = 1, d_words = 2;                                    \
    __device__ static void run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b) { \
      asm volatile("mma.sync.aligned." PTX " {%0,%1}, {%2,%3}, {%4}, {%0,%1};"                     \
                   : "+r"(d[0]), "+r"(d[1])                                                        \
                   : "r"(a[0]), "r"(a[1]), "r"(b[0]));                                             \
    }                                                                                              \
  };
#define FP4LAB_MMA_424(NAME, PTX)                                                                  \
  struct NAME {                                                                                    \
    static constexpr int a_words = 4, b_words = 2, d_words = 4;                                    \
    __device__ static void run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b) { \
      float f0 = __uint_as_float(d[0]), f1 = __uint_as_float(d[1]);                                \
      float f2 = __uint_as_float(d[2]), f3 = __uint_as_float(d[3]);                                \
      asm volatile("mma.sync.aligned." PTX                                                         \
                   " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                        \
                   : "+f"(f0), "+f"(f1), "+f"(f2), "+f"(f3)                                        \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));            \
      d[0] = __float_as_uint(f0);                                                                  \
      d[1] = __float_as_uint(f1);                                                                  \
      d[2] = __float_as_uint(f2);                                                                  \
      d[3] = __float_as_uint(f3);                                                                  \
    }                                                                                              \
  };
#define FP4LAB_MMA_214(NAME, PTX)                                                                  \
  struct NAME {                                                                                    \
    static constexpr int a_words = 2, b_words = 1, d_words = 4;                                    \
    __device__ static void run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b) { \
      float f0 = __uint_as_float(d[0]), f1 = __uint_as_float(d[1]);                                \
      float f2 = __uint_as_float(d[2]), f3 = __uint_as_float(d[3]);                                \
      asm volatile("mma.sync.aligned." PTX " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"         \
                   : "+f"(f0), "+f"(f1), "+f"(f2), "+f"(f3)                                        \
                   : "r"(a[0]), "r"(a[1]), "r"(b[0]));                                             \
      d[0] = __float_as_uint(f0);                                                                  \
      d[1] = __float_as_uint(f1);                                                                  \
      d[2] = __float_as_uint(f2);                                                                  \
      d[3] = __float_as_uint(f3);                                                                  \
    }                                                                                              \
  };

#define FP4LAB_MMA_FP8(A, B)                                                        \
  FP4LAB_MMA_424(mma_k32_##A##_##B##_f32, "m16n8k32.row.col.f32." #A "." #B ".f32") \
  FP4LAB_MMA_422(mma_k32_##A##_##B##_f16, "m16n8k32.row.col.f16." #A "." #B ".f16") \
  FP4LAB_MMA_214(mma_k16_##A##_##B##_f32, "m16n8k16.row.col.f32." #A "." #B ".f32") \
  FP4LAB_MMA_212(mma_k16_##A##_##B##_f16, "m16n8k16.row.col.f16." #A "." #B ".f16")

FP4LAB_MMA_424(mma_k16_f16_f16_f32, "m16n8k16.row.col.f32.f16.f16.f32")
FP4LAB_MMA_422(mma_k16_f16_f16_f16, "m16n8k16.row.col.f16.f16.f16.f16")
FP4LAB_MMA_214(mma_k8_f16_f16_f32, "m16n8k8.row.col.f32.f16.f16.f32")
FP4LAB_MMA_212(mma_k8_f16_f16_f16, "m16n8k8.row.col.f16.f16.f16.f16")
FP4LAB_MMA_424(mma_k16_bf16_bf16_f32, "m16n8k16.row.col.f32.bf16.bf16.f32")
FP4LAB_MMA_214(mma_k8_bf16_bf16_f32, "m16n8k8.row.col.f32.bf16.bf16.f32")
FP4LAB_MMA_424(mma_k8_tf32_tf32_f32, "m16n8k8.row.col.f32.tf32.tf32.f32")
FP4LAB_MMA_214(mma_k4_tf32_tf32_f32, "m16n8k4.row.col.f32.tf32.tf32.f32")
FP4LAB_MMA_FP8(e4m3, e4m3)
FP4LAB_MMA_FP8(e4m3, e5m2)
FP4LAB_MMA_FP8(e5m2, e4m3)
FP4LAB_MMA_FP8(e5m2, e5m2)

/// Where lane `lane` finds (and puts) register r of C and D: element offset of the low column.
template <bool kHalf>
__device__ int accumulator_offset(int lane, int r) {
  const int group = lane / 4, pair = 2 * (lane % 4);
  // binary16: a register holds two neighbours; binary32: registers 2 r and 2 r + 1 do.
  return kHalf ? (group + 8 * r) * 8 + pair : (group + 8 * (r / 2)) * 8 + pair + r % 2;
}

/// One warp a tile.
template <class Op>
__global__ void mma_kernel(const std::uint32_t* a, const std::uint32_t* b, const void* c, void* d,
                           std::size_t tiles) {
  constexpr int row_words = Op::a_words == 4 ? 8 : 4;
  constexpr bool half = Op::d_words == 2;
  const std::size_t tile = (blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x) / 32;
  if (tile >= tiles) return;
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, t = lane % 4;
  const std::uint32_t* at = a + tile * 16 * row_words;
  const std::uint32_t* bt = b + tile * 8 * row_words;
  std::uint32_t ra[Op::a_words], rb[Op::b_words], rd[Op::d_words];
  for (int r = 0; r < Op::a_words; ++r)
    ra[r] = at[(g + 8 * (r & 1)) * row_words + t + 4 * (r >> 1)];
  for (int r = 0; r < Op::b_words; ++r) rb[r] = bt[g * row_words + t + 4 * r];
  const std::size_t base = tile * 128;
  for (int r = 0; r < Op::d_words; ++r) {
    const std::size_t o = base + static_cast<std::size_t>(accumulator_offset<half>(lane, r));
    rd[r] = half ? static_cast<const std::uint32_t*>(c)[o / 2]
                 : static_cast<const std::uint32_t*>(c)[o];
  }
  Op::run(rd, ra, rb);
  for (int r = 0; r < Op::d_words; ++r) {
    const std::size_t o = base + static_cast<std::size_t>(accumulator_offset<half>(lane, r));
    static_cast<std::uint32_t*>(d)[half ? o / 2 : o] = rd[r];
  }
}

template <class Op>
void launch_mma(const void* a, const void* b, const void* c, void* d, std::size_t tiles) {
  mma_kernel<Op><<<grid_for(tiles * 32, 256), 256>>>(
      static_cast<const std::uint32_t*>(a), static_cast<const std::uint32_t*>(b), c, d, tiles);
}

/// m8n8k4 in binary64: one element of A and B a lane.
__global__ void mma_f64_kernel(const double* a, const double* b, const double* c, double* d,
                               std::size_t tiles) {
  const std::size_t tile = (blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x) / 32;
  if (tile >= tiles) return;
  const std::size_t lane = threadIdx.x % 32;
  const double x = a[tile * 32 + lane], y = b[tile * 32 + lane];
  double d0 = c[tile * 64 + 2 * lane], d1 = c[tile * 64 + 2 * lane + 1];
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(d0), "+d"(d1)
               : "d"(x), "d"(y));
  d[tile * 64 + 2 * lane] = d0;
  d[tile * 64 + 2 * lane + 1] = d1;
}

void launch_mma_f64(const void* a, const void* b, const void* c, void* d, std::size_t tiles) {
  mma_f64_kernel<<<grid_for(tiles * 32, 256), 256>>>(
      static_cast<const double*>(a), static_cast<const double*>(b), static_cast<const double*>(c),
      static_cast<double*>(d), tiles);
}

// --- wgmma -----------------------------------------------------------------------------------

#define FP4LAB_WGMMA_F32(NAME, PTX, TAIL)                                            \
  struct NAME {                                                                      \
    static constexpr int d_words = 4;                                                \
    __device__ static void run(std::uint32_t* d, std::uint64_t a, std::uint64_t b) { \
      float f0 = __uint_as_float(d[0]), f1 = __uint_as_float(d[1]);                  \
      float f2 = __uint_as_float(d[2]), f3 = __uint_as_float(d[3]);                  \
      asm volatile(                                                                  \
          "{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"                                \
          "wgmma.fence.sync.aligned;\n"                                              \
          "wgmma.mma_async.sync.aligned." PTX " {%0,%1,%2,%3}, %4, %5, p, 1, 1" TAIL \
          ";\n"                                                                      \
          "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n}\n"  \
          : "+f"(f0), "+f"(f1), "+f"(f2), "+f"(f3)                                   \
          : "l"(a), "l"(b), "r"(1)                                                   \
          : "memory");                                                               \
      d[0] = __float_as_uint(f0);                                                    \
      d[1] = __float_as_uint(f1);                                                    \
      d[2] = __float_as_uint(f2);                                                    \
      d[3] = __float_as_uint(f3);                                                    \
    }                                                                                \
  };
#define FP4LAB_WGMMA_F16(NAME, PTX, TAIL)                                            \
  struct NAME {                                                                      \
    static constexpr int d_words = 2;                                                \
    __device__ static void run(std::uint32_t* d, std::uint64_t a, std::uint64_t b) { \
      asm volatile(                                                                  \
          "{\n.reg .pred p;\nsetp.ne.b32 p, %4, 0;\n"                                \
          "wgmma.fence.sync.aligned;\n"                                              \
          "wgmma.mma_async.sync.aligned." PTX " {%0,%1}, %2, %3, p, 1, 1" TAIL       \
          ";\n"                                                                      \
          "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n}\n"  \
          : "+r"(d[0]), "+r"(d[1])                                                   \
          : "l"(a), "l"(b), "r"(1)                                                   \
          : "memory");                                                               \
    }                                                                                \
  };

#define FP4LAB_WGMMA_FP8(A, B)                                               \
  FP4LAB_WGMMA_F32(wgmma_k32_##A##_##B##_f32, "m64n8k32.f32." #A "." #B, "") \
  FP4LAB_WGMMA_F16(wgmma_k32_##A##_##B##_f16, "m64n8k32.f16." #A "." #B, "")

FP4LAB_WGMMA_F32(wgmma_k16_f16_f16_f32, "m64n8k16.f32.f16.f16", ", 0, 0")
FP4LAB_WGMMA_F16(wgmma_k16_f16_f16_f16, "m64n8k16.f16.f16.f16", ", 0, 0")
FP4LAB_WGMMA_F32(wgmma_k16_bf16_bf16_f32, "m64n8k16.f32.bf16.bf16", ", 0, 0")
FP4LAB_WGMMA_F32(wgmma_k8_tf32_tf32_f32, "m64n8k8.f32.tf32.tf32", "")
FP4LAB_WGMMA_FP8(e4m3, e4m3)
FP4LAB_WGMMA_FP8(e4m3, e5m2)
FP4LAB_WGMMA_FP8(e5m2, e4m3)
FP4LAB_WGMMA_FP8(e5m2, e5m2)

/// Shared-memory descriptor of a K-major operand without swizzle: core matrices of 8 rows x 16
/// bytes, 128 bytes each; neighbours along K 128 bytes apart, along M or N 256 bytes.
__device__ std::uint64_t descriptor(const void* shared) {
  const std::uint64_t address = __cvta_generic_to_shared(shared);
  return ((address >> 4) & 0x3FFF) | (std::uint64_t{128 >> 4} << 16) |
         (std::uint64_t{256 >> 4} << 32);
}

/// Place of word w (0..7) of row r among the core matrices.
__device__ int core_offset(int r, int w) {
  return ((r / 8) * 2 + w / 4) * 32 + (r % 8) * 4 + w % 4;
}

/// One warp group a tile.
template <class Op>
__global__ void __launch_bounds__(128)
    wgmma_kernel(const std::uint32_t* a, const std::uint32_t* b, const void* c, void* d) {
  __shared__ __align__(1024) std::uint32_t sa[64 * 8];
  __shared__ __align__(1024) std::uint32_t sb[8 * 8];
  constexpr bool half = Op::d_words == 2;
  const std::size_t tile = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < 512; i += 128) sa[core_offset(i / 8, i % 8)] = a[tile * 512 + i];
  if (thread < 64) sb[core_offset(thread / 8, thread % 8)] = b[tile * 64 + thread];
  // What was stored in the usual way must be seen by the asynchronous reader.
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const std::size_t base = tile * 512 + static_cast<std::size_t>(thread / 32) * 128;
  std::uint32_t rd[Op::d_words];
  for (int r = 0; r < Op::d_words; ++r) {
    const std::size_t o = base + static_cast<std::size_t>(accumulator_offset<half>(thread % 32, r));
    rd[r] = static_cast<const std::uint32_t*>(c)[half ? o / 2 : o];
  }
  Op::run(rd, descriptor(sa), descriptor(sb));
  for (int r = 0; r < Op::d_words; ++r) {
    const std::size_t o = base + static_cast<std::size_t>(accumulator_offset<half>(thread % 32, r));
    static_cast<std::uint32_t*>(d)[half ? o / 2 : o] = rd[r];
  }
}

template <class Op>
void launch_wgmma(const void* a, const void* b, const void* c, void* d, std::size_t tiles) {
  wgmma_kernel<Op><<<static_cast<unsigned>(tiles), 128>>>(
      static_cast<const std::uint32_t*>(a), static_cast<const std::uint32_t*>(b), c, d);
}

// --- the table -------------------------------------------------------------------------------

using Launch = void (*)(const void*, const void*, const void*, void*, std::size_t);
struct Kernel {
  const char* preset;
  Launch launch;
};

#define FP4LAB_MMA_ROW(K, A, B, ACC) \
  {"sm90a.mma." #K "." #A "." #B "." #ACC, launch_mma<mma_##K##_##A##_##B##_##ACC>},
#define FP4LAB_WGMMA_ROW(K, A, B, ACC) \
  {"sm90a.wgmma." #K "." #A "." #B "." #ACC, launch_wgmma<wgmma_##K##_##A##_##B##_##ACC>},
#define FP4LAB_FP8_ROWS(A, B)                                                                  \
  FP4LAB_MMA_ROW(k32, A, B, f32)                                                               \
  FP4LAB_MMA_ROW(k32, A, B, f16) FP4LAB_MMA_ROW(k16, A, B, f32) FP4LAB_MMA_ROW(k16, A, B, f16) \
      FP4LAB_WGMMA_ROW(k32, A, B, f32) FP4LAB_WGMMA_ROW(k32, A, B, f16)

const Kernel kKernels[] = {
    FP4LAB_MMA_ROW(k16, f16, f16, f32) FP4LAB_MMA_ROW(k16, f16, f16, f16) FP4LAB_MMA_ROW(
        k8, f16, f16, f32) FP4LAB_MMA_ROW(k8, f16, f16, f16) FP4LAB_MMA_ROW(k16, bf16, bf16, f32)
        FP4LAB_MMA_ROW(k8, bf16, bf16, f32) FP4LAB_MMA_ROW(k8, tf32, tf32, f32)
            FP4LAB_MMA_ROW(k4, tf32, tf32, f32) FP4LAB_WGMMA_ROW(k16, f16, f16, f32)
                FP4LAB_WGMMA_ROW(k16, f16, f16, f16) FP4LAB_WGMMA_ROW(k16, bf16, bf16, f32)
                    FP4LAB_WGMMA_ROW(k8, tf32, tf32, f32) FP4LAB_FP8_ROWS(e4m3, e4m3)
                        FP4LAB_FP8_ROWS(e4m3, e5m2) FP4LAB_FP8_ROWS(e5m2, e4m3)
                            FP4LAB_FP8_ROWS(e5m2, e5m2){"sm90a.mma.k4.f64.f64.f64", launch_mma_f64},
};

const Kernel* find_kernel(const std::string& preset_id) {
  for (const Kernel& k : kKernels) {
    if (preset_id == k.preset) return &k;
  }
  return nullptr;
}

}  // namespace

bool mma_device(std::string& name) {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess || n == 0) {
    name = "no CUDA device";
    return false;
  }
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, 0), "device properties");
  name = std::string(p.name) + ", compute capability " + std::to_string(p.major) + "." +
         std::to_string(p.minor);
  return p.major == 9 && p.minor == 0;
}

bool mma_kernel_exists(const std::string& preset_id) { return find_kernel(preset_id) != nullptr; }

void run_mma_batch(const std::string& preset_id, const MmaTileShape&, MmaBatch& batch) {
  const Kernel* const kernel = find_kernel(preset_id);
  if (kernel == nullptr) throw std::runtime_error("no kernel for " + preset_id);
  const DeviceArray<std::uint8_t> a(batch.a.data(), batch.a.size());
  const DeviceArray<std::uint8_t> b(batch.b.data(), batch.b.size());
  const DeviceArray<std::uint8_t> c(batch.c.data(), batch.c.size());
  // A launch that stores nothing must not look like one that stores zeros.
  DeviceArray<std::uint8_t> d(batch.d.size());
  check(cudaMemset(d.get(), 0xA5, d.size()), "memset");
  kernel->launch(a.get(), b.get(), c.get(), d.get(), batch.tiles);
  check(cudaGetLastError(), preset_id.c_str());
  check(cudaDeviceSynchronize(), preset_id.c_str());
  d.download(batch.d.data());
}

}  // namespace fp4lab::cuda
