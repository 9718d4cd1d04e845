// What a quantization did to a tensor, in numbers whose bits do not depend on threads or machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fp4lab {

/// log10 from additions, multiplications and divisions alone, so that every machine gives the same
/// bits; relative error below 4e-16 for normal numbers. 0 gives -inf, negative numbers NaN.
double portable_log10(double x);

/// 10 log10(signal / noise); +inf without noise.
double sqnr_db(double signal, double noise);

/// Statistics of y = dequantize(quantize(x)) against x. Fractions are NaN when there is nothing to
/// divide by.
struct ErrorStatistics {
  std::size_t elements = 0;
  std::size_t nonfinite = 0;     ///< x or y is NaN or Inf; left out of the three error figures
  double signal = 0, noise = 0;  ///< sum x^2, sum (x - y)^2
  double sqnr_db = 0;            ///< 10 log10(sum x^2 / sum (x - y)^2); +inf without error
  double mse = 0;                ///< mean of (x - y)^2
  double max_abs_error = 0;
  double underflow_fraction = 0;  ///< count(x != 0 and y == 0) / count(x != 0)
  double zero_fraction = 0;       ///< share of y == 0
};

/// Spans of equal length.
ErrorStatistics error_statistics(std::span<const float> x, std::span<const float> y);

}  // namespace fp4lab
