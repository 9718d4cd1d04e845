#include "sim/nn/init.h"

#include "formats/host_device.h"
#include "sim/math.h"

namespace fp4lab::nn {
namespace {

/// Two normals of two words.
void pair_of_normals(std::uint32_t a, std::uint32_t b, float* z) {
  const float u = mul_rn(static_cast<float>((a >> 8) + 1), 0x1p-24f);
  const float rho = math::sqrt(mul_rn(-2.0f, math::log(u)));
  const float phi = mul_rn(6.2831855f, mul_rn(static_cast<float>(b >> 8), 0x1p-24f));
  z[0] = mul_rn(rho, math::cos(phi));
  z[1] = mul_rn(rho, math::sin(phi));
}

}  // namespace

void fill_normal(const RandomStream& stream, float std, std::span<float> out) {
  const std::size_t n = out.size();
  for (std::size_t d = 0; 4 * d < n; ++d) {
    const PhiloxDraw x = stream.draw(static_cast<std::uint32_t>(d));
    float z[4];
    pair_of_normals(x[0], x[1], z);
    pair_of_normals(x[2], x[3], z + 2);
    for (std::size_t i = 0; i < 4 && 4 * d + i < n; ++i) out[4 * d + i] = mul_rn(std, z[i]);
  }
}

}  // namespace fp4lab::nn
