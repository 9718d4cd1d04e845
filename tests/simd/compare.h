// The vector engine beside its scalar twin: the same tensor through both, on every instruction set
// of the machine, compared bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/fp4lab.h"
#include "sim/quantize.h"

namespace fp4lab::test {

/// Highway targets that this machine has and the library was compiled for, best first.
std::vector<std::int64_t> simd_targets();
std::string target_id(std::int64_t target);

/// Forces one instruction set while it lives.
class ForcedTarget {
 public:
  explicit ForcedTarget(std::int64_t target);
  ~ForcedTarget();
};

/// What a quantization makes, scalar engine: codes, scale codes, g, saturation count, values.
struct Reference {
  QuantizedTensor q;
  std::vector<float> values;
};
Reference reference(const QuantSpec& spec, const std::vector<float>& x, std::size_t rows,
                    std::size_t cols, const QuantizeOptions& options = {});

/// Expects quantize, fake_quantize_into and (up to 4 bits) quantize_packed to give the reference's
/// bits with the current target and number of threads. Says where the first difference is.
void expect_same(const Reference& want, const std::vector<float>& x, const QuantizeOptions& options,
                 const std::string& where);

/// Both, on every target. The spec must have a vector path for the shape.
void compare_on_all_targets(const QuantSpec& spec, const std::vector<float>& x, std::size_t rows,
                            std::size_t cols, const QuantizeOptions& options = {});

/// Which numbers a random tensor holds.
struct Mix {
  int exponent_range = 12;     ///< exponents of a block spread over this many binades
  bool tiny = true;            ///< some blocks of subnormals
  bool zeros = true;           ///< some blocks of zeros and some zeros in other blocks
  unsigned special_every = 0;  ///< one block in so many holds NaN or Inf; 0: none
};
/// n numbers in runs of `block` that share a magnitude.
std::vector<float> random_blocks(std::size_t n, std::size_t block, std::uint64_t seed,
                                 const Mix& mix = {});

/// Every deterministic rounding of formats/.
std::vector<Rounding> deterministic_roundings();
/// Every catalogue format of at most 8 bits but uint4-asym, whose scaled blocks have zero points
/// and go to the reference.
std::vector<FormatInfo> narrow_formats();

}  // namespace fp4lab::test
