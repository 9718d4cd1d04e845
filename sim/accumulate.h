// Accumulator: how a dot product sums. One value, one text form that parses back to itself.
//
// exact, block-exact (default), fp32-seq, fp32-fma, fp32-tree:LEAF, fp32-split:P, fp32-block,
// promote:N:INNER, chunk:FMT:LEN, acc:FMT, acc-sr:FMT:BITS, tfs:L:F:E0:OUT[:ALIGN], every
// tensor-core preset and chip name (mma_presets.h), and GEMM plans (gemm_plan.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/element_format.h"
#include "formats/spec_text.h"
#include "sim/gemm_plan.h"
#include "sim/mma_model.h"

namespace fp4lab {

enum class AccumulatorKind : std::uint8_t {
  exact,        ///< all factors as exact rationals, one rounding
  block_exact,  ///< exact dot of each segment, then one fma a segment
  fp32_seq,     ///< s = fl(s + fl(a' b')), k ascending
  fp32_fma,     ///< s = fma(a', b', s), k ascending
  fp32_tree,    ///< runs of LEAF products one after the other, then a balanced tree
  fp32_split,   ///< P runs of fp32-fma, added in order
  fp32_block,   ///< fp32-seq of values a segment, times fl(sA sB), added
  promote,      ///< INNER from 0 over each N consecutive k, partial sums added in binary32
  chunk,        ///< sums of LEN products in a short format, chunk sums added in it too
  acc,          ///< one short accumulator, one rounding a product
  acc_sr,       ///< the same with stochastic rounding
  tfs,          ///< truncating fused sums with any parameters
  plan,         ///< instructions of a real chip
};

/// A way of summing. Fields that a kind does not use keep their defaults.
struct Accumulator {
  AccumulatorKind kind = AccumulatorKind::block_exact;
  int n = 0;                                 ///< LEAF, P, N, LEN or BITS
  std::string format;                        ///< FMT: id of an element format
  FusedSum fused{};                          ///< tfs
  std::shared_ptr<const Accumulator> inner;  ///< promote
  GemmPlan plan;

  friend bool operator==(const Accumulator& a, const Accumulator& b) {
    const bool inner = a.inner && b.inner ? *a.inner == *b.inner : !a.inner && !b.inner;
    return a.kind == b.kind && a.n == b.n && a.format == b.format && a.fused == b.fused && inner &&
           a.plan == b.plan;
  }
};

/// Reads an accumulator. Throws SpecError with the position, what was found and the nearest name.
Accumulator parse_accumulator(std::string_view text);

/// The canonical text form.
std::string to_string(const Accumulator& a);

/// Names for help texts and completion: reference models (with their argument patterns), plans,
/// chip names, then every preset id.
std::vector<std::string> accumulator_names();

/// What a model rests on: reference models are definitions of this project and carry no tag
/// (empty); plans and presets print theirs. A chip name's tag depends on the operands.
std::string evidence_text(const Accumulator& a);

}  // namespace fp4lab
