// The one table of configuration keys. TOML files, `--set`, defaults, the canonical text and the
// schema are all read off it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/train/config.h"

namespace fp4lab::config {

enum class KeyType : std::uint8_t { boolean, integer, number, text, texts };
/// "true or false", "a whole number", "a number", "a text", "a list of texts".
const char* type_name(KeyType type) noexcept;

/// A value of a key, in the order of KeyType.
using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

/// One key.
struct Key {
  std::string name;  ///< "optim.lr"
  KeyType type = KeyType::text;
  std::string meaning;               ///< one line
  std::string allowed;               ///< "1 .. 65535", "cosine wsd ...", "a spec, or none"
  std::vector<std::string> choices;  ///< of ids: every valid one
  bool identity = true;              ///< false for [run]: no part of the canonical text

  std::function<Value(const train::TrainConfig&)> get;
  /// Takes a value of the right type. Throws std::invalid_argument saying what would do.
  std::function<void(train::TrainConfig&, const Value&)> set;
};

/// Every key, sorted bytewise by name.
const std::vector<Key>& all_keys();
/// The key called `name`; null when there is none.
const Key* find_key(std::string_view name);
/// Names of all keys.
std::vector<std::string> key_names();

/// A value as TOML: shortest round-trip numbers, floats with a point or an exponent, basic strings.
std::string toml_text(const Value& value);

}  // namespace fp4lab::config
