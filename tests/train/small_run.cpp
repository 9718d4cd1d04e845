#include "tests/train/small_run.h"

#include <gtest/gtest.h>

#include <cstring>

#include "experiments/config/config.h"
#include "formats/philox.h"
#include "sim/models/factories.h"

namespace fp4lab::train {
namespace {

void draw(std::vector<float>& inputs, std::vector<std::int32_t>& labels, std::size_t items,
          std::size_t pixels, std::size_t classes, std::uint32_t stream) {
  const RandomStream random{11, stream, 0, RandomPurpose::synthetic_data, 0, 0};
  for (std::size_t i = 0; i < items; ++i) {
    const std::size_t label = i % classes;
    labels.push_back(static_cast<std::int32_t>(label));
    for (std::size_t p = 0; p < pixels; ++p) {
      const float noise =
          static_cast<float>(random.slot(i * pixels + p, 32) >> 8) * 0x1p-24f - 0.5f;
      inputs.push_back(noise + (p % classes == label ? 1.0f : 0.0f));
    }
  }
}

}  // namespace

Pictures::Pictures(std::size_t items, std::size_t side_) : side(side_) {
  draw(train_inputs, train_labels, items, side * side, classes, 1);
  draw(eval_inputs, eval_labels, items / 4, side * side, classes, 2);
}

std::unique_ptr<BatchSource> Pictures::source() const {
  ImageView view;
  view.train_inputs = train_inputs;
  view.eval_inputs = eval_inputs;
  view.train_labels = train_labels;
  view.eval_labels = eval_labels;
  view.height = view.width = side;
  view.classes = classes;
  return make_image_source(view);
}

TrainConfig small_config(const std::string& recipe, const std::vector<std::string>& sets) {
  config::Sources sources;
  sources.recipe = recipe;
  sources.preset = "t1";
  sources.sets = {"model.dim=32",         "train.steps=12",        "train.batch=16",
                  "train.microbatches=2", "train.eval_every=5",    "log.slots_every=4",
                  "log.gemms_every=4",    "log.norms_every=1",     "log.osc_every=4",
                  "log.osc_window=3",     "log.osc_last_window=4", "log.trace_fraction=0.3",
                  "log.probe_items=4",    "policy=default"};
  sources.sets.insert(sources.sets.end(), sets.begin(), sets.end());
  return config::resolve(sources).config;
}

SmallRun::SmallRun(const TrainConfig& given) : config(given), data(pictures.source()) {
  config.model.classes = pictures.classes;
  config.model.channels = 1;
  config.model.height = config.model.width = pictures.side;
  nn::BuildContext build;
  build.seed_init = static_cast<std::uint64_t>(config.seed_init);
  build.policy = LayerPolicy(config, config::recipe_slots);
  model = nn::make_mlp(config.model, build);
  trainer = std::make_unique<Trainer>(config, *model, *data);
}

std::vector<float> SmallRun::weights() const {
  std::vector<float> out;
  for (const nn::Param* p : model->params()) {
    out.insert(out.end(), p->value.begin(), p->value.end());
  }
  return out;
}

void expect_same_run(const SmallRun& a, const SmallRun& b, const std::string& where) {
  EXPECT_EQ(first_difference(a.trainer->record(), b.trainer->record()), "") << where;
  const std::vector<float> x = a.weights(), y = b.weights();
  ASSERT_EQ(x.size(), y.size());
  EXPECT_EQ(0, std::memcmp(x.data(), y.data(), x.size() * sizeof(float)))
      << where << ": final weights differ";
}

}  // namespace fp4lab::train
