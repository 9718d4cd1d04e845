// One hash a function over its results for all 2^32 inputs: the sum over x, modulo 2^64, of
// mix(x * 2^32 + bits of the result), `mix` of functions.h. Recorded from the walk of
// exhaustive_test.cpp that compared each of these results with the reference and found no
// difference; any build, instruction set or device that gives the same hash rounds correctly too.
#pragma once

#include <cstdint>

#include "tests/math/reference.h"

namespace fp4lab_test {

inline constexpr std::uint64_t kResultHashes[kFunctionCount] = {
    0xbfce31e136a7d48f,  // exp
    0x608fadff1eb1f332,  // exp2
    0x49e0138a353e40a4,  // expm1
    0xe2c492aaaa9201c3,  // log
    0xa65b32cd3f9ba8a6,  // log2
    0x9af4fe6cf22d2ff4,  // log1p
    0x42359c76f41dc0d3,  // tanh
    0x65cc0fbd21c1bf99,  // erf
    0x072112c8a6d77f9d,  // sigmoid
    0x74327f774640ee1c,  // silu
    0x1156ed244dee00b9,  // gelu
    0xb18a322e3316e3b6,  // rsqrt
    0x419133015c708c98,  // sqrt
    0xefe3e74fd09fa7e9,  // sin
    0x76627a95bde809a5,  // cos
};

}  // namespace fp4lab_test
