#include "experiments/train/run.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include "data/atomic_file.h"
#include "data/error.h"
#include "data/safetensors.h"
#include "data/sha256.h"
#include "experiments/config/config.h"
#include "formats/names.h"
#include "sim/models/model_config.h"
#include "sim/nn/linear.h"
#include "sim/train/auto_policy.h"

namespace fp4lab::train {
namespace {

constexpr std::string_view kCheckpointMark = "fp4lab checkpoint ";

bool wants_text(const std::string& kind) { return kind == "gpt-mini" || kind == "hybrid-mini"; }

std::string count_text(std::size_t n) {
  const auto scaled = [&](double unit, const char* word) {
    const double value = static_cast<double>(n) / unit;
    const auto hundredths = static_cast<std::size_t>(value * 100 + 0.5);
    const std::string whole = std::to_string(hundredths / 100);
    const std::size_t rest = hundredths % 100;
    return whole + "." + (rest < 10 ? "0" : "") + std::to_string(rest) + word;
  };
  if (n >= 1000000) return scaled(1e6, " million");
  return std::to_string(n);
}

std::unique_ptr<BatchSource> make_source(const RunData& data, const TrainConfig& config) {
  if (data.is_text) {
    return make_text_source(
        {data.text.train, data.text.eval, data.text.vocabulary.size(), config.model.length});
  }
  ImageView view;
  view.train_inputs = data.images.train_inputs;
  view.eval_inputs = data.images.eval_inputs;
  view.train_labels = data.images.train_labels;
  view.eval_labels = data.images.eval_labels;
  view.channels = data.images.channels;
  view.height = data.images.height;
  view.width = data.images.width;
  view.classes = data.images.classes;
  view.outlier_share = config.data.outlier_share;
  view.outlier_gain = static_cast<float>(config.data.outlier_gain);
  return make_image_source(view);
}

/// What the data say about the model's ends.
nn::ModelConfig fitted(nn::ModelConfig model, const RunData& data) {
  if (data.is_text) {
    model.vocab = data.text.vocabulary.size();
  } else {
    model.classes = data.images.classes;
    model.channels = data.images.channels;
    model.height = data.images.height;
    model.width = data.images.width;
  }
  return model;
}

std::string slot_file(const std::string& folder, const std::string& id, int slot) {
  return folder + "/" + id + "-" + std::to_string(slot) + ".checkpoint";
}

/// The state in a checkpoint file; empty when the file is absent or damaged.
std::vector<std::byte> read_checkpoint(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return {};
  const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::size_t head = kCheckpointMark.size() + 64 + 1;
  if (all.size() < head || all.compare(0, kCheckpointMark.size(), kCheckpointMark) != 0) return {};
  const std::string_view payload = std::string_view(all).substr(head);
  if (all.substr(kCheckpointMark.size(), 64) != sha256_hex(payload)) return {};
  const auto* const begin = reinterpret_cast<const std::byte*>(payload.data());
  return {begin, begin + payload.size()};
}

struct PutColumn {
  store::ResultFile& file;
  const std::string& path;
  template <class T>
  void operator()(const std::vector<T>& values) const {
    file.put(path, std::span<const T>(values));
  }
};

}  // namespace

std::shared_ptr<const RunData> load_run_data(const TrainConfig& config) {
  data::DatasetRequest request;
  request.name = config.data.name;
  request.labels = config.data.labels;
  request.seed = static_cast<std::uint64_t>(config.seed_data);
  request.items = static_cast<std::size_t>(config.data.items);
  request.classes = static_cast<std::size_t>(config.data.classes);
  request.eval_fraction = config.data.eval_fraction;
  const bool text = wants_text(config.model.kind);
  if (text == data::is_image_dataset(config.data.name)) {
    throw InputError("'data.name' = " + printable(config.data.name, 80) + ": " + config.model.kind +
                     (text ? " reads text, as text or grammar"
                           : " reads images, as digits or "
                             "glyphs"));
  }
  if (text && config.data.outlier_share > 0) {
    throw InputError("'data.outlier_share' = " + std::to_string(config.data.outlier_share) +
                     ": only images have a size that can be an outlier; text takes 0 "
                     "(model.outlier_channels makes outlier channels)");
  }
  auto out = std::make_shared<RunData>();
  out->is_text = text;
  if (text) {
    auto loaded = data::load_text(request);
    out->text = std::move(loaded.data);
    out->notice = loaded.notice;
    out->name = out->text.name;
    out->sha256 = out->text.sha256;
    out->summary = count_text(out->text.train.size() + out->text.eval.size()) + " characters, " +
                   std::to_string(out->text.vocabulary.size()) + " different";
  } else {
    auto loaded = data::load_images(request);
    out->images = std::move(loaded.data);
    out->notice = loaded.notice;
    out->name = out->images.name;
    out->sha256 = out->images.sha256;
    out->summary = count_text(out->images.train_labels.size() + out->images.eval_labels.size()) +
                   " images of " + std::to_string(out->images.height) + " x " +
                   std::to_string(out->images.width) + ", " + std::to_string(out->images.classes) +
                   " classes";
  }
  if (!config.data.sha256.empty() && config.data.sha256 != out->sha256) {
    throw InputError("'data.sha256': " + printable(out->name, 80) + " has " + out->sha256 +
                     ", the configuration asks for " + config.data.sha256);
  }
  return out;
}

TrainingRun::TrainingRun(TrainConfig config, std::shared_ptr<const RunData> data)
    : config_(std::move(config)), data_(data ? std::move(data) : load_run_data(config_)) {
  config_.data.sha256 = data_->sha256;
  text_ = config::canonical_text(config_);
  id_ = config::run_id(config_);
  try {
    source_ = make_source(*data_, config_);
    const auto build_model = [&](const std::vector<std::string>& found) {
      nn::BuildContext build;
      build.seed_init = static_cast<std::uint64_t>(config_.seed_init);
      build.policy = LayerPolicy(config_, config::recipe_slots, found);
      model_ = nn::make_model(fitted(config_.model, *data_), build);
    };
    build_model({});
    if (config_.policy == PolicyKind::auto_) {
      // A function of the configuration and the data: a resumed run finds the same.
      build_model(find_worst_layers(config_, *model_, *source_));
    }
    trainer_ = std::make_unique<Trainer>(config_, *model_, *source_);
  } catch (const std::invalid_argument& error) {
    throw InputError(error.what());
  }
}

std::size_t TrainingRun::parameters() const {
  std::size_t n = 0;
  for (const nn::Param* p : model_->params()) n += p->value.size();
  return n;
}

std::string TrainingRun::weights_sha256() const {
  Sha256 hash;
  for (const nn::Param* p : model_->params()) {
    hash.update(p->value.data(), p->value.size() * sizeof(float));
  }
  return hash.hex();
}

std::string TrainingRun::policy_summary() const {
  std::size_t quantized = 0, all = 0;
  std::map<std::string, std::size_t> plain;
  for (const nn::Linear* layer : model_->linears()) {
    ++all;
    const auto& slots = layer->config().slot;
    const bool any = std::any_of(slots.begin(), slots.end(), [](const nn::SlotConfig& slot) {
      return slot.source != nn::SlotSource::none;
    });
    if (any) {
      ++quantized;
      continue;
    }
    const nn::LayerInfo& info = layer->info();
    ++plain[info.block < 0 ? info.name : "block " + std::to_string(info.block)];
  }
  std::string text =
      std::to_string(quantized) + " of " + std::to_string(all) + " linear layers quantized";
  if (quantized == 0 || plain.empty()) return text;
  text += std::string(", ") + (config_.compute == nn::Compute::bf16 ? "bf16" : "fp32") + ":";
  for (const auto& [name, n] : plain) {
    text += (text.back() == ':' ? " " : ", ") + name;
    if (n > 1) text += " (" + std::to_string(n) + ")";
  }
  return text;
}

void TrainingRun::checkpoint(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw EnvironmentError("cannot make the folder '" + printable(folder, 200) +
                           "': " + error.message());
  }
  std::array<std::uint64_t, 2> at{};
  for (int slot = 0; slot < 2; ++slot) {
    at[static_cast<std::size_t>(slot)] =
        Trainer::saved_iteration(read_checkpoint(slot_file(folder, id_, slot)));
  }
  const std::vector<std::byte> state = trainer_->save(text_);
  const std::string_view payload(reinterpret_cast<const char*>(state.data()), state.size());
  const std::string head = std::string(kCheckpointMark) + sha256_hex(payload) + "\n";
  AtomicFile file(slot_file(folder, id_, at[0] <= at[1] ? 0 : 1));
  file.write(head.data(), head.size());
  file.write(payload.data(), payload.size());
  file.finish();
  file.publish();
}

bool TrainingRun::resume(const std::string& folder) {
  std::vector<std::byte> best;
  for (int slot = 0; slot < 2; ++slot) {
    std::vector<std::byte> state = read_checkpoint(slot_file(folder, id_, slot));
    if (!state.empty() &&
        (best.empty() || Trainer::saved_iteration(state) > Trainer::saved_iteration(best))) {
      best = std::move(state);
    }
  }
  if (best.empty()) return false;
  try {
    trainer_->load(best, text_);
  } catch (const std::invalid_argument& error) {
    throw InputError("checkpoints of " + id_ + " in '" + printable(folder, 200) +
                     "': " + error.what() + " (made by another version of the program?)");
  }
  return true;
}

void TrainingRun::write_weights(AtomicFile& file) const {
  std::vector<SafetensorsItem> items;
  for (const nn::Param* p : model_->params()) {
    items.push_back({p->name, p->value.shape(), p->value.span()});
  }
  write_safetensors(file, items,
                    {{"config", text_},
                     {"model", config_.model.kind},
                     {"run_id", id_},
                     {"software", "fp4lab"},
                     {"steps", std::to_string(trainer_->iteration())},
                     {"weights_sha256", weights_sha256()}});
  file.finish();
}

store::ResultFile TrainingRun::result() const {
  store::ResultFile file;
  const RunRecord& record = trainer_->record();
  // Scales first: data sets name them.
  for (const bool scales : {true, false}) {
    for (const auto& [path, column] : record.columns()) {
      const store::Row* row = store::find_row(path);
      if (row == nullptr) throw std::logic_error("the schema has no " + path);
      if (row->is_scale != scales) continue;
      if (!scales) {
        std::visit(PutColumn{file, path}, column);
      } else if (const auto* names = std::get_if<std::vector<std::string>>(&column)) {
        file.scale(path, std::span<const std::string>(*names));
      } else {
        file.scale(path,
                   std::span<const std::int64_t>(std::get<std::vector<std::int64_t>>(column)));
      }
    }
  }
  for (const auto& [path, edges] : record.bin_edges) file.bin_edges(path, edges);
  file.attributes["kind"] = std::string("run");
  file.attributes["status"] =
      std::string(trainer_->status() == RunStatus::diverged ? "diverged" : "complete");
  file.attributes["run_id"] = id_;
  file.attributes["title"] = config_.model.kind + " on " + data_->name + ", " + config_.recipe;
  file.attributes["config"] = text_;
  file.attributes["config_sha256"] = sha256_hex(text_);
  file.attributes["weights_sha256"] = weights_sha256();
  file.attributes["seed"] = static_cast<std::int64_t>(config_.seed);
  return file;
}

}  // namespace fp4lab::train
