#include "sim/nn/selective_scan.h"

#include <algorithm>
#include <cstddef>

#include "hwy/detect_targets.h"
#include "sim/fma.h"
#include "sim/math_array.h"
#include "sim/reduce.h"
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#endif

#ifndef FP4LAB_SELECTIVE_SCAN_STEP
#define FP4LAB_SELECTIVE_SCAN_STEP
namespace fp4lab::nn {
/// One position of the backward. `carry` [states, channels] holds fl(a * dh) of the position after
/// this one on entry and of this one on return.
struct ScanStep {
  const float *decay, *state, *before;  ///< [states, channels]; before: the state ahead of it
  const float *x, *delta, *input, *b, *c, *a, *d, *dy;
  float *dx, *ddelta, *db, *dc, *da, *dd, *carry, *dinput;
};
}  // namespace fp4lab::nn
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/nn/selective_scan.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "sim/simd/lanes-inl.h"

// Loops over channels are plain loops: the compiler vectorises them for each instruction set.
HWY_BEFORE_NAMESPACE();
namespace fp4lab::nn::HWY_NAMESPACE {
namespace lanes = fp4lab::simd::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || \
    HWY_TARGET == HWY_AVX3_ZEN4 || HWY_TARGET == HWY_NEON
HWY_INLINE float scan_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
HWY_INLINE float scan_fma(float a, float b, float c) { return fma_rn(a, b, c); }
#endif

/// a[n, c] = exp(fl(delta[c] * A[n, c])) for one position.
void scan_decay(const ScanExtents& e, const float* delta, const float* a, float* out) {
  for (std::size_t n = 0; n < e.states; ++n) {
    const float* row = a + n * e.channels;
    float* to = out + n * e.channels;
    for (std::size_t c = 0; c < e.channels; ++c) to[c] = delta[c] * row[c];
  }
}

/// One position: next = state after it, y if wanted. `input` is fl(delta * x).
void scan_advance(const ScanExtents& e, const float* decay, const float* input, const float* b,
                  const float* state, float* next) {
  const std::size_t channels = e.channels;
  for (std::size_t n = 0; n < e.states; ++n) {
    const float* a = decay + n * channels;
    const float* h = state + n * channels;
    float* to = next + n * channels;
    const float bn = b[n];
    for (std::size_t c = 0; c < channels; ++c) to[c] = scan_fma(a[c], h[c], input[c] * bn);
  }
}

void scan_read_out(const ScanExtents& e, const float* state, const float* cs, const float* d,
                   const float* x, float* y) {
  const std::size_t channels = e.channels;
  std::fill_n(y, channels, 0.0f);
  for (std::size_t n = 0; n < e.states; ++n) {
    const float* h = state + n * channels;
    const float cn = cs[n];
    for (std::size_t c = 0; c < channels; ++c) y[c] = scan_fma(cn, h[c], y[c]);
  }
  for (std::size_t c = 0; c < channels; ++c) y[c] = canonical(scan_fma(d[c], x[c], y[c]));
}

void scan_product(const float* x, const float* y, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * y[i];
}

/// One state of a position. (A function of its own, so that the compiler sees that nothing
/// overlaps.)
HWY_NOINLINE void scan_retreat_state(std::size_t channels, float bn,
                                     const float* HWY_RESTRICT decay,
                                     const float* HWY_RESTRICT before, const float* HWY_RESTRICT a,
                                     const float* HWY_RESTRICT delta, float* HWY_RESTRICT dh,
                                     float* HWY_RESTRICT da, float* HWY_RESTRICT dinput,
                                     float* HWY_RESTRICT ddelta) {
  for (std::size_t c = 0; c < channels; ++c) {
    dinput[c] = scan_fma(dh[c], bn, dinput[c]);
    const float through = dh[c] * before[c] * decay[c];  // gradient of fl(delta * A)
    ddelta[c] = scan_fma(through, a[c], ddelta[c]);
    da[c] = scan_fma(through, delta[c], da[c]);
    dh[c] = decay[c] * dh[c];
  }
}

void scan_retreat(const ScanExtents& e, const ScanStep& s) {
  const std::size_t channels = e.channels;
  std::fill_n(s.dinput, channels, 0.0f);
  std::fill_n(s.ddelta, channels, 0.0f);
  for (std::size_t n = 0; n < e.states; ++n) {
    const std::size_t at = n * channels;
    float* dh = s.carry + at;
    const float cn = s.c[n];
    for (std::size_t c = 0; c < channels; ++c) dh[c] = scan_fma(cn, s.dy[c], dh[c]);
    s.dc[n] = round_sum(lanes::RowSumOfProducts(s.state + at, s.dy, channels));
    s.db[n] = round_sum(lanes::RowSumOfProducts(dh, s.input, channels));
    scan_retreat_state(channels, s.b[n], s.decay + at, s.before + at, s.a + at, s.delta, dh,
                       s.da + at, s.dinput, s.ddelta);
  }
  for (std::size_t c = 0; c < channels; ++c) {
    s.ddelta[c] = canonical(scan_fma(s.dinput[c], s.x[c], s.ddelta[c]));
    s.dx[c] = canonical(scan_fma(s.d[c], s.dy[c], s.dinput[c] * s.delta[c]));
    s.dd[c] = scan_fma(s.dy[c], s.x[c], s.dd[c]);
  }
}

/// y[c] = chain over the rows given of weight[w, c] * rows[w][c].
void scan_conv_row(std::size_t channels, std::size_t taps, const float* const* rows,
                   const float* const* weight, const float* bias, float* y) {
  std::fill_n(y, channels, 0.0f);
  for (std::size_t w = 0; w < taps; ++w) {
    const float *x = rows[w], *k = weight[w];
    for (std::size_t c = 0; c < channels; ++c) y[c] = scan_fma(k[c], x[c], y[c]);
  }
  for (std::size_t c = 0; c < channels; ++c) {
    y[c] = canonical(bias != nullptr ? y[c] + bias[c] : y[c]);
  }
}

/// sum[c] = fma(x[c], y[c], sum[c]).
void scan_accumulate(std::size_t channels, const float* x, const float* y, float* sum) {
  for (std::size_t c = 0; c < channels; ++c) sum[c] = scan_fma(x[c], y[c], sum[c]);
}

}  // namespace fp4lab::nn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::nn {

HWY_EXPORT(scan_decay);
HWY_EXPORT(scan_advance);
HWY_EXPORT(scan_read_out);
HWY_EXPORT(scan_product);
HWY_EXPORT(scan_retreat);
HWY_EXPORT(scan_conv_row);
HWY_EXPORT(scan_accumulate);

void selective_scan(const ScanExtents& e, const ScanInput& in, float* y) {
  const std::size_t plane = e.states * e.channels;
#pragma omp parallel
  {
    std::vector<float> a(plane), h(plane), input(e.channels);
#pragma omp for schedule(static)
    for (std::size_t item = 0; item < e.items; ++item) {
      std::fill(h.begin(), h.end(), 0.0f);
      for (std::size_t t = 0; t < e.length; ++t) {
        const std::size_t row = item * e.length + t, at = row * e.channels;
        HWY_DYNAMIC_DISPATCH(scan_decay)(e, in.delta + at, in.a, a.data());
        math::exp(a, a);
        HWY_DYNAMIC_DISPATCH(scan_product)(in.delta + at, in.x + at, e.channels, input.data());
        HWY_DYNAMIC_DISPATCH(scan_advance)
        (e, a.data(), input.data(), in.b + row * in.bc_row, h.data(), h.data());
        HWY_DYNAMIC_DISPATCH(scan_read_out)
        (e, h.data(), in.c + row * in.bc_row, in.d, in.x + at, y + at);
      }
    }
  }
}

void selective_scan_backward(const ScanExtents& e, const ScanInput& in, const float* dy,
                             const ScanGradient& g) {
  const std::size_t plane = e.states * e.channels;
#pragma omp parallel
  {
    // Decays and states of a whole item: cheaper to compute again than to keep from the forward.
    std::vector<float> a(e.length * plane), h((e.length + 1) * plane), input(e.length * e.channels);
    std::vector<float> carry(plane), dinput(e.channels);
#pragma omp for schedule(static)
    for (std::size_t item = 0; item < e.items; ++item) {
      const std::size_t first = item * e.length;
      for (std::size_t t = 0; t < e.length; ++t) {
        const std::size_t row = first + t, at = row * e.channels;
        float* now = a.data() + t * plane;
        HWY_DYNAMIC_DISPATCH(scan_decay)(e, in.delta + at, in.a, now);
        math::exp({now, plane}, {now, plane});
        HWY_DYNAMIC_DISPATCH(scan_product)
        (in.delta + at, in.x + at, e.channels, input.data() + t * e.channels);
        HWY_DYNAMIC_DISPATCH(scan_advance)
        (e, now, input.data() + t * e.channels, in.b + row * in.bc_row, h.data() + t * plane,
         h.data() + (t + 1) * plane);
      }
      std::fill(carry.begin(), carry.end(), 0.0f);
      float* da = g.a + item * plane;
      float* dd = g.d + item * e.channels;
      std::fill_n(da, plane, 0.0f);
      std::fill_n(dd, e.channels, 0.0f);
      for (std::size_t t = e.length; t-- > 0;) {
        const std::size_t row = first + t, at = row * e.channels, bc = row * in.bc_row;
        const ScanStep step{a.data() + t * plane,
                            h.data() + (t + 1) * plane,
                            h.data() + t * plane,
                            in.x + at,
                            in.delta + at,
                            input.data() + t * e.channels,
                            in.b + bc,
                            in.c + bc,
                            in.a,
                            in.d,
                            dy + at,
                            g.x + at,
                            g.delta + at,
                            g.b + bc,
                            g.c + bc,
                            da,
                            dd,
                            carry.data(),
                            dinput.data()};
        HWY_DYNAMIC_DISPATCH(scan_retreat)(e, step);
      }
    }
  }
}

void causal_conv(std::size_t items, std::size_t length, std::size_t channels, std::size_t width,
                 const float* x, std::size_t x_row, const float* weight, const float* bias,
                 float* y) {
#pragma omp parallel for schedule(static)
  for (std::size_t r = 0; r < items * length; ++r) {
    const std::size_t t = r % length, taps = std::min(width, t + 1);
    std::vector<const float*> rows(taps), weights(taps);
    for (std::size_t i = 0; i < taps; ++i) {
      rows[i] = x + (r + 1 - taps + i) * x_row;
      weights[i] = weight + (width - taps + i) * channels;
    }
    HWY_DYNAMIC_DISPATCH(scan_conv_row)
    (channels, taps, rows.data(), weights.data(), bias, y + r * channels);
  }
}

void causal_conv_backward(std::size_t items, std::size_t length, std::size_t channels,
                          std::size_t width, const float* x, std::size_t x_row, const float* weight,
                          const float* dy, float* dx, std::size_t dx_row, float* dweight,
                          float* dbias) {
  const std::vector<float> ones(channels, 1.0f);
#pragma omp parallel for schedule(static)
  for (std::size_t item = 0; item < items; ++item) {
    std::vector<const float*> rows(width), weights(width);
    float* dw = dweight + item * width * channels;
    float* db = dbias + item * channels;
    std::fill_n(dw, width * channels, 0.0f);
    std::fill_n(db, channels, 0.0f);
    for (std::size_t t = 0; t < length; ++t) {
      const std::size_t r = item * length + t;
      const float* g = dy + r * channels;
      // x[t] reached y[t + width - 1 - w] through tap w.
      std::size_t taps = 0;
      for (std::size_t w = 0; w < width; ++w) {
        const std::size_t ahead = width - 1 - w;
        if (t + ahead >= length) continue;
        rows[taps] = dy + (r + ahead) * channels;
        weights[taps++] = weight + w * channels;
      }
      HWY_DYNAMIC_DISPATCH(scan_conv_row)
      (channels, taps, rows.data(), weights.data(), nullptr, dx + r * dx_row);
      for (std::size_t w = 0; w < width; ++w) {
        const std::size_t back = width - 1 - w;
        if (back > t) continue;
        HWY_DYNAMIC_DISPATCH(scan_accumulate)
        (channels, g, x + (r - back) * x_row, dw + w * channels);
      }
      HWY_DYNAMIC_DISPATCH(scan_accumulate)(channels, g, ones.data(), db);
    }
  }
}

}  // namespace fp4lab::nn
#endif  // HWY_ONCE
