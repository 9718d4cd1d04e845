#include <cblas.h>

#include "gemm_peer.h"

extern "C" void openblas_set_num_threads(int);

namespace fp4lab::bench {

void peer_sgemm(const float* a, const float* b, float* y, std::size_t m, std::size_t n,
                std::size_t k, int threads) {
  const auto rows = static_cast<int>(m), cols = static_cast<int>(n), depth = static_cast<int>(k);
  openblas_set_num_threads(threads);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, cols, depth, 1.0f, a, depth, b, depth,
              0.0f, y, cols);
}
const char* peer_name() { return "OpenBLAS"; }

}  // namespace fp4lab::bench
