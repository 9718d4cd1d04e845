#include "experiments/config/config.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "data/byte_source.h"
#include "data/error.h"
#include "data/sha256.h"
#include "data/toml_text.h"
#include "experiments/config/toml_value.h"
#include "formats/spec_text.h"
#include "sim/train/phase.h"

namespace fp4lab::config {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1u << 20;
constexpr int kMaxDepth = 8;
/// Of recipes and presets only: what they are, not what they set.
constexpr std::array<std::string_view, 3> kDescriptive{"title", "source", "note"};

/// Walks the tables of a document; every complaint names the place of the node it is about.
class Flattener {
 public:
  Flattener(const std::string& file, bool fragment) : file_(file), fragment_(fragment) {}

  std::vector<Setting> run(const toml::table& root) {
    walk(root, "", 0);
    std::sort(settings_.begin(), settings_.end(),
              [](const Setting& a, const Setting& b) { return a.key->name < b.key->name; });
    return std::move(settings_);
  }

 private:
  void walk(const toml::table& table, const std::string& prefix, int depth) {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      if (fragment_ && depth == 0 &&
          std::find(kDescriptive.begin(), kDescriptive.end(), name) != kDescriptive.end()) {
        continue;
      }
      if (const Key* known = find_key(name)) {
        const auto value = value_of(node, known->type);
        if (!value) {
          throw InputError(toml_place(file_, node.source()) + "'" + name + "' is " +
                           type_name(known->type) + ", not " + toml_found(node));
        }
        settings_.push_back({known, *value, toml_place(file_, node.source())});
      } else if (node.is_table() && depth < kMaxDepth && is_table_name(name)) {
        walk(*node.as_table(), name + ".", depth + 1);
      } else {
        throw InputError(toml_place(file_, key.source()) + "unknown key '" + printable(name, 80) +
                         "'" + nearest_hint(name, key_names()));
      }
    }
  }

  static bool is_table_name(const std::string& name) {
    const std::string prefix = name + ".";
    for (const Key& key : all_keys()) {
      if (key.name.rfind(prefix, 0) == 0) return true;
    }
    return false;
  }

  const std::string& file_;
  bool fragment_;
  std::vector<Setting> settings_;
};

std::vector<Setting> parse_document(std::string_view text, const std::string& file, bool fragment) {
  const toml::table root = parse_toml(text, file, "lines of key = value are");
  return Flattener(file, fragment).run(root);
}

void apply_settings(train::TrainConfig& config, const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    try {
      setting.key->set(config, setting.value);
    } catch (const std::invalid_argument& error) {
      throw InputError(setting.place + "'" + setting.key->name + "': " + error.what() +
                       (setting.key->choices.empty() && setting.key->type == KeyType::text
                            ? ""
                            : "; allowed: " + setting.key->allowed));
    }
  }
}

/// The last value that a text key was given, if any.
std::optional<std::string> last_text(const std::vector<Setting>& settings, std::string_view name) {
  std::optional<std::string> found;
  for (const Setting& setting : settings) {
    if (setting.key->name == name) found = std::get<std::string>(setting.value);
  }
  return found;
}

const Fragment& find_preset(const std::string& name) {
  std::vector<std::string> names;
  for (const Fragment& preset : builtin_presets()) {
    if (preset.name == normalize_name(name)) return preset;
    names.push_back(preset.name);
  }
  throw InputError("unknown preset '" + printable(name, 60) + "'" + nearest_hint(name, names));
}

std::string read_file(const std::string& path) {
  ByteSource source(path);
  const AlignedBytes bytes = source.read_rest(kMaxFileBytes);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

bool is_square(const QuantSpec& spec) {
  return spec.block.is_tensor() || spec.block.rows == spec.block.cols;
}

/// Sources that a slot can have, given the slot that its GEMM partner of the forward is.
void check_slots(const train::TrainConfig& config, std::vector<std::string>& notices) {
  for (std::size_t i = 0; i < nn::kSlots; ++i) {
    const nn::SlotConfig& slot = config.slots[i];
    const std::string name = "slots.q" + std::to_string(i + 1);
    // q4 repeats W and q6 repeats X; q5 can share the codes of q3.
    const bool again = i == 3 || i == 5 || (i == 4 && slot.source == nn::SlotSource::shared2d);
    const bool derived = slot.source == nn::SlotSource::requant ||
                         slot.source == nn::SlotSource::shared2d ||
                         slot.source == nn::SlotSource::dequant;
    if (derived && !again) {
      throw InputError("'" + name +
                       ".source': only q4 and q6 can reuse an operand of the forward "
                       "product; master or none would do");
    }
    const std::size_t from = i == 3 ? 1 : i == 4 ? 2 : 0;
    const nn::SlotConfig& first = config.slots[from];
    if (slot.source == nn::SlotSource::shared2d && !is_square(first.spec)) {
      throw InputError("'" + name + ".source': shared2d needs square blocks in slots.q" +
                       std::to_string(from + 1) + ", such as block=16x16; it has " +
                       to_string(first.spec));
    }
    if (slot.source != nn::SlotSource::none && slot.spec.round.kind == RoundingKind::rtn) {
      notices.push_back("note: " + name +
                        " rounds with rtn, toward minus infinity; round to "
                        "nearest is rne");
    }
  }
}

}  // namespace

std::vector<Setting> parse_settings(std::string_view text, const std::string& file) {
  return parse_document(text, file, false);
}

Setting parse_assignment(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    throw InputError("--set '" + printable(text, 80) + "': no '=' in it; optim.lr=0.001 is right");
  }
  std::string name = text.substr(0, equals), given = text.substr(equals + 1);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  while (!given.empty() && given.front() == ' ') given.erase(0, 1);
  const Key* key = find_key(name);
  if (key == nullptr) {
    throw InputError("--set: unknown key '" + printable(name, 80) + "'" +
                     nearest_hint(name, key_names()));
  }
  const bool quoted = !given.empty() && (given[0] == '"' || given[0] == '\'');
  if (key->type == KeyType::text && !quoted) return {key, Value(given), "--set "};
  std::optional<Value> value;
  try {
    const toml::table table = toml::parse("v = " + given);
    if (table.size() == 1 && table.contains("v")) value = value_of(*table.get("v"), key->type);
  } catch (const toml::parse_error&) {
  } catch (const std::logic_error&) {
  }
  if (!value) {
    throw InputError("--set '" + name + "' is " + type_name(key->type) + ", not '" +
                     printable(given, 60) + "'; allowed: " + key->allowed);
  }
  return {key, *value, "--set "};
}

Fragment find_recipe(const std::string& name) {
  const bool path = name.find('/') != std::string::npos ||
                    (name.size() > 5 && name.compare(name.size() - 5, 5, ".toml") == 0);
  if (path) return {"custom", name, "", read_file(name)};
  std::vector<std::string> names;
  for (const Fragment& recipe : builtin_recipes()) {
    if (recipe.name == normalize_name(name)) return recipe;
    names.push_back(recipe.name);
  }
  throw InputError("unknown recipe '" + printable(name, 60) + "'" + nearest_hint(name, names) +
                   "; a path to a .toml file works too");
}

Resolved resolve(const Sources& sources) {
  std::vector<Setting> own;
  if (sources.text || !sources.file.empty()) {
    const std::string text = sources.text ? *sources.text : read_file(sources.file);
    own = parse_settings(text, sources.file);
  }
  std::vector<Setting> assigned;
  for (const auto& text : sources.sets) assigned.push_back(parse_assignment(text));

  Resolved out;
  train::TrainConfig& config = out.config;
  const auto choose = [&](const std::string& option, const char* key, const std::string& fallback) {
    if (const auto text = last_text(assigned, key)) return *text;
    if (!option.empty()) return option;
    return last_text(own, key).value_or(fallback);
  };
  const Fragment& preset = find_preset(choose(sources.preset, "preset", config.preset));
  const std::vector<Setting> base = parse_document(preset.toml, "preset " + preset.name, true);
  const Fragment recipe = find_recipe(choose(
      sources.recipe, "recipe", last_text(base, "recipe").value_or(config.recipe)));
  apply_settings(config, base);
  apply_settings(config, parse_document(recipe.toml,
                                        recipe.name == "custom" && !recipe.title.empty()
                                            ? recipe.title
                                            : "recipe " + recipe.name,
                                        true));
  const auto without_names = [](std::vector<Setting> settings) {
    std::erase_if(settings, [](const Setting& s) {
      return s.key->name == "recipe" || s.key->name == "preset";
    });
    return settings;
  };
  apply_settings(config, without_names(own));
  apply_settings(config, without_names(assigned));
  config.recipe = recipe.name;
  config.preset = preset.name;
  finish(config, out.notices);
  return out;
}

void finish(train::TrainConfig& config, std::vector<std::string>& notices) {
  for (std::int64_t* seed : {&config.seed_data, &config.seed_sr, &config.seed_init}) {
    if (*seed < 0) *seed = static_cast<std::int64_t>(config.seed);
  }
  if (config.train.batch % config.train.microbatches != 0) {
    throw InputError("'train.microbatches': " + std::to_string(config.train.microbatches) +
                     " does not divide train.batch = " + std::to_string(config.train.batch));
  }
  try {
    train::resolve_phases(config);
    train::LayerPolicy(config, recipe_slots);
  } catch (const std::invalid_argument& error) {
    throw InputError(error.what());
  }
  check_slots(config, notices);
  if (config.optim.rule.nesterov &&
      (config.optim.rule.momentum <= 0 || config.optim.rule.dampening != 0)) {
    throw InputError("'optim.nesterov' needs optim.momentum above 0 and optim.dampening = 0");
  }
}

std::string canonical_text(const train::TrainConfig& config) {
  std::string text;
  for (const Key& key : all_keys()) {
    if (key.identity) text += key.name + " = " + toml_text(key.get(config)) + "\n";
  }
  return text;
}

std::string config_sha256(const train::TrainConfig& config) {
  return sha256_hex(canonical_text(config));
}

std::string run_id(const train::TrainConfig& config) { return config_sha256(config).substr(0, 12); }

train::Slots recipe_slots(const std::string& name) {
  train::TrainConfig config;
  apply_settings(config, parse_document(find_recipe(name).toml, "recipe " + name, true));
  return config.slots;
}

}  // namespace fp4lab::config
