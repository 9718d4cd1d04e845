#include <algorithm>
#include <vector>

#include "cuda/device.h"
#include "cuda/quantize.h"
#include "formats/block_quantize.h"
#include "formats/choose_scale.h"
#include "formats/hadamard.h"
#include "sim/quantize_plan.h"

namespace fp4lab::cuda {
namespace {

constexpr unsigned kThreads = 128;

/// What the kernels need to know of the tensor.
struct Geometry {
  std::size_t rows, cols;              // of the input
  std::size_t stored_rows, stored_cols;
  std::size_t block_rows, block_cols, grid_rows, grid_cols;
  GlobalScope scope;
  std::size_t scopes_per_row;

  __device__ BlockView view(const float* data, std::size_t n) const {
    const std::size_t r0 = n / grid_cols * block_rows, c0 = n % grid_cols * block_cols;
    BlockView v;
    v.data = data;
    v.offset = r0 * stored_cols + c0;
    v.rows = static_cast<std::uint32_t>(min(block_rows, stored_rows - r0));
    v.cols = static_cast<std::uint32_t>(min(block_cols, stored_cols - c0));
    v.row_stride = stored_cols;
    v.col_stride = 1;
    return v;
  }
  __device__ std::size_t block_of(std::size_t i) const {
    return i / stored_cols / block_rows * grid_cols + i % stored_cols / block_cols;
  }
  __device__ std::size_t scope_of_block(std::size_t n) const {
    const std::size_t r = n / grid_cols * block_rows, c = n % grid_cols * block_cols;
    return scope == GlobalScope::row            ? r
           : scope == GlobalScope::row_block128 ? r * scopes_per_row + c / 128
                                                : 0;
  }
};

__global__ void prepare(const float* in, float* out, Geometry g, float prescale) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i >= g.stored_rows * g.stored_cols) return;
  const std::size_t r = i / g.stored_cols, c = i % g.stored_cols;
  const bool inside = r < g.rows && c < g.cols;
  const float x = inside ? in[r * g.cols + c] : 0.0f;
  out[i] = prescale == 1.0f || !inside ? x : mul_rn(x, prescale);
}

__global__ void hadamard(float* x, Geometry g, int size, bool along_rows, HadamardSignBits signs) {
  const std::size_t n = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (n >= g.stored_rows * g.stored_cols / static_cast<std::size_t>(size)) return;
  if (along_rows) {
    const std::size_t group = n / g.stored_cols, c = n % g.stored_cols;
    hadamard_forward(x + group * size * g.stored_cols + c, size, g.stored_cols, signs);
  } else {
    hadamard_forward(x + n * size, size, 1, signs);
  }
}

__global__ void clip(float* x, std::size_t n, float bound) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  if (x[i] > bound) x[i] = bound;
  if (x[i] < -bound) x[i] = -bound;
}

/// Which elements an amax looks at.
enum class AmaxOf { all, not_nan, finite };

__device__ std::uint32_t amax_bits(float x, AmaxOf of) {
  const std::uint32_t a = bits_as<std::uint32_t>(x) & 0x7FFFFFFFu;
  if (of == AmaxOf::not_nan && a > 0x7F800000u) return 0;
  if (of == AmaxOf::finite && a >= 0x7F800000u) return 0;
  return a;
}

/// Integer maximum of the magnitude bits of each scope or block: order does not matter.
template <class IndexOf>
__device__ void reduce_amax(const float* x, std::size_t n, AmaxOf of, std::uint32_t* amax,
                            IndexOf index_of) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i >= n) return;
  atomicMax(amax + index_of(i), amax_bits(x[i], of));
}
__global__ void scope_amax(const float* x, Geometry g, AmaxOf of, std::uint32_t* amax) {
  reduce_amax(x, g.stored_rows * g.stored_cols, of, amax, [&](std::size_t i) {
    const std::size_t r = i / g.stored_cols, c = i % g.stored_cols;
    return g.scope == GlobalScope::row            ? r
           : g.scope == GlobalScope::row_block128 ? r * g.scopes_per_row + c / 128
                                                  : std::size_t{0};
  });
}
__global__ void block_amax_bits(const float* x, Geometry g, AmaxOf of, std::uint32_t* amax) {
  reduce_amax(x, g.stored_rows * g.stored_cols, of, amax,
              [&](std::size_t i) { return g.block_of(i); });
}

/// Scale of every block, one thread a block. With `amax` the rule needs nothing else of the block:
/// a one-element view that holds it stands for all.
__global__ void scales(QuantSpec spec, const float* x, Geometry g, const GlobalFactor* factors,
                       const float* amax, float external_amax, BlockScale* out) {
  const std::size_t n = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (n >= g.grid_rows * g.grid_cols) return;
  BlockView v = g.view(x, n);
  if (amax != nullptr) {
    v.data = amax;
    v.offset = n;
    v.rows = v.cols = 1;
  }
  out[n] = choose_scale(spec, factors[g.scope_of_block(n)], v, external_amax);
}

/// Codes of all elements, into the one of `narrow` and `wide` that is given. (Not a template: each
/// copy of this kernel takes ptxas seconds an architecture.)
__global__ void elements(QuantSpec spec, const float* x, Geometry g, const BlockScale* scale,
                         RandomSource random, std::uint8_t* narrow, std::uint32_t* wide,
                         unsigned long long* saturated) {
  const std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (i >= g.stored_rows * g.stored_cols) return;
  const BlockScale& b = scale[g.block_of(i)];
  const RandomSource source = candidate_source(spec, b, random);
  const std::uint32_t c = static_cast<std::uint32_t>(i % g.stored_cols % g.block_cols);
  const std::uint32_t code =
      encode_element(spec, b, x[i], c, spec.round, source.word(i, spec.round));
  if (wide != nullptr) {
    wide[i] = code;
  } else {
    narrow[i] = static_cast<std::uint8_t>(code);
  }
  if (is_saturated(spec, b, x[i])) atomicAdd(saturated, 1ull);
}

void run_elements(QuantizedTensor& q, const float* x, const Geometry& g, const BlockScale* scale,
                  RandomSource random) {
  const std::size_t n = g.stored_rows * g.stored_cols;
  const bool wide = q.spec.element.bits > 8;
  DeviceArray<std::uint32_t> words;
  if (random.given != nullptr) {
    words = DeviceArray<std::uint32_t>(random.given, n);
    random.given = words.get();
  }
  DeviceArray<std::uint8_t> narrow_codes(wide ? 0 : n);
  DeviceArray<std::uint32_t> wide_codes(wide ? n : 0);
  DeviceArray<unsigned long long> saturated(1);
  saturated.zero();
  elements<<<grid_for(n, kThreads), kThreads>>>(q.spec, x, g, scale, random, narrow_codes.get(),
                                                wide_codes.get(), saturated.get());
  check(cudaGetLastError(), "element kernel");
  q.codes.resize(narrow_codes.size());
  q.wide_codes.resize(wide_codes.size());
  narrow_codes.download(q.codes.data());
  wide_codes.download(q.wide_codes.data());
  unsigned long long count = 0;
  saturated.download(&count);
  q.saturated = count;
}

}  // namespace

QuantizedTensor quantize(const QuantSpec& spec, std::span<const float> data,
                         std::span<const std::size_t> shape, const QuantizeOptions& options) {
  QuantizedTensor q = plan_quantization(spec, data.size(), shape, options);
  Geometry g{q.rows,           q.cols,           q.grid.rows,      q.grid.cols,
             q.grid.block_rows, q.grid.block_cols, q.grid.grid_rows, q.grid.grid_cols,
             spec.global,      global_scopes_per_row(spec, q.grid)};
  const std::size_t n = g.stored_rows * g.stored_cols;
  if (n == 0) return q;

  const DeviceArray<float> in(data.data(), data.size());
  const DeviceArray<float> x(n);
  prepare<<<grid_for(n, kThreads), kThreads>>>(in.get(), x.get(), g, spec.prescale);
  if (spec.hadamard != 0) {
    hadamard<<<grid_for(n / spec.hadamard, kThreads), kThreads>>>(
        x.get(), g, spec.hadamard, runs_along_rows(spec),
        hadamard_signs(q.signs, spec.hadamard, q.hadamard_stream));
  }
  if (spec.clip != ClipKind::none) {
    float bound = static_cast<float>(spec.clip_arg);
    if (spec.clip == ClipKind::percentile) {
      std::vector<float> host(n);
      x.download(host.data());
      bound = clip_bound(spec, host);
    }
    clip<<<grid_for(n, kThreads), kThreads>>>(x.get(), n, bound);
  }
  check(cudaGetLastError(), "preparation kernels");

  // Global factors: amax on the device, the few scalar operations on the host.
  std::vector<GlobalFactor> factors;
  if (spec.global == GlobalScope::none) {
    factors.push_back(global_factor(spec, 0.0f));
  } else {
    const std::size_t scopes =
        spec.global == GlobalScope::tensor ? 1 : g.stored_rows * g.scopes_per_row;
    DeviceArray<std::uint32_t> amax(scopes);
    amax.zero();
    const bool te = spec.profile == Profile::te || spec.profile == Profile::te_4over6;
    const AmaxOf of = spec.amax_nan == AmaxNan::ignore ? AmaxOf::not_nan
                      : te                             ? AmaxOf::all
                                                       : AmaxOf::finite;
    scope_amax<<<grid_for(n, kThreads), kThreads>>>(x.get(), g, of, amax.get());
    check(cudaGetLastError(), "amax kernel");
    std::vector<std::uint32_t> host(scopes);
    amax.download(host.data());
    for (const std::uint32_t a : host) factors.push_back(global_factor(spec, bits_as<float>(a)));
  }
  if (spec.has_global()) {
    for (const GlobalFactor& f : factors) q.global.push_back(f.decode);
  }
  const DeviceArray<GlobalFactor> device_factors(factors.data(), factors.size());

  const std::size_t blocks = q.grid.blocks();
  DeviceArray<BlockScale> scale(blocks);
  DeviceArray<std::uint32_t> amax;
  if (needs_only_amax(spec)) {
    amax = DeviceArray<std::uint32_t>(blocks);
    amax.zero();
    block_amax_bits<<<grid_for(n, kThreads), kThreads>>>(
        x.get(), g, spec.amax_nan == AmaxNan::ignore ? AmaxOf::not_nan : AmaxOf::all, amax.get());
  }
  scales<<<grid_for(blocks, kThreads), kThreads>>>(
      spec, x.get(), g, device_factors.get(), reinterpret_cast<const float*>(amax.get()),
      options.external_amax, scale.get());
  check(cudaGetLastError(), "scale kernel");

  run_elements(q, x.get(), g, scale.get(), options.random);
  std::vector<BlockScale> host(blocks);
  scale.download(host.data());
  for (std::size_t i = 0; i < blocks; ++i) {
    q.scale_codes[i] = host[i].code;
    if (!q.zero_points.empty()) q.zero_points[i] = host[i].zero_point;
  }
  return q;
}

}  // namespace fp4lab::cuda
