// The step that speed and memory are measured on: forward and backward of gpt-mini (d 128, 4 layers,
// 4 heads, 128 tokens, batch 16), without the optimizer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "sim/nn/model.h"

namespace fp4lab_bench {

inline constexpr std::size_t kStepItems = 16, kStepLength = 128, kStepVocabulary = 96;

class GptStep {
 public:
  /// `recipe`: fp32, bf16, mxfp4-baseline or nvfp4-nvidia, as the recipes of that name.
  explicit GptStep(const std::string& recipe);
  /// One step; the step number goes up.
  double run();

 private:
  std::unique_ptr<fp4lab::nn::Model> model_;
  fp4lab::nn::Batch batch_;
  fp4lab::nn::StepContext context_;
};

}  // namespace fp4lab_bench
