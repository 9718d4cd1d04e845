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

/// A quantized operand as integers and scales, where its format allows that: the codes of all
/// blocks mean the same, and all values are small integers times one power of two.
class IntegerView {
 public:
  explicit IntegerView(const QuantizedView& v) {
    const QuantizedTensor& q = *v.tensor;
    const QuantSpec& spec = q.spec;
    const bool one_format = spec.scheme != Scheme::hif4 && spec.scheme != Scheme::if4 &&
                            spec.scheme != Scheme::razer && spec.scheme != Scheme::dialect &&
                            q.zero_points.empty();
    const bool row_factors = q.global.size() > 1;
    const bool folded = spec.global == GlobalScope::row_block128 && !q.global.empty();
    if (!one_format || folded || (row_factors && v.is_transposed) || q.codes.empty()) return;
    if (!make_table(spec.element)) return;

    const BlockGrid& grid = q.grid;
    make_scales(q);
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
    globals_ = q.global;
    if (spec.prescale != 1.0f) {
      if (globals_.empty()) globals_.push_back(1.0f);
      for (float& g : globals_) g = div_rn(g, spec.prescale);
    }
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
  void make_scales(const QuantizedTensor& q) {
    const bool unscaled = q.spec.scale.kind == ScaleFormat::Kind::none;
    const auto decoded = [&](std::uint32_t code) {
      const float s = unscaled ? 1.0f : scale_from_code(q.spec, code).decode;
      return canonical(s);
    };
    scales_.resize(q.scale_codes.size());
    const bool short_codes =
        q.spec.scale.kind == ScaleFormat::Kind::coded && q.spec.scale.format.bits <= 8;
    if (short_codes && scales_.size() > 1024) {
      float of_code[256];
      for (std::uint32_t c = 0; c < 256; ++c) of_code[c] = decoded(c);
      for (std::size_t i = 0; i < scales_.size(); ++i)
        scales_[i] = of_code[q.scale_codes[i] & 0xFFu];
    } else {
      for (std::size_t i = 0; i < scales_.size(); ++i) scales_[i] = decoded(q.scale_codes[i]);
    }
  }

  alignas(16) std::int8_t table_[256] = {};
  std::vector<float> scales_, globals_;
  detail::Scratch<std::uint8_t> transposed_;
};

/// fl(v s), row-major: what a quantized operand is beside a plain one.
void scaled_values(const GemmOperand& o, float* to) {
  const std::size_t rows = o.rows(), k = o.k();
#pragma omp parallel for schedule(static) if (rows * k > 16384)
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < k; ++c) to[r * k + c] = mul_rn(o.row_values(r)[c], o.scale(r, c));
  }
}

void multiply_global(const GemmOperand* a, const GemmOperand* b, const MutableMatrixView& y) {
  const bool has_a = a != nullptr && a->has_global(), has_b = b != nullptr && b->has_global();
  if (!has_a && !has_b) return;
#pragma omp parallel for schedule(static) if (y.rows * y.cols > 16384)
  for (std::size_t i = 0; i < y.rows; ++i) {
    const float ga = has_a ? a->global(i) : 1.0f;
    for (std::size_t j = 0; j < y.cols; ++j) {
      const float g = mul_rn(ga, has_b ? b->global(j) : 1.0f);
      float& v = y.data[i * y.row_stride + j];
      v = canonical(mul_rn(g, v));
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
  const GemmOperand o = operand(a);
  std::vector<float> values(o.rows() * o.k());
  scaled_values(o, values.data());
  detail::fma_chain_product(MatrixView::of(values.data(), o.rows(), o.k()), b, y);
  multiply_global(&o, nullptr, y);
}

void matmul(const MatrixView& a, const QuantizedView& b, const MutableMatrixView& y) {
  check_shapes(a.rows, a.cols, b.rows(), b.cols(), y);
  const GemmOperand o = operand(b);
  std::vector<float> values(o.rows() * o.k());
  scaled_values(o, values.data());
  detail::fma_chain_product(a, MatrixView::of(values.data(), o.rows(), o.k()), y);
  multiply_global(nullptr, &o, y);
}

}  // namespace fp4lab
