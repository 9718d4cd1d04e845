// The functions under test as calls over arrays, and the walk over all 2^32 inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/math/reference.h"

namespace fp4lab_test {

/// y[i] = f(x[i]) by calls of the scalar function.
void scalar_values(Function f, const float* x, float* y, std::size_t n);
/// The same by the array function, on the instruction set that is in force.
void array_values(Function f, const float* x, float* y, std::size_t n);

/// One wrong result.
struct Mismatch {
  std::uint32_t x, got, want;
};
std::string describe(Function f, const Mismatch& m);

using Evaluator = void (*)(Function, const float*, float*, std::size_t);

/// What a walk over a range of bit patterns found.
struct Walk {
  std::uint64_t mismatches = 0, by_mpfr = 0;
  std::vector<Mismatch> first;  ///< a few of them
};
/// Compares `evaluate` with the reference on n arguments.
Walk compare_with_reference(Function f, Evaluator evaluate, const float* x, std::size_t n);
/// The same on the bit patterns [begin, end), multiples of 65536, by `threads` threads.
Walk compare_with_reference(Function f, Evaluator evaluate, std::uint64_t begin, std::uint64_t end,
                            int threads);

/// The hash of the results whose inputs have one leading byte: the sum over x of
/// mix(x * 2^32 + bits of the result), any order of summation. mix is the output step of
/// SplitMix64.
std::uint64_t leading_byte_hash(Function f, Evaluator evaluate, unsigned leading_byte);
constexpr std::uint64_t mix(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

}  // namespace fp4lab_test
