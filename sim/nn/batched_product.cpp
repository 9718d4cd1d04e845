#include "sim/nn/batched_product.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sim/nn/attention_kernel.h"
#include "sim/nn/elementwise.h"
#include "sim/nn/probe.h"
#include "sim/nn/product.h"
#include "sim/nn/slot_quantizer.h"

namespace fp4lab::nn {
namespace {

/// Rows [first, first + rows) of a quantized matrix as a matrix of its own.
QuantizedTensor slice(const QuantizedTensor& q, std::size_t first, std::size_t rows) {
  QuantizedTensor s;
  s.spec = q.spec;
  s.shape = {rows, q.cols};
  s.rows = rows;
  s.cols = q.cols;
  s.signs = q.signs;
  s.hadamard_stream = q.hadamard_stream;
  s.grid = q.grid;
  s.grid.rows = rows;
  const auto part = [](const auto& all, std::size_t from, std::size_t n, auto& out) {
    if (!all.empty()) {
      out.assign(all.begin() + static_cast<std::ptrdiff_t>(from),
                 all.begin() + static_cast<std::ptrdiff_t>(from + n));
    }
  };
  const std::size_t width = q.stored_cols();
  part(q.codes, first * width, rows * width, s.codes);
  part(q.wide_codes, first * width, rows * width, s.wide_codes);
  std::size_t grid_first = 0, grid_rows = 1;
  if (q.grid.grid_rows == 1) {
    s.grid.block_rows = std::max<std::size_t>(rows, 1);  // one block from top to bottom
  } else {
    grid_first = first / q.grid.block_rows;
    grid_rows = (rows + q.grid.block_rows - 1) / q.grid.block_rows;
  }
  s.grid.grid_rows = grid_rows;
  const std::size_t wide = q.grid.grid_cols;
  part(q.scale_codes, grid_first * wide, grid_rows * wide, s.scale_codes);
  part(q.zero_points, grid_first * wide, grid_rows * wide, s.zero_points);
  if (q.global.size() <= 1 || q.rows == 0) {
    s.global = q.global;
  } else {
    const std::size_t a_row = q.global.size() / q.rows;
    part(q.global, first * a_row, rows * a_row, s.global);
  }
  return s;
}

/// x [groups, rows, cols] to [groups, cols, rows].
void turn(const Tensor& x, std::size_t groups, std::size_t rows, std::size_t cols, Tensor& y) {
  y.resize({groups, cols, rows});
#pragma omp parallel for schedule(static)
  for (std::size_t g = 0; g < groups; ++g) {
    detail::transpose(x.data() + g * rows * cols, cols, rows, cols, y.data() + g * rows * cols);
  }
}

}  // namespace

BatchedProduct::BatchedProduct(BuildContext& build, const std::string& name, int block,
                               bool quantize)
    : layer_(build.add(name, Role::attn_bmm, block).index) {
  if (!quantize) build.configs.back().slot = {};
  config_ = build.configs.back();
  try {
    check_slots(config_);
    accumulator_ = parse_accumulator(config_.accumulate);
  } catch (const std::exception& e) {
    throw std::invalid_argument(name + ": " + e.what());
  }
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (config_.slot[i].source != SlotSource::none &&
        config_.slot[i].estimator.kind != EstimatorKind::ste) {
      throw std::invalid_argument(name + ": slots.q" + std::to_string(i + 1) +
                                  ".estimator: the products of attention take `ste`");
    }
  }
  if (accumulator_.kind == AccumulatorKind::acc_sr) {
    throw std::invalid_argument(name +
                                ": accumulate: the products of attention are many small ones and "
                                "have no draws for acc-sr");
  }
}

bool BatchedProduct::on(const StepContext& ctx, Slot s) const noexcept {
  return config_[s].source != SlotSource::none && !ctx.slot_off(s);
}

bool BatchedProduct::quantizes(const StepContext& ctx) const noexcept {
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (on(ctx, static_cast<Slot>(i))) return true;
  }
  return false;
}

Rotation BatchedProduct::rotation_of(const StepContext& ctx, Slot slot) const noexcept {
  Rotation r;
  const Slot first = first_slot(slot);
  for (const Slot s : {first, partner_slot(first)}) {
    const SlotConfig& c = config_[s];
    const bool coded =
        on(ctx, s) && (c.source == SlotSource::master || c.source == SlotSource::requant);
    if (!coded || c.spec.hadamard == 0) continue;
    r.size = c.spec.hadamard;
    r.signs = c.spec.signs;
    r.stream = ctx.stream(layer_, slot_number(first), RandomPurpose::hadamard_signs);
    return r;
  }
  return r;
}

void BatchedProduct::plain_into(const StepContext& ctx, Slot slot, const Tensor& x,
                                std::size_t cols, bool round, Operand& out) const {
  out.quantized = out.turned = false;
  out.depth = cols;
  round = round && config_.compute == Compute::bf16;
  out.values = x;
  if (round) round_to_bf16(out.values.span(), out.values.span());
  const Rotation r = rotation_of(ctx, slot);
  if (r.size == 0) {
    out.plain = out.values;
    return;
  }
  rotate(r, x.data(), cols == 0 ? 0 : x.size() / cols, cols, false, out.plain);
  if (round) round_to_bf16(out.plain.span(), out.plain.span());
  out.depth = whole_groups(cols, r.size);
}

void BatchedProduct::quantize_into(const StepContext& ctx, Slot slot, const Tensor& x,
                                   std::size_t cols, Operand& out) const {
  const std::size_t rows = cols == 0 ? 0 : x.size() / cols;
  const Rotation r = rotation_of(ctx, slot);
  out.quantized = true;
  out.turned = false;
  out.depth = whole_groups(cols, r.size);
  QuantSpec spec = config_[slot].spec;
  spec.hadamard = 0;
  QuantizeOptions options;
  options.random.stream = ctx.stream(layer_, slot_number(slot), RandomPurpose::element_sr);
  Tensor rotated;
  if (r.size != 0) rotate(r, x.data(), rows, cols, false, rotated);
  const std::size_t shape[] = {rows, out.depth};
  out.codes = fp4lab::quantize(spec, r.size != 0 ? std::as_const(rotated).span() : x.span(), shape,
                               options);
  const std::size_t group_rows = rows / std::max<std::size_t>(extents_.groups, 1);
  const BlockGrid& grid = out.codes.grid;
  if (grid.grid_rows > 1 && group_rows % grid.block_rows != 0) {
    throw std::invalid_argument("products of attention, slots.q" +
                                std::to_string(slot_number(slot)) + ".spec: blocks of " +
                                std::to_string(grid.block_rows) + " rows do not divide the " +
                                std::to_string(group_rows) + " rows of a head");
  }
  const std::vector<float> decoded = dequantize(out.codes);
  out.values.resize({rows, cols});
  if (r.size == 0) {
    std::copy(decoded.begin(), decoded.end(), out.values.begin());
  } else {
    Tensor m({rows, out.depth}, decoded);
    rotate_back(r, m, rows, cols, false, out.values.data());
  }
  if (ctx.probe != nullptr && ctx.probe->wants_slot(layer_, slot)) {
    SlotSample sample;
    sample.layer = layer_;
    sample.slot = slot;
    sample.spec = &config_[slot].spec;
    sample.input = x.span();
    sample.output = std::as_const(out.values).span();
    sample.codes = out.codes.codes;
    sample.scale_codes = out.codes.scale_codes;
    sample.global = out.codes.global;
    sample.saturated = out.codes.saturated;
    ctx.probe->slot(sample);
  }
}

void BatchedProduct::direct_operand(const StepContext& ctx, Slot slot, const Tensor& x,
                                    std::size_t cols, Operand& out) const {
  if (on(ctx, slot)) {
    quantize_into(ctx, slot, x, cols, out);
  } else {
    plain_into(ctx, slot, x, cols, true, out);
  }
}

void BatchedProduct::turned_operand(const StepContext& ctx, Slot slot, const Tensor& x,
                                    std::size_t rows, std::size_t cols, const Operand& shared,
                                    Operand& out) const {
  const SlotSource source = on(ctx, slot) ? config_[slot].source : SlotSource::none;
  if (source == SlotSource::shared2d && shared.quantized) {
    out = shared;
    out.turned = true;
    out.depth = rows;
    return;
  }
  const bool master = source == SlotSource::master || source == SlotSource::none;
  Tensor t;
  turn(master ? x : shared.values, extents_.groups, rows, cols, t);
  if (source == SlotSource::master || source == SlotSource::requant) {
    quantize_into(ctx, slot, t, rows, out);
  } else {
    plain_into(ctx, slot, t, rows, source == SlotSource::none, out);
  }
}

void BatchedProduct::product(const Operand& a, std::size_t rows, const Operand& b, std::size_t cols,
                             Tensor& y) const {
  const std::size_t groups = extents_.groups, depth = a.depth;
  if (y.size() != groups * rows * cols) y.resize({groups, rows, cols});
  std::exception_ptr failure;
#pragma omp parallel for schedule(static)
  for (std::size_t g = 0; g < groups; ++g) {
    try {
      QuantizedTensor sliced[2];
      const auto factor = [&](const Operand& o, std::size_t n, QuantizedTensor& part) {
        Factor f;
        f.rows = o.turned ? depth : n;
        f.cols = o.turned ? n : depth;
        f.transposed = o.turned;
        if (o.quantized) {
          part = slice(o.codes, g * f.rows, f.rows);
          f.codes = &part;
        } else {
          f.plain = o.plain.data() + g * f.rows * f.cols;
        }
        return f;
      };
      const Factor fa = factor(a, rows, sliced[0]), fb = factor(b, cols, sliced[1]);
      multiply(fa, fb, accumulator_, {}, y.data() + g * rows * cols);
    } catch (...) {
#pragma omp critical(fp4lab_batched_product)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void BatchedProduct::forward(const StepContext& ctx, const ProductExtents& extents, const Tensor& a,
                             const Tensor& b, Tensor& y) {
  extents_ = extents;
  a_ = a;
  b_ = b;
  direct_operand(ctx, Slot::q1, a, extents.k, operand_[0]);
  direct_operand(ctx, Slot::q2, b, extents.k, operand_[1]);
  product(operand_[0], extents.m, operand_[1], extents.n, y);
}

void BatchedProduct::backward(const StepContext& ctx, const Tensor& dy, Tensor& da, Tensor& db) {
  const ProductExtents& e = extents_;
  direct_operand(ctx, Slot::q3, dy, e.n, operand_[2]);
  turned_operand(ctx, Slot::q4, b_, e.n, e.k, operand_[1], operand_[3]);
  product(operand_[2], e.m, operand_[3], e.k, da);
  turned_operand(ctx, Slot::q5, dy, e.m, e.n, operand_[2], operand_[4]);
  turned_operand(ctx, Slot::q6, a_, e.m, e.k, operand_[0], operand_[5]);
  product(operand_[4], e.n, operand_[5], e.k, db);
}

}  // namespace fp4lab::nn
