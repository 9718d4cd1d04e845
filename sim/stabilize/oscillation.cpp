#include "sim/stabilize/oscillation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/block_quantize.h"
#include "sim/reduce.h"

namespace fp4lab::stabilize {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr double kRatioBinWidth = 2.0;
constexpr double kOscillating = 16.0;
constexpr double kRatioGuard = 1e-8;

/// Positions in counts_.
enum Count : std::size_t { kFlips, kReversals, kSignFlips, kScaleFlips, kSteps };

template <class Value>
double mean_of(std::size_t n, const Value& value) {
  return n == 0 ? kMissing : canonical_f64(sum_terms(n, value) / static_cast<double>(n));
}

std::size_t bin_of(double x, double width) {
  if (!(x > 0)) return 0;
  const double bin = x / width;
  return bin >= static_cast<double>(kOscillationBins) ? kOscillationBins - 1
                                                      : static_cast<std::size_t>(bin);
}

/// |a - b| / |b| of two matrices; 0 / 0 is no change.
double relative_change(std::span<const float> now, std::span<const float> before) {
  const double change = sum_squared_differences(now, before), size = sum_squares(before);
  if (change == 0.0) return 0.0;
  return std::sqrt(change) / std::sqrt(size);
}

int sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

}  // namespace

CodeGrid::CodeGrid(const ElementFormat& format) : values_(make_value_table(format)) {
  for (int i = 0; i < values_.count; ++i) ordinal_[values_.code[i]] = i;
  // Codes that repeat a value (-0) rank with it.
  const std::uint32_t codes = format.kind == FormatKind::codebook
                                  ? format.count
                                  : static_cast<std::uint32_t>(format.code_count());
  for (std::uint32_t c = 0; c < codes && c < 256; ++c) {
    const double v = decode_f64(format, c);
    for (int i = 0; i < values_.count; ++i) {
      if (values_.value[i] == v) ordinal_[c] = i;
    }
  }
}

double CodeGrid::confidence(double v, int ordinal) const noexcept {
  const int last = count() - 1;
  if (last < 1) return 1.0;
  const bool lowest = ordinal == 0, highest = ordinal == last;
  const double below = lowest ? threshold(1) : threshold(ordinal);
  const double above = highest ? threshold(last) : threshold(ordinal + 1);
  double nearest = std::min(std::abs(v - below), std::abs(v - above));
  // v can lie outside the bin of its value: under stochastic rounding, ties, quantizers with
  // memory.
  for (int i = 1; i <= last; ++i) nearest = std::min(nearest, std::abs(v - threshold(i)));
  const double widest = lowest    ? threshold(1) - value(0)
                        : highest ? value(last) - threshold(last)
                                  : (above - below) / 2.0;
  return std::min(1.0, nearest / widest);
}

void element_scales(const QuantizedTensor& q, std::vector<float>& out) {
  out.clear();
  const bool uniform =
      q.spec.scheme == Scheme::plain || q.spec.scheme == Scheme::mx || q.spec.scheme == Scheme::nv;
  if (!uniform || q.spec.hadamard != 0 || !q.zero_points.empty() || q.codes.empty()) return;
  const std::size_t rows = q.grid.rows, cols = q.grid.cols;
  const std::size_t chunks = (cols + 127) / 128;
  out.resize(rows * cols);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t block = r / q.grid.block_rows * q.grid.grid_cols + c / q.grid.block_cols;
      const float s = scale_from_code(q.spec, q.scale_codes[block]).decode;
      float g = 1.0f;
      if (q.global.size() == 1) {
        g = q.global[0];
      } else if (q.global.size() == rows) {
        g = q.global[r];
      } else if (q.global.size() == rows * chunks) {
        g = q.global[r * chunks + c / 128];
      }
      out[r * cols + c] = s * g;
    }
  }
}

void OscillationTracker::read_codes(const QuantizedTensor& q) {
  if (!have_grid_ || !(grid_format_ == q.spec.element)) {
    grid_ = CodeGrid(q.spec.element);
    grid_format_ = q.spec.element;
    have_grid_ = true;
  }
}

void OscillationTracker::begin(const WeightSnapshot& s, bool joins) {
  const std::size_t n = s.w.size();
  w_.assign(s.w.begin(), s.w.end());
  wq_.assign(s.wq.begin(), s.wq.end());
  distance_w_.assign(n, 0.0);
  distance_q_.assign(n, 0.0);
  distance_code_.clear();
  sums_.assign(2, 0.0);
  counts_.assign(5, 0);
  if (s.codes == nullptr || s.codes->codes.empty()) {
    ordinals_.clear();
    scale_codes_.clear();
    start_scales_.clear();
    element_scale_.clear();
    return;
  }
  read_codes(*s.codes);
  const std::size_t codes = s.codes->codes.size();
  ordinals_.resize(codes);
  for (std::size_t i = 0; i < codes; ++i) {
    ordinals_[i] = static_cast<std::int16_t>(grid_.ordinal(s.codes->codes[i]));
  }
  if (!joins || directions_.size() != codes) directions_.assign(codes, 0);
  if (frequency_.size() != codes) frequency_.assign(codes, 0.0f);
  scale_codes_ = s.codes->scale_codes;
  element_scales(*s.codes, start_scales_);
  element_scale_ = start_scales_;
  if (!start_scales_.empty()) distance_code_.assign(n, 0.0);
}

void OscillationTracker::count_flips(const QuantizedTensor& q) {
  const float m = static_cast<float>(momentum_), keep = static_cast<float>(1.0 - momentum_);
  for (std::size_t i = 0; i < ordinals_.size(); ++i) {
    const int now = grid_.ordinal(q.codes[i]), before = ordinals_[i];
    bool reversed = false;
    if (now != before) {
      const std::int8_t direction = now > before ? 1 : -1;
      reversed = directions_[i] == -direction;
      directions_[i] = direction;
      ++counts_[kFlips];
      counts_[kReversals] += reversed ? 1 : 0;
      const int from = sign_of(grid_.value(before)), to = sign_of(grid_.value(now));
      counts_[kSignFlips] += from != to ? 1 : 0;
      if (!distance_code_.empty()) {
        distance_code_[i] += std::abs(grid_.value(now) - grid_.value(before)) *
                             static_cast<double>(start_scales_[i]);
      }
      ordinals_[i] = static_cast<std::int16_t>(now);
    }
    frequency_[i] = (reversed ? m : 0.0f) + keep * frequency_[i];
  }
  for (std::size_t b = 0; b < scale_codes_.size(); ++b) {
    counts_[kScaleFlips] += scale_codes_[b] != q.scale_codes[b] ? 1 : 0;
  }
  scale_codes_ = q.scale_codes;
  element_scales(q, element_scale_);
}

void OscillationTracker::add(const WeightSnapshot& s) {
  for (std::size_t i = 0; i < w_.size(); ++i) {
    distance_w_[i] += std::abs(static_cast<double>(s.w[i]) - static_cast<double>(w_[i]));
    distance_q_[i] += std::abs(static_cast<double>(s.wq[i]) - static_cast<double>(wq_[i]));
  }
  sums_[0] += relative_change(s.w, w_);
  sums_[1] += relative_change(s.wq, wq_);
  std::copy(s.w.begin(), s.w.end(), w_.begin());
  std::copy(s.wq.begin(), s.wq.end(), wq_.begin());
  if (s.codes != nullptr && !ordinals_.empty() && s.codes->codes.size() == ordinals_.size()) {
    read_codes(*s.codes);
    count_flips(*s.codes);
  } else {
    // The slot went into the compute type in the middle of the window.
    ordinals_.clear();
    distance_code_.clear();
    element_scale_.clear();
  }
  ++counts_[kSteps];
}

OscillationResult OscillationTracker::result() const {
  OscillationResult r;
  const std::size_t n = distance_w_.size();
  const double steps = static_cast<double>(counts_[kSteps]);
  const auto ratio = [&](std::size_t i) { return distance_q_[i] / (distance_w_[i] + kRatioGuard); };
  r.ratio_mean = mean_of(n, ratio);
  r.fraction_above_16 =
      mean_of(n, [&](std::size_t i) { return ratio(i) > kOscillating ? 1. : 0.; });
  for (std::size_t i = 0; i < n; ++i) ++r.ratio_histogram[bin_of(ratio(i), kRatioBinWidth)];
  r.r_w = steps > 0 ? canonical_f64(sums_[0] / steps) : kMissing;
  r.r_wq = steps > 0 ? canonical_f64(sums_[1] / steps) : kMissing;

  const bool scaled = distance_code_.size() == n && !distance_code_.empty();
  const auto code_ratio = [&](std::size_t i) {
    return distance_code_[i] / (distance_w_[i] + kRatioGuard);
  };
  r.code_ratio_mean = scaled ? mean_of(n, code_ratio) : kMissing;
  r.code_fraction_above_16 =
      scaled ? mean_of(n, [&](std::size_t i) { return code_ratio(i) > kOscillating ? 1. : 0.; })
             : kMissing;
  if (scaled && element_scale_.size() == n) {
    std::vector<double> confidence(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double s = static_cast<double>(element_scale_[i]);
      // A zero block decides nothing: every value of it is where it must be.
      confidence[i] =
          s == 0.0 ? 1.0 : grid_.confidence(static_cast<double>(w_[i]) / s, ordinals_[i]);
      ++r.confidence_histogram[bin_of(confidence[i], 1.0 / kOscillationBins)];
    }
    r.confidence_mean = mean_of(n, [&](std::size_t i) { return confidence[i]; });
  } else {
    r.confidence_mean = kMissing;
    r.confidence_histogram.fill(-1);
  }
  if (ordinals_.empty()) {
    r.flips = r.reversals = r.sign_flips = r.scale_flips = -1;
    r.frequency_histogram.fill(-1);
    return r;
  }
  r.flips = counts_[kFlips];
  r.reversals = counts_[kReversals];
  r.sign_flips = counts_[kSignFlips];
  r.scale_flips = counts_[kScaleFlips];
  for (const float f : frequency_) {
    ++r.frequency_histogram[bin_of(static_cast<double>(f), 1.0 / kOscillationBins)];
  }
  return r;
}

std::vector<double> ratio_bin_edges() {
  std::vector<double> edges;
  for (std::size_t i = 0; i <= kOscillationBins; ++i) {
    edges.push_back(kRatioBinWidth * static_cast<double>(i));
  }
  edges.back() = std::numeric_limits<double>::infinity();
  return edges;
}

std::vector<double> unit_bin_edges() {
  std::vector<double> edges;
  for (std::size_t i = 0; i <= kOscillationBins; ++i) {
    edges.push_back(static_cast<double>(i) / static_cast<double>(kOscillationBins));
  }
  return edges;
}

}  // namespace fp4lab::stabilize
