// What the table of configuration keys (keys.cpp) is written with: one call a key, by the type of
// its value.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "experiments/config/keys.h"
#include "formats/names.h"

namespace fp4lab::config {

using train::TrainConfig;

/// The shortest text that reads back as `value`.
inline std::string number_text(double value) {
  char buffer[40];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

/// Ids of an enumeration in the order of its values.
template <class Enum>
struct Ids {
  std::vector<std::pair<Enum, std::string>> rows;

  const std::string& name(Enum value) const {
    for (const auto& [v, id] : rows) {
      if (v == value) return id;
    }
    throw std::logic_error("an enumerator without an id");
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& row : rows) out.push_back(row.second);
    return out;
  }
  Enum parse(const std::string& text) const {
    const std::string wanted = normalize_name(text);
    for (const auto& [v, id] : rows) {
      if (id == wanted) return v;
    }
    throw std::invalid_argument("'" + printable(text, 60) + "' is none of its values" +
                                nearest_hint(wanted, names()));
  }
};

/// Words with a blank between them.
inline std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// Collects the rows. `at` gives the member that a key stands for.
class Table {
 public:
  std::vector<Key> take() {
    std::sort(keys_.begin(), keys_.end(),
              [](const Key& a, const Key& b) { return a.name < b.name; });
    return std::move(keys_);
  }

  template <class At>
  Key& boolean(const std::string& name, At at, const std::string& meaning) {
    Key& key = add(name, KeyType::boolean, meaning, "true false");
    key.get = [at](const TrainConfig& c) { return Value(at(const_cast<TrainConfig&>(c))); };
    key.set = [at](TrainConfig& c, const Value& v) { at(c) = std::get<bool>(v); };
    return key;
  }

  template <class At>
  Key& integer(const std::string& name, At at, const std::string& meaning, std::int64_t low,
               std::int64_t high) {
    Key& key =
        add(name, KeyType::integer, meaning, std::to_string(low) + " .. " + std::to_string(high));
    key.get = [at](const TrainConfig& c) {
      return Value(static_cast<std::int64_t>(at(const_cast<TrainConfig&>(c))));
    };
    key.set = [at, low, high](TrainConfig& c, const Value& v) {
      const std::int64_t n = std::get<std::int64_t>(v);
      if (n < low || n > high) {
        throw std::invalid_argument(std::to_string(n) + " is outside " + std::to_string(low) +
                                    " .. " + std::to_string(high));
      }
      at(c) = static_cast<std::decay_t<decltype(at(c))>>(n);
    };
    return key;
  }

  template <class At>
  Key& number(const std::string& name, At at, const std::string& meaning, double low, double high) {
    Key& key = add(name, KeyType::number, meaning, number_text(low) + " .. " + number_text(high));
    key.get = [at](const TrainConfig& c) { return Value(at(const_cast<TrainConfig&>(c))); };
    key.set = [at, low, high](TrainConfig& c, const Value& v) {
      const double x = std::get<double>(v);
      if (!(x >= low && x <= high)) {
        throw std::invalid_argument(number_text(x) + " is outside " + number_text(low) + " .. " +
                                    number_text(high));
      }
      at(c) = x;
    };
    return key;
  }

  template <class At, class Enum>
  Key& id(const std::string& name, At at, const std::string& meaning, const Ids<Enum>& ids) {
    Key& key = add(name, KeyType::text, meaning, joined(ids.names()));
    key.choices = ids.names();
    key.get = [at, &ids](const TrainConfig& c) {
      return Value(ids.name(at(const_cast<TrainConfig&>(c))));
    };
    key.set = [at, &ids](TrainConfig& c, const Value& v) {
      at(c) = ids.parse(std::get<std::string>(v));
    };
    return key;
  }

  /// A text; `canonical` turns what was given into what is kept, or throws.
  template <class At>
  Key& text(const std::string& name, At at, const std::string& meaning, const std::string& allowed,
            std::function<std::string(const std::string&)> canonical = {}) {
    Key& key = add(name, KeyType::text, meaning, allowed);
    key.get = [at](const TrainConfig& c) { return Value(at(const_cast<TrainConfig&>(c))); };
    key.set = [at, canonical](TrainConfig& c, const Value& v) {
      const std::string& given = std::get<std::string>(v);
      at(c) = canonical ? canonical(given) : given;
    };
    return key;
  }

  template <class At>
  Key& texts(const std::string& name, At at, const std::string& meaning, const std::string& allowed,
             std::function<void(const std::string&)> check) {
    Key& key = add(name, KeyType::texts, meaning, allowed);
    key.get = [at](const TrainConfig& c) { return Value(at(const_cast<TrainConfig&>(c))); };
    key.set = [at, check](TrainConfig& c, const Value& v) {
      const auto& given = std::get<std::vector<std::string>>(v);
      for (const auto& item : given) check(item);
      at(c) = given;
    };
    return key;
  }

  Key& add(const std::string& name, KeyType type, const std::string& meaning,
           const std::string& allowed) {
    Key key;
    key.name = name;
    key.type = type;
    key.meaning = meaning;
    key.allowed = allowed;
    key.identity = name.rfind("run.", 0) != 0;
    keys_.push_back(std::move(key));
    return keys_.back();
  }

 private:
  std::vector<Key> keys_;
};

}  // namespace fp4lab::config
