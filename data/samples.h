// Built-in sample tensors: the same bits on every machine, without a file or a library function.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/array.h"

namespace fp4lab {

/// Name and one-line description of a sample tensor.
struct SampleInfo {
  std::string name;
  std::string description;
};

/// All sample tensors, in the order in which they are documented.
const std::vector<SampleInfo>& sample_list();

/// The sample called `name`, binary32, by default 256 x 512. Element (r, c) depends on its position
/// r * columns + c, the name and nothing else. Throws InputError for an unknown name.
///
/// Random bits: splitmix64's finalizer over (position, draw number, sample). Every number is made
/// from integers by exact conversions and single binary32 products.
///  - gaussian: (sum of 12 uniform 16-bit integers - 12 * 65535 / 2) * 2^-16, the Irwin-Hall
///    approximation of a unit normal; |x| < 6
///  - outliers: gaussian, with 1 column in 64 times 24 and 1 element in 4096 times 100
///  - laplace: random sign times an exponential deviate by von Neumann's comparison method
///  - ties: E2M1 decision thresholds and grid points, and their binary32 neighbours, times a power
///    of two per run of 32 columns whose first element is 6
///  - ramp: position * 16 / count - 8, rising from -8 to just below 8
Array sample_tensor(std::string_view name, std::size_t rows = 256, std::size_t columns = 512);

}  // namespace fp4lab
