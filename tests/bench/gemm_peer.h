// The peer that matrix products are measured against: one library's SGEMM, in a shared library of
// its own, compiled for the machine it is built on.
#pragma once

#include <cstddef>

#define FP4LAB_PEER __attribute__((visibility("default")))

namespace fp4lab::bench {

/// y [m, n] = a [m, k] b [n, k]^T, all row-major.
FP4LAB_PEER void peer_sgemm(const float* a, const float* b, float* y, std::size_t m, std::size_t n,
                            std::size_t k, int threads);
FP4LAB_PEER const char* peer_name();

}  // namespace fp4lab::bench
