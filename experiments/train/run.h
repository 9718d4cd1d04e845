// One training run: data, model and trainer of a resolved configuration, its checkpoints on disk
// and its result file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "experiments/store/result_file.h"
#include "sim/nn/model.h"
#include "sim/train/trainer.h"

namespace fp4lab::train {

/// A data set in memory; runs on the same data share it.
struct RunData {
  std::string name;  ///< what was loaded: "linux-gpl-text", a file's name
  std::string sha256;
  std::string notice;   ///< for the user, when it is not what was asked for
  std::string summary;  ///< "1.06 million characters, 96 different"
  bool is_text = false;
  data::TextDataset text;
  data::ImageDataset images;
};

/// Loads what a configuration names. Throws InputError, also where the hash is not the one asked
/// for.
std::shared_ptr<const RunData> load_run_data(const TrainConfig& config);

class TrainingRun {
 public:
  /// `config` is resolved; data.sha256 is filled in. Throws InputError where model, data and
  /// recipe do not fit together.
  explicit TrainingRun(TrainConfig config, std::shared_ptr<const RunData> data = nullptr);

  const TrainConfig& config() const noexcept { return config_; }
  const RunData& data() const noexcept { return *data_; }
  std::shared_ptr<const RunData> shared_data() const noexcept { return data_; }
  nn::Model& model() noexcept { return *model_; }
  const nn::Model& model() const noexcept { return *model_; }
  Trainer& trainer() noexcept { return *trainer_; }
  const Trainer& trainer() const noexcept { return *trainer_; }

  /// 12 hexadecimal digits; names checkpoints and result files.
  const std::string& id() const noexcept { return id_; }
  std::size_t parameters() const;
  /// SHA-256 over the master weights, little endian, in construction order.
  std::string weights_sha256() const;
  /// How many of the layers that can be are quantized, and which are not: "7 of 15 products ...".
  std::string policy_summary() const;

  /// Saves into one of the run's two files in `folder`, the one with the older state. An
  /// interruption at any moment leaves the other one. Makes the folder. Throws EnvironmentError.
  void checkpoint(const std::string& folder);
  /// Continues from the newer sound file of this run in `folder`; false when there is none.
  bool resume(const std::string& folder);

  /// Everything recorded, with the attributes that make up the run's identity. Who made it, when
  /// and where is for the caller to add.
  store::ResultFile result() const;
  /// The master weights as a .safetensors checkpoint; publishing it is the caller's.
  void write_weights(AtomicFile& file) const;

 private:
  TrainConfig config_;
  std::shared_ptr<const RunData> data_;
  std::unique_ptr<BatchSource> source_;
  std::unique_ptr<nn::Model> model_;
  std::unique_ptr<Trainer> trainer_;
  std::string text_, id_;
};

}  // namespace fp4lab::train
