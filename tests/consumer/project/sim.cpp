// Quantizes two tensors, multiplies them and explains nothing: the installed library works.
#include <cmath>
#include <cstdio>
#include <vector>

#include "formats/spec_text.h"
#include "sim/gemm.h"
#include "sim/math.h"
#include "sim/quantize.h"
#include "sim/tensor.h"

int main() {
  using namespace fp4lab;
  Tensor x{4, 64}, w{8, 64};
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3.0f;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 5) - 2.0f;
  const QuantSpec spec = parse_spec("mxfp4");
  const auto a = GemmOperand::from_quantized(quantize(spec, x.span(), x.shape()));
  const auto b = GemmOperand::from_quantized(quantize(spec, w.span(), w.shape()));
  const std::vector<float> y = gemm(a, b, parse_accumulator("block-exact")).values();
  // Small integers are E2M1 values, so the product is that of the integers.
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 64; ++k) {
        sum += static_cast<double>(x(i, k)) * static_cast<double>(w(j, k));
      }
      if (static_cast<double>(y[i * 8 + j]) != sum) {
        std::printf("[%zu, %zu]: got %g, want %g\n", i, j, static_cast<double>(y[i * 8 + j]), sum);
        return 1;
      }
    }
  }
  std::printf("32 outputs as expected\n");
  return 0;
}
