#include "sim/quantize.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "formats/block_quantize.h"
#include "formats/choose_scale.h"
#include "formats/hadamard.h"
#include "sim/quantize_fast.h"
#include "sim/quantize_plan.h"

namespace fp4lab {
namespace {

std::size_t padded(std::size_t n, std::size_t group) { return (n + group - 1) / group * group; }

/// Clamps to +-bound; NaN passes.
void clip(const QuantSpec& spec, std::vector<float>& m) {
  if (spec.clip == ClipKind::none || m.empty()) return;
  const float bound = clip_bound(spec, m);
  for (float& x : m) {
    if (x > bound) x = bound;
    if (x < -bound) x = -bound;
  }
}

/// Global amax of one scope. Finite elements only, so that a bad element costs its own block and
/// nothing else; Transformer Engine's reference and amax-nan=ignore take infinities too.
float scope_amax(const QuantSpec& spec, const BlockView& v) {
  if (spec.amax_nan == AmaxNan::ignore) return block_amax(v, AmaxNan::ignore);
  if (spec.profile == Profile::te || spec.profile == Profile::te_4over6) return block_amax(v);
  return finite_amax(v);
}

/// The tensor amax, row by row in parallel: a maximum does not depend on order.
float tensor_amax(const QuantSpec& spec, const float* data, std::size_t rows, std::size_t cols) {
  std::vector<float> part(rows);
#pragma omp parallel for schedule(static)
  for (std::size_t r = 0; r < rows; ++r) {
    part[r] = scope_amax(spec, {data, r * cols, 1, static_cast<std::uint32_t>(cols), cols, 1});
  }
  const BlockView all{part.data(), 0, 1, static_cast<std::uint32_t>(rows), 0, 1};
  return block_amax(all);
}

std::vector<GlobalFactor> global_factors(const QuantSpec& spec, const float* data, std::size_t rows,
                                         std::size_t cols, const GlobalScopes& scopes) {
  std::vector<GlobalFactor> g;
  switch (spec.global) {
    case GlobalScope::none:
      g.push_back(global_factor(spec, 0.0f));
      break;
    case GlobalScope::tensor:
      g.push_back(global_factor(spec, tensor_amax(spec, data, rows, cols)));
      break;
    case GlobalScope::row:
    case GlobalScope::row_block128:
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t s = 0; s < scopes.per_row; ++s) {
          const std::size_t c0 = spec.global == GlobalScope::row ? 0 : 128 * s;
          const std::size_t n =
              spec.global == GlobalScope::row ? cols : std::min<std::size_t>(128, cols - c0);
          g.push_back(global_factor(
              spec,
              scope_amax(spec, {data, r * cols + c0, 1, static_cast<std::uint32_t>(n), cols, 1})));
        }
      }
      break;
  }
  return g;
}

/// Two-level scopes must not cut through a block: 2-D blocks span rows, and rows have their own g.
void check_scopes(const QuantSpec& spec, const BlockGrid& grid) {
  const bool spans_rows = grid.block_rows > 1 && grid.rows > 1;
  const bool cuts_columns = spec.global == GlobalScope::row_block128 &&
                            (grid.block_cols > 128 || 128 % grid.block_cols != 0);
  if ((spec.global == GlobalScope::row || spec.global == GlobalScope::row_block128) &&
      (spans_rows || cuts_columns)) {
    throw std::invalid_argument(
        "a global factor per row or 1x128 span needs blocks inside it (1xC with C dividing 128)");
  }
}

std::uint64_t count_saturated(const QuantSpec& spec, const BlockScale& b, const BlockView& v) {
  std::uint64_t n = 0;
  for_each_element(v, [&](float x, std::uint64_t) { n += is_saturated(spec, b, x) ? 1u : 0u; });
  return n;
}

template <class Code>
void quantize_blocks(QuantizedTensor& q, const float* data, const std::vector<GlobalFactor>& g,
                     const GlobalScopes& scopes, const QuantizeOptions& o, Code* codes) {
  const BlockGrid& grid = q.grid;
  const bool asymmetric = !q.zero_points.empty();
  std::uint64_t saturated = 0;
  const std::size_t blocks = grid.blocks();
#pragma omp parallel for schedule(static) reduction(+ : saturated)
  for (std::size_t n = 0; n < blocks; ++n) {
    const BlockView v = block_view(grid, data, n / grid.grid_cols, n % grid.grid_cols);
    const GlobalFactor& factor =
        g[scopes.index(n / grid.grid_cols * grid.block_rows, n % grid.grid_cols * grid.block_cols)];
    const BlockScale b = quantize_block(q.spec, factor, v, o.random, codes, o.external_amax);
    q.scale_codes[n] = b.code;
    if (asymmetric) q.zero_points[n] = b.zero_point;
    saturated += count_saturated(q.spec, b, v);
  }
  q.saturated = saturated;
}

}  // namespace

std::size_t global_scopes_per_row(const QuantSpec& spec, const BlockGrid& grid) {
  return spec.global == GlobalScope::row_block128 ? (grid.cols + 127) / 128 : 1;
}

float clip_bound(const QuantSpec& spec, std::span<const float> prepared) {
  if (spec.clip != ClipKind::percentile) return static_cast<float>(spec.clip_arg);
  const BlockView all{prepared.data(), 0, 1, static_cast<std::uint32_t>(prepared.size()), 0, 1};
  return abs_percentile(all, spec.clip_arg);
}

QuantizedTensor plan_quantization(const QuantSpec& spec, std::size_t size,
                                  std::span<const std::size_t> shape,
                                  const QuantizeOptions& options) {
  QuantizedTensor q;
  plan_quantization_into(spec, size, shape, options, q);
  return q;
}

void plan_quantization_into(const QuantSpec& spec, std::size_t size,
                            std::span<const std::size_t> shape, const QuantizeOptions& options,
                            QuantizedTensor& q) {
  q.spec = spec;
  q.signs = HadamardSigns::none;
  q.hadamard_stream = {};
  q.saturated = 0;
  q.global.clear();
  q.shape.assign(shape.begin(), shape.end());
  q.cols = shape.empty() ? 1 : shape.back();
  q.rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) q.rows *= shape[i];
  if (q.rows * q.cols != size) {
    throw std::invalid_argument("quantize: the shape does not match the number of elements");
  }
  std::size_t rows = q.rows, cols = q.cols;
  if (spec.hadamard != 0) {
    std::size_t& along = runs_along_rows(spec) ? rows : cols;
    along = padded(along, spec.hadamard);
    q.signs = spec.signs;
    q.hadamard_stream = options.random.stream;
  }
  q.grid = make_grid(spec.block, rows, cols);
  check_scopes(spec, q.grid);
  q.scale_codes.resize(q.grid.blocks());
  q.zero_points.resize(detail::is_asymmetric(spec) ? q.grid.blocks() : 0);
}

QuantizedTensor quantize(const QuantSpec& spec, std::span<const float> data,
                         std::span<const std::size_t> shape, const QuantizeOptions& options) {
  QuantizedTensor q;
  quantize_into(spec, data, shape, q, options);
  return q;
}

void quantize_into(const QuantSpec& spec, std::span<const float> data,
                   std::span<const std::size_t> shape, QuantizedTensor& q,
                   const QuantizeOptions& options) {
  plan_quantization_into(spec, data.size(), shape, options, q);
  const std::size_t rows = q.grid.rows, cols = q.grid.cols;
  if (data.empty()) {
    // Other extents may be huge: nothing may be allocated or visited per row.
    q.codes.clear();
    q.wide_codes.clear();
    if (spec.global == GlobalScope::tensor || spec.rule == ScaleRule::tseng34) {
      q.global.push_back(global_factor(spec, 0.0f).decode);
    }
    return;
  }

  // Prescale, Hadamard and clip work on a copy, padded with zeros along the transformed axis.
  std::vector<float> copy;
  if (spec.hadamard != 0 || spec.prescale != 1.0f || spec.clip != ClipKind::none) {
    copy.assign(rows * cols, 0.0f);
    for (std::size_t r = 0; r < q.rows; ++r) {
      for (std::size_t c = 0; c < q.cols; ++c) {
        const float x = data[r * q.cols + c];
        copy[r * cols + c] = spec.prescale == 1.0f ? x : mul_rn(x, spec.prescale);
      }
    }
    if (spec.hadamard != 0) {
      const HadamardSignBits signs = hadamard_signs(q.signs, spec.hadamard, q.hadamard_stream);
      for_each_hadamard_group(spec, copy.data(), rows, cols, [&](float* x, std::size_t stride) {
        hadamard_forward(x, spec.hadamard, stride, signs);
      });
    }
    clip(spec, copy);
  }
  const float* source = copy.empty() ? data.data() : copy.data();
  q.codes.resize(spec.element.bits <= 8 ? rows * cols : 0);
  q.wide_codes.resize(spec.element.bits <= 8 ? 0 : rows * cols);
  if (detail::quantize_blocks_fast(q, source, options)) return;

  const GlobalScopes scopes{spec.global, global_scopes_per_row(spec, q.grid)};
  const std::vector<GlobalFactor> g = global_factors(spec, source, rows, cols, scopes);
  if (spec.has_global()) {
    for (const GlobalFactor& f : g) q.global.push_back(f.decode);
  }
  if (spec.element.bits <= 8) {
    quantize_blocks(q, source, g, scopes, options, q.codes.data());
  } else {
    quantize_blocks(q, source, g, scopes, options, q.wide_codes.data());
  }
}

std::vector<float> fake_quantize(const QuantSpec& spec, std::span<const float> data,
                                 std::span<const std::size_t> shape,
                                 const QuantizeOptions& options) {
  std::vector<float> out(data.size());
  fake_quantize_into(spec, data, shape, out, options);
  return out;
}

namespace {

template <class T>
std::vector<T> transposed(std::span<const T> m, std::size_t rows, std::size_t cols) {
  std::vector<T> t(m.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) t[c * rows + r] = m[r * cols + c];
  }
  return t;
}

QuantizedTensor transpose_codes(const QuantizedTensor& q) {
  const BlockShape& b = q.spec.block;
  const bool square = b.rows == b.cols;
  const bool one_global =
      q.spec.global == GlobalScope::none || q.spec.global == GlobalScope::tensor;
  if (!square || !one_global || q.spec.hadamard != 0) {
    throw std::invalid_argument(
        "codes transpose onto themselves only for square blocks or one scale a tensor, without "
        "Hadamard and without a global factor per row");
  }
  QuantizedTensor t = q;
  t.shape = {q.cols, q.rows};
  std::swap(t.rows, t.cols);
  t.grid = make_grid(b, q.grid.cols, q.grid.rows);
  t.codes = transposed<std::uint8_t>(q.codes, q.codes.empty() ? 0 : q.grid.rows, q.grid.cols);
  t.wide_codes =
      transposed<std::uint32_t>(q.wide_codes, q.wide_codes.empty() ? 0 : q.grid.rows, q.grid.cols);
  t.scale_codes = transposed<std::uint32_t>(q.scale_codes, q.grid.grid_rows, q.grid.grid_cols);
  t.zero_points = transposed<std::int32_t>(
      q.zero_points, q.zero_points.empty() ? 0 : q.grid.grid_rows, q.grid.grid_cols);
  return t;
}

}  // namespace

QuantizedTensor quantize_transposed(const QuantizedTensor& q, std::span<const float> data,
                                    const QuantSpec& spec, TransposeSource source,
                                    const QuantizeOptions& options) {
  const std::size_t shape[2] = {q.cols, q.rows};
  switch (source) {
    case TransposeSource::codes:
      return transpose_codes(q);
    case TransposeSource::quantized: {
      const std::vector<float> y = dequantize(q);
      return quantize(spec, transposed<float>(y, q.rows, q.cols), shape, options);
    }
    case TransposeSource::high_precision:
      break;
  }
  if (data.size() != q.rows * q.cols) {
    throw std::invalid_argument("quantize_transposed: the data are not those of the tensor");
  }
  return quantize(spec, transposed<float>(data, q.rows, q.cols), shape, options);
}

}  // namespace fp4lab
