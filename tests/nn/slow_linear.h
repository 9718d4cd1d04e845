// A linear layer written a second time, element by element from the scalar functions of formats/
// and the definitions of decisions.md 3 - 5: what the layer of sim/nn is compared with, bit for
// bit.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/choose_scale.h"
#include "formats/hadamard.h"
#include "sim/nn/context.h"
#include "sim/nn/layer_config.h"

namespace fp4lab::test {

/// One operand [rows, k] of a product, element by element.
struct SlowOperand {
  std::size_t rows = 0, k = 0;
  bool quantized = false;
  std::vector<float> value, scale;      ///< [rows, k]; scale 1 for plain numbers
  std::vector<std::uint32_t> scale_id;  ///< equal ids: the same scale
  float global = 1.0f;
  bool has_global = false;
  std::vector<std::uint32_t> code;
  float v(std::size_t r, std::size_t c) const { return value[r * k + c]; }
  float s(std::size_t r, std::size_t c) const { return scale[r * k + c]; }
};

/// Everything that says how one slot treats a stored matrix.
struct SlowSlot {
  QuantSpec spec;
  bool quantized = false;
  bool over_rows = false;  ///< the contraction runs along the stored rows
  nn::Compute compute = nn::Compute::fp32;
  RandomStream elements, signs;
  int rotation = 0;  ///< Hadamard of the product
  HadamardSigns sign_kind = HadamardSigns::none;
};

inline float slow_bf16(float x) {
  const ElementFormat bf16 = find_format("bf16")->format;
  return decode(bf16, encode(bf16, x, nearest_even(), Policy::cuda, 0));
}

/// The operand of a stored matrix x [rows, cols].
inline SlowOperand slow_operand(const SlowSlot& slot, std::span<const float> x, std::size_t rows,
                                std::size_t cols) {
  SlowOperand o;
  o.rows = slot.over_rows ? cols : rows;
  o.k = slot.over_rows ? rows : cols;
  const std::size_t group = slot.rotation == 0 ? 1 : static_cast<std::size_t>(slot.rotation);
  const std::size_t k = (o.k + group - 1) / group * group;
  // The padded matrix in stored order, so that offsets are the indices that words are drawn for.
  const std::size_t srows = slot.over_rows ? k : rows, scols = slot.over_rows ? cols : k;
  std::vector<float> m(srows * scols, 0.0f);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) m[r * scols + c] = x[r * cols + c];
  }
  const std::size_t row_stride = slot.over_rows ? 1 : scols, k_stride = slot.over_rows ? scols : 1;
  if (slot.rotation != 0) {
    const HadamardSignBits bits = hadamard_signs(slot.sign_kind, slot.rotation, slot.signs);
    for (std::size_t r = 0; r < o.rows; ++r) {
      for (std::size_t c = 0; c < k; c += group) {
        hadamard_forward(m.data() + r * row_stride + c * k_stride, slot.rotation, k_stride, bits);
      }
    }
  }
  o.k = k;
  o.value.resize(o.rows * k);
  o.scale.assign(o.rows * k, 1.0f);
  o.scale_id.assign(o.rows * k, 0);
  o.quantized = slot.quantized;
  if (!slot.quantized) {
    for (std::size_t r = 0; r < o.rows; ++r) {
      for (std::size_t c = 0; c < k; ++c) {
        const float v = m[r * row_stride + c * k_stride];
        o.value[r * k + c] = slot.compute == nn::Compute::bf16 ? slow_bf16(v) : v;
      }
    }
    return o;
  }
  QuantSpec spec = slot.spec;
  spec.hadamard = 0;
  GlobalFactor g;
  if (spec.global == GlobalScope::tensor) {
    g = global_factor(spec,
                      finite_amax({m.data(), 0, 1, static_cast<std::uint32_t>(m.size()), 0, 1}));
  } else {
    g = global_factor(spec, 0.0f);
  }
  o.has_global = spec.has_global();
  o.global = g.decode;
  o.code.resize(o.rows * k);
  std::vector<std::uint32_t> codes(m.size());
  const std::size_t br = spec.block.rows == 0 ? o.rows : spec.block.rows;
  const std::size_t bc = spec.block.cols == 0 ? k : spec.block.cols;
  for (std::size_t r0 = 0; r0 < o.rows; r0 += br) {
    for (std::size_t c0 = 0; c0 < k; c0 += bc) {
      BlockView v;
      v.data = m.data();
      v.offset = r0 * row_stride + c0 * k_stride;
      v.rows = static_cast<std::uint32_t>(std::min(br, o.rows - r0));
      v.cols = static_cast<std::uint32_t>(std::min(bc, k - c0));
      v.row_stride = row_stride;
      v.col_stride = k_stride;
      const BlockScale b =
          quantize_block(spec, g, v, RandomSource{slot.elements, nullptr}, codes.data());
      const BlockScale stored = scale_from_code(spec, b.code, b.zero_point);
      for (std::uint32_t r = 0; r < v.rows; ++r) {
        for (std::uint32_t c = 0; c < v.cols; ++c) {
          const std::size_t at = (r0 + r) * k + c0 + c;
          o.code[at] = codes[v.index(r, c)];
          o.value[at] = decode(spec.element, o.code[at]);
          o.scale[at] = spec.scale.kind == ScaleFormat::Kind::none ? 1.0f : stored.decode;
          o.scale_id[at] = static_cast<std::uint32_t>(c0 / bc);
        }
      }
    }
  }
  return o;
}

/// Its values back in the stored domain [rows, cols].
inline std::vector<float> slow_values(const SlowSlot& slot, const SlowOperand& o, std::size_t rows,
                                      std::size_t cols) {
  const std::size_t srows = slot.over_rows ? o.k : rows, scols = slot.over_rows ? cols : o.k;
  std::vector<float> m(srows * scols);
  const std::size_t row_stride = slot.over_rows ? 1 : scols, k_stride = slot.over_rows ? scols : 1;
  for (std::size_t r = 0; r < o.rows; ++r) {
    for (std::size_t c = 0; c < o.k; ++c) {
      float y = o.quantized ? o.v(r, c) * o.s(r, c) : o.v(r, c);
      if (o.has_global) y = y * o.global;
      m[r * row_stride + c * k_stride] = y;
    }
  }
  if (slot.rotation != 0) {
    const HadamardSignBits bits = hadamard_signs(slot.sign_kind, slot.rotation, slot.signs);
    for (std::size_t r = 0; r < o.rows; ++r) {
      for (std::size_t c = 0; c < o.k; c += static_cast<std::size_t>(slot.rotation)) {
        hadamard_inverse(m.data() + r * row_stride + c * k_stride, slot.rotation, k_stride, bits);
      }
    }
  }
  std::vector<float> out(rows * cols);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) out[r * cols + c] = m[r * scols + c];
  }
  return out;
}

/// block-exact of decisions.md 5, or the fused chain where an operand is plain.
inline std::vector<float> slow_product(const SlowOperand& a, const SlowOperand& b) {
  std::vector<float> y(a.rows * b.rows);
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < b.rows; ++j) {
      float sum = 0.0f;
      if (a.quantized && b.quantized) {
        for (std::size_t k = 0; k < a.k;) {
          std::size_t end = k + 1;
          while (end < a.k && a.scale_id[i * a.k + end] == a.scale_id[i * a.k + k] &&
                 b.scale_id[j * a.k + end] == b.scale_id[j * a.k + k]) {
            ++end;
          }
          double dot = 0.0;
          for (std::size_t e = k; e < end; ++e) {
            dot += static_cast<double>(a.v(i, e)) * static_cast<double>(b.v(j, e));
          }
          sum = std::fma(static_cast<float>(dot), a.s(i, k) * b.s(j, k), sum);
          k = end;
        }
      } else {
        for (std::size_t k = 0; k < a.k; ++k) {
          const float x = a.quantized ? a.v(i, k) * a.s(i, k) : a.v(i, k);
          const float w = b.quantized ? b.v(j, k) * b.s(j, k) : b.v(j, k);
          sum = std::fma(x, w, sum);
        }
      }
      if (a.has_global || b.has_global) sum = (a.global * b.global) * sum;
      y[i * b.rows + j] = sum != sum ? canonical_nan() : sum;
    }
  }
  return y;
}

/// The layer's three products, no bias.
struct SlowLinear {
  nn::LayerConfig config;
  std::uint32_t layer = 0;
  std::size_t n = 0, d = 0, c = 0;

  SlowSlot slot(const nn::StepContext& ctx, nn::Slot s) const {
    const std::size_t i = static_cast<std::size_t>(s);
    const bool on = !ctx.slot_off(s);
    const auto coded = [&](nn::Slot t) {
      const nn::SlotSource from = config[t].source;
      return !ctx.slot_off(t) &&
             (from == nn::SlotSource::master || from == nn::SlotSource::requant);
    };
    SlowSlot r;
    r.spec = config.slot[i].spec;
    r.quantized = coded(s);
    r.over_rows = i >= 3;
    r.compute = config.compute;
    const std::uint16_t microbatch = i == 1 || i == 3 ? 0 : ctx.microbatch;
    r.elements = {ctx.seed_sr, 8 * layer + static_cast<std::uint32_t>(i) + 1,
                  ctx.step,    RandomPurpose::element_sr,
                  microbatch,  0};
    const std::size_t first = i / 2 * 2;
    for (std::size_t t = first; t < first + 2; ++t) {
      if (!coded(static_cast<nn::Slot>(t)) || config.slot[t].spec.hadamard == 0) continue;
      r.rotation = config.slot[t].spec.hadamard;
      r.sign_kind = config.slot[t].spec.signs;
    }
    r.signs = {ctx.seed_sr,
               8 * layer + static_cast<std::uint32_t>(first) + 1,
               ctx.step,
               RandomPurpose::hadamard_signs,
               first == 4 ? ctx.microbatch : std::uint16_t{0},
               0};
    if (config.slot[i].source == nn::SlotSource::shared2d && on) {
      const nn::Slot from = i == 3 ? nn::Slot::q2 : i == 5 ? nn::Slot::q1 : nn::Slot::q3;
      const SlowSlot other = slot(ctx, from);
      r.quantized = other.quantized;
      r.spec = other.spec;
      r.elements = other.elements;
    }
    return r;
  }

  SlowOperand operand(const nn::StepContext& ctx, nn::Slot s, std::span<const float> x,
                      std::size_t rows, std::size_t cols) const {
    const nn::SlotSource source = config[s].source;
    std::vector<float> used(x.begin(), x.end());
    if (!ctx.slot_off(s) &&
        (source == nn::SlotSource::requant || source == nn::SlotSource::dequant)) {
      const nn::Slot from = s == nn::Slot::q4 ? nn::Slot::q2 : nn::Slot::q1;
      const SlowSlot forward = slot(ctx, from);
      if (forward.quantized)
        used = slow_values(forward, slow_operand(forward, x, rows, cols), rows, cols);
    }
    return slow_operand(slot(ctx, s), used, rows, cols);
  }

  std::vector<float> y(const nn::StepContext& ctx, std::span<const float> x,
                       std::span<const float> w) const {
    return slow_product(operand(ctx, nn::Slot::q1, x, n, d), operand(ctx, nn::Slot::q2, w, c, d));
  }
  std::vector<float> dx(const nn::StepContext& ctx, std::span<const float> dy,
                        std::span<const float> w) const {
    return slow_product(operand(ctx, nn::Slot::q3, dy, n, c), operand(ctx, nn::Slot::q4, w, c, d));
  }
  std::vector<float> dw(const nn::StepContext& ctx, std::span<const float> dy,
                        std::span<const float> x) const {
    return slow_product(operand(ctx, nn::Slot::q5, dy, n, c), operand(ctx, nn::Slot::q6, x, n, d));
  }
};

}  // namespace fp4lab::test
