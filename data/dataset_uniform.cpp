// Numbers for the 1-D toy, from counters and IEEE operations.
#include "data/dataset_internal.h"
#include "data/sha256.h"
#include "formats/host_device.h"

namespace fp4lab::data::detail {

ImageDataset draw_numbers(std::uint64_t seed, std::size_t items, double eval_fraction) {
  ImageDataset set;
  set.name = "uniform";
  set.height = set.width = set.classes = 1;
  std::vector<float> inputs(items);
  const Uniforms random(seed, 0x0A1Du);
  for (std::size_t i = 0; i < items; ++i) {
    inputs[i] = mul_rn(sub_rn(random.unit(i), 0.5f), 3.4641016f);
  }
  set.sha256 = sha256_hex({reinterpret_cast<const char*>(inputs.data()), items * sizeof(float)});
  split_images(set, inputs, std::vector<std::int32_t>(items, 0), eval_fraction);
  return set;
}

}  // namespace fp4lab::data::detail
