#include "sim/quantized_tensor.h"

#include <algorithm>
#include <stdexcept>

#include "formats/block_quantize.h"
#include "formats/hadamard.h"
#include "sim/quantize_plan.h"

namespace fp4lab {
namespace {

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
  // Tall blocks are cut, so that one scale for the whole tensor keeps all threads busy too.
  const std::size_t height = std::min<std::size_t>(grid.block_rows, 64);
  const std::size_t cuts = (std::min(grid.block_rows, grid.rows) + height - 1) / height;
#pragma omp parallel for schedule(static) if (grid.rows * grid.cols > 16384)
  for (std::size_t unit = 0; unit < grid.grid_rows * cuts; ++unit) {
    const std::size_t band = unit / cuts;
    const std::size_t first = band * grid.block_rows + unit % cuts * height;
    const std::size_t last = std::min({grid.rows, (band + 1) * grid.block_rows, first + height});
    std::vector<float> scale(grid.grid_cols), factor(grid.grid_cols, 1.0f);
    for (std::size_t j = 0; j < grid.grid_cols; ++j) {
      scale[j] = scale_from_code(q.spec, q.scale_codes[band * grid.grid_cols + j]).decode;
      if (q.global.empty()) continue;
      const float g = q.global[scopes.index(band * grid.block_rows, j * grid.block_cols)];
      if (folded) scale[j] = mul_rn(scale[j], g);
      factor[j] = g;
    }
    if (grid.block_cols == 1) {
      for (std::size_t r = first; r < last; ++r) {
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
      for (std::size_t r = first; r < last; ++r) {
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

/// Every spec, element by element.
void dequantize_blocks(const QuantizedTensor& q, float* out) {
  const BlockGrid& grid = q.grid;
  const GlobalScopes scopes{q.spec.global, global_scopes_per_row(q.spec, grid)};
  const std::size_t blocks = grid.blocks();
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

Shape stored_shape(const QuantizedTensor& q) {
  if (q.stored_rows() == q.rows && q.stored_cols() == q.cols) return q.shape;
  if (q.stored_rows() == q.rows && !q.shape.empty()) {
    Shape shape = q.shape;
    shape.back() = q.stored_cols();
    return shape;
  }
  return {q.stored_rows(), q.stored_cols()};
}

void dequantize_into(const QuantizedTensor& q, std::span<float> out) {
  if (out.size() != q.rows * q.cols) {
    throw std::invalid_argument("dequantize: " + std::to_string(out.size()) +
                                " elements of output for a tensor of " +
                                std::to_string(q.rows * q.cols));
  }
  if (out.empty()) return;
  const BlockGrid& grid = q.grid;
  const bool cropped = grid.rows != q.rows || grid.cols != q.cols;
  std::vector<float> padded(cropped ? grid.rows * grid.cols : 0);
  float* const y = cropped ? padded.data() : out.data();
  if (has_value_table(q)) {
    dequantize_by_table(q, {q.spec.global, global_scopes_per_row(q.spec, q.grid)}, y);
  } else {
    dequantize_blocks(q, y);
  }
  if (q.spec.hadamard != 0) {
    const HadamardSignBits signs = hadamard_signs(q.signs, q.spec.hadamard, q.hadamard_stream);
    for_each_hadamard_group(q.spec, y, grid.rows, grid.cols, [&](float* x, std::size_t stride) {
      hadamard_inverse(x, q.spec.hadamard, stride, signs);
    });
  }
  if (!cropped && q.spec.prescale == 1.0f) return;
#pragma omp parallel for schedule(static) if (out.size() > 16384)
  for (std::size_t r = 0; r < q.rows; ++r) {
    for (std::size_t c = 0; c < q.cols; ++c) {
      const float x = y[r * grid.cols + c];
      out[r * q.cols + c] = q.spec.prescale == 1.0f ? x : div_rn(x, q.spec.prescale);
    }
  }
}

std::vector<float> dequantize(const QuantizedTensor& q) {
  std::vector<float> out(q.rows * q.cols);
  dequantize_into(q, out);
  return out;
}

MatrixExtents scale_matrix_extents(const BlockShape& block, const BlockGrid& grid) {
  if (grid.blocks() == 0) return {0, 0};
  // One row a block row for Rx1, col and tensor; otherwise every matrix row shows its block's
  // scale.
  const bool one_per_block = block.rows == 0 || block.cols == 1;
  return {one_per_block ? grid.grid_rows : grid.rows, grid.grid_cols};
}

ScaleMatrix scale_matrix(const QuantizedTensor& q) {
  const MatrixExtents extents = scale_matrix_extents(q.spec.block, q.grid);
  ScaleMatrix m;
  m.rows = extents.rows;
  m.cols = extents.cols;
  m.codes.reserve(m.rows * m.cols);
  const std::size_t repeat = m.rows == q.grid.grid_rows ? 1 : q.grid.block_rows;
  for (std::size_t r = 0; r < m.rows; ++r) {
    const auto row = q.scale_codes.begin() + static_cast<std::ptrdiff_t>(r / repeat * m.cols);
    m.codes.insert(m.codes.end(), row, row + static_cast<std::ptrdiff_t>(m.cols));
  }
  return m;
}

std::vector<std::uint32_t> scale_codes_from_matrix(const BlockShape& block, const BlockGrid& grid,
                                                   const ScaleMatrix& m) {
  const MatrixExtents extents = scale_matrix_extents(block, grid);
  if (m.rows != extents.rows || m.cols != extents.cols || m.codes.size() != m.rows * m.cols) {
    throw std::invalid_argument(
        "scales [" + std::to_string(m.rows) + ", " + std::to_string(m.cols) + "], but a [" +
        std::to_string(grid.rows) + ", " + std::to_string(grid.cols) + "] matrix has [" +
        std::to_string(extents.rows) + ", " + std::to_string(extents.cols) + "]");
  }
  std::vector<std::uint32_t> codes;
  codes.reserve(grid.blocks());
  const std::size_t repeat = m.rows == grid.grid_rows ? 1 : grid.block_rows;
  for (std::size_t r = 0; r < m.rows; ++r) {
    for (std::size_t c = 0; c < m.cols; ++c) {
      const std::uint32_t code = m.codes[r * m.cols + c];
      if (r % repeat == 0) {
        codes.push_back(code);
      } else if (code != codes[r / repeat * m.cols + c]) {
        throw std::invalid_argument("scale [" + std::to_string(r) + ", " + std::to_string(c) +
                                    "] differs from that of its block's first row");
      }
    }
  }
  return codes;
}

}  // namespace fp4lab
