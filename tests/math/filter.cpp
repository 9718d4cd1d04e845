// The filter of reference.h over arrays. glibc has vector twins of its binary64 functions (libmvec,
// errors up to 4 units in the last place); without them the scalar ones are called.
#include <algorithm>
#include <cmath>

#include "tests/math/reference.h"

#if defined(__x86_64__) && defined(__GLIBC__) && defined(FP4LAB_HAVE_LIBMVEC)
#include <immintrin.h>
#define FP4LAB_VECTOR_FILTER 1
extern "C" {
__m256d _ZGVdN4v_exp(__m256d);
__m256d _ZGVdN4v_exp2(__m256d);
__m256d _ZGVdN4v_expm1(__m256d);
__m256d _ZGVdN4v_log(__m256d);
__m256d _ZGVdN4v_log2(__m256d);
__m256d _ZGVdN4v_log1p(__m256d);
__m256d _ZGVdN4v_tanh(__m256d);
__m256d _ZGVdN4v_erf(__m256d);
__m256d _ZGVdN4v_erfc(__m256d);
__m256d _ZGVdN4v_sin(__m256d);
__m256d _ZGVdN4v_cos(__m256d);
}
#endif

namespace fp4lab_test {
namespace {

constexpr std::size_t kChunk = 256;
using Chunk = double[kChunk];

#if FP4LAB_VECTOR_FILTER
template <__m256d (*kFunction)(__m256d)>
__attribute__((target("avx2"))) void map(const Chunk& x, Chunk& y) {
  for (std::size_t i = 0; i < kChunk; i += 4)
    _mm256_storeu_pd(y + i, kFunction(_mm256_loadu_pd(x + i)));
}

bool vector_values(Function f, const Chunk& x, Chunk& g) {
  static const bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!supported) return false;
  Chunk t;
  switch (f) {
    case Function::kExp:
      map<_ZGVdN4v_exp>(x, g);
      return true;
    case Function::kExp2:
      map<_ZGVdN4v_exp2>(x, g);
      return true;
    case Function::kExpm1:
      map<_ZGVdN4v_expm1>(x, g);
      return true;
    case Function::kLog:
      map<_ZGVdN4v_log>(x, g);
      return true;
    case Function::kLog2:
      map<_ZGVdN4v_log2>(x, g);
      return true;
    case Function::kLog1p:
      map<_ZGVdN4v_log1p>(x, g);
      return true;
    case Function::kTanh:
      map<_ZGVdN4v_tanh>(x, g);
      return true;
    case Function::kErf:
      map<_ZGVdN4v_erf>(x, g);
      return true;
    case Function::kSin:
      map<_ZGVdN4v_sin>(x, g);
      return true;
    case Function::kCos:
      map<_ZGVdN4v_cos>(x, g);
      return true;
    case Function::kSigmoid:
    case Function::kSilu:
      for (std::size_t i = 0; i < kChunk; ++i) t[i] = -x[i];
      map<_ZGVdN4v_exp>(t, g);
      for (std::size_t i = 0; i < kChunk; ++i) {
        g[i] = (f == Function::kSigmoid ? 1.0 : x[i]) / (1.0 + g[i]);
      }
      return true;
    case Function::kGelu:
      for (std::size_t i = 0; i < kChunk; ++i) t[i] = x[i] * -kSqrtHalf;
      map<_ZGVdN4v_erfc>(t, g);
      for (std::size_t i = 0; i < kChunk; ++i) g[i] = 0.5 * x[i] * g[i];
      return true;
    default:
      return false;
  }
}
#else
bool vector_values(Function, const Chunk&, Chunk&) { return false; }
#endif

}  // namespace

void filter_values(Function f, const float* x, double* g, std::size_t n) {
  Chunk wide, values;
  for (std::size_t at = 0; at < n; at += kChunk) {
    const std::size_t count = std::min(kChunk, n - at);
    for (std::size_t i = 0; i < kChunk; ++i) wide[i] = i < count ? x[at + i] : 0.0f;
    if (vector_values(f, wide, values)) {
      std::copy_n(values, count, g + at);
    } else {
      for (std::size_t i = 0; i < count; ++i) g[at + i] = libm_value(f, x[at + i]);
    }
  }
}

void filter(Function f, const float* x, Interval* y, std::size_t n) {
  const bool half_rule = f == Function::kSilu || f == Function::kGelu;
  Chunk g;
  for (std::size_t at = 0; at < n; at += kChunk) {
    const std::size_t count = std::min(kChunk, n - at);
    filter_values(f, x + at, g, count);
    for (std::size_t i = 0; i < count; ++i) {
      y[at + i] = {static_cast<float>(g[i] * (1 - kFilterWindow)),
                   static_cast<float>(g[i] * (1 + kFilterWindow))};
    }
    for (std::size_t i = 0; half_rule && i < count; ++i) {
      const double wide = x[at + i];
      if (std::fabs(wide) < kHalfRuleBelow) {
        y[at + i].low = y[at + i].high = static_cast<float>(just_above_half(wide));
      }
    }
  }
}

}  // namespace fp4lab_test
