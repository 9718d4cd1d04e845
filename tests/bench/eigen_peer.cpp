#include <Eigen/Core>

#include "gemm_peer.h"

namespace fp4lab::bench {

void peer_sgemm(const float* a, const float* b, float* y, std::size_t m, std::size_t n,
                std::size_t k, int threads) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto rows = static_cast<Eigen::Index>(m), cols = static_cast<Eigen::Index>(n),
             depth = static_cast<Eigen::Index>(k);
  Eigen::setNbThreads(threads);
  Eigen::Map<Matrix>(y, rows, cols).noalias() =
      Eigen::Map<const Matrix>(a, rows, depth) *
      Eigen::Map<const Matrix>(b, cols, depth).transpose();
}
const char* peer_name() { return "Eigen"; }

}  // namespace fp4lab::bench
