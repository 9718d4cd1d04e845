// The walkers of one rounding: compiled once for each, with FP4LAB_WALK_KIND naming it and
// FP4LAB_WALK_MAIN saying whether only the main formats are wanted.
#include "tests/property/every_input/walk.h"

namespace fp4lab_property {
namespace {

template <class Set>
const WalkerTable& walkers_for() {
  static constexpr WalkerTable kWalkers =
      make_walkers<Set, FP4LAB_WALK_MAIN, fp4lab::RoundingKind::FP4LAB_WALK_KIND>();
  return kWalkers;
}

}  // namespace

template <>
const WalkerTable& walkers<fp4lab::RoundingKind::FP4LAB_WALK_KIND>() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return walkers_for<Avx512>();
  }
  if (__builtin_cpu_supports("avx2")) return walkers_for<Avx2>();
#endif
  return walkers_for<Baseline>();
}

}  // namespace fp4lab_property
