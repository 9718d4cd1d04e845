// Writes those input files of the tests of analysis/ that a real run does not give on request:
// training runs in the real layout with known gaps, one of which diverges at a given step; a folder
// with every kind of damage; two hundred runs; the tables of formats. (make_runs.py has real runs.)
//
//   fp4lab_analysis_fixtures FOLDER
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "experiments/cli/number_tables.h"
#include "tests/analysis/fixture_runs.h"

namespace fp4lab::fixture {
namespace {

namespace fs = std::filesystem;
using store::ResultFile;

/// The index of a sweep, as the sweep engine lays it out.
class Index {
 public:
  explicit Index(fs::path folder) : folder_(std::move(folder)) {
    fs::create_directories(folder_ / "runs");
  }
  void add(ResultFile file, const std::map<std::string, std::string>& varied) {
    const std::string id = file.text_attribute("run_id");
    file.write((folder_ / "runs" / (id + ".h5")).string());
    ids_.push_back(id);
    status_.push_back(file.text_attribute("status"));
    files_.push_back("runs/" + id + ".h5");
    for (const auto& [key, value] : varied) columns_[key].push_back(value);
  }
  void write() {
    ResultFile index;
    index.scale("/run", std::span<const std::string>(ids_));
    index.put("/status", std::span<const std::string>(status_));
    index.put("/file", std::span<const std::string>(files_));
    for (const auto& [key, values] : columns_) {
      index.put("/" + key, std::span<const std::string>(values));
    }
    std::string varied;
    for (const auto& [key, values] : columns_) varied += (varied.empty() ? "" : " ") + key;
    index.attributes["varied"] = varied;
    index.attributes["kind"] = std::string("sweep");
    index.attributes["status"] = std::string("complete");
    index.attributes["title"] = std::string("fixture");
    index.write((folder_ / "sweep.h5").string());
  }

 private:
  fs::path folder_;
  std::vector<std::string> ids_, status_, files_;
  std::map<std::string, std::vector<std::string>> columns_;
};

struct Recipe {
  const char* name;
  double gap;
};
constexpr Recipe kRecipes[] = {{"bf16", 0.0},
                               {"nvfp4-nvidia", 0.03},
                               {"four-over-six", 0.025},
                               {"tetrajet", 0.05},
                               {"mxfp4-baseline", 0.12}};

/// Five recipes with four seeds, one of which diverges at step 70.
void write_training(const fs::path& folder) {
  Index index(folder);
  for (const Recipe& recipe : kRecipes) {
    for (std::int64_t seed = 0; seed < 4; ++seed) {
      RunShape shape;
      shape.recipe = recipe.name;
      shape.seed = seed;
      shape.gap = recipe.gap;
      if (std::strcmp(recipe.name, "mxfp4-baseline") == 0 && seed == 3) shape.diverges_at = 70;
      shape.instruments = seed == 0;
      index.add(make_run(shape), {{"recipe", recipe.name}, {"seed", std::to_string(seed)}});
    }
  }
  index.write();
}

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// What a kill leaves: finished runs, a `.part`, an error file, a damaged and a foreign file, no
/// index; some runs without instruments.
void write_killed(const fs::path& folder) {
  const fs::path runs = folder / "runs";
  fs::create_directories(runs);
  std::string whole;
  for (std::int64_t seed = 0; seed < 3; ++seed) {
    for (const char* recipe : {"bf16", "tetrajet"}) {
      RunShape shape;
      shape.recipe = recipe;
      shape.seed = seed;
      shape.gap = recipe[0] == 't' ? 0.05 : 0;
      shape.instruments = seed == 0;
      if (recipe[0] == 't' && seed == 1) shape.diverges_at = 40;
      ResultFile file = make_run(shape);
      const fs::path path = runs / (file.text_attribute("run_id") + ".h5");
      file.write(path.string());
      whole = bytes_of(path);
    }
  }
  write_text(runs / "aaaaaaaaaaaa.h5.part", whole.substr(0, whole.size() / 2));
  write_text(runs / "bbbbbbbbbbbb.h5", whole.substr(0, whole.size() / 2));
  write_text(runs / "cccccccccccc.h5", "no HDF5 at all\n");
  write_text(runs / "dddddddddddd.error.json",
             "{\"run_id\": \"dddddddddddd\", \"error\": \"model.heads: 3 does not divide 64\"}\n");
}

/// 200 runs, for the size of the report.
void write_many(const fs::path& folder) {
  Index index(folder);
  for (std::int64_t recipe = 0; recipe < 20; ++recipe) {
    for (std::int64_t seed = 0; seed < 10; ++seed) {
      RunShape shape;
      shape.recipe = recipe == 0 ? "bf16" : "recipe-" + std::to_string(recipe);
      shape.seed = seed;
      shape.gap = 0.01 * static_cast<double>(recipe);
      shape.steps = 400;
      shape.instruments = seed == 0;
      index.add(make_run(shape), {{"recipe", shape.recipe}, {"seed", std::to_string(seed)}});
    }
  }
  index.write();
}

int run(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fp4lab_analysis_fixtures FOLDER\n");
    return 2;
  }
  const fs::path folder = argv[1];
  for (const char* name : {"train", "killed", "many"}) fs::remove_all(folder / name);
  write_training(folder / "train");
  write_killed(folder / "killed");
  cli::format_table({"e2m1", "nf4"}, "rne").write((folder / "formats.h5").string());
  cli::estimator_table("e2m1").write((folder / "estimators.h5").string());
  write_many(folder / "many");
  return 0;
}

}  // namespace
}  // namespace fp4lab::fixture

int main(int argc, char** argv) {
  try {
    return fp4lab::fixture::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fp4lab_analysis_fixtures: %s\n", e.what());
    return 1;
  }
}
