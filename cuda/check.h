// The comparison program's parts: each runs a family of checks and counts.
#pragma once

#include <cstdint>
#include <string>

namespace fp4lab::cuda {

/// Totals of one family.
struct Tally {
  std::uint64_t checks = 0;      ///< lines printed
  std::uint64_t cases = 0;       ///< compared results
  std::uint64_t mismatches = 0;
  void add(const Tally& t) {
    checks += t.checks;
    cases += t.cases;
    mismatches += t.mismatches;
  }
};

/// Prints `name  cases N  mismatches M  verdict` and adds to the tally.
void report(Tally& tally, const std::string& name, std::uint64_t cases, std::uint64_t mismatches,
            const std::string& first);

/// Casts of binary32 inputs, format and rounding as template arguments: all 2^32, or with `quick`
/// every 257th.
Tally check_casts(bool quick);

/// Whole-tensor quantization under every base, profile and rounding, against fp4lab::quantize:
/// random tensors with boundary-aimed elements; `elements` in all for the large ones.
Tally check_blocks(std::uint64_t elements);

/// Every function of sim/math.h over all 2^32 inputs (pow: as many pairs), against the CPU's array
/// functions; with `quick` every 257th.
Tally check_math(bool quick);

}  // namespace fp4lab::cuda
