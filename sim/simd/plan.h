// What the vector kernels are told: a QuantSpec boiled down to constants, and one piece of work.
// Plain data, so that the kernels' translation unit knows nothing of specs and the code that builds
// plans knows nothing of vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/scale_rule.h"

namespace fp4lab::simd {

/// How a scaled element becomes a code.
enum class ElementPath : std::uint8_t {
  magic,       ///< nearest-even on a radix-2 grid with subnormals: add and subtract 2^k
  table,       ///< thresholds and values of a decision table
  stochastic,  ///< model A on a radix-2 grid with subnormals: fixed point plus random word
  lookup,      ///< cells of an EncodeTable: formats of more than 16 values
};

/// Where a block's scale comes from.
enum class ScalePath : std::uint8_t {
  constant,   ///< one scale for the whole job
  mx,         ///< power of two by integer arithmetic on amax's bits
  two_level,  ///< code of a coded format under a global factor, true division
  absmax,     ///< binary32 amax / qmax
  scalar,     ///< `choose` called for each block
};

/// What is done to an element before its cast and to its value afterwards.
enum class Arithmetic : std::uint8_t {
  multiply,         ///< v = fl(x f); y = fl(q s)
  multiply_global,  ///< v = fl(x f); y = fl(fl(q s) g)
  multiply_34,      ///< v = fl(0.75 fl(x f)); y = fl(fl(q s) g)
  divide,           ///< v = fl(x / f); y = fl(q s)
  cast,             ///< v = x, NaN taken for `nan_as`; y = q
};

/// One numerical rule, ready for vectors.
struct Plan {
  ElementPath element = ElementPath::magic;
  ScalePath scale = ScalePath::constant;
  Arithmetic arithmetic = Arithmetic::multiply;

  // Saturation is counted where v > highest or v < lowest.
  float highest = 0.0f, lowest = 0.0f;

  /// What a plain cast makes of NaN before it is rounded: +Inf, which saturates to the largest
  /// value, or the canonical NaN where the format has a code for it.
  float nan_as = kFloatInf;

  // magic and stochastic: grid of quantum 2^(e - mantissa_bits) in binade e >= min_exponent.
  int mantissa_bits = 0;
  int min_exponent = 0;

  // table: values in ascending order; entry i > 0 is reached by elements whose key is greater than
  // below[i]. A key is the binary32 bits, mirrored for negative numbers so that they compare as
  // integers. Unused entries are never reached.
  int entries = 0;
  std::int32_t below[16] = {};
  float value[16] = {};
  std::uint32_t code[16] = {};

  // lookup: the cells of an EncodeTable and the value of each code.
  const std::uint64_t* cells = nullptr;
  int cell_shift = 0;
  const float* code_value = nullptr;

  // stochastic: low `random_bits` of each slot; Philox counter words 1..3 and key, or words given.
  int random_bits = 0;
  int slot_width = 0;
  std::uint32_t counter1 = 0, counter2 = 0, counter3 = 0, key0 = 0, key1 = 0;
  const std::uint32_t* given = nullptr;

  // constant
  float factor = 1.0f, decode = 1.0f;
  // every path with a global factor
  float global = 1.0f;
  // mx: biased exponent = ((bits of amax + add) >> 23) - offset, clamped to 0..254
  std::uint32_t mx_add = 0;
  int mx_offset = 0;
  // two_level
  float mult = 0.0f;
  int scale_mantissa_bits = 0;
  int scale_min_exponent = 0;
  float scale_highest = 0.0f;
  bool never_zero = false;  ///< a positive amax gets at least code 1
  // absmax
  float qmax = 1.0f;

  /// scalar: the scale of a block with this amax (finite).
  BlockScale (*choose)(const void* context, float amax) = nullptr;
  const void* context = nullptr;
};

/// A block that the vector kernel leaves to scalar code: it holds NaN or Inf.
struct BlockRef {
  std::size_t offset = 0;  ///< element index of its first element
  std::size_t rows = 0, cols = 0;
  std::size_t block = 0;  ///< index of its scale
};

/// Where results go. Pointers are to element, block or byte 0 of the whole tensor; at most one of
/// the first three is set.
struct Output {
  float* values = nullptr;
  std::uint8_t* codes = nullptr;   ///< one a byte
  std::uint8_t* packed = nullptr;  ///< two a byte, even element in the low half
  std::uint32_t* scales32 = nullptr;
  std::uint8_t* scales8 = nullptr;
  bool stream = false;  ///< non-temporal stores of values; `values` and rows are vector-aligned
};

/// Consecutive blocks of `block_size` elements in memory order.
struct RowJob {
  const float* in = nullptr;  ///< element 0 of the tensor
  std::size_t first = 0;      ///< element index of the first block
  std::size_t elements = 0;   ///< the last block may be cut
  std::size_t block_size = 0;
  std::size_t first_block = 0;
  std::size_t packed_byte = 0;  ///< byte of the first element in Output::packed
};

/// A band of blocks of `rows` x 1 elements, side by side.
struct ColumnJob {
  const float* in = nullptr;
  std::size_t first = 0;       ///< element index of the band's first element
  std::size_t rows = 0;        ///< of this band
  std::size_t cols = 0;        ///< blocks to do
  std::size_t row_stride = 0;  ///< elements
  std::size_t first_block = 0;
  std::size_t packed_byte = 0;
  std::size_t packed_stride = 0;  ///< bytes a row
};

/// Scalar twin for special blocks; returns the number of saturated elements.
struct SpecialBlocks {
  std::uint64_t (*quantize)(const void* context, const BlockRef& block) = nullptr;
  const void* context = nullptr;
};

}  // namespace fp4lab::simd
