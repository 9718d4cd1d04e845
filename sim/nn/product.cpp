#include "sim/nn/product.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/gemm.h"
#include "sim/matmul.h"

namespace fp4lab::nn {
namespace {

GemmOperand operand(const Factor& f) {
  if (f.codes != nullptr) {
    return f.transposed ? GemmOperand::from_quantized_transposed(*f.codes)
                        : GemmOperand::from_quantized(*f.codes);
  }
  if (!f.transposed) return GemmOperand::from_floats({f.plain, f.rows * f.cols}, f.rows, f.cols);
  std::vector<float> turned(f.rows * f.cols);
  for (std::size_t r = 0; r < f.rows; ++r) {
    for (std::size_t c = 0; c < f.cols; ++c) turned[c * f.rows + r] = f.plain[r * f.cols + c];
  }
  return GemmOperand::from_floats(turned, f.cols, f.rows);
}

MatrixView plain_view(const Factor& f) {
  const MatrixView m = MatrixView::of(f.plain, f.rows, f.cols);
  return f.transposed ? m.transposed() : m;
}

QuantizedView coded_view(const Factor& f) { return {*f.codes, f.transposed}; }

}  // namespace

void multiply(const Factor& a, const Factor& b, const Accumulator& accumulator,
              const RandomStream& random, float* y) {
  if (a.inner() != b.inner()) {
    throw std::invalid_argument("product: the factors contract over " + std::to_string(a.inner()) +
                                " and " + std::to_string(b.inner()) + " elements");
  }
  const bool plain = a.codes == nullptr || b.codes == nullptr;
  const AccumulatorKind kind = accumulator.kind;
  const bool chain = plain && (kind == AccumulatorKind::block_exact ||
                               kind == AccumulatorKind::fp32_fma || kind == AccumulatorKind::plan);
  const MutableMatrixView out = MutableMatrixView::of(y, a.outer(), b.outer());
  if (!chain && (plain || kind != AccumulatorKind::block_exact)) {
    GemmOptions options;
    options.random = random;
    const std::vector<float> values = gemm(operand(a), operand(b), accumulator, options).values();
    std::copy(values.begin(), values.end(), y);
  } else if (!plain) {
    matmul(coded_view(a), coded_view(b), out);
  } else if (a.codes != nullptr) {
    matmul(coded_view(a), plain_view(b), out);
  } else if (b.codes != nullptr) {
    matmul(plain_view(a), coded_view(b), out);
  } else {
    matmul(plain_view(a), plain_view(b), out);
  }
}

}  // namespace fp4lab::nn
