// fp32-fma chains for many outputs at a time: sixteen or more chains side by side, each in
// ascending k, so that every output has the bits of its own scalar chain.
#pragma once

#include <cstddef>
#include <vector>

namespace fp4lab::detail {

/// Rows of B packed so that the same k of 32 rows lie together: [panel, k, 32].
inline constexpr std::size_t kFmaPanel = 32;
std::vector<float> pack_fma_panels(const float* b, std::size_t rows, std::size_t k);

/// out[r][l] = fma chain over k of a[r][k] * panel[k][l] from +0, for r < 4, l < 32, with the best
/// instruction set of the machine. False when that has no fused multiply-add, in which case nothing
/// was computed.
bool fma_chain_panel(const float* const a[4], const float* panel, std::size_t k, float* out);

}  // namespace fp4lab::detail
