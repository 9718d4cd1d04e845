// From files, recipes, presets and `--set` to one resolved run, and from that to its canonical text
// and id.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/config/keys.h"
#include "sim/train/config.h"
#include "sim/train/policy.h"

namespace fp4lab::config {

/// A key that somebody set, and where: "run.toml:3:1: ", "--set ", "recipe tetrajet: ".
struct Setting {
  const Key* key = nullptr;
  Value value;
  std::string place;
};

/// Reads TOML: dotted keys and tables alike. Throws InputError with file, line and column, what was
/// found and the nearest key.
std::vector<Setting> parse_settings(std::string_view text, const std::string& file);

/// Reads `a.b=v`: v as TOML, or, for keys that take a text, as it stands. Throws InputError.
Setting parse_assignment(const std::string& text);

/// What a run is made from. Later sources win: preset, recipe, file, options, assignments.
struct Sources {
  std::string file;                 ///< path of a TOML file; empty = none
  std::optional<std::string> text;  ///< TOML text instead of a file (`file` names it in messages)
  std::string recipe, preset;       ///< options; empty = as the file says, else the defaults
  std::vector<std::string> sets;    ///< "a.b=v"
};

/// A run, resolved: every key has its final value.
struct Resolved {
  train::TrainConfig config;
  std::vector<std::string> notices;  ///< lines for the user
};

/// Merges the sources and checks how the values fit together. Throws InputError.
Resolved resolve(const Sources& sources);

/// Derived values of a configuration made by hand: seeds, phases, and the checks of resolve().
void finish(train::TrainConfig& config, std::vector<std::string>& notices);

/// One `key = value` line a key, sorted bytewise, without [run]: valid TOML that resolves to the
/// same configuration.
std::string canonical_text(const train::TrainConfig& config);
/// SHA-256 of the canonical text, 64 hexadecimal digits; its first 12 are the run id.
std::string config_sha256(const train::TrainConfig& config);
std::string run_id(const train::TrainConfig& config);

/// A recipe or a preset: settings with a name, compiled in from experiments/recipes and presets.
struct Fragment {
  std::string name;
  std::string title;   ///< one line: what it is
  std::string source;  ///< paper or code it follows
  std::string toml;
};
const std::vector<Fragment>& builtin_recipes();
const std::vector<Fragment>& builtin_presets();
/// A built-in recipe by name, or the TOML file at a path (it contains '/' or ends in .toml) under
/// the name `custom`. Throws InputError with the nearest name.
Fragment find_recipe(const std::string& name);

/// Slots of a built-in recipe, for policies that put another recipe into some layers.
train::Slots recipe_slots(const std::string& name);

}  // namespace fp4lab::config
