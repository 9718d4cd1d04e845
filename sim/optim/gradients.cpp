#include "sim/optim/gradients.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "formats/host_device.h"
#include "sim/reduce.h"

namespace fp4lab::optim {

bool GradientNorm::finite() const noexcept {
  return (std::bit_cast<std::uint64_t>(total) & 0x7FF0000000000000ull) != 0x7FF0000000000000ull;
}

double GradientNorm::norm() const noexcept { return std::sqrt(total); }

GradientNorm gradient_norm(const std::vector<std::span<const float>>& tensors) {
  GradientNorm result;
  result.squares.reserve(tensors.size());
  for (const auto& tensor : tensors) result.squares.push_back(sum_squares(tensor));
  result.total = sum(std::span<const double>(result.squares));
  return result;
}

double clip_factor(double norm, double limit) noexcept {
  if (limit <= 0) return 1.0;
  const double factor = limit / (norm + 1e-6);
  return factor < 1.0 ? factor : 1.0;
}

void scale_gradient(std::span<float> x, float factor) {
  if (factor == 1.0f) return;
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  float* const p = x.data();
#pragma omp parallel for schedule(static) if (n >= (1 << 16))
  for (std::int64_t i = 0; i < n; ++i) p[i] *= factor;
}

void add_l2(std::span<float> g, std::span<const float> w, float l2) {
  for (std::size_t i = 0; i < g.size(); ++i) g[i] = add_rn(g[i], mul_rn(l2, w[i]));
}

std::uint64_t zero_nonfinite(std::span<float> x) {
  std::uint64_t count = 0;
  for (float& value : x) {
    if ((std::bit_cast<std::uint32_t>(value) & 0x7F800000u) == 0x7F800000u) {
      value = 0.0f;
      ++count;
    }
  }
  return count;
}

void LossScale::update(bool finite) noexcept {
  if (!config_.dynamic) return;
  if (!finite) {
    value_ = std::max(value_ * 0.5, 0x1p-60);
    good_ = 0;
  } else if (++good_ >= config_.growth_interval) {
    value_ = std::min(value_ * 2.0, 0x1p60);
    good_ = 0;
  }
}

}  // namespace fp4lab::optim
