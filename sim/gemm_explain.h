// One output element of a product, explained: everything that was computed, as data and as text.
#pragma once

#include <iosfwd>

#include "sim/gemm.h"
#include "sim/gemm_trace.h"

namespace fp4lab {

/// The result of one model for the element.
struct ModelResult {
  std::string name;      ///< text form of the accumulator
  std::string evidence;  ///< tag, empty for reference models
  std::string type;      ///< "fp32", "fp16" ...
  std::uint32_t bits = 0;
  float value = 0.0f;
  std::int64_t ulps = 0;  ///< distance to `exact` in steps of binary32; 0 between two NaNs
  bool same = false;      ///< as the explained model's number (any NaN equals any NaN)
};

/// D[i, j] under one accumulator, step by step, and under every other model that can take the
/// operands.
struct Explanation {
  std::size_t row = 0, col = 0;
  std::string accumulator, instruction, evidence, source;
  bool has_global = false;
  float global_a = 1.0f, global_b = 1.0f;
  Trace trace;
  std::string type;
  std::uint32_t bits = 0;
  float value = 0.0f;
  std::vector<ModelResult> models;
};

/// Throws as gemm() does, and std::out_of_range when there is no such element.
Explanation explain(const GemmOperand& a, const GemmOperand& b, const Accumulator& accumulator,
                    std::size_t row, std::size_t col, const GemmOptions& options = {});

/// The reference models that the table of every model shows.
std::vector<Accumulator> reference_models();

/// Steps in binary32 between two numbers, -0 and +0 in the same place; the largest count when
/// exactly one is a NaN.
std::int64_t ulp_distance(float a, float b) noexcept;

/// Prints for people, at most `max_terms` terms a step (0 = all).
void print(std::ostream& out, const Explanation& e, std::size_t max_terms = 0);

}  // namespace fp4lab
