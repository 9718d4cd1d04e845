#include "sim/error_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "sim/reduce.h"

namespace fp4lab {
double portable_log10(double x) {
  if (std::isnan(x) || x < 0.0) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0.0) return -std::numeric_limits<double>::infinity();
  if (std::isinf(x)) return x;
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {  // subnormal: exact scaling into the normal range
    x *= 0x1p54;
    exponent = -54;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & ((1ull << 52) - 1)) | (1023ull << 52));
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716: the terms after s^23 are below 1e-19.
  const double s = (m - 1.0) / (m + 1.0);
  const double q = s * s;
  double series = 0.0;
  for (int k = 23; k >= 1; k -= 2) series = series * q + 1.0 / k;
  constexpr double kInverseLn10 = 0.43429448190325182765;
  constexpr double kLog10Of2 = 0.30102999566398119521;
  return exponent * kLog10Of2 + 2.0 * s * series * kInverseLn10;
}

double sqnr_db(double signal, double noise) {
  if (noise == 0.0) return std::numeric_limits<double>::infinity();
  return 10.0 * portable_log10(signal / noise);
}

ErrorStatistics error_statistics(std::span<const float> x, std::span<const float> y) {
  if (x.size() != y.size()) throw std::logic_error("error_statistics: lengths differ");
  ErrorStatistics out;
  out.elements = x.size();
  std::size_t nonzero = 0, underflow = 0, zero = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool finite = std::isfinite(x[i]) && std::isfinite(y[i]);
    out.nonfinite += !finite;
    nonzero += x[i] != 0.0f;
    underflow += x[i] != 0.0f && y[i] == 0.0f;
    zero += y[i] == 0.0f;
    if (finite) {
      const double error = std::fabs(static_cast<double>(x[i]) - static_cast<double>(y[i]));
      out.max_abs_error = std::max(out.max_abs_error, error);
    }
  }
  const auto both_finite = [&](std::size_t i) {
    return std::isfinite(x[i]) && std::isfinite(y[i]);
  };
  if (out.nonfinite == 0) {  // the same sums, in vectors
    out.signal = sum_squares(x);
    out.noise = sum_squared_differences(x, y);
  } else {
    out.signal = sum_terms(x.size(), [&](std::size_t i) {
      const double v = both_finite(i) ? static_cast<double>(x[i]) : 0.0;
      return v * v;
    });
    out.noise = sum_terms(x.size(), [&](std::size_t i) {
      const double e = both_finite(i) ? static_cast<double>(x[i]) - static_cast<double>(y[i]) : 0.0;
      return e * e;
    });
  }
  const auto share = [](double count, std::size_t of) {
    return of == 0 ? std::numeric_limits<double>::quiet_NaN() : count / static_cast<double>(of);
  };
  const std::size_t finite = x.size() - out.nonfinite;
  out.mse = share(out.noise, finite);
  out.underflow_fraction = share(static_cast<double>(underflow), nonzero);
  out.zero_fraction = share(static_cast<double>(zero), x.size());
  if (finite == 0) {
    out.sqnr_db = out.max_abs_error = std::numeric_limits<double>::quiet_NaN();
  } else {
    out.sqnr_db = sqnr_db(out.signal, out.noise);
  }
  return out;
}

}  // namespace fp4lab
