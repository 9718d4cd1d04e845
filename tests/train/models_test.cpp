// Every model as a whole run: threads, interruption and the two checkpoint files change no bit.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "experiments/config/config.h"
#include "experiments/train/run.h"
#include "sim/nn/linear.h"
#include "tests/math/targets.h"

namespace fp4lab::train {
namespace {

struct Subject {
  const char* preset;
  const char* recipe;
};
const Subject kSubjects[] = {{"t1", "tetrajet"},       {"t2", "nvfp4-nvidia"},
                             {"t3", "mxfp4-baseline"}, {"t4", "nvfp4-nvidia"},
                             {"t4", "tetrajet"},       {"t6", "tetrajet"}};

/// A preset cut down to seconds, on procedural data, with every instrument on.
TrainConfig tiny(const Subject& s) {
  config::Sources sources;
  sources.preset = s.preset;
  sources.recipe = s.recipe;
  const bool text = s.preset[1] == '4' || s.preset[1] == '6';
  sources.sets = {text ? "data.name=grammar" : "data.name=glyphs",
                  text ? "data.items=20000" : "data.items=200",
                  "model.dim=32",
                  "model.length=32",
                  "train.steps=6",
                  "train.batch=4",
                  "train.microbatches=2",
                  "train.eval_every=4",
                  "train.eval_items=8",
                  "policy=default",
                  "log.slots_every=3",
                  "log.gemms_every=3",
                  "log.osc_every=3",
                  "log.osc_window=2",
                  "log.osc_last_window=2",
                  "log.attention_every=2",
                  "log.trace_fraction=0.5"};
  return config::resolve(sources).config;
}

std::string name_of(const Subject& s) { return std::string(s.preset) + " " + s.recipe; }

TEST(Models, BatchNormsAreReestimatedBeforeTheLastEvaluation) {
  TrainConfig config = tiny({"t3", "mxfp4-baseline"});
  TrainingRun plain(config);
  plain.trainer().run();
  config.train.reestimate_batches = 5;
  TrainingRun anew(config, plain.shared_data()), again(config, plain.shared_data());
  anew.trainer().run();
  again.trainer().run();
  // The training is the same, what is evaluated is not; and it repeats.
  EXPECT_EQ(plain.weights_sha256(), anew.weights_sha256());
  const auto loss = [](TrainingRun& r) { return r.trainer().record().values<double>("/eval/loss"); };
  ASSERT_EQ(loss(plain).size(), loss(anew).size());
  EXPECT_EQ(loss(plain).front(), loss(anew).front());
  EXPECT_NE(loss(plain).back(), loss(anew).back());
  EXPECT_EQ(loss(anew), loss(again));
}

TEST(Models, PolicyAutoKeepsTheLayersThatLoseMostInWgrad) {
  TrainConfig config = tiny({"t4", "mxfp4-baseline"});
  config.train.steps = 1;
  config.train.microbatches = 1;  // the run's first step is the one that policy auto looks at
  TrainingRun all(config);
  all.trainer().run();
  const RunRecord& record = all.trainer().record();
  const auto& names = record.values<std::string>("/gemms/layer");
  const auto& errors = record.values<double>("/gemms/rel_error");
  std::vector<std::pair<double, std::string>> rows;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != "head") rows.emplace_back(-errors[3 * i + 2], names[i]);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  config.policy = PolicyKind::auto_;
  config.policy_share = 0.3;
  const std::size_t keep = (rows.size() * 3 + 9) / 10;
  TrainingRun found(config, all.shared_data());
  std::vector<std::string> off, worst;
  for (const nn::Linear* layer : found.model().linears()) {
    if (layer->config()[nn::Slot::q5].source == nn::SlotSource::none && layer->name() != "head") {
      off.push_back(layer->name());
    }
  }
  for (std::size_t i = 0; i < keep; ++i) worst.push_back(rows[i].second);
  std::sort(off.begin(), off.end());
  std::sort(worst.begin(), worst.end());
  EXPECT_EQ(off, worst);
  EXPECT_EQ(rows.size(), 14u);
  EXPECT_EQ(found.trainer().run(), RunStatus::complete);
}

TEST(SlowModels, InstructionSetsDoNotMatter) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  // AVX2 and the baseline against the widest; trainer_test walks all sets on the mlp.
  auto sets = fp4lab_test::instruction_sets();
  const auto baseline = sets.back();
  std::erase_if(sets, [&](const auto& set) { return set.second != "AVX2" && set != baseline; });
  const Subject subjects[] = {{"t3", "mxfp4-baseline"}, {"t4", "nvfp4-nvidia"}, {"t6", "tetrajet"}};
  for (const Subject& s : subjects) {
    const TrainConfig config = tiny(s);
    TrainingRun best(config);
    ASSERT_EQ(best.trainer().run(), RunStatus::complete);
    for (const auto& [set, name] : sets) {
      SCOPED_TRACE(name_of(s) + ", " + name);
      const fp4lab_test::InForce in_force(set);
      TrainingRun other(config, best.shared_data());
      other.trainer().run();
      EXPECT_EQ(first_difference(best.trainer().record(), other.trainer().record()), "");
      EXPECT_EQ(best.weights_sha256(), other.weights_sha256());
    }
  }
  omp_set_num_threads(before);
}

TEST(SlowModels, ThreadsAndInterruptionsDoNotMatter) {
  const int before = omp_get_max_threads();
  const std::string folder = testing::TempDir() + "fp4lab_models_test";
  for (const Subject& s : kSubjects) {
    SCOPED_TRACE(name_of(s));
    const TrainConfig config = tiny(s);
    omp_set_num_threads(1);
    TrainingRun straight(config);
    ASSERT_EQ(straight.trainer().run(), RunStatus::complete);
    for (const int threads : {2, 5}) {
      omp_set_num_threads(threads);
      TrainingRun other(config, straight.shared_data());
      other.trainer().run();
      EXPECT_EQ(first_difference(straight.trainer().record(), other.trainer().record()), "");
      EXPECT_EQ(straight.weights_sha256(), other.weights_sha256());
      EXPECT_EQ(straight.result().content_sha256(), other.result().content_sha256());
    }
    omp_set_num_threads(1);
    std::filesystem::remove_all(folder);
    for (const std::uint64_t at : {2u, 3u, 5u}) {
      TrainingRun part(config, straight.shared_data());
      EXPECT_EQ(part.resume(folder), at != 2);
      part.trainer().run([&](const IterationReport& r) { return r.iteration < at; });
      part.checkpoint(folder);
    }
    // The newer file is damaged: the run goes on from the older one, to the same bits.
    TrainingRun probe(config, straight.shared_data());
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string path = entry.path().string();
      if (newest.empty() || entry.last_write_time() > std::filesystem::last_write_time(newest)) {
        newest = path;
      }
    }
    std::fstream(newest, std::ios::in | std::ios::out).seekp(500).put('x').put('y').put('z');
    ASSERT_TRUE(probe.resume(folder));
    EXPECT_LT(probe.trainer().iteration(), 6u);
    EXPECT_GT(probe.trainer().iteration(), 0u);
    probe.trainer().run();
    EXPECT_EQ(first_difference(straight.trainer().record(), probe.trainer().record()), "");
    EXPECT_EQ(straight.weights_sha256(), probe.weights_sha256());
  }
  std::filesystem::remove_all(folder);
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace fp4lab::train
