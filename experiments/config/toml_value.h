// TOML values as values of keys; the one place that says which literal fits which type.
#pragma once

#include <optional>

#include "data/toml_text.h"
#include "experiments/config/keys.h"

namespace fp4lab::config {

/// The value of a node for a key of this type; nothing where it does not fit. Whole numbers are
/// numbers, too.
std::optional<Value> value_of(const toml::node& node, KeyType type);

}  // namespace fp4lab::config
