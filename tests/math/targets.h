// Puts one instruction set after the other in force for the array functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "hwy/highway.h"
#include "hwy/targets.h"

namespace fp4lab_test {

/// The sets this machine has, widest first, with their names; the last one is the baseline.
inline std::vector<std::pair<long long, std::string>> instruction_sets() {
  std::vector<std::pair<long long, std::string>> sets;
  const long long supported = hwy::SupportedTargets();
  for (long long bit = 1; bit > 0 && bit <= supported; bit <<= 1) {
    if ((supported & bit) != 0) sets.emplace_back(bit, hwy::TargetName(bit));
  }
  return sets;
}

/// While it lives, the array functions use `set`, or the next best that they were compiled for.
class InForce {
 public:
  explicit InForce(long long set) {
    hwy::SetSupportedTargetsForTest(set);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  InForce(const InForce&) = delete;
  InForce& operator=(const InForce&) = delete;
  ~InForce() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

}  // namespace fp4lab_test
