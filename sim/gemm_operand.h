// GemmOperand: one factor of a matrix product, [rows, k], as every accumulator can read it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/element_format.h"
#include "formats/quant_spec.h"
#include "sim/quantize.h"

namespace fp4lab {

/// Scales of a factor [rows, k]: that of (row, kk) is
/// data[row / row_span * row_step + kk / k_span * k_step].
struct ScaleGrid {
  const float* data = nullptr;
  std::size_t row_span = 1, row_step = 0, k_span = 1, k_step = 0;
  float at(std::size_t row, std::size_t kk) const noexcept {
    return data[row / row_span * row_step + kk / k_span * k_step];
  }
};

/// Codes and scales recorded elsewhere, row-major [rows, k].
struct RecordedOperand {
  std::size_t rows = 0, k = 0;
  ElementFormat format{};
  std::span<const std::uint32_t> codes;
  ScaleFormat scale{ScaleFormat::Kind::none, {}};
  BlockShape block{};  ///< elements that share a scale; ignored without scales
  /// One code a block (binary32 bits for fp32 and pow2 scales), laid out as scale_matrix() does:
  /// [rows, ceil(k / C)] for 1xC and RxC (the row of a 2-D block repeated), [ceil(rows / R), k] for
  /// Rx1, [rows, 1], [1, k], [1, 1] for row, col and tensor.
  std::span<const std::uint32_t> scale_codes;
  std::span<const float> global;  ///< empty, one for all, or one a row
};

/// A factor of Y = A B^T. An element is v * s * g: its own value, the scale of its block, and a
/// global factor that is constant along k and stays out of the sum.
///
/// Selector constants belong to the scale (IF4's 6/7), powers of two to the value (HiF4), and a
/// global factor that varies along k is folded into the scale.
class GemmOperand {
 public:
  /// A matrix that was quantized; a tensor under a Hadamard stays transformed. Throws
  /// std::invalid_argument when nothing of it can be multiplied (no elements is fine).
  static GemmOperand from_quantized(const QuantizedTensor& q);
  /// Its transpose: blocks keep their elements, global factors a row join the scales.
  static GemmOperand from_quantized_transposed(const QuantizedTensor& q);
  /// Unquantized binary32, row-major [rows, k].
  static GemmOperand from_floats(std::span<const float> data, std::size_t rows, std::size_t k);
  /// Codes, formats and scales from somewhere else. Throws std::invalid_argument when a count does
  /// not match its shape, naming both.
  static GemmOperand from_codes(const RecordedOperand& r);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t k() const noexcept { return k_; }
  /// False for plain floats.
  bool quantized() const noexcept { return quantized_; }
  /// Format of the codes. Meaningless where `one_format` is false.
  const ElementFormat& format() const noexcept { return format_; }
  /// False where the meaning of a code depends on its block (if4, razer, dialect, hif4, zero
  /// points).
  bool one_format() const noexcept { return one_format_; }
  std::uint32_t code(std::size_t row, std::size_t kk) const noexcept {
    const std::size_t i = row * k_ + kk;
    return codes8_.empty() ? codes32_[i] : codes8_[i];
  }
  /// Values without scales, row-major.
  std::span<const float> values() const noexcept { return values_; }
  const float* row_values(std::size_t row) const noexcept { return values_.data() + row * k_; }

  const ScaleFormat& scale_format() const noexcept { return scale_format_; }
  /// Columns a scale covers along k; 0 when it is constant along all of k.
  std::size_t scale_run() const noexcept { return scale_run_; }
  /// Scale of an element: 1 without scales.
  float scale(std::size_t row, std::size_t kk) const noexcept {
    return scales_[row * scale_cols_ + (scale_run_ == 0 ? 0 : kk / scale_run_)];
  }
  std::uint32_t scale_code(std::size_t row, std::size_t kk) const noexcept {
    return scale_codes_[row * scale_cols_ + (scale_run_ == 0 ? 0 : kk / scale_run_)];
  }
  /// All scales, for kernels.
  ScaleGrid scale_grid() const noexcept {
    return {scales_.data(), 1, scale_cols_,
            scale_run_ == 0 ? std::max<std::size_t>(k_, 1) : scale_run_, 1};
  }
  /// True when scale_code() is what scale() was decoded from, nothing folded in.
  bool scale_codes_valid() const noexcept { return !scale_codes_.empty(); }

  bool has_global() const noexcept { return !global_.empty(); }
  float global(std::size_t row) const noexcept {
    return global_.empty() ? 1.0f : global_.size() == 1 ? global_[0] : global_[row];
  }

  /// max |x| of the tensor this was quantized from: plan te-qgemm takes its alpha from it.
  std::optional<float> amax;

 private:
  std::size_t rows_ = 0, k_ = 0;
  bool quantized_ = false, one_format_ = true;
  ElementFormat format_{};
  std::vector<std::uint8_t> codes8_;
  std::vector<std::uint32_t> codes32_;
  std::vector<float> values_;
  ScaleFormat scale_format_{ScaleFormat::Kind::none, {}};
  std::size_t scale_run_ = 0, scale_cols_ = 1;
  std::vector<float> scales_;
  std::vector<std::uint32_t> scale_codes_;
  std::vector<float> global_;
};

/// End positions of the maximal runs of k in which neither operand's scale changes; the last one is
/// k itself. Empty when k is 0.
std::vector<std::size_t> gemm_segments(const GemmOperand& a, const GemmOperand& b);
/// The same for scales that cover `run_a` and `run_b` columns, 0 for all of them.
std::vector<std::size_t> gemm_segments(std::size_t k, std::size_t run_a, std::size_t run_b);

}  // namespace fp4lab
