// What is not compared, and why: the one list of it.
#pragma once

#include <string_view>

namespace fp4lab::golden {

enum class Exclusion {
  kMicroxcalingCppNan,
  kGfloatUnsignedNegative,
  kGfloatNoSubnormals,
  kTorchaoPoisonedBlock,
  kTorchaoNanElement,
  kRhtFlushedToZero,
};

struct ExclusionRow {
  Exclusion id;
  std::string_view folder;
  std::string_view what;
  std::string_view why;
};

// The row of an exclusion.
const ExclusionRow& exclusion(Exclusion id);

}  // namespace fp4lab::golden
