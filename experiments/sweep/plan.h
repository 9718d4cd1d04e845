// A sweep: one TOML file in, the list of its runs out.
//
//   title = "..."                what is compared, for people
//   kind = "train"               train, error, gemm or rounding
//   extends = "default"          a built-in sweep or a file: its base, axes and exclusions come
//   first [base]                       keys that all runs share
//   [[axis]]                     one of
//     key = "recipe"             values = [...]                 a grid over one key
//     zip = { "a.b" = [...], "c.d" = [...] }                    keys that move together
//     list = [ { label = "...", "a.b" = v, ... }, ... ]         named points of any keys
//     seeds = 5 (or a list)                                     0, 1, 2 ... for the key `seed`
//     random = 10, seed = 1, ranges = { "optim.lr" = { min = 1e-4, max = 1e-2, log = true } }
//   [[exclude]]                  key = value or list of values: runs in which all match are left
//   out
//   [[part]]                     several sweeps in one: name, kind, base, axis, exclude of its own
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "experiments/sweep/kind.h"

namespace fp4lab::sweep {

/// One run of a sweep.
struct PlannedRun {
  std::string id;
  std::string config_sha256;
  const Kind* kind = nullptr;
  std::size_t part = 0;
  std::vector<Assignment> assignments;
  std::string title;
  std::uint64_t seed = 0;
  double cost = 0;
  /// Final values of the varied keys of its part, and labels of list axes, by column name.
  std::map<std::string, Value> columns;
};

/// One kind with its own axes.
struct Part {
  std::string name;
  const Kind* kind = nullptr;
  std::vector<std::string> columns;  ///< varied keys and labels, in the order of the axes
};

struct Plan {
  std::string name;  ///< of the file or the built-in sweep
  std::string title;
  std::vector<Part> parts;
  std::vector<PlannedRun> runs;  ///< in the order of the axes, the last one fastest; no id twice
  std::size_t duplicates = 0;    ///< points that came down to a run that was there already
};

/// A built-in sweep.
struct BuiltinSweep {
  std::string name, toml;
};
const std::vector<BuiltinSweep>& builtin_sweeps();

/// Loads a sweep: a built-in name or the path of a TOML file; `sets` are "a.b=v" and win over base
/// and axes. Throws InputError with file, line and column.
Plan load_plan(const std::string& file_or_name, const std::vector<std::string>& sets);
/// The same from text; `file` names it in messages.
Plan parse_plan(const std::string& text, const std::string& file,
                const std::vector<std::string>& sets);

/// The plan as the file sweep.toml of its folder, and back. Throws InputError.
std::string plan_text(const Plan& plan);
Plan read_plan(const std::string& path);

}  // namespace fp4lab::sweep
