#include "sim/nn/rotation.h"

#include <algorithm>

namespace fp4lab::nn {
namespace {

/// The signs as factors; a product with -1 is exact and leaves NaN what it was.
struct SignFactors {
  float at[kMaxHadamard];
  explicit SignFactors(const Rotation& r) {
    const HadamardSignBits bits = hadamard_signs(r.signs, r.size, r.stream);
    for (int i = 0; i < r.size; ++i) {
      at[i] = bits.negative(static_cast<std::uint32_t>(i)) ? -1.0f : 1.0f;
    }
  }
};

/// Butterflies between rows of `width` floats, `stride` floats apart, then the normalisation.
void butterfly_rows(float* x, int size, std::size_t stride, std::size_t width) {
  for (int h = 1; h < size; h *= 2) {
    for (int i = 0; i < size; i += 2 * h) {
      for (int j = i; j < i + h; ++j) {
        float* a = x + static_cast<std::size_t>(j) * stride;
        float* b = x + static_cast<std::size_t>(j + h) * stride;
        for (std::size_t k = 0; k < width; ++k) {
          const float p = a[k], q = b[k];
          a[k] = add_rn(p, q);
          b[k] = sub_rn(p, q);
        }
      }
    }
  }
  const float norm = hadamard_norm(size);
  for (int i = 0; i < size; ++i) {
    float* a = x + static_cast<std::size_t>(i) * stride;
    for (std::size_t k = 0; k < width; ++k) a[k] = mul_rn(a[k], norm);
  }
}

constexpr std::size_t kStrip = 64;  // columns of a band done at once: size * 64 floats stay cached

/// Eight groups of consecutive elements at once, transposed so that lanes are groups.
constexpr std::size_t kGroups = 16;

void butterfly_groups(float* x, int size, std::size_t groups) {
  float t[kGroups * kMaxHadamard];
  const std::size_t g = static_cast<std::size_t>(size);
  for (std::size_t first = 0; first < groups; first += kGroups) {
    const std::size_t n = std::min(kGroups, groups - first);
    float* from = x + first * g;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < g; ++k) t[k * kGroups + i] = from[i * g + k];
    }
    for (std::size_t k = 0; k < g && n < kGroups; ++k) {
      std::fill(t + k * kGroups + n, t + (k + 1) * kGroups, 0.0f);
    }
    butterfly_rows(t, size, kGroups, kGroups);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < g; ++k) from[i * g + k] = t[k * kGroups + i];
    }
  }
}

}  // namespace

void rotate(const Rotation& r, const float* x, std::size_t rows, std::size_t cols, bool along_rows,
            Tensor& out) {
  const std::size_t g = static_cast<std::size_t>(r.size);
  const SignFactors sign(r);
  if (along_rows) {
    const std::size_t padded = whole_groups(rows, r.size);
    out.resize({padded, cols});
    float* y = out.data();
#pragma omp parallel for schedule(static) collapse(2) if (padded * cols > 16384)
    for (std::size_t band = 0; band < padded; band += g) {
      for (std::size_t c = 0; c < cols; c += kStrip) {
        const std::size_t width = std::min(kStrip, cols - c);
        for (std::size_t i = 0; i < g; ++i) {
          float* to = y + (band + i) * cols + c;
          if (band + i >= rows) {
            std::fill_n(to, width, 0.0f);
            continue;
          }
          const float* from = x + (band + i) * cols + c;
          const float s = sign.at[i];
          for (std::size_t k = 0; k < width; ++k) to[k] = mul_rn(from[k], s);
        }
        butterfly_rows(y + band * cols + c, r.size, cols, width);
      }
    }
    return;
  }
  const std::size_t padded = whole_groups(cols, r.size);
  out.resize({rows, padded});
  float* y = out.data();
#pragma omp parallel for schedule(static) if (rows * padded > 16384)
  for (std::size_t row = 0; row < rows; ++row) {
    float* to = y + row * padded;
    const float* from = x + row * cols;
    for (std::size_t c = 0; c < cols; c += g) {
      const std::size_t n = std::min(g, cols - c);
      for (std::size_t k = 0; k < n; ++k) to[c + k] = mul_rn(from[c + k], sign.at[k]);
    }
    std::fill(to + cols, to + padded, 0.0f);
    butterfly_groups(to, r.size, padded / g);
  }
}

void rotate_back(const Rotation& r, Tensor& m, std::size_t rows, std::size_t cols, bool along_rows,
                 float* out) {
  const std::size_t g = static_cast<std::size_t>(r.size);
  const SignFactors sign(r);
  float* y = m.data();
  if (along_rows) {
    const std::size_t padded = whole_groups(rows, r.size);
#pragma omp parallel for schedule(static) collapse(2) if (padded * cols > 16384)
    for (std::size_t band = 0; band < padded; band += g) {
      for (std::size_t c = 0; c < cols; c += kStrip) {
        const std::size_t width = std::min(kStrip, cols - c);
        butterfly_rows(y + band * cols + c, r.size, cols, width);
        for (std::size_t i = 0; i < g && band + i < rows; ++i) {
          const float* from = y + (band + i) * cols + c;
          float* to = out + (band + i) * cols + c;
          for (std::size_t k = 0; k < width; ++k) to[k] = mul_rn(from[k], sign.at[i]);
        }
      }
    }
    return;
  }
  const std::size_t padded = whole_groups(cols, r.size);
#pragma omp parallel for schedule(static) if (rows * padded > 16384)
  for (std::size_t row = 0; row < rows; ++row) {
    float* from = y + row * padded;
    butterfly_groups(from, r.size, padded / g);
    float* to = out + row * cols;
    for (std::size_t c = 0; c < cols; c += g) {
      const std::size_t n = std::min(g, cols - c);
      for (std::size_t k = 0; k < n; ++k) to[c + k] = mul_rn(from[c + k], sign.at[k]);
    }
  }
}

}  // namespace fp4lab::nn
