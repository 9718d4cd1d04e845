// The 32 binary64 lanes of sim/reduce.h as vectors of the instruction set at hand, and row sums.
//
// Missing terms of a short block are added as +0: a lane starts at +0 and so never is -0, and
// adding +0 leaves every other value alone.
#if defined(FP4LAB_SIM_SIMD_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FP4LAB_SIM_SIMD_LANES_INL_H_
#undef FP4LAB_SIM_SIMD_LANES_INL_H_
#else
#define FP4LAB_SIM_SIMD_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "sim/reduce.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::simd::HWY_NAMESPACE {

// The compilers' own vectors: cut to what the instruction set has. They are passed by reference,
// since a register of this width is not part of every instruction set's calling convention.
typedef float F32x8 __attribute__((vector_size(32), aligned(4)));
typedef double F64x8 __attribute__((vector_size(64), aligned(8)));

HWY_INLINE void Load8(const float* p, F32x8& v) { std::memcpy(&v, p, sizeof(v)); }
HWY_INLINE void Load8(const float* p, F64x8& v) {
  F32x8 f;
  std::memcpy(&f, p, sizeof(f));
  v = __builtin_convertvector(f, F64x8);
}
HWY_INLINE void Load8(const double* p, F64x8& v) { std::memcpy(&v, p, sizeof(v)); }

/// lane[0..31] in four vectors.
struct Lanes {
  F64x8 a = {}, b = {}, c = {}, d = {};
};

HWY_INLINE double Fold(Lanes& s) {
  s.a += s.c;  // 16
  s.b += s.d;
  s.a += s.b;  // 8
  typedef double F64x4 __attribute__((vector_size(32), aligned(8)));
  typedef double F64x2 __attribute__((vector_size(16), aligned(8)));
  F64x4 q[2];
  std::memcpy(q, &s.a, sizeof(q));
  q[0] += q[1];  // 4
  F64x2 p[2];
  std::memcpy(p, &q[0], sizeof(p));
  p[0] += p[1];  // 2
  return p[0][0] + p[0][1];
}

// Terms of a row: Add(i, v) adds terms i ... i + 7, copied to a padded buffer at the tail.
template <class T>
struct TermsOfOne {
  const T* x;
  HWY_INLINE void Add(std::size_t i, F64x8& s) const {
    F64x8 v;
    Load8(x + i, v);
    s += v;
  }
  HWY_INLINE TermsOfOne Tail(std::size_t at, std::size_t count, T* buffer, T*) const {
    std::copy_n(x + at, count, buffer);
    return {buffer};
  }
};
struct TermsOfSquare {
  const float* x;
  HWY_INLINE void Add(std::size_t i, F64x8& s) const {
    F64x8 v;
    Load8(x + i, v);
    s += v * v;
  }
  HWY_INLINE TermsOfSquare Tail(std::size_t at, std::size_t count, float* buffer, float*) const {
    std::copy_n(x + at, count, buffer);
    return {buffer};
  }
};
struct TermsOfProduct {
  const float *x, *y;
  HWY_INLINE void Add(std::size_t i, F64x8& s) const {
    F64x8 v, w;
    Load8(x + i, v);
    Load8(y + i, w);
    s += v * w;
  }
  HWY_INLINE TermsOfProduct Tail(std::size_t at, std::size_t count, float* bx, float* by) const {
    std::copy_n(x + at, count, bx);
    std::copy_n(y + at, count, by);
    return {bx, by};
  }
};
struct TermsOfSquaredDifference {
  const float *x, *y;
  HWY_INLINE void Add(std::size_t i, F64x8& s) const {
    F64x8 v, w;
    Load8(x + i, v);
    Load8(y + i, w);
    v -= w;
    s += v * v;
  }
  HWY_INLINE TermsOfSquaredDifference Tail(std::size_t at, std::size_t count, float* bx,
                                           float* by) const {
    std::copy_n(x + at, count, bx);
    std::copy_n(y + at, count, by);
    return {bx, by};
  }
};

/// Sum of one block of n <= 1024 terms that starts at term `first`.
template <class T, class Terms>
HWY_INLINE double BlockSum(const Terms& terms, std::size_t first, std::size_t n) {
  Lanes s;
  const std::size_t whole = n / kSumLanes * kSumLanes;
  for (std::size_t i = first; i < first + whole; i += kSumLanes) {
    terms.Add(i, s.a);
    terms.Add(i + 8, s.b);
    terms.Add(i + 16, s.c);
    terms.Add(i + 24, s.d);
  }
  if (whole < n) {
    T bx[kSumLanes] = {}, by[kSumLanes] = {};
    const Terms tail = terms.Tail(first + whole, n - whole, bx, by);
    tail.Add(0, s.a);
    tail.Add(8, s.b);
    tail.Add(16, s.c);
    tail.Add(24, s.d);
  }
  return Fold(s);
}

/// Sum of n terms on this thread.
template <class T, class Terms>
HWY_INLINE double RowSum(const Terms& terms, std::size_t n) {
  if (n <= kSumBlock) return n == 0 ? 0.0 : BlockSum<T>(terms, 0, n);
  PairwiseSum blocks;
  for (std::size_t at = 0; at < n; at += kSumBlock) {
    blocks.add(BlockSum<T>(terms, at, std::min(kSumBlock, n - at)));
  }
  return blocks.result();
}

HWY_INLINE double RowSumOf(const float* x, std::size_t n) {
  return RowSum<float>(TermsOfOne<float>{x}, n);
}
HWY_INLINE double RowSumOfSquares(const float* x, std::size_t n) {
  return RowSum<float>(TermsOfSquare{x}, n);
}
HWY_INLINE double RowSumOfProducts(const float* x, const float* y, std::size_t n) {
  return RowSum<float>(TermsOfProduct{x, y}, n);
}

}  // namespace fp4lab::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FP4LAB_SIM_SIMD_LANES_INL_H_
