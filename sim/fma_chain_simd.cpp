#include <algorithm>
#include <cstddef>

#include "sim/fma_chain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/fma_chain_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Instruction sets whose MulAdd is one rounding.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    HWY_TARGET == HWY_AVX3_ZEN4 || HWY_TARGET == HWY_NEON

bool chain_panel(const float* const* a, const float* panel, std::size_t k, float* out) {
  const hn::CappedTag<float, 16> d;
  const std::size_t n = hn::Lanes(d);
  // Eight chains of vectors hide the latency of the multiply-add.
  for (std::size_t l = 0; l < kFmaPanel; l += 2 * n) {
    auto x0 = hn::Zero(d), x1 = x0, x2 = x0, x3 = x0, y0 = x0, y1 = x0, y2 = x0, y3 = x0;
    const float* b = panel + l;
    for (std::size_t i = 0; i < k; ++i, b += kFmaPanel) {
      const auto b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + n);
      const auto a0 = hn::Set(d, a[0][i]), a1 = hn::Set(d, a[1][i]);
      const auto a2 = hn::Set(d, a[2][i]), a3 = hn::Set(d, a[3][i]);
      x0 = hn::MulAdd(a0, b0, x0);
      y0 = hn::MulAdd(a0, b1, y0);
      x1 = hn::MulAdd(a1, b0, x1);
      y1 = hn::MulAdd(a1, b1, y1);
      x2 = hn::MulAdd(a2, b0, x2);
      y2 = hn::MulAdd(a2, b1, y2);
      x3 = hn::MulAdd(a3, b0, x3);
      y3 = hn::MulAdd(a3, b1, y3);
    }
    hn::StoreU(x0, d, out + l);
    hn::StoreU(y0, d, out + l + n);
    hn::StoreU(x1, d, out + kFmaPanel + l);
    hn::StoreU(y1, d, out + kFmaPanel + l + n);
    hn::StoreU(x2, d, out + 2 * kFmaPanel + l);
    hn::StoreU(y2, d, out + 2 * kFmaPanel + l + n);
    hn::StoreU(x3, d, out + 3 * kFmaPanel + l);
    hn::StoreU(y3, d, out + 3 * kFmaPanel + l + n);
  }
  return true;
}

#else

bool chain_panel(const float* const*, const float*, std::size_t, float*) { return false; }

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(chain_panel);

bool fma_chain_panel(const float* const a[4], const float* panel, std::size_t k, float* out) {
  return HWY_DYNAMIC_DISPATCH(chain_panel)(a, panel, k, out);
}

std::vector<float> pack_fma_panels(const float* b, std::size_t rows, std::size_t k) {
  const std::size_t panels = (rows + kFmaPanel - 1) / kFmaPanel;
  std::vector<float> packed(panels * k * kFmaPanel, 0.0f);
#pragma omp parallel for schedule(static) if (rows * k > 16384)
  for (std::size_t p = 0; p < panels; ++p) {
    const std::size_t lanes = std::min(kFmaPanel, rows - p * kFmaPanel);
    for (std::size_t l = 0; l < lanes; ++l) {
      const float* from = b + (p * kFmaPanel + l) * k;
      float* to = packed.data() + p * k * kFmaPanel + l;
      for (std::size_t i = 0; i < k; ++i) to[i * kFmaPanel] = from[i];
    }
  }
  return packed;
}

}  // namespace fp4lab::detail
#endif
