// The oracle's model of block quantization: whole tensors under a spec, from the contract alone.
//
// One element, one block, one scope at a time, in the order the definition gives; every binary32
// and binary64 operation is an exact result rounded once (blocks_arith.h), every cast is a search
// among the exact breakpoints of the format (breakpoints.h). Slow and plain on purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/oracle/blocks_arith.h"
#include "tests/oracle/blocks_random.h"
#include "tests/oracle/rounding.h"

namespace fp4lab_oracle {

enum class Rule {
  kAbsmax,
  kClip,
  kPercentile,
  kMse,
  kFixed,
  kPow2Floor,
  kPow2Ceil,
  kPow2Near,
  kFloor,
  kCeil,
  kEven,
  kRceil,
  kTseng34,
  kQuest,
  kTwoLevel,
  k4over6,
  kStatic6,
  kStatic4,
  kHif4
};
enum class Profile { kNone, kTe, kTe4over6, kTorchao, kTorchaoSingle, kModelopt, kFouroversix };
enum class Family { kPlain, kMx, kNv, kIf4, kRazer, kHif4 };
enum class ScaleKind { kNone, kFp32, kPow2, kCoded };
enum class Scope { kNone, kTensor, kRow, kRow128 };
enum class Metric { kMae, kMse, kAbsmax, kMseFp16 };
enum class Signs { kFixed, kNone, kPerLayerStep, kPerCall };

/// How an element is rounded: a deterministic mode, or N random bits, or a uniform number.
struct ElementRounding {
  enum class Kind { kMode, kBits, kUniform };
  Kind kind = Kind::kMode;
  Mode mode = Mode::kRne;
  Stochastic model = Stochastic::kFloor;
  int n_bits = 16;
};

/// A spec as the model understands it; the fields follow the keys of the text form.
struct BlockSpec {
  Family family = Family::kPlain;
  Profile profile = Profile::kNone;
  const Format* element = nullptr;
  ScaleKind scale = ScaleKind::kFp32;
  const Format* scale_format = nullptr;
  Rule rule = Rule::kAbsmax;
  Rational rule_argument = 0;
  ElementRounding round;
  std::size_t block_rows = 0, block_cols = 0;  // 0 = all
  Scope global = Scope::kNone;
  bool headroom = false;
  Metric error = Metric::kMae;
  int e4m3_max = 448;
  std::size_t hadamard = 0;
  Signs signs = Signs::kFixed;
  Rational prescale = 1;
  Rational clip = 0;  // 0 = none
  bool ignore_nan = false;
};

/// Reads the canonical text form; throws std::invalid_argument for what the model does not cover.
BlockSpec block_spec(std::string_view text);

/// What a tensor becomes.
struct ModelTensor {
  std::size_t rows = 0, cols = 0;            // stored (padded) matrix
  std::size_t grid_rows = 0, grid_cols = 0;  // blocks
  std::vector<std::uint32_t> codes;          // of the stored matrix
  std::vector<bool> open;                    // codes that the contract leaves free
  std::vector<std::uint32_t> scales;         // codes; binary32 patterns for fp32 and pow2
  std::vector<F32> global;                   // g, one a scope
  std::vector<F32> values;                   // dequantized, original shape
};

/// Quantizes and dequantizes a rows x cols matrix of binary32 patterns.
ModelTensor quantize(const BlockSpec& spec, const std::vector<F32>& data, std::size_t rows,
                     std::size_t cols, const RandomBits& random = {});

/// One group forward (signs, butterflies, norm) or back.
void hadamard_group(std::vector<F32>& group, const std::vector<bool>& negative, bool inverse);
/// Which elements of a group are negated.
std::vector<bool> hadamard_signs(Signs kind, std::size_t size, RandomBits random);

}  // namespace fp4lab_oracle
