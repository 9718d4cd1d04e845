#include "sim/gemm_operand.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "formats/block_quantize.h"
#include "formats/registry.h"

namespace fp4lab {
namespace {

float canonicalized(float x) { return is_nan(x) ? canonical_nan() : x; }

/// Decodes codes of up to 8 bits through a table, wider ones one by one.
class Decoder {
 public:
  explicit Decoder(const ElementFormat& f) : format_(f) {
    if (f.bits > 8) return;
    for (std::uint32_t c = 0; c < 256; ++c) table_[c] = canonicalized(decode(f, c));
  }
  float operator()(std::uint32_t code) const {
    return format_.bits <= 8 ? table_[code & 0xFFu] : canonicalized(decode(format_, code));
  }

 private:
  ElementFormat format_;
  std::array<float, 256> table_{};
};

float decode_scale(const ScaleFormat& f, std::uint32_t code) {
  if (f.kind == ScaleFormat::Kind::none) return 1.0f;
  return f.kind == ScaleFormat::Kind::coded ? decode(f.format, code) : bits_as<float>(code);
}

/// Value of a code without its block's scale, and the factor that joins the scale.
struct Element {
  float value;
  float scale;
};
Element split_element(const QuantSpec& spec, const BlockScale& b, std::uint32_t code,
                      std::uint32_t column) {
  switch (spec.scheme) {
    case Scheme::hif4: {
      const float s = decode(spec.scale.format, b.code & 0xFFu);
      const int shift = static_cast<int>((b.code >> (8 + column / 8)) & 1u) +
                        static_cast<int>((b.code >> (16 + column / 4)) & 1u);
      return {mul_rn(decode(spec.element, code), pow2_f32(shift)), s};
    }
    case Scheme::if4:
      return {decode(detail::chosen_element(spec, b.choice), code),
              b.choice != 0 ? mul_rn(b.decode, kIf4Out) : b.decode};
    case Scheme::razer:
      return {decode(detail::chosen_element(spec, b.choice), code), b.decode};
    case Scheme::dialect: {
      const float m = 0.5f * static_cast<float>(detail::dialect_half_units(b.choice, code & 7u));
      return {(code & 8u) != 0 ? -m : m, b.decode};
    }
    default:
      break;
  }
  if (b.zero_point != 0)
    return {static_cast<float>(static_cast<int>(code) - b.zero_point), b.decode};
  return {decode(spec.element, code), b.decode};
}

bool codes_depend_on_block(const QuantizedTensor& q) {
  switch (q.spec.scheme) {
    case Scheme::hif4:
    case Scheme::if4:
    case Scheme::razer:
    case Scheme::dialect:
      return true;
    default:
      return !q.zero_points.empty();
  }
}

std::string count_text(std::size_t rows, std::size_t cols) {
  return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

}  // namespace

GemmOperand GemmOperand::from_floats(std::span<const float> data, std::size_t rows, std::size_t k) {
  if (data.size() != rows * k) {
    throw std::invalid_argument("gemm operand: " + std::to_string(data.size()) +
                                " elements do not fill " + count_text(rows, k));
  }
  GemmOperand o;
  o.rows_ = rows;
  o.k_ = k;
  o.format_ = find_format("fp32")->format;
  o.values_.assign(data.begin(), data.end());
  o.codes32_.resize(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) o.codes32_[i] = bits_as<std::uint32_t>(data[i]);
  o.scales_.assign(rows, 1.0f);
  return o;
}

GemmOperand GemmOperand::from_quantized(const QuantizedTensor& q) {
  GemmOperand o;
  const BlockGrid& grid = q.grid;
  o.rows_ = grid.rows;
  o.k_ = grid.cols;
  o.quantized_ = true;
  o.format_ = q.spec.element;
  o.one_format_ = !codes_depend_on_block(q);
  o.codes8_ = q.codes;
  o.codes32_ = q.wide_codes;
  o.values_.resize(o.rows_ * o.k_);
  o.scale_format_ = q.spec.scale;

  const bool folded = q.spec.global == GlobalScope::row_block128 && !q.global.empty();
  const bool constant = q.spec.block.cols == 0 && !folded;
  o.scale_run_ = constant ? 0 : q.spec.block.cols == 0 ? 128 : q.spec.block.cols;
  o.scale_cols_ = constant ? 1 : (o.k_ + o.scale_run_ - 1) / std::max<std::size_t>(o.scale_run_, 1);
  o.scales_.assign(o.rows_ * o.scale_cols_, 1.0f);
  o.scale_codes_.assign(o.rows_ * o.scale_cols_, 0);
  const std::size_t per_row128 = (o.k_ + 127) / 128;
  const bool unscaled = q.spec.scale.kind == ScaleFormat::Kind::none;
  const Decoder plain(q.spec.element);

#pragma omp parallel for schedule(static) if (o.values_.size() > 16384)
  for (std::size_t row = 0; row < o.rows_; ++row) {
    for (std::size_t j = 0; j < o.scale_cols_; ++j) {
      const std::size_t k0 = j * o.scale_run_;
      const std::size_t k1 = o.scale_run_ == 0 ? o.k_ : std::min(o.k_, k0 + o.scale_run_);
      if (k0 >= k1) continue;
      const std::size_t block = row / grid.block_rows * grid.grid_cols + k0 / grid.block_cols;
      const std::uint32_t code = q.scale_codes[block];
      const BlockScale b =
          scale_from_code(q.spec, code, q.zero_points.empty() ? 0 : q.zero_points[block]);
      float s = b.decode;
      for (std::size_t kk = k0; kk < k1; ++kk) {
        const std::size_t i = row * o.k_ + kk;
        const std::uint32_t c = q.code_at(i);
        if (o.one_format_) {
          o.values_[i] = plain(c);
          continue;
        }
        const Element e =
            split_element(q.spec, b, c, static_cast<std::uint32_t>(kk % grid.block_cols));
        o.values_[i] = is_nan(e.value) ? canonical_nan() : e.value;
        s = e.scale;
      }
      if (folded) s = mul_rn(s, q.global[row * per_row128 + k0 / 128]);
      o.scales_[row * o.scale_cols_ + j] = unscaled ? 1.0f : is_nan(s) ? canonical_nan() : s;
      o.scale_codes_[row * o.scale_cols_ + j] = code;
    }
  }
  if (folded || !o.one_format_) o.scale_codes_.clear();
  if (!folded) o.global_ = q.global;
  if (q.spec.prescale != 1.0f) {
    // What went in multiplied by p comes out divided by it, with the global factor.
    if (o.global_.empty()) o.global_.push_back(1.0f);
    for (float& g : o.global_) g = div_rn(g, q.spec.prescale);
  }
  return o;
}

GemmOperand GemmOperand::from_quantized_transposed(const QuantizedTensor& q) {
  const GemmOperand o = from_quantized(q);
  GemmOperand t;
  t.rows_ = o.k_;
  t.k_ = o.rows_;
  t.quantized_ = true;
  t.format_ = o.format_;
  t.one_format_ = o.one_format_;
  t.scale_format_ = o.scale_format_;
  t.amax = o.amax;
  const bool per_row = o.global_.size() > 1;  // varies along the new k
  const std::size_t height = per_row ? 1 : q.grid.block_rows;
  t.scale_run_ = height >= t.k_ ? 0 : height;
  t.scale_cols_ = t.scale_run_ == 0 ? 1 : (t.k_ + t.scale_run_ - 1) / t.scale_run_;
  t.values_.resize(o.values_.size());
  t.codes8_.resize(o.codes8_.size());
  t.codes32_.resize(o.codes32_.size());
  t.scales_.resize(t.rows_ * t.scale_cols_);
  const bool codes = o.scale_codes_valid() && !per_row;
  if (codes) t.scale_codes_.resize(t.scales_.size());
#pragma omp parallel for schedule(static) if (t.values_.size() > 16384)
  for (std::size_t r = 0; r < t.rows_; ++r) {
    for (std::size_t c = 0; c < t.k_; ++c) {
      const std::size_t to = r * t.k_ + c, from = c * o.k_ + r;
      t.values_[to] = o.values_[from];
      if (!o.codes8_.empty()) t.codes8_[to] = o.codes8_[from];
      if (!o.codes32_.empty()) t.codes32_[to] = o.codes32_[from];
    }
    for (std::size_t s = 0; s < t.scale_cols_; ++s) {
      const std::size_t to = r * t.scale_cols_ + s, row = s * t.scale_run_;
      if (row >= o.rows_) continue;
      const float scale = o.scale(row, r);
      t.scales_[to] = per_row ? canonicalized(mul_rn(scale, o.global_[row])) : scale;
      if (codes) t.scale_codes_[to] = o.scale_code(row, r);
    }
  }
  if (!per_row) t.global_ = o.global_;
  return t;
}

GemmOperand GemmOperand::from_codes(const RecordedOperand& r) {
  if (r.codes.size() != r.rows * r.k) {
    throw std::invalid_argument("gemm operand: " + std::to_string(r.codes.size()) +
                                " codes do not fill " + count_text(r.rows, r.k));
  }
  if (!r.global.empty() && r.global.size() != 1 && r.global.size() != r.rows) {
    throw std::invalid_argument("gemm operand: " + std::to_string(r.global.size()) +
                                " global factors for " + std::to_string(r.rows) +
                                " rows (one for all or one a row)");
  }
  GemmOperand o;
  o.rows_ = r.rows;
  o.k_ = r.k;
  o.quantized_ = true;
  o.format_ = r.format;
  o.values_.resize(r.codes.size());
  const Decoder value(r.format);
  const std::uint64_t limit = r.format.code_count() << r.format.storage_shift;
  for (std::size_t i = 0; i < r.codes.size(); ++i) {
    if (r.format.bits < 8 && r.codes[i] >= limit) {
      throw std::invalid_argument("gemm operand: code " + std::to_string(r.codes[i]) + " at [" +
                                  std::to_string(i / r.k) + ", " + std::to_string(i % r.k) +
                                  "] does not exist in a format of " +
                                  std::to_string(r.format.bits) + " bits");
    }
    o.values_[i] = value(r.codes[i]);
  }
  if (r.format.bits <= 8) {
    o.codes8_.assign(r.codes.begin(), r.codes.end());
  } else {
    o.codes32_.assign(r.codes.begin(), r.codes.end());
  }
  o.scale_format_ = r.scale;
  if (r.scale.kind == ScaleFormat::Kind::none) {
    o.scales_.assign(r.rows, 1.0f);
    o.scale_codes_.assign(r.rows, 0);
  } else {
    const BlockShape& b = r.block;
    const bool tall = b.cols == 1 && b.rows != 1;  // Rx1 and col
    o.scale_run_ = b.cols;
    o.scale_cols_ = b.cols == 0 ? 1 : (r.k + b.cols - 1) / b.cols;
    // Stored rows of scales, and how many rows of elements each covers.
    const std::size_t span = b.is_tensor() || (b.cols == 1 && b.rows == 0)
                                 ? std::max<std::size_t>(r.rows, 1)
                             : tall ? b.rows
                                    : 1;
    const std::size_t stored = (r.rows + span - 1) / span;
    if (r.scale_codes.size() != stored * o.scale_cols_) {
      throw std::invalid_argument("gemm operand: " + std::to_string(r.scale_codes.size()) +
                                  " scales, but the block asks for " +
                                  count_text(stored, o.scale_cols_));
    }
    for (std::size_t row = 0; row < r.rows; ++row) {
      for (std::size_t j = 0; j < o.scale_cols_; ++j) {
        const std::uint32_t code = r.scale_codes[row / span * o.scale_cols_ + j];
        const float s = decode_scale(r.scale, code);
        o.scale_codes_.push_back(code);
        o.scales_.push_back(is_nan(s) ? canonical_nan() : s);
      }
    }
  }
  o.global_.assign(r.global.begin(), r.global.end());
  // Plain binary32 is what unquantized operands are made of.
  const bool plain = r.scale.kind == ScaleFormat::Kind::none && o.global_.empty() &&
                     r.format == find_format("fp32")->format;
  o.quantized_ = !plain;
  return o;
}

std::vector<std::size_t> gemm_segments(std::size_t k, std::size_t run_a, std::size_t run_b) {
  std::vector<std::size_t> ends;
  std::size_t at = 0;
  while (at < k) {
    std::size_t next = k;
    for (const std::size_t run : {run_a, run_b}) {
      if (run != 0) next = std::min(next, (at / run + 1) * run);
    }
    ends.push_back(next);
    at = next;
  }
  return ends;
}

std::vector<std::size_t> gemm_segments(const GemmOperand& a, const GemmOperand& b) {
  return gemm_segments(a.k(), a.scale_run(), b.scale_run());
}

}  // namespace fp4lab
