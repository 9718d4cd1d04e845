// The selective scan: a linear recurrence whose step size and projections depend on the input
// (A. Gu, T. Dao, "Mamba", arXiv:2312.00752, section 3), and the causal depthwise convolution that
// stands before it.
//
// For every item and channel c, over positions t in ascending order, states n = 0 ... N - 1:
//
//   a_n = exp(fl(delta_t,c * A_c,n))                     A = -exp(A_log), correctly rounded exps
//   h_n = fma(a_n, h_n, fl(fl(delta_t,c * x_t,c) * B_t,n))                   h = +0 before t = 0
//   y   = fma(D_c, x_t,c, chain over n of C_t,n * h_n)   fp32-fma chain from +0, n ascending
//
// The backward runs t downwards. Gradients of B and C sum over channels in the shape of
// sim/reduce.h, those of A_log and D are fp32-fma chains over an item's positions from the last to
// the first; items add up in the shape of sim/reduce.h. So no result depends on threads.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/tensor.h"

namespace fp4lab::nn {

/// Extents of a scan: x, delta, y [items, length, channels]; B, C [items, length, states].
struct ScanExtents {
  std::size_t items = 0, length = 0, channels = 0, states = 0;
};

/// What a scan reads. B and C may be columns of a wider matrix: their rows are `bc_row` floats
/// apart. `a` is A [states, channels], not its logarithm, transposed.
struct ScanInput {
  const float* x = nullptr;
  const float* delta = nullptr;
  const float* b = nullptr;
  const float* c = nullptr;
  std::size_t bc_row = 0;
  const float* a = nullptr;
  const float* d = nullptr;  ///< D [channels]
};

void selective_scan(const ScanExtents& e, const ScanInput& in, float* y);

/// Gradients. dx and ddelta are written, db and dc (rows `bc_row` apart) too; da [items, states,
/// channels] is with respect to A, dd [items, channels] to D, one row an item.
struct ScanGradient {
  float* x = nullptr;
  float* delta = nullptr;
  float* b = nullptr;
  float* c = nullptr;
  float* a = nullptr;
  float* d = nullptr;
};
void selective_scan_backward(const ScanExtents& e, const ScanInput& in, const float* dy,
                             const ScanGradient& g);

/// y[t, c] = fl(chain over w ascending of weight[w, c] * x[t - width + 1 + w, c] + bias[c]),
/// positions before the first left out. x, y [items, length, channels]; rows of x `x_row` apart;
/// weight [width, channels].
void causal_conv(std::size_t items, std::size_t length, std::size_t channels, std::size_t width,
                 const float* x, std::size_t x_row, const float* weight, const float* bias,
                 float* y);
/// dx (rows `dx_row` apart) is written: a chain over w ascending. dweight [items, width, channels]
/// and dbias [items, channels] are chains over an item's positions in ascending order.
void causal_conv_backward(std::size_t items, std::size_t length, std::size_t channels,
                          std::size_t width, const float* x, std::size_t x_row, const float* weight,
                          const float* dy, float* dx, std::size_t dx_row, float* dweight,
                          float* dbias);

}  // namespace fp4lab::nn
