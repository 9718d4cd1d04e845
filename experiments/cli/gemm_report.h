// What `fp4lab gemm` says about a product.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "experiments/cli/gemm_inputs.h"
#include "experiments/cli/terminal.h"
#include "sim/gemm.h"
#include "sim/gemm_explain.h"

namespace fp4lab::cli {

/// D against the product summed exactly and rounded once to binary32. ULP are steps of binary32.
struct ExactComparison {
  /// Outputs whose distance lies in [low, high].
  struct Bucket {
    std::uint64_t low = 0, high = 0, count = 0;
  };
  std::size_t outputs = 0;
  std::uint64_t one_nan = 0;  ///< NaN on one side only
  std::uint64_t max_ulp = 0;  ///< of the others
  double sqnr_db = 0;         ///< over outputs finite on both sides
  double max_abs_error = 0;
  double mean_signed_ulp = 0;     ///< of magnitudes: below 0 when D falls short (truncation)
  std::vector<Bucket> histogram;  ///< 0, 1, 2, 3..4, 5..8, ... up to the largest
};
ExactComparison compare_with_exact(std::span<const float> d, std::span<const float> exact);

/// Everything that is reported.
struct GemmReport {
  std::string accumulator;  ///< text form
  std::string evidence, source;
  const Factor* a = nullptr;
  const Factor* b = nullptr;
  bool has_c = false;
  const GemmResult* d = nullptr;
  const ExactComparison* error = nullptr;    ///< or nullptr
  const Explanation* explanation = nullptr;  ///< or nullptr
};

void print_report(Output& out, const GemmReport& report, std::size_t max_terms);
std::string report_json(const GemmReport& report);

/// All accumulators, plans and presets with what each rests on.
void print_accumulators(Output& out);
std::string accumulators_json();

}  // namespace fp4lab::cli
