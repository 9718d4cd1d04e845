// One training step of gpt-mini (d 128, 4 layers, 4 heads, 128 tokens, batch 16) without the
// optimizer: forward and backward in binary32, and under two FP4 recipes, on 1 and 2 threads.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <memory>
#include <string>

#include "formats/fp4lab.h"
#include "formats/philox.h"
#include "sim/models/model_config.h"

namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

constexpr std::size_t kVocabulary = 96, kItems = 16, kLength = 128;

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

void step(benchmark::State& state, const std::string& recipe) {
  ModelConfig config;
  config.dim = 128;
  config.layers = 4;
  config.heads = 4;
  config.length = kLength;
  config.vocab = kVocabulary;
  BuildContext build;
  build.policy = [&](const LayerInfo& info) {
    if (recipe == "mxfp4-baseline") return mxfp4_baseline(info);
    if (recipe == "nvfp4-nvidia") return nvfp4_nvidia(info);
    return plain(recipe == "fp32" ? Compute::fp32 : Compute::bf16);
  };
  const std::unique_ptr<Model> model = make_model(config, build);
  Batch batch;
  batch.items = kItems;
  batch.length = kLength;
  const RandomStream random{1, 0, 0, RandomPurpose::synthetic_data, 0, 0};
  for (std::size_t i = 0; i < kItems * kLength; ++i) {
    batch.tokens.push_back(static_cast<std::int32_t>(random.slot(2 * i, 32) % kVocabulary));
    batch.targets.push_back(static_cast<std::int32_t>(random.slot(2 * i + 1, 32) % kVocabulary));
  }
  const int before = omp_get_max_threads();
  omp_set_num_threads(static_cast<int>(state.range(0)));
  StepContext ctx;
  const auto one = [&] {
    benchmark::DoNotOptimize(model->forward(ctx, batch).loss);
    model->backward(ctx, 1.0f);
    ++ctx.step;
  };
  one();  // memory that later steps use again
  for (auto _ : state) one();
  omp_set_num_threads(before);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kItems * kLength));
}

#define FP4LAB_STEP(NAME, RECIPE)       \
  BENCHMARK_CAPTURE(step, NAME, RECIPE) \
      ->Name("gpt-mini/" RECIPE)        \
      ->Arg(1)                          \
      ->Arg(2)                          \
      ->UseRealTime()                   \
      ->Unit(benchmark::kMillisecond)
FP4LAB_STEP(fp32, "fp32");
FP4LAB_STEP(bf16, "bf16");
FP4LAB_STEP(mxfp4, "mxfp4-baseline");
FP4LAB_STEP(nvfp4, "nvfp4-nvidia");

}  // namespace
