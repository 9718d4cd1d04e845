#include "sim/stabilize/slot_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "sim/math.h"
#include "sim/reduce.h"

namespace fp4lab::stabilize {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

double ratio(double top, double bottom) {
  return bottom == 0.0 ? kMissing : canonical_f64(top / bottom);
}

/// 10 log10(x) of a positive x through the house's binary32 logarithm, so that no result depends on
/// the platform: log2 of the mantissa, exponents added exactly in binary64.
double decibels(double x) {
  if (!(x > 0.0) || std::isinf(x)) return x > 0.0 ? x : kMissing;
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  const double log2 =
      static_cast<double>(exponent) +
      static_cast<double>(math::log(static_cast<float>(mantissa))) * 1.4426950408889634;
  return 3.0102999566398120 * log2;
}

/// Magnitude as integers, so that NaN and infinities win.
std::uint32_t magnitude(float x) { return std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu; }

}  // namespace

void SlotStatistics::add(const nn::SlotSample& sample) {
  const std::span<const float> x = sample.input, q = sample.output;
  elements_ += x.size();
  input_squares_ += sum_squares(x);
  output_squares_ += sum_squares(q);
  products_ += sum_products(x, q);
  error_squares_ += sum_squared_differences(q, x);
  errors_ += sum(q) - sum(x);
  std::uint32_t top = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    top = std::max(top, magnitude(x[i]));
    const bool zero = q[i] == 0.0f, nonzero_input = x[i] != 0.0f;
    zeros_ += zero ? 1 : 0;
    nonzero_inputs_ += nonzero_input ? 1 : 0;
    underflows_ += zero && nonzero_input ? 1 : 0;
  }
  const double peak = static_cast<double>(std::bit_cast<float>(top));
  amax_ = std::isnan(peak) || peak > amax_ ? canonical_f64(peak) : amax_;
  saturated_ += sample.saturated;
  const double weight = static_cast<double>(x.size());
  if (sample.requant_exact >= 0) {
    exact_ += sample.requant_exact * weight;
    exact_weight_ += weight;
  }
  if (sample.choose4 >= 0) {
    choose4_ += sample.choose4 * weight;
    choose4_weight_ += weight;
  }
  if (sample.spec->element.bits > 4 || sample.codes.empty()) {
    codes_.fill(-1);
  } else {
    for (const std::uint8_t code : sample.codes) ++codes_[code & 15u];
  }
  const bool coded = sample.spec->scale.kind == ScaleFormat::Kind::coded;
  if (coded && sample.spec->scale.format.bits > 8) {
    scales_.fill(-1);
  } else {
    for (const std::uint32_t code : sample.scale_codes) {
      ++scales_[coded ? code & 255u : code >> 23 & 255u];
    }
  }
}

double SlotStatistics::sqnr_db() const {
  if (error_squares_ == 0.0 && input_squares_ > 0.0) {
    return std::numeric_limits<double>::infinity();
  }
  return decibels(ratio(input_squares_, error_squares_));
}
double SlotStatistics::mse() const { return ratio(error_squares_, static_cast<double>(elements_)); }
double SlotStatistics::cosine() const {
  return ratio(products_, std::sqrt(input_squares_) * std::sqrt(output_squares_));
}
double SlotStatistics::norm_ratio() const {
  return ratio(std::sqrt(output_squares_), std::sqrt(input_squares_));
}
double SlotStatistics::bias() const { return ratio(errors_, static_cast<double>(elements_)); }
double SlotStatistics::zero_fraction() const {
  return ratio(static_cast<double>(zeros_), static_cast<double>(elements_));
}
double SlotStatistics::underflow_fraction() const {
  return ratio(static_cast<double>(underflows_), static_cast<double>(nonzero_inputs_));
}
double SlotStatistics::saturation_fraction() const {
  return ratio(static_cast<double>(saturated_), static_cast<double>(elements_));
}
double SlotStatistics::requant_exact_fraction() const { return ratio(exact_, exact_weight_); }
double SlotStatistics::choose4_fraction() const { return ratio(choose4_, choose4_weight_); }

void GemmStatistics::add(const nn::GemmSample& sample) {
  elements_ += sample.result.size();
  result_squares_ += sum_squares(sample.result);
  reference_squares_ += sum_squares(sample.reference);
  products_ += sum_products(sample.result, sample.reference);
  error_squares_ += sum_squared_differences(sample.result, sample.reference);
  if (sample.consistent.empty()) return;
  ste_squares_ += sum_squares(sample.consistent);
  ste_products_ += sum_products(sample.result, sample.consistent);
  ste_error_squares_ += sum_squared_differences(sample.result, sample.consistent);
}

double GemmStatistics::cosine() const {
  return ratio(products_, std::sqrt(result_squares_) * std::sqrt(reference_squares_));
}
double GemmStatistics::rel_error() const {
  return ratio(std::sqrt(error_squares_), std::sqrt(reference_squares_));
}
double GemmStatistics::pma() const { return ratio(products_, reference_squares_); }
double GemmStatistics::rho() const {
  if (error_squares_ == 0.0 && reference_squares_ > 0.0) {
    return std::numeric_limits<double>::infinity();
  }
  return ratio(std::sqrt(reference_squares_), std::sqrt(error_squares_));
}

double GemmStatistics::ste_cosine() const {
  return ratio(ste_products_, std::sqrt(result_squares_) * std::sqrt(ste_squares_));
}
double GemmStatistics::ste_norm_ratio() const {
  return ratio(std::sqrt(result_squares_), std::sqrt(ste_squares_));
}
double GemmStatistics::ste_rel_error() const {
  return ratio(std::sqrt(ste_error_squares_), std::sqrt(ste_squares_));
}

}  // namespace fp4lab::stabilize
