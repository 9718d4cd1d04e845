// The kinds that need no training: error, gemm and rounding, with their keys.
#include <algorithm>
#include <functional>
#include <stdexcept>

#include "data/error.h"
#include "experiments/study/study.h"
#include "experiments/sweep/kind.h"
#include "formats/names.h"
#include "formats/spec_text.h"
#include "sim/accumulate.h"

namespace fp4lab::sweep {
namespace {

/// Everything that the three kinds can be told; each has keys for its part.
struct StudyConfig {
  study::ErrorConfig error;
  study::GemmConfig gemm;
  study::RoundingConfig rounding;
  study::SourceConfig source;
};

struct StudyKey {
  KeyInfo info;
  std::function<Value(const StudyConfig&)> get;
  std::function<void(StudyConfig&, const Value&)> set;
};

std::string joined_sources() {
  std::string text;
  for (const auto& s : study::source_list()) text += s.name + " ";
  return text + "sample:NAME, or a .safetensors, .npy or .h5 file";
}

StudyKey integer(const std::string& name, std::uint64_t study::SourceConfig::*member,
                 std::int64_t low, std::int64_t high, const std::string& meaning) {
  return {
      {name, KeyType::integer, meaning, std::to_string(low) + " .. " + std::to_string(high), ""},
      [member](const StudyConfig& c) { return Value(static_cast<std::int64_t>(c.source.*member)); },
      [=](StudyConfig& c, const Value& v) {
        const auto n = std::get<std::int64_t>(v);
        if (n < low || n > high) {
          throw std::invalid_argument(std::to_string(n) + " is outside " + std::to_string(low) +
                                      " .. " + std::to_string(high));
        }
        c.source.*member = static_cast<std::uint64_t>(n);
      }};
}

StudyKey number(const std::string& name, double study::SourceConfig::*member, double low,
                double high, const std::string& allowed, const std::string& meaning) {
  return {{name, KeyType::number, meaning, allowed, ""},
          [member](const StudyConfig& c) { return Value(c.source.*member); },
          [=](StudyConfig& c, const Value& v) {
            const double x = std::get<double>(v);
            if (!(x >= low && x <= high)) throw std::invalid_argument("it must be " + allowed);
            c.source.*member = x;
          }};
}

/// A text that is checked and stored in canonical form.
template <class At, class Check>
StudyKey checked(const std::string& name, At at, Check check, const std::string& allowed,
                 const std::string& meaning) {
  return {{name, KeyType::text, meaning, allowed, ""},
          [at](const StudyConfig& c) { return Value(at(const_cast<StudyConfig&>(c))); },
          [at, check](StudyConfig& c, const Value& v) { at(c) = check(std::get<std::string>(v)); }};
}

std::string checked_spec(const std::string& text) { return to_string(parse_spec(text)); }
std::string checked_operand(const std::string& text) {
  return normalize_name(text) == "none" ? "none" : checked_spec(text);
}
std::string checked_accumulator(const std::string& text) {
  return to_string(parse_accumulator(text));
}

void add_source_keys(std::vector<StudyKey>& keys, const std::string& prefix, bool shape) {
  keys.push_back(checked(
      prefix + ".source", [](StudyConfig& c) -> std::string& { return c.source.name; },
      study::canonical_source, joined_sources(), "where the tensors come from"));
  keys.push_back(integer("seed", &study::SourceConfig::seed, 0, INT64_MAX,
                         "seed of the drawn numbers and of stochastic rounding"));
  if (shape) {
    keys.push_back(integer(prefix + ".rows", &study::SourceConfig::rows, 1, 1 << 20,
                           "rows of a drawn tensor"));
    keys.push_back(integer(prefix + ".columns", &study::SourceConfig::columns, 1, 1 << 20,
                           "columns of a drawn tensor"));
    keys.push_back(integer(prefix + ".max_tensors", &study::SourceConfig::max_tensors, 0, 1 << 20,
                           "tensors of a file, in name order; 0 = all"));
  }
  keys.push_back(number(prefix + ".outlier_fraction", &study::SourceConfig::outlier_fraction, 0, 1,
                        "from 0 to 1", "source `outliers`: share of columns that are large"));
  keys.push_back(number(prefix + ".outlier_gain", &study::SourceConfig::outlier_gain, 0, 1e6,
                        "from 0 to 1e6", "source `outliers`: how large"));
}

using Run = std::function<store::ResultFile(const StudyConfig&, const study::Progress&)>;

class StudyKind;

class StudyExperiment : public Experiment {
 public:
  StudyExperiment(const StudyKind& kind, StudyConfig config);
  std::string canonical() const override;
  std::string title() const override;
  std::uint64_t seed() const override { return config_.source.seed; }
  double cost() const override;
  Value value_of(const std::string& key) const override;
  store::ResultFile execute(const Control& control) const override;

 private:
  const StudyKind& kind_;
  StudyConfig config_;
  std::string sha256_;  ///< of a file source
};

class StudyKind : public Kind {
 public:
  StudyKind(std::string name, std::string meaning, std::vector<StudyKey> keys, Run run,
            std::string headline, bool lower)
      : name_(std::move(name)),
        meaning_(std::move(meaning)),
        keys_(std::move(keys)),
        run_(std::move(run)),
        headline_(std::move(headline)),
        lower_(lower) {
    std::sort(keys_.begin(), keys_.end(),
              [](const StudyKey& a, const StudyKey& b) { return a.info.name < b.info.name; });
    const auto defaults = std::make_unique<StudyConfig>();
    for (StudyKey& key : keys_) {
      key.info.default_text = config::toml_text(key.get(*defaults));
      infos_.push_back(key.info);
    }
  }

  std::string name() const override { return name_; }
  std::string meaning() const override { return meaning_; }
  const std::vector<KeyInfo>& keys() const override { return infos_; }
  std::string headline() const override { return headline_; }
  bool lower_is_better() const override { return lower_; }

  std::unique_ptr<Experiment> resolve(const std::vector<Assignment>& assignments) const override {
    StudyConfig config;
    for (const Assignment& a : assignments) {
      const auto found = std::find_if(keys_.begin(), keys_.end(),
                                      [&](const StudyKey& k) { return k.info.name == a.key; });
      if (found == keys_.end()) {
        throw InputError(a.place + "unknown key '" + printable(a.key, 80) + "' of kind " + name_);
      }
      try {
        found->set(config, a.value);
      } catch (const std::invalid_argument& e) {
        throw InputError(a.place + "'" + a.key + "': " + e.what());
      }
    }
    try {
      return std::make_unique<StudyExperiment>(*this, config);
    } catch (const InputError& e) {  // a file that cannot be read
      for (auto a = assignments.rbegin(); a != assignments.rend(); ++a) {
        if (a->key == name_ + ".source") throw InputError(a->place + e.what());
      }
      throw;
    }
  }

  std::vector<std::string> metric_paths() const override { return {"/table/"}; }

  /// The last row of the table holds the figures for the whole (total, largest K, most repeats).
  std::vector<Metric> metrics(const store::ResultFile& results) const override {
    std::vector<Metric> out;
    const std::string group = "/table/";
    for (const auto& [path, d] : results.datasets()) {
      if (path.compare(0, group.size(), group) != 0 || d.is_scale || d.size() == 0) continue;
      if (d.type == store::Type::text) continue;
      out.push_back({path.substr(group.size()), d.units, d.long_name, d.number(d.size() - 1)});
    }
    return out;
  }

  const std::vector<StudyKey>& study_keys() const { return keys_; }
  const Run& run() const { return run_; }

 private:
  std::string name_, meaning_;
  std::vector<StudyKey> keys_;
  std::vector<KeyInfo> infos_;
  Run run_;
  std::string headline_;
  bool lower_;
};

StudyExperiment::StudyExperiment(const StudyKind& kind, StudyConfig config)
    : kind_(kind), config_(std::move(config)), sha256_(study::source_sha256(config_.source.name)) {}

std::string StudyExperiment::canonical() const {
  std::vector<std::string> lines = {"kind = " + config::toml_text(Value(kind_.name())) + "\n"};
  for (const StudyKey& key : kind_.study_keys()) {
    Value value = key.get(config_);
    const bool is_source = key.info.name == kind_.name() + ".source";
    if (is_source && !sha256_.empty()) {
      // Data enter by name and hash: where the file lay is no part of the run.
      const std::string path = std::get<std::string>(value);
      value = Value(path.substr(path.find_last_of('/') + 1));
      lines.push_back(kind_.name() + ".source_sha256 = " + config::toml_text(Value(sha256_)) +
                      "\n");
    }
    lines.push_back(key.info.name + " = " + config::toml_text(value) + "\n");
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

std::string StudyExperiment::title() const {
  const auto text = [&](const char* key) {
    return std::get<std::string>(value_of(kind_.name() + key));
  };
  if (kind_.name() == "gemm") {
    return text(".accumulate") + ", " + text(".spec_a") + " x " + text(".spec_b");
  }
  return text(".spec") + " on " + text(".source");
}

double StudyExperiment::cost() const {
  const double cells = static_cast<double>(config_.source.rows * config_.source.columns);
  if (kind_.name() == "error") return 0.02 + 2e-7 * cells;
  if (kind_.name() == "rounding") {
    return 0.02 + 2e-8 * cells * static_cast<double>(config_.rounding.repeats);
  }
  double k = 0;
  for (const std::string& text : config_.gemm.k) k += std::atof(text.c_str());
  return 0.02 + 6e-8 * k * static_cast<double>(config_.gemm.m * config_.gemm.n);
}

Value StudyExperiment::value_of(const std::string& key) const {
  for (const StudyKey& k : kind_.study_keys()) {
    if (k.info.name == key) return k.get(config_);
  }
  throw std::logic_error("no key " + key);
}

store::ResultFile StudyExperiment::execute(const Control& control) const {
  const auto progress = [&](std::size_t done, std::size_t total) {
    if (control.progress) control.progress(done, total);
    if (control.stop && control.stop()) throw Stopped();
  };
  return kind_.run()(config_, progress);
}

StudyKey texts_of_k() {
  return {{"gemm.k", KeyType::texts, "lengths of the dot products", "whole numbers as texts", ""},
          [](const StudyConfig& c) { return Value(c.gemm.k); },
          [](StudyConfig& c, const Value& v) {
            c.gemm.k = std::get<std::vector<std::string>>(v);
            if (c.gemm.k.empty()) throw std::invalid_argument("the list is empty");
          }};
}

template <class Member>
StudyKey count(const std::string& name, Member member, std::int64_t high,
               const std::string& meaning) {
  return {{name, KeyType::integer, meaning, "1 .. " + std::to_string(high), ""},
          [member](const StudyConfig& c) {
            return Value(static_cast<std::int64_t>(member(const_cast<StudyConfig&>(c))));
          },
          [member, high](StudyConfig& c, const Value& v) {
            const auto n = std::get<std::int64_t>(v);
            if (n < 1 || n > high) {
              throw std::invalid_argument(std::to_string(n) + " is outside 1 .. " +
                                          std::to_string(high));
            }
            member(c) = static_cast<std::uint64_t>(n);
          }};
}

}  // namespace

const Kind& error_kind() {
  static const StudyKind kind = [] {
    std::vector<StudyKey> keys;
    add_source_keys(keys, "error", true);
    keys.push_back(checked(
        "error.spec", [](StudyConfig& c) -> std::string& { return c.error.spec; }, checked_spec,
        "a spec, such as nvfp4,rule=4over6", "rule that the tensors are quantized by"));
    return StudyKind(
        "error", "quantization error of a spec on distributions or on the tensors of a file",
        std::move(keys),
        [](const StudyConfig& c, const study::Progress& progress) {
          study::ErrorConfig config = c.error;
          config.source = c.source;
          return study::run_error(config, progress);
        },
        "sqnr_db", false);
  }();
  return kind;
}

const Kind& gemm_kind() {
  static const StudyKind kind = [] {
    std::vector<StudyKey> keys;
    add_source_keys(keys, "gemm", false);
    keys.push_back(checked(
        "gemm.spec_a", [](StudyConfig& c) -> std::string& { return c.gemm.spec_a; },
        checked_operand, "a spec, or none", "rule of A"));
    keys.push_back(checked(
        "gemm.spec_b", [](StudyConfig& c) -> std::string& { return c.gemm.spec_b; },
        checked_operand, "a spec, or none", "rule of B"));
    keys.push_back(checked(
        "gemm.accumulate", [](StudyConfig& c) -> std::string& { return c.gemm.accumulate; },
        checked_accumulator, "an accumulator, such as block-exact or sm100",
        "how products are summed"));
    keys.push_back(texts_of_k());
    keys.push_back(count(
        "gemm.m", [](StudyConfig& c) -> std::uint64_t& { return c.gemm.m; }, 1 << 14, "rows of A"));
    keys.push_back(count(
        "gemm.n", [](StudyConfig& c) -> std::uint64_t& { return c.gemm.n; }, 1 << 14, "rows of B"));
    return StudyKind(
        "gemm", "error of an accumulator against the exact product as K grows", std::move(keys),
        [](const StudyConfig& c, const study::Progress& progress) {
          study::GemmConfig config = c.gemm;
          config.source = c.source;
          return study::run_gemm(config, progress);
        },
        "relative_error", true);
  }();
  return kind;
}

const Kind& rounding_kind() {
  static const StudyKind kind = [] {
    std::vector<StudyKey> keys;
    add_source_keys(keys, "rounding", true);
    keys.push_back(checked(
        "rounding.spec", [](StudyConfig& c) -> std::string& { return c.rounding.spec; },
        checked_spec, "a spec, such as mxfp4,rule=rceil,round=sr:8",
        "rule whose rounding is watched"));
    keys.push_back(count(
        "rounding.repeats", [](StudyConfig& c) -> std::uint64_t& { return c.rounding.repeats; },
        65536, "quantizations that are averaged"));
    return StudyKind(
        "rounding", "bias and variance of stochastic rounding over repeated quantization",
        std::move(keys),
        [](const StudyConfig& c, const study::Progress& progress) {
          study::RoundingConfig config = c.rounding;
          config.source = c.source;
          return study::run_rounding(config, progress);
        },
        "rms_error", true);
  }();
  return kind;
}

}  // namespace fp4lab::sweep
