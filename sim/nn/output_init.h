// Initial deviation of the layers that write into a residual stream.
#pragma once

#include <cmath>
#include <cstddef>

#include "sim/nn/context.h"

namespace fp4lab::nn {

/// 1 / sqrt(in), divided by sqrt(2 blocks) so that the stream's variance does not grow with depth
/// (A. Radford et al., "Language models are unsupervised multitask learners", section 2.3).
inline double output_std(const BuildContext& build, std::size_t in) {
  const double writers = build.blocks > 0 ? 2.0 * build.blocks : 1.0;
  return 1.0 / std::sqrt(static_cast<double>(in) * writers);
}

}  // namespace fp4lab::nn
