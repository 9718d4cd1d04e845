#include "tests/math/functions.h"

#include <bit>
#include <cstdio>
#include <span>

#include "sim/math.h"
#include "sim/math_array.h"

namespace fp4lab_test {
namespace {

constexpr std::size_t kBlock = 16384;
constexpr std::uint64_t kGiveUp = 1000;  // mismatches of a block; the rest is not looked at

inline void each(float (*call)(float) noexcept, const float* x, float* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = call(x[i]);
}

void fill_block(std::uint64_t begin, std::vector<float>& x) {
  for (std::size_t i = 0; i < kBlock; ++i) {
    x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(begin + i));
  }
}

}  // namespace

void scalar_values(Function f, const float* x, float* y, std::size_t n) {
  namespace m = fp4lab::math;
  switch (f) {
    case Function::kExp:
      return each(m::exp, x, y, n);
    case Function::kExp2:
      return each(m::exp2, x, y, n);
    case Function::kExpm1:
      return each(m::expm1, x, y, n);
    case Function::kLog:
      return each(m::log, x, y, n);
    case Function::kLog2:
      return each(m::log2, x, y, n);
    case Function::kLog1p:
      return each(m::log1p, x, y, n);
    case Function::kTanh:
      return each(m::tanh, x, y, n);
    case Function::kErf:
      return each(m::erf, x, y, n);
    case Function::kSigmoid:
      return each(m::sigmoid, x, y, n);
    case Function::kSilu:
      return each(m::silu, x, y, n);
    case Function::kGelu:
      return each(m::gelu, x, y, n);
    case Function::kRsqrt:
      return each(m::rsqrt, x, y, n);
    case Function::kSqrt:
      return each(m::sqrt, x, y, n);
    case Function::kSin:
      return each(m::sin, x, y, n);
    case Function::kCos:
      return each(m::cos, x, y, n);
  }
}

void array_values(Function f, const float* x, float* y, std::size_t n) {
  namespace m = fp4lab::math;
  const std::span in(x, n);
  const std::span out(y, n);
  switch (f) {
    case Function::kExp:
      return m::exp(in, out);
    case Function::kExp2:
      return m::exp2(in, out);
    case Function::kExpm1:
      return m::expm1(in, out);
    case Function::kLog:
      return m::log(in, out);
    case Function::kLog2:
      return m::log2(in, out);
    case Function::kLog1p:
      return m::log1p(in, out);
    case Function::kTanh:
      return m::tanh(in, out);
    case Function::kErf:
      return m::erf(in, out);
    case Function::kSigmoid:
      return m::sigmoid(in, out);
    case Function::kSilu:
      return m::silu(in, out);
    case Function::kGelu:
      return m::gelu(in, out);
    case Function::kRsqrt:
      return m::rsqrt(in, out);
    case Function::kSqrt:
      return m::sqrt(in, out);
    case Function::kSin:
      return m::sin(in, out);
    case Function::kCos:
      return m::cos(in, out);
  }
}

std::string describe(Function f, const Mismatch& m) {
  char text[160];
  std::snprintf(text, sizeof text, "%s(%08x = %.9g) -> got %08x (%.9g) want %08x (%.9g)",
                std::string(kFunctionNames[static_cast<std::size_t>(f)]).c_str(), m.x,
                static_cast<double>(std::bit_cast<float>(m.x)), m.got,
                static_cast<double>(std::bit_cast<float>(m.got)), m.want,
                static_cast<double>(std::bit_cast<float>(m.want)));
  return text;
}

Walk compare_with_reference(Function f, Evaluator evaluate, const float* x, std::size_t n) {
  Walk walk;
  std::vector<float> y(n);
  std::vector<Interval> want(n);
  evaluate(f, x, y.data(), n);
  filter(f, x, want.data(), n);
  const auto bits = [](float v) { return std::bit_cast<std::uint32_t>(v); };
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t b = bits(x[i]), got = bits(y[i]);
    const bool ordinary = (b << 1) - 1 < 0xFF000000u - 1;  // neither zero, infinity nor NaN
    const bool nan = (got << 1) > 0xFF000000u;
    const bool same = ((got ^ bits(want[i].low)) | (got ^ bits(want[i].high))) == 0;
    if (ordinary & !nan & same) continue;
    // On the list, undecided, or in disagreement with the filter.
    auto wanted = special_bits(f, x[i]);
    if (!wanted) {
      ++walk.by_mpfr;
      wanted = mpfr_bits(f, x[i]);
    }
    if (got == *wanted) continue;
    if (walk.first.size() < 4) walk.first.push_back({b, got, *wanted});
    if (++walk.mismatches == kGiveUp) break;
  }
  return walk;
}

Walk compare_with_reference(Function f, Evaluator evaluate, std::uint64_t begin, std::uint64_t end,
                            int threads) {
  Walk walk;
  const auto blocks = static_cast<std::int64_t>((end - begin) / kBlock);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
  for (std::int64_t block = 0; block < blocks; ++block) {
    thread_local std::vector<float> x(kBlock);
    fill_block(begin + static_cast<std::uint64_t>(block) * kBlock, x);
    const Walk part = compare_with_reference(f, evaluate, x.data(), kBlock);
#pragma omp critical
    {
      walk.mismatches += part.mismatches;
      walk.by_mpfr += part.by_mpfr;
      if (walk.first.size() < 8)
        walk.first.insert(walk.first.end(), part.first.begin(), part.first.end());
    }
  }
  return walk;
}

std::uint64_t leading_byte_hash(Function f, Evaluator evaluate, unsigned leading_byte) {
  std::vector<float> x(kBlock), y(kBlock);
  std::uint64_t sum = 0;
  const std::uint64_t begin = std::uint64_t{leading_byte} << 24;
  for (std::uint64_t at = begin; at < begin + (1u << 24); at += kBlock) {
    fill_block(at, x);
    evaluate(f, x.data(), y.data(), kBlock);
    for (std::size_t i = 0; i < kBlock; ++i) {
      sum += mix(((at + i) << 32) + std::bit_cast<std::uint32_t>(y[i]));
    }
  }
  return sum;
}

}  // namespace fp4lab_test
