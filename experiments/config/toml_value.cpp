#include "experiments/config/toml_value.h"

namespace fp4lab::config {

std::optional<Value> value_of(const toml::node& node, KeyType type) {
  switch (type) {
    case KeyType::boolean:
      if (const auto* v = node.as_boolean()) return Value(v->get());
      break;
    case KeyType::integer:
      if (const auto* v = node.as_integer()) return Value(v->get());
      break;
    case KeyType::number:
      if (const auto* v = node.as_floating_point()) return Value(v->get());
      if (const auto* v = node.as_integer()) return Value(static_cast<double>(v->get()));
      break;
    case KeyType::text:
      if (const auto* v = node.as_string()) return Value(v->get());
      break;
    case KeyType::texts:
      if (const auto* list = node.as_array()) {
        std::vector<std::string> texts;
        for (const auto& item : *list) {
          const auto* v = item.as_string();
          if (v == nullptr) return std::nullopt;
          texts.push_back(v->get());
        }
        return Value(texts);
      }
      break;
  }
  return std::nullopt;
}

}  // namespace fp4lab::config
