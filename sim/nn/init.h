// Initial values of parameters: normals from Philox counters (decisions.md 3).
#pragma once

#include <cstdint>
#include <span>

#include "formats/philox.h"

namespace fp4lab::nn {

/// out[i] = fl(std * z_i). One draw gives four z: (x0, x1) -> rho cos phi, rho sin phi, then
/// (x2, x3); rho = sqrt(-2 log u), u in (0, 1], phi = 2 pi v. Every function correctly rounded.
void fill_normal(const RandomStream& stream, float std, std::span<float> out);

/// The stream of tensor number `tensor` of `layer`'s own parameters.
inline RandomStream init_stream(std::uint64_t seed_init, std::uint32_t layer,
                                std::uint8_t tensor = 0) {
  return {seed_init, 8 * layer, 0, RandomPurpose::init, 0, tensor};
}

}  // namespace fp4lab::nn
