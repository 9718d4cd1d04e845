// The element-wise steps of LayerNorm, RMSNorm and BatchNorm, for host and device. Which sums they
// stand between is written in norm.h and batch_norm.h.
#pragma once

#include "sim/fma.h"

namespace fp4lab::nn {

/// fl(d r).
FP4LAB_HD constexpr float norm_scaled(float d, float r) noexcept { return mul_rn(d, r); }
FP4LAB_HD constexpr float rms_norm_out(float h, float gain) noexcept {
  return canonical(mul_rn(h, gain));
}
FP4LAB_HD constexpr float layer_norm_out(float h, float gain, float bias) noexcept {
  return canonical(add_rn(mul_rn(h, gain), bias));
}
FP4LAB_HD constexpr float rms_norm_dx(float u, float h, float b, float r) noexcept {
  return canonical(mul_rn(r, sub_rn(u, mul_rn(h, b))));
}
FP4LAB_HD constexpr float layer_norm_dx(float u, float h, float a, float b, float r) noexcept {
  return canonical(mul_rn(r, sub_rn(sub_rn(u, a), mul_rn(h, b))));
}

}  // namespace fp4lab::nn
