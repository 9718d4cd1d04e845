// The training loop: the same bits whatever the machine does, checkpoints, skipped steps,
// divergence, storage formats.
#include "sim/train/trainer.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "experiments/config/config.h"
#include "tests/math/targets.h"
#include "tests/train/small_run.h"

namespace fp4lab::train {
namespace {

/// Recipes whose parts differ: sources, Hadamard, stochastic rounding, phases, wide formats.
const char* const kRecipes[] = {"fp32",          "bf16",         "mxfp4-baseline",
                                "tetrajet",      "nvfp4-nvidia", "tseng-mxfp4",
                                "four-over-six", "fp8",          "fp4-all-the-way"};

/// Tiny layers gain nothing from threads; tests that are not about them run on one.
[[maybe_unused]] const bool kOneThread = [] {
  omp_set_num_threads(1);
  return true;
}();

class Threads {
 public:
  explicit Threads(int n) : before_(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~Threads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

std::unique_ptr<SmallRun> finished(const TrainConfig& config) {
  auto run = std::make_unique<SmallRun>(config);
  EXPECT_EQ(run->trainer->run(), RunStatus::complete);
  return run;
}

void expect_threads_do_not_matter(std::span<const char* const> recipes) {
  for (const char* recipe : recipes) {
    const TrainConfig config = small_config(recipe);
    std::unique_ptr<SmallRun> one;
    {
      const Threads threads(1);
      one = finished(config);
    }
    for (const int n : {2, 5}) {
      const Threads threads(n);
      expect_same_run(*one, *finished(config),
                      std::string(recipe) + ", threads " + std::to_string(n));
    }
  }
}

TEST(Determinism, ThreadsDoNotMatter) {
  const char* const recipes[] = {"tetrajet", "nvfp4-nvidia"};
  expect_threads_do_not_matter(recipes);
}
TEST(SlowDeterminism, ThreadsDoNotMatterForAnyKindOfRecipe) {
  expect_threads_do_not_matter(kRecipes);
}

TEST(Determinism, InstructionSetsDoNotMatter) {
  for (const char* recipe : {"fp32", "mxfp4-baseline", "tetrajet", "nvfp4-nvidia"}) {
    const TrainConfig config = small_config(recipe);
    const auto best = finished(config);
    for (const auto& [set, name] : fp4lab_test::instruction_sets()) {
      const fp4lab_test::InForce in_force(set);
      expect_same_run(*best, *finished(config), std::string(recipe) + ", " + name);
    }
  }
}

TEST(Determinism, StoppedAndResumedRunsHaveTheBitsOfStraightOnes) {
  for (const char* recipe : kRecipes) {
    const TrainConfig config = small_config(recipe);
    const auto straight = finished(config);
    // In the middle of a window, at its ends, and in the phase at the end of the run.
    for (const std::uint64_t at : {1u, 4u, 6u, 11u}) {
      std::vector<std::byte> saved;
      {
        SmallRun first(config);
        EXPECT_EQ(first.trainer->run([&](const IterationReport& r) { return r.iteration < at; }),
                  RunStatus::stopped);
        saved = first.trainer->save("id");
      }
      EXPECT_EQ(Trainer::saved_iteration(saved), at);
      SmallRun second(config);
      second.trainer->load(saved, "id");
      EXPECT_EQ(second.trainer->run(), RunStatus::complete);
      expect_same_run(*straight, second,
                      std::string(recipe) + ", stopped at " + std::to_string(at));
    }
  }
}

TEST(Determinism, InstrumentsDoNotChangeWhatIsTrained) {
  for (const char* recipe : {"tetrajet", "nvfp4-nvidia"}) {
    const auto with = finished(small_config(recipe));
    const auto without = finished(
        small_config(recipe, {"log.slots_every=0", "log.gemms_every=0", "log.norms_every=0",
                              "log.osc_every=0", "log.trace_fraction=0", "log.attention_every=0"}));
    EXPECT_EQ(with->weights(), without->weights()) << recipe;
    for (const auto& [path, column] : without->trainer->record().columns()) {
      const std::string group = path.substr(0, path.find('/', 1));
      EXPECT_TRUE(group == "/series" || group == "/eval" || group == "/policy") << path;
    }
  }
}

TEST(Determinism, SeedsMatter) {
  const auto base = finished(small_config("tetrajet"));
  for (const char* seed : {"seed_data=5", "seed_init=5", "seed_sr=5"}) {
    EXPECT_NE(base->weights(), finished(small_config("tetrajet", {seed}))->weights()) << seed;
  }
  // Nothing stochastic in this recipe: the seed of stochastic rounding is not read.
  EXPECT_EQ(finished(small_config("mxfp4-rceil"))->weights(),
            finished(small_config("mxfp4-rceil", {"seed_sr=5"}))->weights());
}

TEST(Checkpoints, RefuseAnotherRunAndDamage) {
  SmallRun run(small_config("bf16"));
  run.trainer->run([](const IterationReport& r) { return r.iteration < 3; });
  std::vector<std::byte> saved = run.trainer->save("id");
  SmallRun other(small_config("bf16"));
  EXPECT_THROW(other.trainer->load(saved, "another"), std::invalid_argument);
  for (std::size_t size = 0; size < saved.size(); size += 1 + saved.size() / 97) {
    SmallRun target(small_config("bf16"));
    EXPECT_THROW(target.trainer->load({saved.data(), size}, "id"), std::invalid_argument) << size;
  }
  SmallRun larger(small_config("bf16", {"model.dim=64"}));
  EXPECT_THROW(larger.trainer->load(saved, "id"), std::invalid_argument);
}

TEST(Training, LearnsWhatCanBeLearned) {
  for (const char* recipe : {"fp32", "nvfp4-nvidia", "tetrajet"}) {
    SmallRun run(small_config(recipe, {"train.steps=60", "optim.lr=0.01"}));
    ASSERT_EQ(run.trainer->run(), RunStatus::complete);
    const auto& loss = run.trainer->record().values<double>("/eval/loss");
    EXPECT_GT(loss.front(), 1.0) << recipe;
    EXPECT_LT(loss.back(), 0.3) << recipe;
    EXPECT_GT(run.trainer->record().values<double>("/eval/accuracy").back(), 0.9) << recipe;
  }
}

TEST(Training, MicrobatchesAddUpToTheBatch) {
  // Without rounding of operands the gradients differ by the order of sums only.
  const auto losses = [](const char* microbatches) {
    SmallRun run(small_config("fp32", {microbatches}));
    run.trainer->run();
    return run.trainer->record().values<double>("/series/loss");
  };
  const auto one = losses("train.microbatches=1"), four = losses("train.microbatches=4");
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], four[i], 1e-5) << i;
}

TEST(Training, LossScalesOfPowersOfTwoChangeNothing) {
  for (const char* recipe : {"fp32", "tetrajet", "nvfp4-basic"}) {
    const auto plain = finished(small_config(recipe));
    const auto scaled = finished(small_config(recipe, {"optim.loss_scale=0.000244140625"}));
    EXPECT_EQ(plain->weights(), scaled->weights()) << recipe;
  }
}

TEST(Training, OrdersOfEpochsArePermutationsByTheContract) {
  const auto order = epoch_order(1, 3, 1000);
  const std::set<std::uint32_t> all(order.begin(), order.end());
  EXPECT_EQ(all.size(), 1000u);
  EXPECT_EQ(*all.rbegin(), 999u);
  const RandomStream stream{1, 0, 3, RandomPurpose::data_order, 0, 0};
  for (std::size_t i = 1; i < order.size(); ++i) {
    const std::uint32_t a = stream.slot(order[i - 1], 32), b = stream.slot(order[i], 32);
    EXPECT_TRUE(a < b || (a == b && order[i - 1] < order[i])) << i;
  }
  EXPECT_NE(order, epoch_order(1, 4, 1000));
  EXPECT_NE(order, epoch_order(2, 3, 1000));
  // Epochs follow each other without a gap, whatever the pieces.
  DataOrder whole(1, 10), pieces(1, 10);
  std::vector<std::uint32_t> want, got, piece;
  whole.items(0, 35, want);
  for (std::uint64_t at = 0; at < 35; at += 7) {
    pieces.items(at, 7, piece);
    got.insert(got.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(want, got);
}

TEST(Training, OutlierItemsAreTheShareThatWasAskedFor) {
  const Pictures pictures(96, 4);
  ImageView view;
  view.train_inputs = pictures.train_inputs;
  view.eval_inputs = pictures.eval_inputs;
  view.train_labels = pictures.train_labels;
  view.eval_labels = pictures.eval_labels;
  view.height = view.width = 4;
  view.classes = pictures.classes;
  const auto plain = make_image_source(view);
  view.outlier_share = 0.125;
  view.outlier_gain = 30;
  const auto loud = make_image_source(view);
  std::vector<std::uint32_t> items(96);
  for (std::uint32_t i = 0; i < 96; ++i) items[i] = i;
  nn::Batch a, b;
  plain->train_batch(items, a);
  loud->train_batch(items, b);
  EXPECT_EQ(a.targets, b.targets);
  for (std::size_t i = 0; i < 96; ++i) {
    const float gain = i % 8 == 7 ? 30.0f : 1.0f;
    for (std::size_t p = 0; p < 16; ++p) {
      ASSERT_EQ(b.inputs[i * 16 + p], a.inputs[i * 16 + p] * gain) << i;
    }
  }
}

/// PACT's clip value after one plain SGD step.
float clip_after_a_step(const char* decay) {
  SmallRun run(small_config(
      "custom", {"slots.q1.spec=int4", "slots.q1.estimator=pact", decay, "train.steps=1",
                 "optim.rule=sgd", "optim.momentum=0", "optim.weight_decay=0", "optim.lr=0.25",
                 "optim.clip=0", "schedule.kind=constant", "schedule.warmup=0",
                 "optim.loss_scale=1024"}));
  run.trainer->run();
  for (const nn::Param* p : run.model->params()) {
    if (p->l2 != 0.0f || p->value.size() == 1) return p->value[0];
  }
  ADD_FAILURE() << "no clip value";
  return 0;
}

TEST(Training, TheClipValueOfPactDecays) {
  // dL/da + decay a, with a = 10 at first, whatever the loss scale: the difference is lr decay 10.
  const float kept = clip_after_a_step("estimator.pact_decay=0");
  const float decayed = clip_after_a_step("estimator.pact_decay=0.5");
  EXPECT_NEAR(kept - decayed, 0.25f * 0.5f * 10.0f, 1e-5f);
}

TEST(Training, TextWindowsPredictTheNextToken) {
  std::vector<std::uint16_t> train, eval;
  for (std::uint16_t i = 0; i < 33; ++i) train.push_back(i), eval.push_back(100);
  const auto source = make_text_source({train, eval, 128, 8});
  EXPECT_EQ(source->train_items(), 4u);
  nn::Batch batch;
  const std::uint32_t items[2] = {3, 0};
  source->train_batch(items, batch);
  EXPECT_EQ(batch.items, 2u);
  EXPECT_EQ(batch.length, 8u);
  EXPECT_EQ(batch.tokens[0], 24);
  EXPECT_EQ(batch.targets[0], 25);
  EXPECT_EQ(batch.targets[7], 32);
  EXPECT_EQ(batch.tokens[8], 0);
  EXPECT_THROW(make_text_source({train, eval, 128, 33}), std::invalid_argument);
}

/// Poisons one parameter so that the forward gives no finite loss.
void poison(SmallRun& run) {
  run.model->params()[0]->value[0] = std::numeric_limits<float>::quiet_NaN();
}

TEST(NonFinite, StepsAreSkippedCountedAndTheRunEndsAsDiverged) {
  SmallRun run(small_config("bf16", {"train.diverge_skips=3"}));
  poison(run);
  const std::vector<float> before = run.weights();
  EXPECT_EQ(run.trainer->run(), RunStatus::diverged);
  EXPECT_EQ(run.trainer->skipped_steps(), 3u);
  EXPECT_EQ(run.trainer->updates(), 0u);
  EXPECT_EQ(run.trainer->iteration(), 3u);
  const std::vector<float> after = run.weights();
  EXPECT_EQ(0, std::memcmp(before.data(), after.data(), before.size() * sizeof(float)));
  EXPECT_EQ(run.trainer->record().values<std::int8_t>("/series/skipped"),
            std::vector<std::int8_t>(3, 1));
}

TEST(NonFinite, PropagateDivergesAtOnceAndZeroGoesOn) {
  SmallRun propagate(small_config("bf16", {"optim.nonfinite=propagate"}));
  poison(propagate);
  EXPECT_EQ(propagate.trainer->run(), RunStatus::diverged);
  EXPECT_EQ(propagate.trainer->iteration(), 1u);
  EXPECT_EQ(propagate.trainer->updates(), 1u);
}

TEST(NonFinite, DynamicLossScaleHalvesAtEachSkippedStep) {
  SmallRun run(small_config(
      "bf16", {"optim.loss_scale=1024", "optim.loss_scale_dynamic=true", "train.diverge_skips=3"}));
  poison(run);
  run.trainer->run();
  EXPECT_EQ(run.trainer->record().values<double>("/series/loss_scale"),
            (std::vector<double>{1024, 512, 256}));
}

TEST(NonFinite, ALossBeyondTheLimitIsADivergence) {
  SmallRun run(small_config("fp32", {"optim.lr=1000", "optim.clip=0", "train.diverge_factor=2",
                                     "optim.rule=sgd", "train.steps=50", "schedule.warmup=0"}));
  EXPECT_EQ(run.trainer->run(), RunStatus::diverged);
  EXPECT_LT(run.trainer->iteration(), 50u);
}

TEST(MasterWeights, Bf16WeightsStayBf16AndSayHowManyStall) {
  for (const char* rounding : {"optim.master_round=rne", "optim.master_round=sr"}) {
    SmallRun run(small_config("bf16", {"optim.master=bf16", rounding}));
    run.trainer->run();
    for (const float w : run.weights()) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(w) & 0xFFFFu, 0u);
    }
    const auto& stalled = run.trainer->record().values<double>("/series/stalled_fraction");
    EXPECT_EQ(stalled.size(), 12u);
    EXPECT_GT(*std::max_element(stalled.begin(), stalled.end()), 0.0);
    EXPECT_LT(stalled.front(), 1.0);
  }
}

TEST(GradientSums, Bf16SumsDifferFromBinary32OnesAndRepeat) {
  const std::vector<std::string> bf16{"optim.grad_accum=bf16", "train.microbatches=8"};
  const auto a = finished(small_config("fp32", bf16)), b = finished(small_config("fp32", bf16));
  EXPECT_EQ(a->weights(), b->weights());
  EXPECT_NE(a->weights(), finished(small_config("fp32", {"train.microbatches=8"}))->weights());
  auto sr = bf16;
  sr.push_back("optim.grad_accum_round=sr");
  EXPECT_NE(a->weights(), finished(small_config("fp32", sr))->weights());
}

TEST(Phases, SlotsInTheirLastPhaseRunInTheComputeType) {
  // All slots off from the first step on is the bf16 recipe.
  const auto off = finished(small_config("tetrajet", {"phase.list=[\"0 -> off:all\"]"}));
  EXPECT_EQ(off->weights(), finished(small_config("bf16"))->weights());
  // The phase begins at its step and not before.
  const auto late = finished(small_config("tetrajet", {"phase.list=[\"0.5 -> off:all\"]"}));
  const auto never = finished(small_config("tetrajet"));
  const auto& x = late->trainer->record().values<double>("/series/loss");
  const auto& y = never->trainer->record().values<double>("/series/loss");
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(x[i], y[i]) << i;
  EXPECT_NE(x[6], y[6]);
}

}  // namespace
}  // namespace fp4lab::train
