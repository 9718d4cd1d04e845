#include "sim/quantize_fast.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "formats/block_quantize.h"
#include "formats/choose_scale.h"
#include "formats/packing.h"
#include "sim/simd/kernels.h"
#include "sim/simd/make_plan.h"

namespace fp4lab {
namespace {

using simd::BlockRef;
using simd::Layout;
using simd::Output;
using simd::Plan;

/// Elements of one unit of work for a thread; even, and a multiple of every usual block.
constexpr std::size_t kChunk = std::size_t{1} << 16;
/// Chunks that a backward pass visits forwards in one go: 4 MiB, so that the hardware's prefetchers
/// hardly meet a seam.
constexpr std::size_t kStripe = 16;
/// Below this many elements starting threads costs more than it saves.
[[maybe_unused]] constexpr std::size_t kParallel = std::size_t{1} << 15;

/// Bytes of the last-level cache that one core reaches. sysconf() sums up the caches of all core
/// complexes on some processors (384 MiB where a core has 32), so what Linux says comes first.
std::size_t last_level_cache() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::size_t kib = 0;
  char unit = 0;
  if (file >> kib >> unit && unit == 'K' && kib != 0) return kib << 10;
  constexpr std::size_t usual = std::size_t{32} << 20;
#if defined(_SC_LEVEL3_CACHE_SIZE)
  const long size = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (size > 0) return std::min(static_cast<std::size_t>(size), usual);
#endif
  return usual;
}

/// Non-temporal stores pay when input and output cannot both stay in the last-level cache.
std::size_t stream_bytes() {
  static const std::size_t bytes = last_level_cache();
  return bytes;
}

/// One tensor on its way through the vector engine.
struct Run {
  const QuantSpec& spec;
  const QuantizeOptions& options;
  const float* in;
  BlockGrid grid;
  simd::PlanForShape shape;
  std::vector<GlobalFactor> global;
  Output out;

  std::size_t size() const { return grid.rows * grid.cols; }
  std::size_t packed_row() const { return packed_bytes(grid.cols); }
  const GlobalFactor& global_of(std::size_t row) const {
    return global[spec.global == GlobalScope::row ? row : 0];
  }
};

/// The scalar twin of a block that holds NaN or Inf: choose_scale, encode and decode of formats/.
std::uint64_t quantize_special(const void* context, const BlockRef& ref) {
  const Run& run = *static_cast<const Run*>(context);
  const QuantSpec& spec = run.spec;
  const std::size_t cols = run.grid.cols;
  const GlobalFactor& g = run.global_of(ref.offset / cols);
  const BlockView view{run.in,
                       ref.offset,
                       static_cast<std::uint32_t>(ref.rows),
                       static_cast<std::uint32_t>(ref.cols),
                       cols,
                       1};
  const BlockScale b = choose_scale(spec, g, view, run.options.external_amax);
  const BlockScale stored = scale_from_code(spec, b.code);
  const Output& out = run.out;
  if (out.scales32 != nullptr) out.scales32[ref.block] = b.code;
  if (out.scales8 != nullptr) out.scales8[ref.block] = static_cast<std::uint8_t>(b.code);
  std::uint64_t saturated = 0;
  for (std::uint32_t r = 0; r < view.rows; ++r) {
    for (std::uint32_t c = 0; c < view.cols; ++c) {
      const std::uint64_t i = view.index(r, c);
      const float x = run.in[i];
      const std::uint32_t code =
          encode_element(spec, b, x, c, spec.round, run.options.random.word(i, spec.round));
      if (is_saturated(spec, b, x)) ++saturated;
      if (out.values != nullptr) {
        out.values[i] = dequantize_element(spec, stored, g, code, c);
      } else if (out.codes != nullptr) {
        out.codes[i] = static_cast<std::uint8_t>(code);
      } else {
        // Blocks beside each other come in ascending order and from one thread.
        std::uint8_t& byte = out.packed[i / cols * run.packed_row() + i % cols / 2];
        byte = static_cast<std::uint8_t>(i % cols % 2 == 0 ? code : byte | code << 4);
      }
    }
  }
  return saturated;
}

BlockScale choose_from_amax(const void* context, float amax) {
  const Run& run = *static_cast<const Run*>(context);
  return choose_scale(run.spec, run.global[0], {&amax, 0, 1, 1, 1, 1}, run.options.external_amax);
}

/// The same for one row's global factor.
struct RowContext {
  const Run* run;
  std::size_t row;
};
BlockScale choose_from_amax_in_row(const void* context, float amax) {
  const RowContext& c = *static_cast<const RowContext*>(context);
  return choose_scale(c.run->spec, c.run->global_of(c.row), {&amax, 0, 1, 1, 1, 1},
                      c.run->options.external_amax);
}

/// The n-th of `items` chunks of a backward pass: stripes from the last to the first.
std::size_t backwards(std::size_t n, std::size_t items) {
  const std::size_t rest = items % kStripe, whole = items - rest;
  if (n < rest) return whole + n;
  const std::size_t m = n - rest;
  return whole - kStripe * (m / kStripe + 1) + m % kStripe;
}

/// Runs backwards: it begins with what the tensor's maker left in the cache and leaves the tensor's
/// beginning there for the pass that quantizes.
float amax_of(const float* x, std::size_t n, bool finite_only) {
  const std::size_t chunks = (n + kChunk - 1) / kChunk;
  std::uint32_t best = 0;
#pragma omp parallel for schedule(static) reduction(max : best) if (n >= kParallel)
  for (std::size_t k = 0; k < chunks; ++k) {
    const std::size_t first = backwards(k, chunks) * kChunk;
    best = std::max(best,
                    simd::max_magnitude_bits(x + first, std::min(kChunk, n - first), finite_only));
  }
  return bits_as<float>(best);
}

/// Global factors of the tensor or of each row. False where one is not a positive finite number.
bool set_global_factors(Run& run) {
  const QuantSpec& spec = run.spec;
  const std::size_t rows = run.grid.rows, cols = run.grid.cols;
  if (spec.global == GlobalScope::row) {
    run.global.resize(rows);
#pragma omp parallel for schedule(static) if (run.size() >= kParallel)
    for (std::size_t r = 0; r < rows; ++r) {
      const std::uint32_t bits = simd::max_magnitude_bits(run.in + r * cols, cols, true);
      run.global[r] = global_factor(spec, bits_as<float>(bits));
    }
  } else if (spec.global == GlobalScope::tensor) {
    run.global.push_back(global_factor(spec, amax_of(run.in, run.size(), true)));
  } else {
    run.global.push_back(global_factor(spec, 0.0f));
  }
  for (const GlobalFactor& g : run.global) {
    if (!simd::set_global(run.shape.plan, spec, g)) return false;
  }
  return simd::set_global(run.shape.plan, spec, run.global[0]);
}

/// The layout `tensor`: one scale, chosen from the amax of everything.
bool set_tensor_scale(Run& run) {
  const QuantSpec& spec = run.spec;
  if (spec.scale.kind != ScaleFormat::Kind::none) {
    const float amax = amax_of(run.in, run.size(), false);
    if (!is_finite(amax)) return false;
    const BlockScale b = choose_from_amax(&run, amax);
    if (!simd::set_constant_scale(run.shape.plan, spec, b)) return false;
    if (run.out.scales32 != nullptr) run.out.scales32[0] = b.code;
    if (run.out.scales8 != nullptr) run.out.scales8[0] = static_cast<std::uint8_t>(b.code);
  } else if (run.out.scales32 != nullptr) {
    std::fill_n(run.out.scales32, run.grid.blocks(), bits_as<std::uint32_t>(1.0f));
  }
  return true;
}

std::uint64_t run_rows(const Run& run) {
  const std::size_t rows = run.grid.rows, cols = run.grid.cols;
  const bool tensor = run.shape.layout == Layout::tensor;
  // Blocks that fill rows exactly follow each other in memory across rows, and so do elements under
  // one scale, unless packed rows end in half a byte.
  const bool row_factors = run.spec.global == GlobalScope::row;
  const std::size_t block = tensor ? 2 : run.shape.block;
  const bool joined = !row_factors && cols % block == 0 && block % 2 == 0;
  const std::size_t stretch = joined ? rows * cols : cols;  // elements that need no break
  const std::size_t stretches = joined ? 1 : rows;
  const std::size_t chunk = std::max<std::size_t>(kChunk / block, 1) * block;
  const std::size_t chunks = (stretch + chunk - 1) / chunk;
  const std::size_t items = stretches * chunks;
  const std::size_t blocks_in_stretch = (stretch + block - 1) / block;
  std::uint64_t saturated = 0;
#pragma omp parallel for schedule(static) reduction(+ : saturated) if (run.size() >= kParallel)
  for (std::size_t n = 0; n < items; ++n) {
    const std::size_t s = n / chunks, from = n % chunks * chunk;
    simd::RowJob job;
    job.in = run.in;
    job.first = s * stretch + from;
    job.elements = std::min(chunk, stretch - from);
    job.block_size = block;
    job.first_block = s * blocks_in_stretch + from / block;
    job.packed_byte = s * (joined ? stretch / 2 : run.packed_row()) + from / 2;
    if (row_factors) {
      Plan plan = run.shape.plan;
      const RowContext context{&run, s};
      simd::set_global(plan, run.spec, run.global[s]);
      plan.choose = choose_from_amax_in_row;
      plan.context = &context;
      saturated += simd::quantize_rows(plan, job, run.out, {quantize_special, &run});
    } else {
      saturated += simd::quantize_rows(run.shape.plan, job, run.out, {quantize_special, &run});
    }
  }
  return saturated;
}

std::uint64_t run_columns(const Run& run) {
  const std::size_t rows = run.grid.rows, cols = run.grid.cols, block = run.shape.block;
  const std::size_t bands = (rows + block - 1) / block;
  // Whole bands where there are enough of them, so that each strip's right neighbour is next.
  const std::size_t chunk = bands >= 16 ? cols : 256;
  const std::size_t chunks = (cols + chunk - 1) / chunk;
  const std::size_t items = bands * chunks;
  std::uint64_t saturated = 0;
#pragma omp parallel for schedule(static) reduction(+ : saturated) if (run.size() >= kParallel)
  for (std::size_t n = 0; n < items; ++n) {
    const std::size_t band = n / chunks, c0 = n % chunks * chunk;
    simd::ColumnJob job;
    job.in = run.in;
    job.first = band * block * cols + c0;
    job.rows = std::min(block, rows - band * block);
    job.cols = std::min(chunk, cols - c0);
    job.row_stride = cols;
    job.first_block = band * cols + c0;
    job.packed_byte = band * block * run.packed_row() + c0 / 2;
    job.packed_stride = run.packed_row();
    saturated += simd::quantize_columns(run.shape.plan, job, run.out, {quantize_special, &run});
  }
  return saturated;
}

/// Everything but allocation. False, with nothing written, where the reference has to do it.
bool execute(Run& run, std::uint64_t& saturated) {
  if (!set_global_factors(run)) return false;
  if (run.shape.layout == Layout::tensor && !set_tensor_scale(run)) return false;
  run.shape.plan.choose = choose_from_amax;
  run.shape.plan.context = &run;
  if (run.out.values != nullptr) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(run.out.values) % 64 == 0 &&
                         run.grid.cols % 16 == 0 &&
                         (run.shape.layout != Layout::rows || run.shape.block % 16 == 0);
    run.out.stream = aligned && 2 * sizeof(float) * run.size() > stream_bytes();
  }
  saturated = run.shape.layout == Layout::columns ? run_columns(run) : run_rows(run);
  return true;
}

struct MatrixShape {
  std::size_t rows = 1, cols = 1;
};

MatrixShape matrix_shape(std::span<const std::size_t> shape, std::size_t elements) {
  MatrixShape m;
  if (!shape.empty()) m.cols = shape.back();
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) m.rows *= shape[i];
  if (m.rows * m.cols != elements) {
    throw std::invalid_argument("quantize: the shape does not match the number of elements");
  }
  return m;
}

bool is_transformed(const QuantSpec& spec) {
  return spec.hadamard != 0 || spec.prescale != 1.0f || spec.clip != ClipKind::none;
}

std::vector<float> decode_factors(const Run& run) {
  std::vector<float> g;
  if (run.spec.has_global()) {
    for (const GlobalFactor& f : run.global) g.push_back(f.decode);
  }
  return g;
}

}  // namespace

bool has_fast_path(const QuantSpec& spec, std::size_t rows, std::size_t cols,
                   const QuantizeOptions& options) {
  return simd::make_plan(spec, rows, cols, options).has_value();
}

namespace {

/// One tile by scalar code: it holds NaN or Inf, or its scale is special.
std::uint64_t quantize_tile_scalar(QuantizedTensor& q, const GlobalFactor& g, const BlockView& view,
                                   std::size_t block, const QuantizeOptions& options) {
  const BlockScale b =
      quantize_block(q.spec, g, view, options.random, q.codes.data(), options.external_amax);
  q.scale_codes[block] = b.code;
  std::uint64_t saturated = 0;
  for_each_element(
      view, [&](float x, std::uint64_t) { saturated += is_saturated(q.spec, b, x) ? 1u : 0u; });
  return saturated;
}

/// Square and other two-dimensional blocks: a scale from the tile's amax, then the vector kernel of
/// one scale over the tile's rows.
bool quantize_tiles(QuantizedTensor& q, const float* source, const QuantizeOptions& options) {
  const BlockGrid& grid = q.grid;
  QuantSpec one_scale = q.spec;
  one_scale.block = {};
  const auto made = simd::make_plan(one_scale, grid.rows, grid.cols, options);
  if (!made || q.spec.scale.kind == ScaleFormat::Kind::none) return false;
  Plan base = made->plan;
  const bool tensor = q.spec.global == GlobalScope::tensor;
  const GlobalFactor g =
      global_factor(q.spec, tensor ? amax_of(source, grid.rows * grid.cols, true) : 0.0f);
  if (!simd::set_global(base, q.spec, g)) return false;
  q.global.clear();
  if (q.spec.has_global()) q.global.push_back(g.decode);
  Output out;
  out.codes = q.codes.data();
  std::uint64_t saturated = 0;
#pragma omp parallel for schedule(static) reduction(+ : saturated) \
    if (grid.rows * grid.cols >= kParallel)
  for (std::size_t n = 0; n < grid.blocks(); ++n) {
    const std::size_t r0 = n / grid.grid_cols * grid.block_rows;
    const std::size_t c0 = n % grid.grid_cols * grid.block_cols;
    const std::size_t rows = std::min(grid.block_rows, grid.rows - r0);
    const std::size_t cols = std::min(grid.block_cols, grid.cols - c0);
    std::uint32_t bits = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      bits =
          std::max(bits, simd::max_magnitude_bits(source + (r0 + r) * grid.cols + c0, cols, false));
    }
    const float amax = bits_as<float>(bits);
    Plan plan = base;
    bool vectors = is_finite(amax);
    if (vectors) {
      const BlockScale b = choose_scale(q.spec, g, {&amax, 0, 1, 1, 1, 1}, options.external_amax);
      vectors = simd::set_constant_scale(plan, q.spec, b);
      q.scale_codes[n] = b.code;
    }
    if (!vectors) {
      const BlockView view{source,
                           r0 * grid.cols + c0,
                           static_cast<std::uint32_t>(rows),
                           static_cast<std::uint32_t>(cols),
                           grid.cols,
                           1};
      saturated += quantize_tile_scalar(q, g, view, n, options);
      continue;
    }
    simd::RowJob job;
    job.in = source;
    job.elements = cols;
    job.block_size = 2;
    for (std::size_t r = 0; r < rows; ++r) {
      job.first = (r0 + r) * grid.cols + c0;
      saturated += simd::quantize_rows(plan, job, out, {nullptr, nullptr});
    }
  }
  q.saturated = saturated;
  return true;
}

}  // namespace

namespace detail {

bool quantize_blocks_fast(QuantizedTensor& q, const float* source, const QuantizeOptions& options) {
  if (q.spec.block.rows > 1 && q.spec.block.cols > 1) return quantize_tiles(q, source, options);
  const auto plan = simd::make_plan(q.spec, q.grid.rows, q.grid.cols, options);
  if (!plan) return false;
  Run run{q.spec, options, source, q.grid, *plan, {}, {}};
  run.out.codes = q.codes.data();
  run.out.scales32 = q.scale_codes.data();
  if (!execute(run, q.saturated)) return false;
  q.global = decode_factors(run);
  return true;
}

}  // namespace detail

std::uint64_t fake_quantize_into(const QuantSpec& spec, std::span<const float> in,
                                 std::span<const std::size_t> shape, std::span<float> out,
                                 const QuantizeOptions& options) {
  const MatrixShape m = matrix_shape(shape, in.size());
  if (out.size() != in.size()) {
    throw std::invalid_argument("fake_quantize_into: input and output differ in size");
  }
  if (in.empty()) return 0;  // however many rows there are: nothing is allocated for them
  if (!is_transformed(spec)) {
    if (const auto plan = simd::make_plan(spec, m.rows, m.cols, options)) {
      Run run{spec,  options, in.data(), make_grid(spec.block, m.rows, m.cols),
              *plan, {},      {}};
      run.out.values = out.data();
      std::uint64_t saturated = 0;
      if (execute(run, saturated)) return saturated;
    }
  }
  const QuantizedTensor q = quantize(spec, in, shape, options);
  const std::vector<float> y = dequantize(q);
  std::copy(y.begin(), y.end(), out.begin());
  return q.saturated;
}

void quantize_packed(const QuantSpec& spec, std::span<const float> in,
                     std::span<const std::size_t> shape, PackedTensor& out,
                     const QuantizeOptions& options) {
  const bool zero_points =
      detail::is_asymmetric(spec) && spec.scale.kind != ScaleFormat::Kind::none;
  if (spec.element.bits > 4 || zero_points) {
    throw std::invalid_argument(
        "quantize_packed: two codes a byte need a format of at most 4 bits without zero points");
  }
  const MatrixShape m = matrix_shape(shape, in.size());
  const bool bytes = spec.scale.kind == ScaleFormat::Kind::coded && spec.scale.format.bits <= 8 &&
                     spec.scheme != Scheme::hif4 && spec.scheme != Scheme::dialect;
  const auto allocate = [&](const BlockGrid& grid) {
    out.grid = grid;
    out.codes.resize(grid.rows * packed_bytes(grid.cols));
    out.scale_codes.resize(bytes ? grid.blocks() : 0);
    out.wide_scale_codes.resize(bytes ? 0 : grid.blocks());
  };
  if (!is_transformed(spec)) {
    if (const auto plan = simd::make_plan(spec, m.rows, m.cols, options)) {
      allocate(make_grid(spec.block, m.rows, m.cols));
      Run run{spec, options, in.data(), out.grid, *plan, {}, {}};
      run.out.packed = out.codes.data();
      if (bytes) run.out.scales8 = out.scale_codes.data();
      if (!bytes) run.out.scales32 = out.wide_scale_codes.data();
      if (execute(run, out.saturated)) {
        out.global = decode_factors(run);
        return;
      }
    }
  }
  const QuantizedTensor q = quantize(spec, in, shape, options);
  allocate(q.grid);
  for (std::size_t r = 0; r < q.grid.rows; ++r) {
    pack_nibbles(q.codes.data() + r * q.grid.cols, q.grid.cols,
                 out.codes.data() + r * packed_bytes(q.grid.cols), NibbleOrder::low_first);
  }
  for (std::size_t i = 0; i < q.scale_codes.size(); ++i) {
    if (bytes) {
      out.scale_codes[i] = static_cast<std::uint8_t>(q.scale_codes[i]);
    } else {
      out.wide_scale_codes[i] = q.scale_codes[i];
    }
  }
  out.global = q.global;
  out.saturated = q.saturated;
}

}  // namespace fp4lab
