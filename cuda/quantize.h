// The GPU twin of sim/quantize.h: the same function, the same bits. Every spec runs here; the
// kernels call choose_scale and encode_element of formats/, so there is no second definition.
#pragma once

#include <cstddef>
#include <span>

#include "sim/quantize.h"

namespace fp4lab::cuda {

/// fp4lab::quantize on the current device. Throws std::runtime_error when CUDA fails, and
/// std::invalid_argument for what fp4lab::quantize refuses.
QuantizedTensor quantize(const QuantSpec& spec, std::span<const float> data,
                         std::span<const std::size_t> shape, const QuantizeOptions& options = {});

}  // namespace fp4lab::cuda
