#include "tests/bench/gpt_step.h"

#include "formats/fp4lab.h"
#include "formats/philox.h"
#include "sim/models/model_config.h"

namespace fp4lab_bench {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

LayerConfig plain(Compute compute) {
  LayerConfig c;
  c.compute = compute;
  return c;
}

/// The head and the products inside attention stay unquantized (policy default).
bool is_protected(const LayerInfo& info) {
  return info.role == Role::head || info.role == Role::attn_bmm;
}

LayerConfig mxfp4_baseline(const LayerInfo& info) {
  LayerConfig c;
  if (is_protected(info)) return c;
  for (SlotConfig& s : c.slot) {
    s.source = SlotSource::master;
    s.spec = parse_spec("mxfp4");
  }
  return c;
}

LayerConfig nvfp4_nvidia(const LayerInfo& info) {
  LayerConfig c;
  // The last 15 % of the blocks stay in bf16: one of four.
  if (is_protected(info) || info.block == info.blocks - 1) return c;
  const auto set = [&](Slot s, SlotSource source, const char* spec) {
    c[s].source = source;
    c[s].spec = parse_spec(spec);
  };
  set(Slot::q1, SlotSource::master, "nvfp4");
  set(Slot::q2, SlotSource::master, "nvfp4,block=16x16");
  set(Slot::q3, SlotSource::master, "nvfp4,round=sr");
  set(Slot::q4, SlotSource::shared2d, "nvfp4,block=16x16");
  set(Slot::q5, SlotSource::master, "nvfp4,round=sr,hadamard=16");
  set(Slot::q6, SlotSource::master, "nvfp4,hadamard=16");
  return c;
}

}  // namespace

GptStep::GptStep(const std::string& recipe) {
  ModelConfig config;
  config.dim = 128;
  config.layers = 4;
  config.heads = 4;
  config.length = kStepLength;
  config.vocab = kStepVocabulary;
  BuildContext build;
  build.policy = [&](const LayerInfo& info) {
    if (recipe == "mxfp4-baseline") return mxfp4_baseline(info);
    if (recipe == "nvfp4-nvidia") return nvfp4_nvidia(info);
    return plain(recipe == "fp32" ? Compute::fp32 : Compute::bf16);
  };
  model_ = make_model(config, build);
  batch_.items = kStepItems;
  batch_.length = kStepLength;
  const RandomStream random{1, 0, 0, RandomPurpose::synthetic_data, 0, 0};
  for (std::size_t i = 0; i < kStepItems * kStepLength; ++i) {
    const auto token = [&](std::size_t k) {
      return static_cast<std::int32_t>(random.slot(k, 32) % kStepVocabulary);
    };
    batch_.tokens.push_back(token(2 * i));
    batch_.targets.push_back(token(2 * i + 1));
  }
}

double GptStep::run() {
  const double loss = model_->forward(context_, batch_).loss;
  model_->backward(context_, 1.0f);
  ++context_.step;
  return loss;
}

}  // namespace fp4lab_bench
