// Kinds of experiment as the sweep engine sees them: keys in, a resolved run out, a result file
// from that.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/config/keys.h"
#include "experiments/store/result_file.h"

namespace fp4lab::sweep {

using config::KeyType;
using config::Value;

/// A key that a kind understands.
struct KeyInfo {
  std::string name;
  KeyType type = KeyType::text;
  std::string meaning, allowed;
  std::string default_text;  ///< as TOML
};

/// A value given to a key, and where ("sweep.toml:12:3: ", "--set ").
struct Assignment {
  std::string key;
  Value value;
  std::string place;
};

/// What a run is told while it computes.
struct Control {
  std::function<void(std::size_t done, std::size_t total)> progress;
  std::function<bool()> stop;  ///< true: save what there is and throw Stopped
  std::string checkpoint;      ///< folder for checkpoints; empty = none
};

/// Thrown by execute() after it was told to stop.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped"; }
};

/// A run whose every key has its final value.
class Experiment {
 public:
  virtual ~Experiment() = default;
  /// One `key = value` line a key: what the run's identity is made from.
  virtual std::string canonical() const = 0;
  /// For people, without the seed.
  virtual std::string title() const = 0;
  virtual std::uint64_t seed() const = 0;
  /// Expected work in seconds of a usual core; only ratios have to be right.
  virtual double cost() const = 0;
  /// Final value of a key of the kind.
  virtual Value value_of(const std::string& key) const = 0;
  /// Computes. Attributes that depend on the machine are added by the caller.
  virtual store::ResultFile execute(const Control& control) const = 0;
};

/// 64 hexadecimal digits of the canonical text; the run id is the first 12.
std::string config_sha256(const Experiment& experiment);
std::string run_id(const Experiment& experiment);

/// The final figures of a run, one column of the index each.
struct Metric {
  std::string name, units, meaning;
  double value = 0;
};

class Kind {
 public:
  virtual ~Kind() = default;
  virtual std::string name() const = 0;
  virtual std::string meaning() const = 0;
  /// Sorted by name.
  virtual const std::vector<KeyInfo>& keys() const = 0;
  /// Later assignments win. Throws InputError that begins with the place of the assignment.
  virtual std::unique_ptr<Experiment> resolve(const std::vector<Assignment>& assignments) const = 0;
  /// Final figures of a finished run of this kind.
  virtual std::vector<Metric> metrics(const store::ResultFile& results) const = 0;
  /// Beginnings of the paths of all data sets that metrics() looks at.
  virtual std::vector<std::string> metric_paths() const = 0;
  /// Name of the metric that answers the question (lower is better where `lower` says so).
  virtual std::string headline() const = 0;
  virtual bool lower_is_better() const = 0;
};

/// train, error, gemm, rounding.
const std::vector<const Kind*>& kinds();
/// Throws InputError with the nearest name.
const Kind& find_kind(std::string_view name, const std::string& place = {});
/// The key of a kind, or null.
const KeyInfo* find_key(const Kind& kind, std::string_view name);

/// Each makes one kind.
const Kind& train_kind();
const Kind& error_kind();
const Kind& gemm_kind();
const Kind& rounding_kind();

}  // namespace fp4lab::sweep
