// Oscillation of quantized weights: the instruments of training.md 5, for one matrix.
//
// A window is T0 optimizer steps. Its first snapshot is taken before the first of them, one more
// after each. A snapshot is what the next forward product would read: W, Wq, codes and scales.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/decision_table.h"
#include "sim/quantize.h"

namespace fp4lab::stabilize {

inline constexpr std::size_t kOscillationBins = 32;

/// A matrix at one moment. Spans and codes are read during the call only.
struct WeightSnapshot {
  std::span<const float> w, wq;
  const QuantizedTensor* codes = nullptr;  ///< null: not quantized
};

/// What a format's grid says about distances: values, thresholds (midpoints of neighbours) and the
/// largest distance a number of each value can have from the nearest threshold.
class CodeGrid {
 public:
  CodeGrid() = default;
  explicit CodeGrid(const ElementFormat& format);
  int count() const noexcept { return values_.count; }
  double value(int ordinal) const noexcept { return values_.value[ordinal]; }
  /// Rank of a code's value among the format's values; codes without one rank with their value.
  int ordinal(std::uint8_t code) const noexcept { return ordinal_[code]; }
  /// midpoint between value i - 1 and value i, i = 1 ... count - 1.
  double threshold(int i) const noexcept { return (values_.value[i - 1] + values_.value[i]) / 2.0; }
  /// min_i |v - threshold_i| / MaxDist of the value that `ordinal` names, at most 1. MaxDist is
  /// half the width of the value's bin; for the outermost values their distance from the last
  /// threshold.
  double confidence(double v, int ordinal) const noexcept;

 private:
  ValueTable values_;
  std::array<int, 256> ordinal_{};
};

/// Scale of every element of a quantized matrix: block scale times global factor. Empty where
/// elements have no such scale in the matrix's own domain (Hadamard, schemes that choose a codebook
/// a block).
void element_scales(const QuantizedTensor& q, std::vector<float>& out);

/// What a window showed. Fractions and means are over the matrix's elements; NaN, and -1 in
/// histograms, where the spec leaves something undefined (see element_scales).
struct OscillationResult {
  double ratio_mean = 0;  ///< R = sum |dWq| / (sum |dW| + 1e-8)
  double fraction_above_16 = 0;
  double code_ratio_mean = 0;  ///< the same with scales frozen at the window's start
  double code_fraction_above_16 = 0;
  double confidence_mean = 0;    ///< at the window's end
  double r_w = 0, r_wq = 0;      ///< mean of |Z_t - Z_(t-1)| / |Z_(t-1)| over the window
  std::int64_t flips = 0;        ///< changes of an element's code
  std::int64_t reversals = 0;    ///< those against the direction of the one before
  std::int64_t sign_flips = 0;   ///< those through zero to the other sign, or from it
  std::int64_t scale_flips = 0;  ///< changes of a block's scale
  std::array<std::int64_t, kOscillationBins> ratio_histogram{};       ///< width 2, the last open
  std::array<std::int64_t, kOscillationBins> confidence_histogram{};  ///< of [0, 1]
  std::array<std::int64_t, kOscillationBins> frequency_histogram{};   ///< of [0, 1]
};

class OscillationTracker {
 public:
  /// `momentum`: of Nagel's oscillation frequency, f <- m osc + (1 - m) f. f is kept from window to
  /// window; directions are kept where windows follow each other without a gap.
  explicit OscillationTracker(double momentum = 0.01) : momentum_(momentum) {}

  /// First snapshot of a window. `joins`: the window before ended with this very state.
  void begin(const WeightSnapshot& snapshot, bool joins = false);
  /// The state after one more step.
  void add(const WeightSnapshot& snapshot);
  OscillationResult result() const;
  /// Steps of the window so far.
  std::int64_t steps() const noexcept { return counts_.back(); }
  const std::vector<float>& frequency() const noexcept { return frequency_; }

  /// Calls visit(vector) for everything a checkpoint keeps, in a fixed order.
  template <class Visitor>
  void visit_state(Visitor&& visit) {
    visit(w_), visit(wq_), visit(distance_w_), visit(distance_q_), visit(distance_code_);
    visit(ordinals_), visit(directions_), visit(frequency_), visit(scale_codes_);
    visit(start_scales_), visit(element_scale_), visit(sums_), visit(counts_);
  }

 private:
  void read_codes(const QuantizedTensor& q);
  void count_flips(const QuantizedTensor& q);

  double momentum_;
  CodeGrid grid_;
  ElementFormat grid_format_{};
  bool have_grid_ = false;
  std::vector<float> w_, wq_;
  std::vector<double> distance_w_, distance_q_, distance_code_;
  std::vector<std::int16_t> ordinals_;
  std::vector<std::int8_t> directions_;
  std::vector<float> frequency_;
  std::vector<std::uint32_t> scale_codes_;
  std::vector<float> start_scales_, element_scale_;
  std::vector<double> sums_ = std::vector<double>(2, 0.0);              ///< r_w, r_wq
  std::vector<std::int64_t> counts_ = std::vector<std::int64_t>(5, 0);  ///< flips ... and steps
};

/// Edges of the three histograms: kOscillationBins + 1 numbers.
std::vector<double> ratio_bin_edges();
std::vector<double> unit_bin_edges();

}  // namespace fp4lab::stabilize
