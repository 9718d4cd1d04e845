// What a quantization lost: statistics of one slot over a step, and of one product.
#pragma once

#include <array>
#include <cstdint>

#include "sim/nn/probe.h"

namespace fp4lab::stabilize {

inline constexpr std::size_t kCodeBins = 16;
inline constexpr std::size_t kScaleBins = 256;

/// Sums over all microbatches of a step, in their order; terms and shape as decisions.md 6 says.
class SlotStatistics {
 public:
  void add(const nn::SlotSample& sample);
  bool empty() const noexcept { return elements_ == 0; }

  // Ratios of sums; NaN where the denominator is zero.
  double sqnr_db() const;  ///< 10 log10(sum x^2 / sum (x - q)^2); +Inf without error
  double mse() const;
  double cosine() const;
  double norm_ratio() const;  ///< norm of the output / norm of the input
  double bias() const;        ///< mean of output - input
  double amax() const { return amax_; }
  double zero_fraction() const;       ///< zeros in the output
  double underflow_fraction() const;  ///< non-zero inputs that became zero
  double saturation_fraction() const;
  double requant_exact_fraction() const;  ///< NaN where the slot does not quantize again
  double choose4_fraction() const;        ///< NaN where the rule has no such choice
  /// Elements of each code; all -1 for formats of more than 4 bits.
  const std::array<std::int64_t, kCodeBins>& code_histogram() const { return codes_; }
  /// Blocks of each scale code; binary32 scales by exponent field; all -1 for wider codes.
  const std::array<std::int64_t, kScaleBins>& scale_histogram() const { return scales_; }

 private:
  std::uint64_t elements_ = 0, zeros_ = 0, nonzero_inputs_ = 0, underflows_ = 0, saturated_ = 0;
  double input_squares_ = 0, output_squares_ = 0, products_ = 0, error_squares_ = 0, errors_ = 0;
  double amax_ = 0;
  double exact_ = 0, exact_weight_ = 0, choose4_ = 0, choose4_weight_ = 0;
  std::array<std::int64_t, kCodeBins> codes_{};
  std::array<std::int64_t, kScaleBins> scales_{};
};

/// A product beside the binary32 product of the unquantized operands.
class GemmStatistics {
 public:
  void add(const nn::GemmSample& sample);
  bool empty() const noexcept { return elements_ == 0; }
  double cosine() const;
  double rel_error() const;  ///< norm of the error / norm of the reference
  double pma() const;        ///< <reference, result> / <reference, reference>
  double rho() const;        ///< norm of the reference / norm of the error
  // The same beside the straight-through gradient of the quantized network; NaN for y.
  double ste_cosine() const;
  double ste_norm_ratio() const;  ///< norm of the result / norm of that gradient
  double ste_rel_error() const;

 private:
  std::uint64_t elements_ = 0;
  double result_squares_ = 0, reference_squares_ = 0, products_ = 0, error_squares_ = 0;
  double ste_squares_ = 0, ste_products_ = 0, ste_error_squares_ = 0;
};

}  // namespace fp4lab::stabilize
