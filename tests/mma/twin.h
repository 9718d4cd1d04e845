// A pair of operands in two forms: as the engine takes it and as the oracle takes it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "sim/gemm.h"
#include "tests/oracle/accumulate.h"

namespace fp4lab::mma_test {

/// What an operand is made of.
struct OperandKind {
  std::string format;   ///< element format id; "fp32" without scales = plain floats
  std::string scale;    ///< "e8m0", "ue4m3", "fp32" or empty
  std::size_t run = 0;  ///< columns a scale covers, 0 = all
  bool global = false;
};

/// Kinds of data, each after one way to break a sum.
enum class Data {
  uniform,       ///< every code equally likely, specials where the format has them
  finite_codes,  ///< every finite code
  cancelling,    ///< neighbours in pairs that cancel, but for a residue
  one_huge,      ///< small codes and one large one
  tiny,          ///< subnormals and the smallest normals
  zeros,         ///< zeros of either sign
  mostly_zero,
};
inline constexpr Data kAllData[] = {Data::uniform,    Data::finite_codes, Data::cancelling,
                                    Data::one_huge,   Data::tiny,         Data::zeros,
                                    Data::mostly_zero};

/// Codes and scales of one operand.
struct TwinOperand {
  OperandKind kind;
  std::size_t rows = 0, k = 0;
  std::vector<std::uint32_t> codes, scales;
  std::vector<float> global;

  GemmOperand engine() const;
  fp4lab_oracle::Row row(std::size_t r) const;
  fp4lab_oracle::Number global_factor() const;
};

/// Random operand. `wide_scales` draws all scale codes (NaN too), else ones near 1.
TwinOperand make_operand(const OperandKind& kind, std::size_t rows, std::size_t k, Data data,
                         bool wide_scales, std::mt19937_64& random);

/// A binary32 for C: any pattern at times, else a number of moderate size.
float random_c(std::mt19937_64& random);

}  // namespace fp4lab::mma_test
