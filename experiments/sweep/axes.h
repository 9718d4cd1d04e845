// The axes of a sweep: tables of TOML to lists of points.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/toml_text.h"
#include "experiments/sweep/kind.h"

namespace fp4lab::sweep {

/// One value of an axis: keys that it sets, and its label where it has one.
struct Point {
  std::vector<Assignment> assignments;
  std::vector<std::pair<std::string, std::string>> labels;  ///< axis name, label
};

/// Runs to leave out: all keys have one of their values.
struct Exclusion {
  std::vector<std::pair<std::string, std::vector<Value>>> keys;
  bool matches(const Experiment& experiment,
               const std::vector<std::pair<std::string, std::string>>& labels) const;
};

/// Reads the tables of one kind. Complaints begin with the place of the node.
class AxisReader {
 public:
  using Place = std::function<std::string(const toml::node&)>;
  AxisReader(const Kind& kind, Place place) : kind_(kind), place_(std::move(place)) {}

  /// `key_place` is where the key stands, when that is known, for a key that there is not.
  Assignment assignment(const std::string& key, const toml::node& node,
                        const std::string& key_place = {}) const;
  /// The points of an axis; the keys it varies (and its name, when points have labels) are added to
  /// `columns`.
  std::vector<Point> points(const std::string& name, const toml::table& axis,
                            std::vector<std::string>& columns) const;
  Exclusion exclusion(const toml::table& table) const;
  /// "a.b=v" as an assignment. Nothing when the kind has no such key and `skip_unknown` is set.
  std::optional<Assignment> set(const std::string& text, bool skip_unknown) const;

 private:
  const KeyInfo& key(const std::string& name, const std::string& where) const;
  Value value(const KeyInfo& key, const toml::node& node) const;
  std::vector<Point> grid(const std::string& name, const toml::table& axis) const;
  std::vector<Point> zipped(const toml::table& axis, std::vector<std::string>& columns) const;
  std::vector<Point> listed(const std::string& name, const toml::table& axis,
                            std::vector<std::string>& columns) const;
  std::vector<Point> seeds(const toml::table& axis) const;
  std::vector<Point> random(const toml::table& axis, std::vector<std::string>& columns) const;
  [[noreturn]] void fail(const toml::node& node, const std::string& what) const;

  const Kind& kind_;
  Place place_;
};

}  // namespace fp4lab::sweep
