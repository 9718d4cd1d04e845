#include "sim/gemm_plan.h"

#include "formats/names.h"

namespace fp4lab {
namespace {

GemmPlan plan(const char* name, const char* instruction, int k, int promote, PromoteOp op,
              Epilogue epilogue, Evidence evidence, const char* source) {
  GemmPlan p;
  p.name = name;
  p.instruction = instruction;
  p.instruction_k = k;
  p.promote_every = promote;
  p.op = op;
  p.epilogue = epilogue;
  p.evidence = evidence;
  p.source = source;
  return p;
}

}  // namespace

const std::vector<GemmPlan>& named_plans() {
  static const std::vector<GemmPlan> plans = {
      plan("cublaslt-fp8-slow", "sm90.wgmma", 32, 128, PromoteOp::add, Epilogue::global,
           Evidence::measured,
           "torch._scaled_mm use_fast_accum=False on an H100, 64x64, K = 32..2048; larger M, N may "
           "split K"),
      plan("cublaslt-fp8-fast", "sm90.wgmma", 32, 0, PromoteOp::add, Epilogue::global,
           Evidence::measured,
           "torch._scaled_mm use_fast_accum=True on an H100, 64x64, K = 32..2048; larger M, N may "
           "split K"),
      plan("torch-bf16", "sm90a.wgmma.k16.bf16.bf16.f32", 0, 0, PromoteOp::add, Epilogue::global,
           Evidence::measured, "torch.mm bf16 -> f32 on an H100, 128x128, K = 64, 256, 1024"),
      plan("te-qgemm", "fp32-block", 0, 0, PromoteOp::add, Epilogue::te_alpha, Evidence::measured,
           "Transformer Engine's Python reference (software), bit for bit"),
      plan("deepgemm", "sm90.wgmma", 32, 128, PromoteOp::fma_scale, Epilogue::global,
           Evidence::published,
           "DeepGEMM sm90_fp8_gemm_1d2d.cuh; the contraction to FFMA is the compiler's default"),
  };
  return plans;
}

const GemmPlan* find_plan(std::string_view name) {
  const std::string wanted = normalize_name(name);
  for (const GemmPlan& p : named_plans()) {
    if (p.name == wanted) return &p;
  }
  return nullptr;
}

std::string to_string(const GemmPlan& p) {
  if (!p.name.empty()) return p.name;
  std::string s = p.instruction;
  if (p.promote_every != 0) s += ",promote=" + std::to_string(p.promote_every);
  if (p.op == PromoteOp::fma_scale) s += ",op=fma-scale";
  if (p.split_k != 1) s += ",split-k=" + std::to_string(p.split_k);
  if (p.reduce == ReduceOrder::pairwise) s += ",reduce=pairwise";
  if (p.zero_set) s += p.zero == ZeroRule::mmasim ? ",zero=mmasim" : ",zero=ignore";
  return s;
}

}  // namespace fp4lab
