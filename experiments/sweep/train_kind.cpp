// The kind `train`: a training run as experiments/config resolves it.
#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <stdexcept>
#include <tuple>

#include "data/error.h"
#include "experiments/config/config.h"
#include "experiments/sweep/kind.h"
#include "experiments/train/run.h"

namespace fp4lab::sweep {
namespace {

/// Data sets are shared by all runs of a process that ask for the same one.
std::shared_ptr<const train::RunData> shared_data(const train::TrainConfig& config) {
  using Key =
      std::tuple<std::string, std::string, std::uint64_t, std::uint64_t, double, std::int64_t>;
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<const train::RunData>> loaded;
  const Key key{config.data.name,    config.data.labels,        config.data.items,
                config.data.classes, config.data.eval_fraction, config.seed_data};
  const std::lock_guard<std::mutex> guard(mutex);
  auto& entry = loaded[key];
  if (entry == nullptr) {
    if (loaded.size() > 16) loaded.clear();  // a sweep over data seeds must not fill the memory
    auto data = train::load_run_data(config);
    loaded[key] = data;
    return data;
  }
  return entry;
}

class TrainExperiment : public Experiment {
 public:
  explicit TrainExperiment(train::TrainConfig config) : config_(std::move(config)) {
    data_ = shared_data(config_);
    if (!config_.data.sha256.empty() && config_.data.sha256 != data_->sha256) {
      throw InputError("'data.sha256': " + config_.data.name + " has hash " +
                       data_->sha256.substr(0, 12) + "..., not the one asked for");
    }
    config_.data.sha256 = data_->sha256;
  }
  std::string canonical() const override { return config::canonical_text(config_); }
  std::string title() const override { return config_.recipe + ", " + config_.model.kind; }
  std::uint64_t seed() const override { return config_.seed; }

  /// Fitted to runs of the default ablation on one core with AVX-512.
  double cost() const override {
    const auto& m = config_.model;
    const double width = static_cast<double>(m.dim), depth = static_cast<double>(m.layers);
    const bool text = data_->is_text, images = m.kind == "mlp";
    const double positions = text ? static_cast<double>(m.length) : images ? 1.0 : 16.0;
    const double rows = static_cast<double>(config_.train.batch) * positions;
    // A block of a transformer has twelve matrices of width x width, a layer of an MLP one.
    const double matrices = images ? 1.0 : 12.0;
    const double products =
        6.0 * rows * (depth * matrices * width * width + (text ? 200.0 * width : 0.0)) / 8e10;
    const double elements = rows * depth * width * (images ? 1e-8 : 5e-8);
    const bool quantized =
        std::any_of(config_.slots.begin(), config_.slots.end(),
                    [](const auto& slot) { return slot.source != nn::SlotSource::none; });
    return 0.1 + static_cast<double>(config_.train.steps) *
                     ((products + elements) * (quantized ? 1.4 : 1.0) + 3e-4);
  }

  Value value_of(const std::string& key) const override {
    const config::Key* const known = config::find_key(key);
    if (known == nullptr) throw std::logic_error("no key " + key);
    return known->get(config_);
  }

  store::ResultFile execute(const Control& control) const override {
    train::TrainingRun run(config_, data_);
    const bool keeps = !control.checkpoint.empty();
    if (keeps) run.resume(control.checkpoint);
    auto saved = std::chrono::steady_clock::now();
    const auto keep_going = [&](const train::IterationReport& report) {
      if (control.progress) control.progress(report.iteration, report.total);
      if (control.stop && control.stop()) return false;
      const auto now = std::chrono::steady_clock::now();
      if (keeps && now - saved > kCheckpointEvery) {
        run.checkpoint(control.checkpoint);
        saved = std::chrono::steady_clock::now();
      }
      return true;
    };
    if (run.trainer().run(keep_going) == train::RunStatus::stopped) {
      if (keeps) run.checkpoint(control.checkpoint);
      throw Stopped();
    }
    return run.result();
  }

 private:
  /// What a killed process loses at most.
  static constexpr std::chrono::seconds kCheckpointEvery{30};
  train::TrainConfig config_;
  std::shared_ptr<const train::RunData> data_;
};

class TrainKind : public Kind {
 public:
  TrainKind() {
    const train::TrainConfig defaults;
    for (const config::Key& key : config::all_keys()) {
      infos_.push_back(
          {key.name, key.type, key.meaning, key.allowed, config::toml_text(key.get(defaults))});
    }
  }
  std::string name() const override { return "train"; }
  std::string meaning() const override {
    return "a training run, any configuration of fp4lab train";
  }
  const std::vector<KeyInfo>& keys() const override { return infos_; }
  std::string headline() const override { return "eval_loss"; }
  bool lower_is_better() const override { return true; }

  std::unique_ptr<Experiment> resolve(const std::vector<Assignment>& assignments) const override {
    config::Sources sources;
    for (const Assignment& a : assignments) {
      sources.sets.push_back(a.key + "=" + config::toml_text(a.value));
    }
    try {
      return std::make_unique<TrainExperiment>(config::resolve(sources).config);
    } catch (const InputError& e) {
      throw InputError(placed(e.what(), assignments));
    }
  }

  std::vector<std::string> metric_paths() const override { return {"/eval/", "/series/loss"}; }

  std::vector<Metric> metrics(const store::ResultFile& results) const override {
    std::vector<Metric> out;
    const auto last = [&](const std::string& path, const std::string& name) {
      if (!results.has(path)) return;
      const store::Dataset& d = results.at(path);
      if (d.size() == 0) return;
      out.push_back({name, d.units, d.long_name, d.number(d.size() - 1)});
    };
    last("/eval/loss", "eval_loss");
    last("/eval/accuracy", "eval_accuracy");
    last("/eval/perplexity", "eval_perplexity");
    last("/series/loss", "train_loss");
    return out;
  }

 private:
  /// Complaints about a key name it in quotes: the place of its last assignment goes in front.
  static std::string placed(std::string message, const std::vector<Assignment>& assignments) {
    if (message.rfind("--set ", 0) == 0) message.erase(0, 6);
    for (auto a = assignments.rbegin(); a != assignments.rend(); ++a) {
      if (message.find("'" + a->key + "'") != std::string::npos) return a->place + message;
    }
    return message;
  }

  std::vector<KeyInfo> infos_;
};

}  // namespace

const Kind& train_kind() {
  static const TrainKind kind;
  return kind;
}

}  // namespace fp4lab::sweep
