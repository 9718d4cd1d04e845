// Runs of a few steps on models and data small enough for the default test run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/nn/model.h"
#include "sim/train/batches.h"
#include "sim/train/config.h"
#include "sim/train/trainer.h"

namespace fp4lab::train {

/// Noisy 4 x 4 pictures of a few classes, deterministic.
struct Pictures {
  std::vector<float> train_inputs, eval_inputs;
  std::vector<std::int32_t> train_labels, eval_labels;
  std::size_t classes = 4, side = 4;
  explicit Pictures(std::size_t items = 96, std::size_t side = 4);
  std::unique_ptr<BatchSource> source() const;
};

/// A resolved configuration of a small mlp under a recipe: 12 steps, batch 16 in two microbatches,
/// every instrument on.
TrainConfig small_config(const std::string& recipe, const std::vector<std::string>& sets = {});

/// Model, data and trainer together.
struct SmallRun {
  explicit SmallRun(const TrainConfig& config);
  std::vector<float> weights() const;

  TrainConfig config;
  Pictures pictures;
  std::unique_ptr<BatchSource> data;
  std::unique_ptr<nn::Model> model;
  std::unique_ptr<Trainer> trainer;
};

/// Fails the test where two runs differ in a logged number or a final weight.
void expect_same_run(const SmallRun& a, const SmallRun& b, const std::string& where);

}  // namespace fp4lab::train
