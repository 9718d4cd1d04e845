// The walkers of one rounding: compiled once for each, with FP4LAB_WALK_KIND naming it and
// FP4LAB_WALK_MAIN saying whether only the main formats are wanted.
#include "tests/property/every_input/walk.h"

namespace fp4lab_property {

template <>
const WalkerTable& walkers<fp4lab::RoundingKind::FP4LAB_WALK_KIND>() {
  static constexpr WalkerTable kWalkers =
      make_walkers<FP4LAB_WALK_MAIN, fp4lab::RoundingKind::FP4LAB_WALK_KIND>();
  return kWalkers;
}

}  // namespace fp4lab_property
