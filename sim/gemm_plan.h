// GemmPlan: how a whole product is put together from instructions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/mma_presets.h"

namespace fp4lab {

/// What happens to the partial sum of one promotion interval.
enum class PromoteOp : std::uint8_t {
  add,        ///< y = fl(partial + y)
  fma_scale,  ///< y = fma(fl(sA sB), partial, y): block scales of binary32 along k (DeepGEMM)
};
/// How the parts of a split-K product are added.
enum class ReduceOrder : std::uint8_t {
  ascending,  ///< ((p0 + p1) + p2) + ...
  pairwise,   ///< neighbours level by level, an odd last one carried up
};
/// What the finished sum is multiplied by.
enum class Epilogue : std::uint8_t {
  global,    ///< fl(gA gB), skipped when neither operand has a global factor
  te_alpha,  ///< fl(fl(Ax Aw) / 7225344), from the amax of both tensors
};

/// A GEMM as a library runs it. Text form: NAME, or
/// INSTRUCTION[,promote=N][,op=add|fma-scale][,split-k=P][,reduce=ascending|pairwise]
/// [,zero=ignore|mmasim], where INSTRUCTION is a preset id, a chip (sm90) or chip.instruction.
struct GemmPlan {
  std::string name;         ///< of a named plan, else empty
  std::string instruction;  ///< preset id, prefix (preset_prefixes) or, in named plans, another
                            ///< accumulator
  int instruction_k = 0;    ///< not 0: the instruction that a prefix stands for must have this K
  int promote_every = 0;    ///< k an interval; 0 = one chain over all of k
  PromoteOp op = PromoteOp::add;
  int split_k = 1;  ///< equal parts in whole intervals (or instructions), the last shorter
  ReduceOrder reduce = ReduceOrder::ascending;
  ZeroRule zero = ZeroRule::ignore;
  bool zero_set = false;  ///< `zero` overrides the preset's rule
  Epilogue epilogue = Epilogue::global;
  Evidence evidence = Evidence::unverified;
  std::string source;

  friend bool operator==(const GemmPlan& a, const GemmPlan& b) {
    return a.name == b.name && a.instruction == b.instruction &&
           a.instruction_k == b.instruction_k && a.promote_every == b.promote_every &&
           a.op == b.op && a.split_k == b.split_k && a.reduce == b.reduce && a.zero == b.zero &&
           a.zero_set == b.zero_set && a.epilogue == b.epilogue;
  }
};

/// cublaslt-fp8-slow cublaslt-fp8-fast torch-bf16 te-qgemm deepgemm.
const std::vector<GemmPlan>& named_plans();
const GemmPlan* find_plan(std::string_view name);

/// The text form; a named plan prints its name.
std::string to_string(const GemmPlan& plan);

}  // namespace fp4lab
