#include "sim/mma_tiles.h"

#include <algorithm>
#include <limits>

namespace fp4lab::detail {
namespace {

std::vector<std::size_t> group_ends(std::size_t k) {
  std::vector<std::size_t> ends;
  for (std::size_t at = 0; at < k; at += 16) ends.push_back(std::min(k, at + 16));
  return ends;
}

/// FP4 elements counted in halves.
constexpr int kLargestHalves = 12;

std::int32_t signed_significand(const MmaOperand& x) {
  const auto m = static_cast<std::int32_t>(x.significand);
  return x.negative() ? -m : m;
}

}  // namespace

InstructionTiles::InstructionTiles(const MmaParams& params, const Source& a, const Source& b)
    : params_(params), m_(a.rows), n_(b.rows), k_(a.k) {
  const FusedSum& f = params.fused;
  if (f.zero != ZeroRule::ignore || f.align != AlignRound::truncate || m_ == 0 || n_ == 0 ||
      k_ == 0) {
    return;
  }
  special_[0].assign(a.special, a.special + a.rows);
  special_[1].assign(b.special, b.special + b.rows);
  if (params.kind == MmaKind::fp4_groups) {
    if (f.out != OutRound::f32_rz || f.floor != kNoFloor || params.f16_accumulator) return;
    groups_ = QuadLayout(group_ends(k_));
    pack_fp4(a, true, kLargestHalves);
    pack_fp4(b, false, kLargestHalves);
    const int scale_bits = a.scales[0].precision + b.scales[0].precision;
    kept_distance_ = f.fraction_bits - scale_bits - 2;
    pair_quads_ = 32767 / (2 * 2 * kLargestHalves * kLargestHalves);
    applies_ = true;
    return;
  }
  if (params.kind != MmaKind::fused_sum && params.kind != MmaKind::block_scaled) return;
  if (f.out == OutRound::f32_rne || f.fraction_bits > 25) return;
  // A's significands move up to the cut; products stay below 2^27.
  const int bits = a.elements[0].precision + b.elements[0].precision;
  if (f.fraction_bits < bits) return;
  shift_up_ = f.fraction_bits - bits;
  pack_fused(a, true);
  pack_fused(b, false);
  applies_ = true;
}

void InstructionTiles::pack_fp4(const Source& s, bool is_a, int largest) {
  Fp4Side& side = fp4_[is_a ? 0 : 1];
  const std::size_t width = is_a ? kBlockRows : kPanelCols, parts = ceil_div(s.rows, width);
  const std::size_t groups = groups_.segments(), quads = groups_.total();
  const auto block = static_cast<std::size_t>(params_.scale_block);
  std::vector<std::int8_t> halves(s.rows * s.k);
  IntegerFactor f;
  f.rows = s.rows;
  f.k = f.stride = s.k;
  f.bytes = reinterpret_cast<const std::uint8_t*>(halves.data());
  f.largest = largest;
  const ByteTable table(f, is_a ? 0 : largest);
  side.quads.resize(parts * width * quads * 4);
  if (is_a) side.start.resize(parts * width * groups);
  side.scale.assign(parts * width * groups, 0.0);
  side.power.assign(parts * width * groups, 0.0);
  side.lowest.assign(parts * width, std::numeric_limits<double>::infinity());
#pragma omp parallel if (s.rows * s.k > 16384)
  {
    std::vector<std::int8_t> row_buffer(s.k + 4);
#pragma omp for schedule(static)
    for (std::size_t p = 0; p < parts; ++p) {
      for (std::size_t r = 0; r < std::min(width, s.rows - p * width); ++r) {
        const std::size_t row = p * width + r;
        for (std::size_t k = 0; k < s.k; ++k) {
          const MmaOperand& x = s.elements[row * s.k + k];
          halves[row * s.k + k] =
              static_cast<std::int8_t>(signed_significand(x) * (1 << x.exponent));
        }
        for (std::size_t g = 0; g < groups; ++g) {
          const MmaOperand& x = s.scales[row * s.scale_cols + 16 * g / block];
          const std::size_t to = (p * groups + g) * width + r;
          // Halves on both sides: sums count quarters.
          side.scale[to] =
              static_cast<double>(x.significand) * pow2_f64(x.exponent - x.precision - 1);
          side.power[to] = x.significand == 0 ? 0.0 : pow2_f64(x.exponent);
          const auto from = halves.begin() + static_cast<std::ptrdiff_t>(row * s.k + 16 * g);
          const auto to_k =
              halves.begin() + static_cast<std::ptrdiff_t>(row * s.k + std::min(s.k, 16 * g + 16));
          const bool nonzero =
              x.significand != 0 && std::any_of(from, to_k, [](int v) { return v != 0; });
          if (nonzero) side.lowest[row] = std::min(side.lowest[row], side.power[to]);
        }
      }
      if (is_a) {
        pack_block(f, table, groups_, p, largest, side.quads.data() + p * width * quads * 4,
                   side.start.data() + p * width * groups, row_buffer.data());
      } else {
        pack_panel(f, table, groups_, p,
                   reinterpret_cast<std::uint8_t*>(side.quads.data()) + p * width * quads * 4,
                   row_buffer.data());
      }
    }
  }
}

void InstructionTiles::pack_fused(const Source& s, bool is_a) {
  FusedSide& side = fused_[is_a ? 0 : 1];
  const std::size_t width = is_a ? kBlockRows : kPanelCols, parts = ceil_div(s.rows, width);
  const auto block = static_cast<std::size_t>(params_.scale_block);
  side.significand.assign(parts * width * s.k, 0);
  side.exponent.assign(parts * width * s.k, kZeroExponent);
  const bool scaled = params_.kind == MmaKind::block_scaled;
#pragma omp parallel for schedule(static) if (s.rows * s.k > 16384)
  for (std::size_t row = 0; row < s.rows; ++row) {
    for (std::size_t k = 0; k < s.k; ++k) {
      const MmaOperand& x = s.elements[row * s.k + k];
      if (x.significand == 0 || !x.finite()) continue;
      const std::size_t to = (row / width * s.k + k) * width + row % width;
      side.significand[to] = signed_significand(x) * (is_a ? 1 << shift_up_ : 1);
      side.exponent[to] =
          x.exponent + (scaled ? s.scales[row * s.scale_cols + k / block].exponent : 0);
    }
  }
}

bool InstructionTiles::run(std::size_t k0, std::size_t k1, float* y, std::uint8_t* again,
                           DotKind kind) const {
  if (!applies_) return false;
  const bool fp4 = params_.kind == MmaKind::fp4_groups;
  if (fp4 && (k0 % 16 != 0 || (k1 % 16 != 0 && k1 != k_))) return false;
  if (!(fp4 ? fp4_tile({}) : fused_tile({}))) return false;
  // Rows and columns with infinities or NaN among their operands are none of the kernels'.
  for (std::size_t i = 0; i < m_; ++i) {
    for (std::size_t j = 0; j < n_; ++j) again[i * n_ + j] = special_[0][i] | special_[1][j];
  }
  const Tiling tile(m_, n_, m_ * n_ * (k1 - k0));
#pragma omp parallel for collapse(2) schedule(dynamic) \
    num_threads(tile.threads) if (tile.threads > 1)
  for (std::size_t tm = 0; tm < tile.tiles_m; ++tm) {
    for (std::size_t tn = 0; tn < tile.tiles_n; ++tn) {
      const std::size_t i = tm * tile.rows, j = tn * tile.cols;
      const std::size_t rows = std::min(tile.rows, m_ - i), cols = std::min(tile.cols, n_ - j);
      if (fp4) {
        Fp4Tile t;
        t.quads = groups_.total();
        t.groups = groups_.segments();
        t.a = fp4_[0].quads.data() + i * t.quads * 4;
        t.start = fp4_[0].start.data() + i * t.groups;
        t.scale_a = fp4_[0].scale.data() + i * t.groups;
        t.power_a = fp4_[0].power.data() + i * t.groups;
        t.lowest_a = fp4_[0].lowest.data() + i;
        t.b = reinterpret_cast<const std::uint8_t*>(fp4_[1].quads.data()) + j * t.quads * 4;
        t.scale_b = fp4_[1].scale.data() + j * t.groups;
        t.power_b = fp4_[1].power.data() + j * t.groups;
        t.lowest_b = fp4_[1].lowest.data() + j;
        t.quad_ends = groups_.ends.data();
        t.from = k0 / 16;
        t.to = ceil_div(k1, 16);
        t.per_instruction = static_cast<std::size_t>(params_.k) / 16;
        t.fraction_bits = params_.fused.fraction_bits;
        t.kept_distance = kept_distance_;
        t.pair_quads = pair_quads_;
        t.rows = rows;
        t.cols = cols;
        t.y = y + i * n_ + j;
        t.row_stride = n_;
        t.again = again + i * n_ + j;
        t.again_stride = n_;
        t.kind = kind;
        fp4_tile(t);
      } else {
        FusedTile t;
        t.a_significand = fused_[0].significand.data() + i * k_;
        t.a_exponent = fused_[0].exponent.data() + i * k_;
        t.b_significand = fused_[1].significand.data() + j * k_;
        t.b_exponent = fused_[1].exponent.data() + j * k_;
        t.depth = k_;
        t.from = k0;
        t.to = k1;
        t.terms = static_cast<std::size_t>(params_.fused.terms);
        t.fraction_bits = params_.fused.fraction_bits;
        t.floor = params_.fused.floor;
        t.out = params_.fused.out;
        t.rows = rows;
        t.cols = cols;
        t.y = y + i * n_ + j;
        t.row_stride = n_;
        t.again = again + i * n_ + j;
        t.again_stride = n_;
        fused_tile(t);
      }
    }
  }
  return true;
}

}  // namespace fp4lab::detail
