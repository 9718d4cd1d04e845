#include "sim/block_exact.h"

#include <algorithm>

#include "sim/fma.h"

namespace fp4lab::detail {
namespace {

/// Exact for any length: partial sums of 2^16 products of 7-bit integers fit 32 bits.
std::int64_t integer_dot(const std::int8_t* a, const std::int8_t* b, std::size_t n) {
  std::int64_t total = 0;
  for (std::size_t base = 0; base < n; base += 65536) {
    const std::size_t end = std::min(n, base + 65536);
    std::int32_t part = 0;
    for (std::size_t k = base; k < end; ++k) part += static_cast<std::int32_t>(a[k]) * b[k];
    total += part;
  }
  return total;
}

}  // namespace

BlockExactTask::BlockExactTask(const IntegerRows& a, const IntegerRows& b,
                               const std::vector<std::size_t>& ends, int unit)
    : a_(a), b_(b), ends_(ends), unit_(pow2_f64(unit)) {
  if (ends_.empty()) return;
  const std::size_t length = ends_[0], segments = ends_.size();
  bool uniform = length % 2 == 0 || segments == 1;
  for (std::size_t s = 0; s + 1 < segments; ++s) uniform = uniform && ends_[s] == (s + 1) * length;
  vectorizable_ = uniform && length <= 131072 && unit >= -100 && unit <= 90;
  if (!vectorizable_) return;

  pairs_ = (a.k + 1) / 2;
  pairs_per_segment_ = (length + 1) / 2;
  packed_a_.assign(a.rows * 2 * pairs_, 0);
  for (std::size_t r = 0; r < a.rows; ++r) {
    std::copy_n(a.values + r * a.k, a.k,
                packed_a_.begin() + static_cast<std::ptrdiff_t>(r * 2 * pairs_));
  }
  const std::size_t panels = (b.rows + kPanel - 1) / kPanel;
  packed_b_.assign(panels * pairs_ * kPanel * 2, 0);
  packed_scales_.assign(panels * segments * kPanel, 0.0f);
  const std::size_t columns = b.rows;
#pragma omp parallel for schedule(static) if (columns * b.k > 16384)
  for (std::size_t j = 0; j < columns; ++j) {
    const std::size_t panel = j / kPanel, lane = j % kPanel;
    std::int16_t* to = packed_b_.data() + panel * pairs_ * kPanel * 2 + lane * 2;
    const std::int8_t* from = b.values + j * b.k;
    for (std::size_t k = 0; k < b.k; ++k) to[k / 2 * kPanel * 2 + k % 2] = from[k];
    for (std::size_t s = 0; s < segments; ++s) {
      packed_scales_[(panel * segments + s) * kPanel + lane] = b.scales[j * segments + s];
    }
  }
}

float BlockExactTask::scalar(std::size_t i, std::size_t j) const {
  const std::int8_t* a = a_.values + i * a_.k;
  const std::int8_t* b = b_.values + j * b_.k;
  const std::size_t segments = ends_.size();
  float sum = 0.0f;
  std::size_t at = 0;
  for (std::size_t s = 0; s < segments; ++s) {
    const std::int64_t d = integer_dot(a + at, b + at, ends_[s] - at);
    at = ends_[s];
    const float dot = static_cast<float>(static_cast<double>(d) * unit_);
    sum = fma_rn(dot, mul_rn(a_.scales[i * segments + s], b_.scales[j * segments + s]), sum);
  }
  return canonical(sum);
}

void BlockExactTask::tile(std::size_t i0, std::size_t rows, std::size_t j0, std::size_t cols,
                          float* y, std::size_t stride) const {
  float out[4 * kPanel];
  for (std::size_t j = j0; j < j0 + cols; j += kPanel) {
    const std::size_t lanes = std::min(kPanel, j0 + cols - j);
    for (std::size_t i = i0; i < i0 + rows; i += 4) {
      const std::size_t count = std::min<std::size_t>(4, i0 + rows - i);
      bool done = false;
      if (vectorizable_) {
        BlockExactPanel p;
        for (std::size_t r = 0; r < 4; ++r) {
          const std::size_t row = i + std::min(r, count - 1);
          p.a[r] = packed_a_.data() + row * 2 * pairs_;
          p.scale_a[r] = a_.scales + row * ends_.size();
        }
        p.b = packed_b_.data() + j / kPanel * pairs_ * kPanel * 2;
        p.scale_b = packed_scales_.data() + j / kPanel * ends_.size() * kPanel;
        p.pairs = pairs_;
        p.pairs_per_segment = pairs_per_segment_;
        p.segments = ends_.size();
        p.unit = static_cast<float>(unit_);
        done = block_exact_panel(p, out);
      }
      for (std::size_t r = 0; r < count; ++r) {
        float* to = y + (i - i0 + r) * stride + (j - j0);
        for (std::size_t l = 0; l < lanes; ++l) {
          to[l] = done ? canonical(out[r * kPanel + l]) : scalar(i + r, j + l);
        }
      }
    }
  }
}

}  // namespace fp4lab::detail
