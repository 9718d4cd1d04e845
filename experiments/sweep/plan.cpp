#include "experiments/sweep/plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "data/byte_source.h"
#include "data/error.h"
#include "data/toml_text.h"
#include "experiments/sweep/axes.h"
#include "formats/names.h"

namespace fp4lab::sweep {
namespace {

constexpr std::size_t kMostRuns = 1'000'000;
constexpr int kMostExtends = 8;
const std::vector<std::string> kTopLevel = {"title", "extends", "kind",    "name",
                                            "base",  "axis",    "exclude", "part"};

/// A part as written, before its points are made.
struct Draft {
  std::string name, kind_name, kind_place;
  struct Given {
    const toml::node* value;
    std::string key_place;
  };
  std::map<std::string, Given> base;                             ///< by key
  std::vector<std::pair<std::string, const toml::table*>> axes;  ///< by name, in order
  std::vector<const toml::table*> excludes;
};

struct Document {
  std::string file;
  toml::table root;
};

class Loader {
 public:
  Plan load(const std::string& text, const std::string& file,
            const std::vector<std::string>& sets) {
    Plan plan;
    plan.name = file;
    read(text, file, 0);
    plan.title = title_.empty() ? file : title_;
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      make_part(drafts_[i], i, sets, plan);
    }
    if (plan.runs.empty()) {
      throw InputError(file + ": no runs; the exclusions leave nothing over");
    }
    return plan;
  }

 private:
  [[noreturn]] void fail(const toml::node& node, const std::string& what) const {
    throw InputError(place(node) + what);
  }
  static std::string place(const toml::source_region& region) {
    return toml_place(region.path ? *region.path : "sweep", region);
  }
  static std::string place(const toml::node& node) { return place(node.source()); }

  std::string text_of(const toml::table& table, const char* key, bool& found) const {
    const toml::node* const node = table.get(key);
    found = node != nullptr;
    if (node == nullptr) return {};
    if (const auto* text = node->as_string()) return text->get();
    fail(*node, std::string("'") + key + "' is a text, such as \"...\"");
  }

  void read(const std::string& text, const std::string& file, int depth) {
    if (depth > kMostExtends) throw InputError(file + ": extends itself, or too deep a chain");
    documents_.push_back(std::make_unique<Document>());
    documents_.back()->file = file;
    documents_.back()->root = parse_toml(text, file, "a sweep has [base] and [[axis]] tables");
    const toml::table& root = documents_.back()->root;
    bool found = false;
    const std::string parent = text_of(root, "extends", found);
    if (found) {
      const std::string where = place(*root.get("extends"));
      read(sweep_text(parent, where), parent, depth + 1);
    }
    const std::string title = text_of(root, "title", found);
    if (found) title_ = title;
    const bool parted = root.get("part") != nullptr;
    for (const auto& [key, node] : root) {
      const std::string_view name = key.str();
      const bool whole = name == "title" || name == "extends" || name == "part";
      const bool own =
          name == "kind" || name == "base" || name == "axis" || name == "exclude" || name == "name";
      if (whole || (own && !parted)) continue;
      if (own) fail(node, "'" + std::string(name) + "' beside [[part]]: put it into a part");
      throw InputError(toml_place(file, key.source()) + "unknown key '" + printable(name, 60) +
                       "'" + nearest_hint(name, kTopLevel));
    }
    if (parted) {
      const auto* list = root.get("part")->as_array();
      if (list == nullptr) fail(*root.get("part"), "'part' is a list of tables, [[part]]");
      for (const auto& item : *list) {
        if (!item.is_table()) fail(item, "a part is a table, [[part]]");
        read_part(*item.as_table());
      }
    } else if (root.get("kind") != nullptr || root.get("base") != nullptr ||
               root.get("axis") != nullptr || root.get("exclude") != nullptr || drafts_.empty()) {
      read_part(root);
    }
  }

  static std::string sweep_text(const std::string& name, const std::string& where) {
    std::vector<std::string> names;
    for (const BuiltinSweep& sweep : builtin_sweeps()) {
      if (sweep.name == normalize_name(name)) return sweep.toml;
      names.push_back(sweep.name);
    }
    if (name.find('/') == std::string::npos && name.find(".toml") == std::string::npos) {
      throw InputError(where + "no built-in sweep '" + printable(name, 60) + "'" +
                       nearest_hint(normalize_name(name), names) +
                       "; files have a '/' or end in .toml");
    }
    ByteSource source(name);
    const AlignedBytes bytes = source.read_rest(std::uint64_t{1} << 20);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  /// Adds to the draft of the same name, or begins a new one.
  void read_part(const toml::table& table) {
    bool found = false;
    std::string name = text_of(table, "name", found);
    Draft* draft = nullptr;
    for (Draft& d : drafts_) {
      if (d.name == name) draft = &d;
    }
    if (draft == nullptr && !found && drafts_.size() == 1 && table.get("part") == nullptr) {
      draft = &drafts_[0];
    }
    if (draft == nullptr) draft = &drafts_.emplace_back(Draft{name, "train", "", {}, {}, {}});
    const std::string kind = text_of(table, "kind", found);
    if (found) {
      draft->kind_name = kind;
      draft->kind_place = place(*table.get("kind"));
    }
    if (const toml::node* base = table.get("base")) {
      if (!base->is_table()) fail(*base, "'base' is a table, [base]");
      flatten(*base->as_table(), "", *draft);
    }
    read_axes(table, *draft);
    if (const toml::node* exclude = table.get("exclude")) {
      const auto* list = exclude->as_array();
      if (list == nullptr) fail(*exclude, "'exclude' is a list of tables, [[exclude]]");
      for (const auto& item : *list) {
        if (!item.is_table()) fail(item, "an exclusion is a table of keys and values");
        draft->excludes.push_back(item.as_table());
      }
    }
  }

  void read_axes(const toml::table& table, Draft& draft) {
    const toml::node* const axes = table.get("axis");
    if (axes == nullptr) return;
    const auto* list = axes->as_array();
    if (list == nullptr) fail(*axes, "'axis' is a list of tables, [[axis]]");
    for (const auto& item : *list) {
      if (!item.is_table()) fail(item, "an axis is a table, [[axis]]");
      const toml::table& axis = *item.as_table();
      bool found = false;
      std::string name = text_of(axis, "name", found);
      if (!found) {
        name = text_of(axis, "key", found);
        if (!found)
          name = axis.get("seeds") != nullptr ? "seed"
                                              : "axis" + std::to_string(draft.axes.size() + 1);
      }
      const auto same = std::find_if(draft.axes.begin(), draft.axes.end(),
                                     [&](const auto& a) { return a.first == name; });
      if (same != draft.axes.end()) {
        same->second = &axis;  // an extending sweep replaces the axis
      } else {
        draft.axes.emplace_back(name, &axis);
      }
    }
  }

  /// Dotted keys and tables alike; which names are keys is the kind's matter, so tables that no
  /// key has below them fail later, with their place.
  void flatten(const toml::table& table, const std::string& prefix, Draft& draft) {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      if (node.is_table()) {
        flatten(*node.as_table(), name + ".", draft);
      } else {
        draft.base[name] = {&node, place(key.source())};
      }
    }
  }

  void make_part(const Draft& draft, std::size_t index, const std::vector<std::string>& sets,
                 Plan& plan) {
    const Kind& kind = find_kind(draft.kind_name, draft.kind_place);
    Part part{draft.name.empty() ? kind.name() : draft.name, &kind, {}};
    const AxisReader reader(kind, [](const toml::node& n) { return place(n); });
    std::vector<Assignment> base;
    for (const auto& [name, given] : draft.base) {
      base.push_back(reader.assignment(name, *given.value, given.key_place));
    }
    std::vector<Point> points = {Point{}};
    for (const auto& [name, table] : draft.axes) {
      const std::vector<Point> axis = reader.points(name, *table, part.columns);
      if (points.size() * axis.size() > kMostRuns) {
        fail(*table, "more than a million runs");
      }
      std::vector<Point> product;
      product.reserve(points.size() * axis.size());
      for (const Point& before : points) {
        for (const Point& now : axis) {
          Point both = before;
          both.assignments.insert(both.assignments.end(), now.assignments.begin(),
                                  now.assignments.end());
          both.labels.insert(both.labels.end(), now.labels.begin(), now.labels.end());
          product.push_back(std::move(both));
        }
      }
      points = std::move(product);
    }
    std::vector<Exclusion> exclusions;
    for (const toml::table* table : draft.excludes) exclusions.push_back(reader.exclusion(*table));
    std::vector<Assignment> assigned;
    for (const std::string& set : sets) {
      // A key of another part's kind is no mistake as long as one part knows it.
      if (auto one = reader.set(set, drafts_.size() > 1)) assigned.push_back(std::move(*one));
    }
    std::set<std::string> seen;
    for (const PlannedRun& run : plan.runs) seen.insert(run.id);
    for (Point& point : points) {
      PlannedRun run;
      run.kind = &kind;
      run.part = index;
      run.assignments = base;
      for (auto& a : point.assignments) run.assignments.push_back(std::move(a));
      run.assignments.insert(run.assignments.end(), assigned.begin(), assigned.end());
      const std::unique_ptr<Experiment> experiment = kind.resolve(run.assignments);
      if (std::any_of(exclusions.begin(), exclusions.end(),
                      [&](const Exclusion& e) { return e.matches(*experiment, point.labels); })) {
        continue;
      }
      run.config_sha256 = config_sha256(*experiment);
      run.id = run.config_sha256.substr(0, 12);
      if (!seen.insert(run.id).second) {
        ++plan.duplicates;
        continue;
      }
      run.title = experiment->title();
      run.seed = experiment->seed();
      run.cost = experiment->cost();
      for (const std::string& column : part.columns) {
        const auto label = std::find_if(point.labels.begin(), point.labels.end(),
                                        [&](const auto& l) { return l.first == column; });
        run.columns[column] =
            label != point.labels.end() ? Value(label->second) : experiment->value_of(column);
      }
      plan.runs.push_back(std::move(run));
    }
    plan.parts.push_back(std::move(part));
  }

  std::vector<std::unique_ptr<Document>> documents_;
  std::vector<Draft> drafts_;
  std::string title_;

 public:
  static std::string text_by_name(const std::string& name) { return sweep_text(name, ""); }
};

}  // namespace

Plan parse_plan(const std::string& text, const std::string& file,
                const std::vector<std::string>& sets) {
  return Loader().load(text, file, sets);
}

std::string plan_text(const Plan& plan) {
  const auto text_of = [](const auto& value) { return config::toml_text(Value(value)); };
  std::string text =
      "# The runs of this sweep as they were resolved. `fp4lab sweep --out` of this folder goes "
      "on.\n";
  text += "name = " + text_of(plan.name) + "\ntitle = " + text_of(plan.title) +
          "\nruns = " + std::to_string(plan.runs.size()) + "\n";
  for (const Part& part : plan.parts) {
    text += "\n[[part]]\nname = " + text_of(part.name) + "\nkind = " + text_of(part.kind->name()) +
            "\ncolumns = " + text_of(part.columns) + "\n";
  }
  for (const PlannedRun& run : plan.runs) {
    text += "\n[[run]]\nid = " + text_of(run.id) +
            "\nconfig_sha256 = " + text_of(run.config_sha256) +
            "\npart = " + std::to_string(run.part) + "\ntitle = " + text_of(run.title) +
            "\nseed = " + std::to_string(run.seed) + "\ncost = " + text_of(run.cost) + "\n";
    std::map<std::string, Value> last;
    for (const Assignment& a : run.assignments) last[a.key] = a.value;
    text += "set = {";
    std::string separator = " ";
    for (const auto& [key, value] : last) {
      text += separator + config::toml_text(Value(key)) + " = " + config::toml_text(value);
      separator = ", ";
    }
    text += " }\ncolumns = {";
    separator = " ";
    for (const auto& [key, value] : run.columns) {
      text += separator + config::toml_text(Value(key)) + " = " + config::toml_text(value);
      separator = ", ";
    }
    text += " }\n";
  }
  return text;
}

Plan read_plan(const std::string& path) {
  ByteSource source(path);
  const AlignedBytes bytes = source.read_rest(std::uint64_t{1} << 30);
  const toml::table root = parse_toml({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                      path, "it is written by fp4lab sweep");
  const auto damaged = [&]() -> InputError {
    return InputError(path + ": damaged; fp4lab sweep CONFIG --out writes it again");
  };
  Plan plan;
  plan.name = root["name"].value_or(std::string());
  plan.title = root["title"].value_or(std::string());
  const toml::array* const parts = root["part"].as_array();
  const toml::array* const runs = root["run"].as_array();
  // A file that was cut between two runs is still TOML: the number of runs tells.
  const auto count = static_cast<std::size_t>(root["runs"].value_or(std::int64_t{-1}));
  if (parts == nullptr || runs == nullptr || runs->size() != count) throw damaged();
  for (const auto& node : *parts) {
    const toml::table* const table = node.as_table();
    if (table == nullptr) throw damaged();
    Part part{(*table)["name"].value_or(std::string()),
              &find_kind((*table)["kind"].value_or(std::string()), path + ": "),
              {}};
    if (const auto* columns = (*table)["columns"].as_array()) {
      for (const auto& c : *columns) part.columns.push_back(c.value_or(std::string()));
    }
    plan.parts.push_back(std::move(part));
  }
  for (const auto& node : *runs) {
    const toml::table* const table = node.as_table();
    if (table == nullptr) throw damaged();
    PlannedRun run;
    run.id = (*table)["id"].value_or(std::string());
    run.config_sha256 = (*table)["config_sha256"].value_or(std::string());
    run.part = static_cast<std::size_t>((*table)["part"].value_or(std::int64_t{-1}));
    if (run.id.size() != 12 || run.part >= plan.parts.size()) throw damaged();
    run.kind = plan.parts[run.part].kind;
    run.title = (*table)["title"].value_or(std::string());
    run.seed = static_cast<std::uint64_t>((*table)["seed"].value_or(std::int64_t{0}));
    run.cost = (*table)["cost"].value_or(0.0);
    const AxisReader reader(*run.kind, [&](const toml::node&) { return path + ": "; });
    const toml::table* const set = (*table)["set"].as_table();
    const toml::table* const columns = (*table)["columns"].as_table();
    if (set == nullptr || columns == nullptr) throw damaged();
    for (const auto& [key, value] : *set) {
      run.assignments.push_back(reader.assignment(std::string(key.str()), value));
    }
    for (const auto& [key, value] : *columns) {
      const std::string name(key.str());
      if (find_key(*run.kind, name) != nullptr) {
        run.columns[name] = reader.assignment(name, value).value;
      } else {
        run.columns[name] = Value(value.value_or(std::string()));
      }
    }
    plan.runs.push_back(std::move(run));
  }
  return plan;
}

Plan load_plan(const std::string& file_or_name, const std::vector<std::string>& sets) {
  return parse_plan(Loader::text_by_name(file_or_name), file_or_name, sets);
}

}  // namespace fp4lab::sweep
