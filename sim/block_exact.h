// block-exact on small integers: y = fma(RN32(d * unit), fl(sA sB), y) for each segment, d the
// exact integer dot of the segment. Vector and scalar forms give the same bits, because d is exact
// in any order and each remaining operation is one IEEE operation an output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fp4lab::detail {

/// Rows of integers of at most 7 bits and their scales, one a segment.
struct IntegerRows {
  std::size_t rows = 0, k = 0;
  const std::int8_t* values = nullptr;  ///< [rows, k]
  const float* scales = nullptr;        ///< [rows, segments]
};

/// A product prepared for kernels. B is packed in panels of 16 rows: two neighbouring k of each of
/// the 16 lie together, so that one multiply-add instruction serves them all.
class BlockExactTask {
 public:
  static constexpr std::size_t kPanel = 16;

  BlockExactTask() = default;
  /// `ends` are the segment ends. `unit` = log2 of the integers' weight in the product.
  BlockExactTask(const IntegerRows& a, const IntegerRows& b, const std::vector<std::size_t>& ends,
                 int unit);
  /// True when the vector form applies: segments of one even length (the last may be shorter),
  /// integer sums below 2^31, and a weight that keeps RN32(d) * 2^unit exact.
  bool vectorizable() const noexcept { return vectorizable_; }

  /// y[r * stride + j] for rows [i0, i0 + rows), columns [j0, j0 + cols); j0 is a multiple of 16.
  /// NaNs come out canonical.
  void tile(std::size_t i0, std::size_t rows, std::size_t j0, std::size_t cols, float* y,
            std::size_t stride) const;
  /// One output by scalar code: the definition.
  float scalar(std::size_t i, std::size_t j) const;

 private:
  IntegerRows a_, b_;
  std::vector<std::size_t> ends_;
  double unit_ = 1.0;
  bool vectorizable_ = false;
  std::size_t pairs_ = 0, pairs_per_segment_ = 0;
  std::vector<std::int16_t> packed_a_, packed_b_;
  std::vector<float> packed_scales_;  ///< [panel, segment, 16]
};

/// What a kernel needs for four rows of A against one panel of B.
struct BlockExactPanel {
  const std::int16_t* a[4];
  const float* scale_a[4];
  const std::int16_t* b = nullptr;  ///< [pairs, 16, 2]
  const float* scale_b = nullptr;   ///< [segments, 16]
  std::size_t pairs = 0, pairs_per_segment = 0, segments = 0;
  float unit = 1.0f;
};
/// out[4][16] with the best instruction set of the machine. False when that has no fused
/// multiply-add, in which case nothing was computed.
bool block_exact_panel(const BlockExactPanel& p, float* out);

}  // namespace fp4lab::detail
