// One tensor through the library and through the oracle's model, compared to the last bit.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/spec_text.h"
#include "sim/quantize.h"
#include "tests/oracle/blocks.h"

namespace fp4lab_blocks {

namespace oracle = fp4lab_oracle;
using oracle::F32;

inline float as_float(F32 bits) { return std::bit_cast<float>(bits); }
inline F32 as_bits(float x) { return std::bit_cast<F32>(x); }

/// A rows x cols matrix of binary32 patterns and what it is, for messages.
struct Tensor {
  std::string name;
  std::size_t rows = 0, cols = 0;
  std::vector<F32> bits;
};

Tensor row_of(std::string name, std::vector<F32> bits);

std::vector<float> floats(const std::vector<F32>& bits);

fp4lab::QuantizedTensor library_quantize(const std::string& spec, const Tensor& t,
                                         const oracle::RandomBits& random = {});

/// Compares codes, block scales, global factors and dequantized values; every difference is a test
/// failure that names spec, tensor, place, and both answers (the first few of each call in full).
void expect_same(const std::string& spec, const Tensor& t, const oracle::RandomBits& random = {});

/// Small deterministic generator for test data (xorshift64*).
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Dull;
  }
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>((next() >> 32) % n); }
  /// Uniform exponent in [low, high], `mantissa_bits` random leading mantissa bits, random sign.
  F32 number(int low, int high, int mantissa_bits = 23);

 private:
  std::uint64_t state_;
};

/// Roughly normal values: sums of uniform ones, times 2^exponent.
Tensor bell(std::string name, std::size_t rows, std::size_t cols, int exponent, std::uint64_t seed);
/// The same rounded to bfloat16.
Tensor short_mantissas(Tensor t);

}  // namespace fp4lab_blocks
