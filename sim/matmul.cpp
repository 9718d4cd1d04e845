#include "sim/matmul.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/block_quantize.h"
#include "sim/block_exact.h"
#include "sim/fma.h"
#include "sim/fma_chain.h"
#include "sim/gemm_engine.h"
#include "sim/scratch.h"

namespace fp4lab {
namespace {

void check_shapes(std::size_t m, std::size_t ka, std::size_t n, std::size_t kb,
                  const MutableMatrixView& y) {
  const auto shape = [](std::size_t rows, std::size_t cols) {
    return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
  };
  if (ka != kb) {
    throw std::invalid_argument("matmul: A is " + shape(m, ka) + " and B " + shape(n, kb) +
                                "; their second sizes must be equal");
  }
  if (y.rows != m || y.cols != n) {
    throw std::invalid_argument("matmul: Y is " + shape(y.rows, y.cols) + ", the product " +
                                shape(m, n));
  }
}

GemmOperand operand(const QuantizedView& q) {
  return q.is_transposed ? GemmOperand::from_quantized_transposed(*q.tensor)
                         : GemmOperand::from_quantized(*q.tensor);
}

/// True when every code of the tensor means the same number and every block has one scale.
bool is_plain(const QuantizedTensor& q) {
  const bool folded = q.spec.global == GlobalScope::row_block128 && !q.global.empty();
  return q.spec.scheme != Scheme::hif4 && q.spec.scheme != Scheme::if4 &&
         q.spec.scheme != Scheme::razer && q.spec.scheme != Scheme::dialect &&
         q.zero_points.empty() && !folded && !q.codes.empty();
}

/// The scales of a plain tensor's blocks.
std::vector<float> block_scales(const QuantizedTensor& q) {
  const bool unscaled = q.spec.scale.kind == ScaleFormat::Kind::none;
  const auto decoded = [&](std::uint32_t code) {
    return unscaled ? 1.0f : canonical(scale_from_code(q.spec, code).decode);
  };
  std::vector<float> scales(q.scale_codes.size());
  const bool short_codes =
      q.spec.scale.kind == ScaleFormat::Kind::coded && q.spec.scale.format.bits <= 8;
  if (short_codes && scales.size() > 1024) {
    float of_code[256];
    for (std::uint32_t c = 0; c < 256; ++c) of_code[c] = decoded(c);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = of_code[q.scale_codes[i] & 0xFFu];
  } else {
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = decoded(q.scale_codes[i]);
  }
  return scales;
}

/// Global factors of a plain tensor: none, one, or one a row. What went in multiplied by a prescale
/// comes out divided by it.
std::vector<float> global_factors(const QuantizedTensor& q) {
  std::vector<float> g = q.global;
  if (q.spec.prescale == 1.0f) return g;
  if (g.empty()) g.push_back(1.0f);
  for (float& x : g) x = div_rn(x, q.spec.prescale);
  return g;
}

/// A quantized operand as integers and scales, where its format allows that: the codes of all
/// blocks mean the same, and all values are small integers times one power of two.
class IntegerView {
 public:
  explicit IntegerView(const QuantizedView& v) {
    const QuantizedTensor& q = *v.tensor;
    const QuantSpec& spec = q.spec;
    // Factors a row of the stored matrix would vary along k of its transpose.
    if (!is_plain(q) || (q.global.size() > 1 && v.is_transposed)) return;
    if (!make_table(spec.element)) return;

    const BlockGrid& grid = q.grid;
    scales_ = block_scales(q);
    factor.rows = v.rows();
    factor.k = v.cols();
    factor.nibbles = spec.element.bits <= 4;
    factor.table = table_;
    if (v.is_transposed) {
      std::uint8_t* to = transposed_.at_least(q.codes.size());
#pragma omp parallel for schedule(static) if (q.codes.size() > 65536)
      for (std::size_t c = 0; c < grid.cols; c += 64) {
        detail::transpose_bytes(q.codes.data() + c, grid.rows,
                                std::min<std::size_t>(64, grid.cols - c), grid.cols,
                                to + c * grid.rows, grid.rows);
      }
      factor.bytes = to;
      factor.scales = {scales_.data(), grid.block_cols, 1, grid.block_rows, grid.grid_cols};
    } else {
      factor.bytes = q.codes.data();
      factor.scales = {scales_.data(), grid.block_rows, grid.grid_cols, grid.block_cols, 1};
    }
    factor.stride = factor.k;
    run = factor.scales.k_span >= factor.k ? 0 : factor.scales.k_span;
    globals_ = global_factors(q);
    factor.global = globals_;
    valid = true;
  }
  IntegerView(const IntegerView&) = delete;
  IntegerView& operator=(const IntegerView&) = delete;

  bool valid = false;
  int unit = 0;         ///< log2 of what the integers count
  std::size_t run = 0;  ///< k that a scale covers, 0 for all
  detail::IntegerFactor factor;

 private:
  bool make_table(const ElementFormat& f) {
    const std::uint32_t codes = 1u << f.bits;
    bool any = false;
    for (std::uint32_t c = 0; c < codes; ++c) {
      const float x = decode(f, c);
      if (!is_finite(x)) return false;
      if (x == 0.0f) continue;
      const Magnitude m = magnitude_of(x);
      const int lowest = m.exp + __builtin_ctzll(m.sig);
      unit = any ? std::min(unit, lowest) : lowest;
      any = true;
    }
    for (std::uint32_t c = 0; c < codes; ++c) {
      const double v = static_cast<double>(decode(f, c)) * pow2_f64(-unit);
      if (!(v >= -127.0 && v <= 127.0)) return false;
      table_[c] = static_cast<std::int8_t>(v);
      factor.largest = std::max(factor.largest, std::abs(static_cast<int>(table_[c])));
    }
    return true;
  }
  alignas(16) std::int8_t table_[256] = {};
  std::vector<float> scales_, globals_;
  detail::Scratch<std::uint8_t> transposed_;
};

/// A quantized operand beside a plain one: fl(v s), and the global factors that stay outside.
class ScaledView {
 public:
  explicit ScaledView(const QuantizedView& v) {
    const QuantizedTensor& q = *v.tensor;
    // A transpose of row factors takes them into its scales.
    if (is_plain(q) && !(v.is_transposed && q.global.size() > 1)) {
      values_.resize(q.codes.size());
      decode_plain(q);
      global_ = global_factors(q);
      view = MatrixView::of(values_.data(), q.grid.rows, q.grid.cols);
      if (v.is_transposed) view = view.transposed();
      return;
    }
    const GemmOperand o = operand(v);
    values_.assign(o.values().begin(), o.values().end());
    const std::size_t rows = o.rows(), k = o.k();
#pragma omp parallel for schedule(static) if (rows * k > 16384)
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < k; ++c) {
        values_[r * k + c] = mul_rn(values_[r * k + c], o.scale(r, c));
      }
    }
    for (std::size_t r = 0; r < rows && o.has_global(); ++r) global_.push_back(o.global(r));
    view = MatrixView::of(values_.data(), rows, k);
  }
  ScaledView(const ScaledView&) = delete;
  ScaledView& operator=(const ScaledView&) = delete;

  MatrixView view;
  bool has_global() const { return !global_.empty(); }
  float global(std::size_t row) const { return global_[global_.size() == 1 ? 0 : row]; }

 private:
  void decode_plain(const QuantizedTensor& q) {
    float of_code[256];
    const std::uint32_t codes = 1u << q.spec.element.bits;
    for (std::uint32_t c = 0; c < codes; ++c) of_code[c] = canonical(decode(q.spec.element, c));
    const std::vector<float> scales = block_scales(q);
    const BlockGrid& g = q.grid;
#pragma omp parallel for schedule(static) if (values_.size() > 16384)
    for (std::size_t r = 0; r < g.rows; ++r) {
      const float* row_scales = scales.data() + r / g.block_rows * g.grid_cols;
      const std::uint8_t* from = q.codes.data() + r * g.cols;
      float* to = values_.data() + r * g.cols;
      for (std::size_t c = 0, b = 0; c < g.cols; ++b) {
        const std::size_t end = std::min(g.cols, c + g.block_cols);
        for (; c < end; ++c) to[c] = mul_rn(of_code[from[c]], row_scales[b]);
      }
    }
  }

  std::vector<float> values_, global_;
};

/// Y = fl(g y) for the factor of y's row or column.
void multiply_global(const ScaledView& v, bool of_rows, const MutableMatrixView& y) {
  if (!v.has_global()) return;
#pragma omp parallel for schedule(static) if (y.rows * y.cols > 16384)
  for (std::size_t i = 0; i < y.rows; ++i) {
    for (std::size_t j = 0; j < y.cols; ++j) {
      float& out = y.data[i * y.row_stride + j];
      out = canonical(mul_rn(v.global(of_rows ? i : j), out));
    }
  }
}

}  // namespace

void matmul(const MatrixView& a, const MatrixView& b, const MutableMatrixView& y) {
  check_shapes(a.rows, a.cols, b.rows, b.cols, y);
  detail::fma_chain_product(a, b, y);
}

void matmul(const QuantizedView& a, const QuantizedView& b, const MutableMatrixView& y) {
  check_shapes(a.rows(), a.cols(), b.rows(), b.cols(), y);
  const IntegerView ia(a), ib(b);
  if (ia.valid && ib.valid) {
    const std::vector<std::size_t> ends = gemm_segments(a.cols(), ia.run, ib.run);
    if (detail::block_exact_fits(ends, ia.unit + ib.unit)) {
      return detail::block_exact_product(ia.factor, ib.factor, ends, ia.unit + ib.unit, y);
    }
  }
  const GemmOperand oa = operand(a), ob = operand(b);
  const std::vector<float> values = gemm(oa, ob, Accumulator{}).values();
  for (std::size_t i = 0; i < y.rows; ++i) {
    std::copy_n(values.data() + i * y.cols, y.cols, y.data + i * y.row_stride);
  }
}

void matmul(const QuantizedView& a, const MatrixView& b, const MutableMatrixView& y) {
  check_shapes(a.rows(), a.cols(), b.rows, b.cols, y);
  const ScaledView scaled(a);
  detail::fma_chain_product(scaled.view, b, y);
  multiply_global(scaled, true, y);
}

void matmul(const MatrixView& a, const QuantizedView& b, const MutableMatrixView& y) {
  check_shapes(a.rows, a.cols, b.rows(), b.cols(), y);
  const ScaledView scaled(b);
  detail::fma_chain_product(a, scaled.view, y);
  multiply_global(scaled, false, y);
}

}  // namespace fp4lab
