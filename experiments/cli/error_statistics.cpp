#include "experiments/cli/error_statistics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace fp4lab::cli {
namespace {

constexpr std::size_t kBlock = 1024;
constexpr std::size_t kLanes = 32;

double block_sum(std::size_t first, std::size_t last,
                 const std::function<double(std::size_t)>& term) {
  std::array<double, kLanes> lanes{};
  for (std::size_t i = first; i < last; ++i) lanes[(i - first) % kLanes] += term(i);
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

}  // namespace

double fixed_sum(std::size_t n, const std::function<double(std::size_t)>& term) {
  std::vector<double> sums;
  for (std::size_t first = 0; first < n; first += kBlock) {
    sums.push_back(block_sum(first, std::min(n, first + kBlock), term));
  }
  if (sums.empty()) return 0.0;
  while (sums.size() > 1) {
    const std::size_t pairs = sums.size() / 2;
    for (std::size_t i = 0; i < pairs; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
    if (sums.size() % 2 != 0) sums[pairs] = sums.back();
    sums.resize(pairs + sums.size() % 2);
  }
  return sums[0];
}

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
  const double signal = fixed_sum(x.size(), [&](std::size_t i) {
    const double v = both_finite(i) ? static_cast<double>(x[i]) : 0.0;
    return v * v;
  });
  const double noise = fixed_sum(x.size(), [&](std::size_t i) {
    const double e = both_finite(i) ? static_cast<double>(x[i]) - static_cast<double>(y[i]) : 0.0;
    return e * e;
  });
  const auto share = [](double count, std::size_t of) {
    return of == 0 ? std::numeric_limits<double>::quiet_NaN() : count / static_cast<double>(of);
  };
  const std::size_t finite = x.size() - out.nonfinite;
  out.mse = share(noise, finite);
  out.underflow_fraction = share(static_cast<double>(underflow), nonzero);
  out.zero_fraction = share(static_cast<double>(zero), x.size());
  if (finite == 0) {
    out.sqnr_db = out.max_abs_error = std::numeric_limits<double>::quiet_NaN();
  } else if (noise == 0.0) {
    out.sqnr_db = std::numeric_limits<double>::infinity();
  } else {
    out.sqnr_db = 10.0 * portable_log10(signal / noise);
  }
  return out;
}

}  // namespace fp4lab::cli
