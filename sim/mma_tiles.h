// Tensor-core instructions on whole tiles of Y: lanes are columns. The same integers as
// mma_fused_sum.h, some of them kept in binary64 where they are exact.
//
// Kernels compute ordinary numbers. Wherever an output meets something else (a result beyond
// binary32's or below its normal range, an accumulator that is infinite or subnormal) they raise
// that output's flag, and the caller computes it again by mma_dot().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/integer_panels.h"
#include "sim/mma_model.h"

namespace fp4lab::detail {

/// One side of an FP4 instruction (MmaKind::fp4_groups), packed: quads (integer_panels.h, a group
/// of 16 is a segment) and, for each group and row, the scale and the power of two that aligns it.
struct Fp4Side {
  std::vector<std::int8_t> quads;    ///< bytes of B are unsigned
  std::vector<std::int32_t> start;   ///< A only
  std::vector<double> scale, power;  ///< [blocks or panels, groups, 12 or 32]
  std::vector<double> lowest;        ///< one a row: the smallest power of a group that is not zero
};

/// A tile of Y for a range of groups.
struct Fp4Tile {
  const std::int8_t* a = nullptr;
  const std::int32_t* start = nullptr;
  const double *scale_a = nullptr, *power_a = nullptr, *lowest_a = nullptr;
  const std::uint8_t* b = nullptr;
  const double *scale_b = nullptr, *power_b = nullptr, *lowest_b = nullptr;
  std::size_t quads = 0, groups = 0;         ///< of the whole product
  const std::uint32_t* quad_ends = nullptr;  ///< one a group
  std::size_t from = 0, to = 0;              ///< groups of this range
  std::size_t per_instruction = 4;           ///< groups an instruction sums
  int fraction_bits = 35;
  /// A group whose exponent is at most this far below the largest loses no bits.
  int kept_distance = 27;
  std::size_t pair_quads = 0;
  std::size_t rows = 0, cols = 0;
  float* y = nullptr;  ///< holds c on entry
  std::size_t row_stride = 0;
  std::uint8_t* again = nullptr;  ///< flags, [rows, cols], `again_stride` a row
  std::size_t again_stride = 0;
  DotKind kind = DotKind::automatic;
};
/// False, with nothing done, where there is no vector unit.
bool fp4_tile(const Fp4Tile& tile);

/// One side of an instruction made of fused sums (MmaKind::fused_sum, block_scaled): signed
/// significands, shifted up on A's side to the binary point that terms are cut at, and exponents
/// with those of block scales; zeros have an exponent that never wins.
struct FusedSide {
  std::vector<std::int32_t> significand, exponent;  ///< [blocks or panels, k, 12 or 32]
};
inline constexpr std::int32_t kZeroExponent = -8000;

/// A tile of Y for a range of k.
struct FusedTile {
  const std::int32_t *a_significand = nullptr, *a_exponent = nullptr;
  const std::int32_t *b_significand = nullptr, *b_exponent = nullptr;
  std::size_t depth = 0;         ///< k of the whole product
  std::size_t from = 0, to = 0;  ///< k of this range
  std::size_t terms = 16;        ///< products a fused sum
  int fraction_bits = 25;
  std::int32_t floor = kNoFloor;
  OutRound out = OutRound::f32_rz;
  std::size_t rows = 0, cols = 0;
  float* y = nullptr;  ///< holds c on entry
  std::size_t row_stride = 0;
  std::uint8_t* again = nullptr;
  std::size_t again_stride = 0;
};
/// False, with nothing done, where there is no vector unit.
bool fused_tile(const FusedTile& tile);

/// Both sides of one instruction, packed for the kernels.
class InstructionTiles {
 public:
  /// Operands as mma_dot() takes them, row-major.
  struct Source {
    std::size_t rows = 0, k = 0;
    const MmaOperand* elements = nullptr;  ///< [rows, k]
    const MmaOperand* scales = nullptr;    ///< [rows, scale_cols]
    std::size_t scale_cols = 0;
    const std::uint8_t* special = nullptr;  ///< rows with a NaN or an infinity
  };
  InstructionTiles(const MmaParams& params, const Source& a, const Source& b);

  /// Runs the instruction over k in [k0, k1): y [M, N], which holds c, becomes the result.
  /// again[i * N + j] = 1 where mma_dot() has to do it from the c that y still holds. False, with
  /// nothing done, where kernels do not apply.
  bool run(std::size_t k0, std::size_t k1, float* y, std::uint8_t* again,
           DotKind kind = DotKind::automatic) const;

 private:
  void pack_fp4(const Source& s, bool is_a, int largest);
  void pack_fused(const Source& s, bool is_a);

  MmaParams params_;
  bool applies_ = false;
  std::size_t m_ = 0, n_ = 0, k_ = 0;
  std::vector<std::uint8_t> special_[2];
  QuadLayout groups_{{}};
  Fp4Side fp4_[2];
  int kept_distance_ = 0;
  std::size_t pair_quads_ = 0;
  int shift_up_ = 0;  ///< fraction bits below a product's last
  FusedSide fused_[2];
};

}  // namespace fp4lab::detail
