#include "experiments/sweep/axes.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "data/error.h"
#include "experiments/config/toml_value.h"
#include "formats/names.h"
#include "formats/philox.h"
#include "sim/math.h"

namespace fp4lab::sweep {
namespace {

/// Keys that say what an axis is; the rest of its table depends on the form.
constexpr const char* kForms = "key + values, zip, list, seeds, random + ranges";

std::vector<std::string> names_of(const Kind& kind) {
  std::vector<std::string> names;
  for (const KeyInfo& key : kind.keys()) names.push_back(key.name);
  return names;
}

void add_column(std::vector<std::string>& columns, const std::string& name) {
  if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
}

/// A number with four significant digits: what a person would have written, and the same on every
/// machine although it comes from exp.
double four_digits(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3e", x);
  double out = x;
  std::from_chars(text, text + std::char_traits<char>::length(text), out);
  return out;
}

}  // namespace

bool Exclusion::matches(const Experiment& experiment,
                        const std::vector<std::pair<std::string, std::string>>& labels) const {
  return std::all_of(keys.begin(), keys.end(), [&](const auto& entry) {
    for (const auto& [axis, label] : labels) {
      if (axis != entry.first) continue;
      return std::find(entry.second.begin(), entry.second.end(), Value(label)) !=
             entry.second.end();
    }
    const Value value = experiment.value_of(entry.first);
    return std::find(entry.second.begin(), entry.second.end(), value) != entry.second.end();
  });
}

void AxisReader::fail(const toml::node& node, const std::string& what) const {
  throw InputError(place_(node) + what);
}

const KeyInfo& AxisReader::key(const std::string& name, const std::string& where) const {
  if (const KeyInfo* known = find_key(kind_, name)) return *known;
  throw InputError(where + "unknown key '" + printable(name, 80) + "' of kind " + kind_.name() +
                   nearest_hint(name, names_of(kind_)));
}

Value AxisReader::value(const KeyInfo& key, const toml::node& node) const {
  if (auto v = config::value_of(node, key.type)) return *v;
  fail(node, "'" + key.name + "' is " + config::type_name(key.type) + ", not " + toml_found(node) +
                 "; allowed: " + key.allowed);
}

Assignment AxisReader::assignment(const std::string& name, const toml::node& node,
                                  const std::string& key_place) const {
  const std::string where = place_(node);
  const KeyInfo& known = key(name, key_place.empty() ? where : key_place);
  return {name, value(known, node), where};
}

std::vector<Point> AxisReader::points(const std::string& name, const toml::table& axis,
                                      std::vector<std::string>& columns) const {
  const int forms = (axis.get("key") != nullptr) + (axis.get("zip") != nullptr) +
                    (axis.get("list") != nullptr) + (axis.get("seeds") != nullptr) +
                    (axis.get("random") != nullptr);
  if (forms != 1) {
    fail(axis, "an axis has exactly one form: " + std::string(kForms));
  }
  for (const auto& [entry, node] : axis) {
    const std::string_view word = entry.str();
    const bool fits = word == "name" || word == "key" || word == "zip" || word == "list" ||
                      word == "seeds" || word == "random" ||
                      (word == "values" && axis.get("key") != nullptr) ||
                      ((word == "seed" || word == "ranges") && axis.get("random") != nullptr);
    if (!fits) {
      fail(node, "unknown key '" + printable(word, 60) + "' in an axis; its forms: " + kForms);
    }
  }
  std::vector<Point> out;
  if (axis.get("key") != nullptr) {
    out = grid(name, axis);
    add_column(columns, *axis.get("key")->value<std::string>());
  } else if (axis.get("zip") != nullptr) {
    out = zipped(axis, columns);
  } else if (axis.get("list") != nullptr) {
    out = listed(name, axis, columns);
  } else if (axis.get("seeds") != nullptr) {
    out = seeds(axis);
    add_column(columns, "seed");
  } else {
    out = random(axis, columns);
  }
  if (out.empty()) fail(axis, "the axis has no points");
  return out;
}

std::vector<Point> AxisReader::grid(const std::string&, const toml::table& axis) const {
  const auto name = axis.get("key")->value<std::string>();
  if (!name) fail(*axis.get("key"), "'key' is the name of a key, such as \"recipe\"");
  const KeyInfo& known = key(*name, place_(*axis.get("key")));
  const toml::node* const values = axis.get("values");
  if (values == nullptr || !values->is_array()) {
    fail(values == nullptr ? static_cast<const toml::node&>(axis) : *values,
         "an axis over a key needs values = [...]");
  }
  std::vector<Point> out;
  for (const auto& node : *values->as_array()) {
    out.push_back({{{*name, value(known, node), place_(node)}}, {}});
  }
  return out;
}

std::vector<Point> AxisReader::zipped(const toml::table& axis,
                                      std::vector<std::string>& columns) const {
  const auto* table = axis.get("zip")->as_table();
  if (table == nullptr) fail(*axis.get("zip"), "'zip' is a table of keys and lists");
  std::vector<Point> out;
  bool first = true;
  for (const auto& [entry, node] : *table) {
    const std::string name(entry.str());
    const KeyInfo& known = key(name, place_(node));
    const auto* list = node.as_array();
    if (list == nullptr) fail(node, "'" + name + "' needs a list of values");
    if (first) out.resize(list->size());
    first = false;
    if (list->size() != out.size()) {
      fail(node, "'" + name + "' has " + std::to_string(list->size()) + " values, the others " +
                     std::to_string(out.size()) + "; keys of a zip have equally many");
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
      const toml::node& item = *list->get(i);
      out[i].assignments.push_back({name, value(known, item), place_(item)});
    }
    add_column(columns, name);
  }
  return out;
}

std::vector<Point> AxisReader::listed(const std::string& name, const toml::table& axis,
                                      std::vector<std::string>& columns) const {
  const auto* list = axis.get("list")->as_array();
  if (list == nullptr) fail(*axis.get("list"), "'list' is a list of tables");
  std::vector<Point> out;
  for (const auto& item : *list) {
    const auto* table = item.as_table();
    if (table == nullptr)
      fail(item, "a point of a list is a table, { label = \"...\", key = value }");
    Point point;
    std::string label;
    for (const auto& [entry, node] : *table) {
      if (entry.str() == "label") {
        const auto* text = node.as_string();
        if (text == nullptr) fail(node, "'label' is a text");
        label = text->get();
        continue;
      }
      point.assignments.push_back(assignment(std::string(entry.str()), node));
    }
    if (label.empty()) {
      for (const Assignment& a : point.assignments) {
        label += (label.empty() ? "" : ",") + a.key + "=" + config::toml_text(a.value);
      }
      if (label.empty()) label = "base";
    }
    point.labels.emplace_back(name, label);
    out.push_back(std::move(point));
  }
  add_column(columns, name);
  return out;
}

std::vector<Point> AxisReader::seeds(const toml::table& axis) const {
  const toml::node& node = *axis.get("seeds");
  key("seed", place_(node));
  std::vector<Point> out;
  if (const auto* count = node.as_integer()) {
    if (count->get() < 1 || count->get() > 10000)
      fail(node, "'seeds' is a number from 1 to 10000 or a list");
    for (std::int64_t s = 0; s < count->get(); ++s) {
      out.push_back({{{"seed", Value(s), place_(node)}}, {}});
    }
    return out;
  }
  const auto* list = node.as_array();
  if (list == nullptr) fail(node, "'seeds' is a number from 1 to 10000 or a list");
  for (const auto& item : *list) {
    const auto* seed = item.as_integer();
    if (seed == nullptr || seed->get() < 0) fail(item, "a seed is a whole number from 0");
    out.push_back({{{"seed", Value(seed->get()), place_(item)}}, {}});
  }
  return out;
}

std::vector<Point> AxisReader::random(const toml::table& axis,
                                      std::vector<std::string>& columns) const {
  const auto* count = axis.get("random")->as_integer();
  if (count == nullptr || count->get() < 1 || count->get() > 100000) {
    fail(*axis.get("random"), "'random' is the number of points, 1 to 100000");
  }
  std::int64_t seed = 0;
  if (const toml::node* node = axis.get("seed")) {
    const auto* number = node->as_integer();
    if (number == nullptr || number->get() < 0) fail(*node, "'seed' is a whole number from 0");
    seed = number->get();
  }
  const toml::node* const ranges = axis.get("ranges");
  if (ranges == nullptr || !ranges->is_table()) {
    fail(
        axis,
        "a random axis needs ranges = { \"key\" = { min = a, max = b } }, or lists to choose from");
  }
  std::vector<Point> out(static_cast<std::size_t>(count->get()));
  RandomStream stream{static_cast<std::uint64_t>(seed)};
  stream.purpose = RandomPurpose::synthetic_data;
  stream.stream = 0x5EE9u;
  for (const auto& [entry, node] : *ranges->as_table()) {
    const std::string name(entry.str());
    const KeyInfo& known = key(name, place_(node));
    add_column(columns, name);
    const auto* choices = node.as_array();
    const auto* range = node.as_table();
    double low = 0, high = 0;
    bool log = false;
    if (choices == nullptr) {
      if (range == nullptr || (known.type != KeyType::number && known.type != KeyType::integer)) {
        fail(node, "'" + name + "' needs a list to choose from, or { min, max } for a number");
      }
      const auto bound = [&](const char* word) {
        const toml::node* const at = range->get(word);
        const auto number = at == nullptr ? std::nullopt : at->value<double>();
        if (!number) fail(node, "'" + name + "' needs numbers min and max");
        return *number;
      };
      low = bound("min");
      high = bound("max");
      log = (*range)["log"].value_or(false);
      if (!(low < high) || (log && low <= 0)) {
        fail(node, "'" + name + "' needs min < max, and min > 0 where log = true");
      }
    } else if (choices->empty()) {
      fail(node, "'" + name + "' has an empty list");
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::uint32_t word = stream.slot(i, 32);
      if (choices != nullptr) {
        const std::size_t pick = (static_cast<std::uint64_t>(word) * choices->size()) >> 32;
        out[i].assignments.push_back({name, value(known, *choices->get(pick)), place_(node)});
        continue;
      }
      const double u = static_cast<double>(word >> 8) * 0x1p-24;
      double x = low + u * (high - low);
      if (log) {
        const float a = math::log(static_cast<float>(low)), b = math::log(static_cast<float>(high));
        x = math::exp(a + static_cast<float>(u) * (b - a));
      }
      x = std::clamp(four_digits(x), low, high);
      out[i].assignments.push_back(
          {name,
           known.type == KeyType::integer ? Value(static_cast<std::int64_t>(x + 0.5)) : Value(x),
           place_(node)});
    }
    ++stream.step;  // the next key draws its own numbers
  }
  return out;
}

Exclusion AxisReader::exclusion(const toml::table& table) const {
  Exclusion out;
  const std::function<void(const toml::table&, const std::string&)> walk =
      [&](const toml::table& part, const std::string& prefix) {
        for (const auto& [entry, node] : part) {
          const std::string name = prefix + std::string(entry.str());
          if (node.is_table()) {
            walk(*node.as_table(), name + ".");
            continue;
          }
          const KeyInfo* const known = find_key(kind_, name);
          std::vector<Value> values;
          const auto take = [&](const toml::node& n) {
            if (known == nullptr) {  // the label of a list axis
              const auto* text = n.as_string();
              if (text == nullptr) key(name, place_(n));
              values.push_back(Value(text->get()));
            } else {
              values.push_back(value(*known, n));
            }
          };
          const bool several =
              node.is_array() && (known == nullptr || known->type != KeyType::texts);
          if (several) {
            for (const auto& item : *node.as_array()) take(item);
          } else {
            take(node);
          }
          out.keys.emplace_back(name, std::move(values));
        }
      };
  walk(table, "");
  if (out.keys.empty()) fail(table, "an empty exclusion would leave out every run");
  return out;
}

std::optional<Assignment> AxisReader::set(const std::string& text, bool skip_unknown) const {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    throw InputError("--set '" + printable(text, 80) + "': no '=' in it; optim.lr=0.001 is right");
  }
  std::string name = text.substr(0, equals), given = text.substr(equals + 1);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  while (!given.empty() && given.front() == ' ') given.erase(0, 1);
  if (skip_unknown && find_key(kind_, name) == nullptr) {
    for (const Kind* other : kinds()) {
      if (find_key(*other, name) != nullptr) return std::nullopt;
    }
  }
  const KeyInfo& known = key(name, "--set: ");
  const bool quoted = !given.empty() && (given[0] == '"' || given[0] == '\'');
  if (known.type == KeyType::text && !quoted) return Assignment{name, Value(given), "--set "};
  std::optional<Value> found;
  try {
    const toml::table table = toml::parse("v = " + given);
    if (table.size() == 1 && table.contains("v")) found = config::value_of(*table.get("v"), known.type);
  } catch (const toml::parse_error&) {
  } catch (const std::logic_error&) {
  }
  if (!found) {
    throw InputError("--set '" + name + "' is " + config::type_name(known.type) + ", not '" +
                     printable(given, 60) + "'; allowed: " + known.allowed);
  }
  return Assignment{name, *found, "--set "};
}

}  // namespace fp4lab::sweep
