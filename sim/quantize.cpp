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

/// Visits the Hadamard groups of a padded matrix: start pointer and stride.
template <class F>
void for_each_group(const QuantSpec& spec, float* m, std::size_t rows, std::size_t cols, F&& f) {
  const std::size_t g = spec.hadamard;
  if (runs_along_rows(spec)) {
#pragma omp parallel for schedule(static)
    for (std::size_t r = 0; r < rows; r += g) {
      for (std::size_t c = 0; c < cols; ++c) f(m + r * cols + c, cols);
    }
  } else {
#pragma omp parallel for schedule(static)
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; c += g) f(m + r * cols + c, std::size_t{1});
    }
  }
}

/// Clamps to +-bound; NaN passes.
void clip(const QuantSpec& spec, std::vector<float>& m) {
  if (spec.clip == ClipKind::none || m.empty()) return;
  const float bound = clip_bound(spec, m);
  for (float& x : m) {
    if (x > bound) x = bound;
    if (x < -bound) x = -bound;
  }
}

BlockView block_view(const BlockGrid& grid, const float* data, std::size_t i, std::size_t j) {
  BlockView v;
  const std::size_t r0 = i * grid.block_rows, c0 = j * grid.block_cols;
  v.data = data;
  v.offset = r0 * grid.cols + c0;
  v.rows = static_cast<std::uint32_t>(std::min(grid.block_rows, grid.rows - r0));
  v.cols = static_cast<std::uint32_t>(std::min(grid.block_cols, grid.cols - c0));
  v.row_stride = grid.cols;
  v.col_stride = 1;
  return v;
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

/// Which scope of the global factor a block's first element lies in.
struct GlobalScopes {
  GlobalScope scope;
  std::size_t per_row = 1;
  std::size_t index(std::size_t row, std::size_t col) const {
    switch (scope) {
      case GlobalScope::row:
        return row;
      case GlobalScope::row_block128:
        return row * per_row + col / 128;
      default:
        return 0;
    }
  }
};

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

/// True where a code's value does not depend on its block, so that a table says it.
bool has_value_table(const QuantizedTensor& q) {
  const Scheme scheme = q.spec.scheme;
  return !q.codes.empty() && q.zero_points.empty() && q.spec.profile != Profile::torchao &&
         (scheme == Scheme::plain || scheme == Scheme::mx || scheme == Scheme::nv);
}

/// dequantize_element for codes of one format: the same operations, a row of blocks at a time.
void dequantize_by_table(const QuantizedTensor& q, const GlobalScopes& scopes, float* out) {
  const BlockGrid& grid = q.grid;
  const bool folded = q.spec.global == GlobalScope::row_block128;
  const bool global = q.spec.has_global() && !folded;
  const bool wide = grid.block_cols >= 8 && q.spec.element.bits <= 4;
  float value[256];
  for (std::uint32_t c = 0; c < 256; ++c) {
    value[c] = c < q.spec.element.code_count() ? decode(q.spec.element, c) : canonical_nan();
  }
  const auto canonical = [](float y) { return is_nan(y) ? canonical_nan() : y; };
#pragma omp parallel for schedule(static) if (grid.rows * grid.cols > 16384)
  for (std::size_t band = 0; band < grid.grid_rows; ++band) {
    std::vector<float> scale(grid.grid_cols), factor(grid.grid_cols, 1.0f);
    for (std::size_t j = 0; j < grid.grid_cols; ++j) {
      scale[j] = scale_from_code(q.spec, q.scale_codes[band * grid.grid_cols + j]).decode;
      if (q.global.empty()) continue;
      const float g = q.global[scopes.index(band * grid.block_rows, j * grid.block_cols)];
      if (folded) scale[j] = mul_rn(scale[j], g);
      factor[j] = g;
    }
    const std::size_t last = std::min(grid.rows, (band + 1) * grid.block_rows);
    if (grid.block_cols == 1) {
      for (std::size_t r = band * grid.block_rows; r < last; ++r) {
        const std::uint8_t* code = q.codes.data() + r * grid.cols;
        float* y = out + r * grid.cols;
        for (std::size_t c = 0; c < grid.cols; ++c) {
          const float v = mul_rn(value[code[c]], scale[c]);
          y[c] = canonical(global ? mul_rn(v, factor[c]) : v);
        }
      }
      continue;
    }
    for (std::size_t j = 0; j < grid.grid_cols; ++j) {
      const std::size_t c0 = j * grid.block_cols, c1 = std::min(grid.cols, c0 + grid.block_cols);
      const float s = scale[j], g = factor[j];
      const auto scaled = [&](float v) {
        v = mul_rn(v, s);
        return canonical(global ? mul_rn(v, g) : v);
      };
      float of_code[16];
      for (std::size_t c = 0; c < 16 && wide; ++c) of_code[c] = scaled(value[c]);
      for (std::size_t r = band * grid.block_rows; r < last; ++r) {
        const std::uint8_t* code = q.codes.data() + r * grid.cols;
        float* y = out + r * grid.cols;
        if (wide) {
          for (std::size_t c = c0; c < c1; ++c) y[c] = of_code[code[c] & 15u];
        } else {
          for (std::size_t c = c0; c < c1; ++c) y[c] = scaled(value[code[c]]);
        }
      }
    }
  }
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

BlockGrid make_grid(const BlockShape& shape, std::size_t rows, std::size_t cols) {
  BlockGrid g;
  g.rows = rows;
  g.cols = cols;
  g.block_rows = shape.rows == 0 ? std::max<std::size_t>(rows, 1) : shape.rows;
  g.block_cols = shape.cols == 0 ? std::max<std::size_t>(cols, 1) : shape.cols;
  g.grid_rows = (rows + g.block_rows - 1) / g.block_rows;
  g.grid_cols = (cols + g.block_cols - 1) / g.block_cols;
  if (rows == 0 || cols == 0) g.grid_rows = g.grid_cols = 0;
  return g;
}

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
      for_each_group(spec, copy.data(), rows, cols, [&](float* x, std::size_t stride) {
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

std::vector<float> dequantize(const QuantizedTensor& q) {
  std::vector<float> out(q.rows * q.cols);
  dequantize_into(q, out);
  return out;
}

void dequantize_into(const QuantizedTensor& q, std::span<float> result) {
  if (result.size() != q.rows * q.cols) {
    throw std::invalid_argument("dequantize: " + std::to_string(result.size()) +
                                " elements for a tensor of " + std::to_string(q.rows * q.cols));
  }
  const BlockGrid& grid = q.grid;
  const bool cropped = grid.rows != q.rows || grid.cols != q.cols;
  std::vector<float> padded_values(cropped ? grid.rows * grid.cols : 0);
  float* const out = cropped ? padded_values.data() : result.data();
  const GlobalScopes scopes{q.spec.global, global_scopes_per_row(q.spec, grid)};
  const std::size_t blocks = has_value_table(q) ? 0 : grid.blocks();
  if (blocks == 0) dequantize_by_table(q, scopes, out);
#pragma omp parallel for schedule(static)
  for (std::size_t n = 0; n < blocks; ++n) {
    const BlockView v = block_view(grid, out, n / grid.grid_cols, n % grid.grid_cols);
    const BlockScale b =
        scale_from_code(q.spec, q.scale_codes[n], q.zero_points.empty() ? 0 : q.zero_points[n]);
    GlobalFactor g;
    if (!q.global.empty()) {
      g.decode = q.global[scopes.index(n / grid.grid_cols * grid.block_rows,
                                       n % grid.grid_cols * grid.block_cols)];
    }
    for (std::uint32_t r = 0; r < v.rows; ++r) {
      for (std::uint32_t c = 0; c < v.cols; ++c) {
        const std::uint64_t i = v.index(r, c);
        out[i] = dequantize_element(q.spec, b, g, q.code_at(i), c);
      }
    }
  }
  if (q.spec.hadamard != 0) {
    const HadamardSignBits signs = hadamard_signs(q.signs, q.spec.hadamard, q.hadamard_stream);
    for_each_group(q.spec, out, grid.rows, grid.cols, [&](float* x, std::size_t stride) {
      hadamard_inverse(x, q.spec.hadamard, stride, signs);
    });
  }
  if (!cropped && q.spec.prescale == 1.0f) return;
  for (std::size_t r = 0; r < q.rows; ++r) {
    for (std::size_t c = 0; c < q.cols; ++c) {
      const float y = out[r * grid.cols + c];
      result[r * q.cols + c] = q.spec.prescale == 1.0f ? y : div_rn(y, q.spec.prescale);
    }
  }
}

std::vector<float> fake_quantize(const QuantSpec& spec, std::span<const float> data,
                                 std::span<const std::size_t> shape,
                                 const QuantizeOptions& options) {
  std::vector<float> out(data.size());
  fake_quantize_into(spec, data, shape, out, options);
  return out;
}

ScaleMatrix scale_matrix(const QuantizedTensor& q) {
  const BlockGrid& grid = q.grid;
  const BlockShape& shape = q.spec.block;
  ScaleMatrix m;
  // One row a block row for Rx1, col and tensor; otherwise every matrix row shows its block's
  // scale.
  const bool one_per_block = shape.rows == 0 || shape.cols == 1;
  m.rows = one_per_block ? grid.grid_rows : grid.rows;
  m.cols = grid.grid_cols;
  if (grid.blocks() == 0) m.rows = m.cols = 0;
  m.codes.reserve(m.rows * m.cols);
  for (std::size_t r = 0; r < m.rows; ++r) {
    const std::size_t i = one_per_block ? r : r / grid.block_rows;
    for (std::size_t j = 0; j < m.cols; ++j)
      m.codes.push_back(q.scale_codes[i * grid.grid_cols + j]);
  }
  return m;
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
