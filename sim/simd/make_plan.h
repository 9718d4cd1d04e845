// From a QuantSpec to the constants of the vector kernels.
#pragma once

#include <memory>
#include <optional>

#include "formats/encode_table.h"
#include "formats/two_level.h"
#include "sim/quantize.h"
#include "sim/simd/plan.h"

namespace fp4lab::simd {

/// How the blocks of a matrix lie.
enum class Layout : std::uint8_t { rows, columns, tensor };

/// What ElementPath::lookup reads.
struct LookupTable {
  EncodeTable codes;
  float value[256];  ///< of each code
};

/// A plan and the layout it is for; scales that need amax (constant) or a global factor are filled
/// in later.
struct PlanForShape {
  Plan plan;
  Layout layout = Layout::rows;
  std::size_t block = 0;                      ///< elements along the block's direction
  std::shared_ptr<const LookupTable> lookup;  ///< keeps what the plan points to
};

/// The plan for a spec on a rows x cols matrix, or nothing where the vector kernels do not apply.
std::optional<PlanForShape> make_plan(const QuantSpec& spec, std::size_t rows, std::size_t cols,
                                      const QuantizeOptions& options);

/// Puts a global factor into the plan. False where it is not a positive finite number, which only
/// the reference engine handles.
bool set_global(Plan& plan, const QuantSpec& spec, const GlobalFactor& g);

/// Puts one scale for the whole tensor into the plan. False where the scale is special.
bool set_constant_scale(Plan& plan, const QuantSpec& spec, const BlockScale& b);

}  // namespace fp4lab::simd
