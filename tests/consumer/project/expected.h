// What the consumers check: E2M1 written down by hand, and inputs around its decision thresholds.
#pragma once

#include <cstdint>

#include "formats/fp4lab.h"

namespace consumer {

// A format of one's own is a value; this one happens to be E2M1.
inline constexpr fp4lab::ElementFormat kFormat{.bits = 4, .exponent_bits = 2, .mantissa_bits = 1,
                                               .bias = 1};

inline constexpr float kValues[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                      -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

struct Case {
  float input;
  std::uint32_t code;  ///< nearest, ties to even
};
inline constexpr Case kCases[] = {
    {0.25f, 0},  {0.250001f, 1}, {0.75f, 2},    {1.25f, 2},        {1.75f, 4}, {2.5f, 4},
    {3.5f, 6},   {4.999999f, 6}, {5.0f, 6},     {5.000001f, 7},    {6.0f, 7},  {1e30f, 7},
    {-0.0f, 8},  {-0.25f, 8},    {-2.5f, 12},   {-2.500001f, 13},  {-7.0f, 15}, {1e-45f, 0},
};

}  // namespace consumer
