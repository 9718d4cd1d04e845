#include "data/samples.h"

#include <array>
#include <bit>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

/// 64 random bits of (sample, position, draw): two rounds of splitmix64's finalizer, so that
/// neighbouring counters share nothing visible.
std::uint64_t hash_bits(std::uint64_t sample, std::uint64_t position, std::uint64_t draw) {
  std::uint64_t z = (sample << 56) ^ (draw << 48) ^ position;
  for (int round = 0; round < 2; ++round) {
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
  }
  return z;
}

enum Stream : std::uint64_t { kGaussian = 1, kOutlier = 2, kLaplace = 3, kTies = 4 };

float gaussian(std::uint64_t stream, std::uint64_t position) {
  std::int64_t sum = 0;
  for (std::uint64_t draw = 0; draw < 3; ++draw) {
    const std::uint64_t bits = hash_bits(stream, position, draw);
    for (int part = 0; part < 4; ++part) {
      sum += static_cast<std::int64_t>((bits >> (16 * part)) & 0xffff);
    }
  }
  // 6 * 65535 is the mean; the difference stays below 2^19, so the conversion is exact.
  return static_cast<float>(sum - 6 * 65535) * 0x1p-16f;
}

float outliers(std::uint64_t position, std::uint64_t column) {
  float x = gaussian(kOutlier, position);
  if (hash_bits(kOutlier, column, 8) % 64 == 0) x *= 24.0f;
  if (hash_bits(kOutlier, position, 9) % 4096 == 0) x *= 100.0f;
  return x;
}

/// Von Neumann 1951: draw a descending run u1 > u2 > ...; a run of odd length ends with the deviate
/// u1 + (number of runs rejected before). Comparisons of integers only.
float exponential(std::uint64_t stream, std::uint64_t position) {
  std::uint64_t draw = 1;
  const auto uniform = [&] { return hash_bits(stream, position, draw++ & 0xff) >> 40; };
  // Acceptance has probability 1 - 1/e a round; draw numbers are 8 bits, so 24 rounds bound them.
  for (int rejected = 0; rejected < 24; ++rejected) {
    const std::uint64_t first = uniform();
    std::uint64_t previous = first;
    int length = 1;
    while (length < 10) {
      const std::uint64_t next = uniform();
      if (next >= previous) break;
      previous = next;
      ++length;
    }
    if (length % 2 == 1) {
      return static_cast<float>(rejected) + static_cast<float>(first) * 0x1p-24f;
    }
  }
  return 24.0f;
}

float laplace(std::uint64_t position) {
  const float magnitude = exponential(kLaplace, position);
  return (hash_bits(kLaplace, position, 0) & 1) ? -magnitude : magnitude;
}

float ties(std::uint64_t position, std::uint64_t row, std::uint64_t column) {
  constexpr std::array<float, 14> kPoints{0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f,
                                          0.5f,  1.0f,  1.5f,  2.0f,  3.0f, 4.0f, 6.0f};
  const std::uint64_t run = column / 32;
  const int shift = static_cast<int>(hash_bits(kTies, (row << 20) ^ run, 1) % 8) - 4;
  const float power = std::bit_cast<float>(static_cast<std::uint32_t>(127 + shift) << 23);
  if (column % 32 == 0) return 6.0f * power;
  const std::uint64_t bits = hash_bits(kTies, position, 2);
  const float point = kPoints[bits % kPoints.size()];
  // One of the point's two neighbours or the point itself; 6 has no upper neighbour, so that the
  // run's maximum stays where it is.
  const std::int32_t step = static_cast<std::int32_t>((bits >> 20) % 3) - 1;
  std::int32_t pattern = std::bit_cast<std::int32_t>(point);
  if (!(point == 6.0f && step > 0)) pattern += step;
  const float magnitude = std::bit_cast<float>(pattern) * power;
  return (bits >> 32) & 1 ? -magnitude : magnitude;
}

float ramp(std::uint64_t position, std::uint64_t count) {
  // One rounding of the exact product, then one of the difference.
  const double exact = static_cast<double>(position) * 16.0 / static_cast<double>(count) - 8.0;
  return static_cast<float>(exact);
}

}  // namespace

const std::vector<SampleInfo>& sample_list() {
  static const std::vector<SampleInfo> list{
      {"gaussian", "unit normal (Irwin-Hall sum of 12 uniforms)"},
      {"outliers", "unit normal with large columns and single spikes"},
      {"laplace", "two-sided exponential, scale 1"},
      {"ties", "E2M1 thresholds, grid points and their neighbours times powers of two"},
      {"ramp", "rises evenly from -8 to 8"}};
  return list;
}

Array sample_tensor(std::string_view name, std::size_t rows, std::size_t columns) {
  enum class Kind { kGaussian, kOutliers, kLaplace, kTies, kRamp };
  constexpr std::array<std::string_view, 5> kNames{"gaussian", "outliers", "laplace", "ties",
                                                   "ramp"};
  std::size_t index = 0;
  while (index < kNames.size() && kNames[index] != name) ++index;
  if (index == kNames.size()) {
    throw InputError("unknown sample tensor '" + printable(name, 40) + "'" +
                     nearest_hint(name, kNames));
  }
  Array array(DType::kF32, {rows, columns});
  const auto out = array.as<float>();
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const std::size_t position = r * columns + c;
      switch (static_cast<Kind>(index)) {
        case Kind::kGaussian:
          out[position] = gaussian(kGaussian, position);
          break;
        case Kind::kOutliers:
          out[position] = outliers(position, c);
          break;
        case Kind::kLaplace:
          out[position] = laplace(position);
          break;
        case Kind::kTies:
          out[position] = ties(position, r, c);
          break;
        case Kind::kRamp:
          out[position] = ramp(position, rows * columns);
          break;
      }
    }
  }
  return array;
}

}  // namespace fp4lab
