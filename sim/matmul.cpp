#include "sim/matmul.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

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
