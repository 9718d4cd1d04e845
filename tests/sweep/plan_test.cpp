#include "experiments/sweep/plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "data/error.h"
#include "experiments/config/config.h"
#include "experiments/sweep/cost_model.h"
#include "formats/spec_text.h"
#include "sim/train/policy.h"

namespace fp4lab::sweep {
namespace {

Plan plan_of(const std::string& text, const std::vector<std::string>& sets = {}) {
  return parse_plan("kind = \"error\"\n" + text, "s.toml", sets);
}

std::string error_of(const std::string& text, const std::vector<std::string>& sets = {}) {
  try {
    plan_of(text, sets);
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

std::string spec_of(const PlannedRun& run) {
  return std::get<std::string>(run.kind->resolve(run.assignments)->value_of("error.spec"));
}

TEST(Plan, AGridIsTheProductOfItsAxesLastOneFastest) {
  const Plan plan = plan_of(
      "[[axis]]\nkey = \"error.spec\"\nvalues = [\"mxfp4\", \"nvfp4\"]\n[[axis]]\nseeds = 3\n");
  ASSERT_EQ(plan.runs.size(), 6u);
  EXPECT_EQ(spec_of(plan.runs[2]), "mxfp4");
  EXPECT_EQ(plan.runs[2].seed, 2u);
  EXPECT_EQ(spec_of(plan.runs[3]), "nvfp4");
  EXPECT_EQ(plan.runs[3].seed, 0u);
  EXPECT_EQ(plan.parts[0].columns, (std::vector<std::string>{"error.spec", "seed"}));
  std::set<std::string> ids;
  for (const PlannedRun& run : plan.runs) ids.insert(run.id);
  EXPECT_EQ(ids.size(), 6u);
}

TEST(Plan, TheIdIsTheHashOfTheResolvedConfiguration) {
  const Plan a = plan_of("[base]\nerror.spec = \"MXFP4\"\nerror.rows = 512\n");
  const Plan b = plan_of("[base]\nerror.spec = \"mxfp4\"\n");  // 512 rows are the default
  EXPECT_EQ(a.runs[0].id, b.runs[0].id);
  EXPECT_EQ(a.runs[0].id, a.runs[0].config_sha256.substr(0, 12));
  EXPECT_NE(plan_of("[base]\nseed = 1\n").runs[0].id, plan_of("").runs[0].id);
}

TEST(Plan, ZipListAndExclusions) {
  const Plan plan = plan_of(
      "[[axis]]\nzip = { \"error.spec\" = [\"mxfp4\", \"nvfp4\", \"int4\"], "
      "\"error.rows\" = [16, 32, 64] }\n"
      "[[axis]]\nname = \"data\"\nlist = [ { label = \"plain\" }, { label = \"heavy\", "
      "\"error.source\" = \"student-t:3\" } ]\n"
      "[[exclude]]\nerror.spec = [\"nvfp4\", \"int4\"]\ndata = \"heavy\"\n");
  ASSERT_EQ(plan.runs.size(), 4u);
  EXPECT_EQ(std::get<std::int64_t>(plan.runs[0].columns.at("error.rows")), 16);
  EXPECT_EQ(std::get<std::string>(plan.runs[1].columns.at("data")), "heavy");
  EXPECT_EQ(std::get<std::string>(plan.runs[3].columns.at("data")), "plain");
}

TEST(Plan, RandomAxesFollowFromTheirSeedAndKeepTheirRange) {
  const std::string text =
      "[[axis]]\nrandom = 50\nseed = 4\nranges = { \"error.outlier_gain\" = { min = 1, max = 1000, "
      "log = "
      "true }, \"error.spec\" = [\"mxfp4\", \"nvfp4\"] }\n";
  const Plan a = plan_of(text), b = plan_of(text);
  ASSERT_EQ(a.runs.size(), b.runs.size());
  double low = 1e9, high = 0;
  int below = 0;
  for (std::size_t i = 0; i < a.runs.size(); ++i) {
    EXPECT_EQ(a.runs[i].id, b.runs[i].id);
    const double x = std::get<double>(a.runs[i].columns.at("error.outlier_gain"));
    low = std::min(low, x);
    high = std::max(high, x);
    below += x < 31.6;
  }
  EXPECT_GE(low, 1.0);
  EXPECT_LE(high, 1000.0);
  EXPECT_NEAR(below, 25, 12);  // log-uniform: half of the points below the geometric middle
}

TEST(Plan, SetWinsAndDuplicatesAreDoneOnce) {
  const Plan plan = plan_of("[[axis]]\nkey = \"error.spec\"\nvalues = [\"mxfp4\", \"nvfp4\"]\n",
                            {"error.spec=int4"});
  ASSERT_EQ(plan.runs.size(), 1u);
  EXPECT_EQ(plan.duplicates, 1u);
  EXPECT_EQ(spec_of(plan.runs[0]), "int4");
}

TEST(Plan, ExtendsReplacesAxesOfTheSameName) {
  const Plan whole = load_plan("formats", {});
  EXPECT_GT(whole.runs.size(), 50u);
  const Plan small = parse_plan(
      "extends = \"formats\"\n[base]\nerror.rows = 64\n[[axis]]\nkey = \"error.spec\"\nvalues = "
      "[\"mxfp4\"]\n",
      "s.toml", {});
  EXPECT_EQ(small.runs.size(), 5u);  // the sources of the parent
  EXPECT_EQ(small.title, whole.title);
}

TEST(Plan, PartsHaveKindsOfTheirOwn) {
  const Plan plan = parse_plan(
      "[[part]]\nname = \"errors\"\nkind = \"error\"\n[[part.axis]]\nseeds = 2\n"
      "[[part]]\nname = \"sums\"\nkind = \"gemm\"\n[part.base]\ngemm.k = [\"32\"]\n",
      "s.toml", {"gemm.m=8"});
  ASSERT_EQ(plan.runs.size(), 3u);
  EXPECT_EQ(plan.runs[2].kind->name(), "gemm");
  EXPECT_EQ(std::get<std::int64_t>(
                plan.runs[2].kind->resolve(plan.runs[2].assignments)->value_of("gemm.m")),
            8);
}

TEST(Plan, MistakesHaveAPlaceAndTheNearestName) {
  const auto has = [](const std::string& line, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  };
  has(error_of("[base]\nerror.spce = \"mxfp4\"\n"), {"s.toml:3:", "error.spec"});
  has(error_of("[base]\nerror.rows = \"many\"\n"), {"s.toml:3:", "whole number"});
  has(error_of("[base]\nerror.spec = \"mxpf4\"\n"), {"s.toml:3:", "error.spec", "mxfp4"});
  has(error_of("[[axis]]\nkey = \"error.spec\"\n"), {"s.toml:2:", "values"});
  has(error_of("[[axis]]\nkey = \"error.spec\"\nvalues = []\n"), {"no points"});
  has(error_of("[[axis]]\nkey = \"error.spec\"\nvalues = [\"mxfp4\"]\nsedes = 2\n"),
      {"s.toml:5:", "sedes"});
  has(error_of("[[axis]]\nzip = { \"error.rows\" = [1, 2], \"error.columns\" = [1] }\n"),
      {"equally many"});
  has(error_of("[[axis]]\nseeds = 0\n"), {"1 to 10000"});
  has(error_of("bse = 1\n"), {"s.toml:2:", "base"});
  has(error_of("extends = \"fromats\"\n"), {"formats"});
  has(error_of("", {"error.spec"}), {"no '='"});
  has(error_of("", {"eror.spec=mxfp4"}), {"error.spec"});
  has(error_of("[[exclude]]\nerror.rows = 512\n"), {"no runs"});
  has(error_of("[[exclude]]\n"), {"empty exclusion"});
  has(error_of("x = ["), {"s.toml:"});
  EXPECT_THROW(parse_plan("kind = \"eror\"\n", "s.toml", {}), InputError);
}

TEST(Plan, TheFolderFileBringsThePlanBack) {
  const Plan plan = parse_plan(
      "title = \"a \\\"title\\\"\"\n[[part]]\nname = \"e\"\nkind = \"error\"\n[[part.axis]]\nname "
      "= "
      "\"data\"\nlist = [ { label = \"wide\", \"error.columns\" = 64 } ]\n[[part.axis]]\nseeds = "
      "2\n"
      "[[part]]\nname = \"g\"\nkind = \"gemm\"\n",
      "s.toml", {});
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("fp4lab-plan-" + std::to_string(::getpid()) + ".toml"))
                               .string();
  std::ofstream(path) << plan_text(plan);
  const Plan back = read_plan(path);
  EXPECT_EQ(plan_text(back), plan_text(plan));
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    EXPECT_EQ(run_id(*back.runs[i].kind->resolve(back.runs[i].assignments)), plan.runs[i].id);
    EXPECT_EQ(back.runs[i].columns, plan.runs[i].columns);
  }
  // Cut between two runs it is still TOML, but no longer the plan.
  const std::string text = plan_text(plan);
  std::ofstream(path, std::ios::trunc) << text.substr(0, text.rfind("\n[[run]]"));
  EXPECT_THROW(read_plan(path), InputError);
  std::ofstream(path, std::ios::trunc) << "[[run]]\nid = \"short\"\n";
  EXPECT_THROW(read_plan(path), InputError);
  std::filesystem::remove(path);
}

TEST(Plan, EveryBuiltinSweepResolvesAndSaysWhatItAsks) {
  for (const BuiltinSweep& sweep : builtin_sweeps()) {
    const Plan plan = load_plan(sweep.name, {});
    EXPECT_GT(plan.runs.size(), 5u) << sweep.name;
    EXPECT_EQ(plan.duplicates, 0u) << sweep.name;
    EXPECT_EQ(sweep.toml.rfind("# ", 0), 0u) << sweep.name;
    EXPECT_NE(sweep.toml.substr(0, sweep.toml.find("\n\n")).find('?'), std::string::npos)
        << sweep.name;
    EXPECT_NE(sweep.toml.substr(0, sweep.toml.find("title =")).find("About "), std::string::npos)
        << sweep.name << " does not say how long it takes";
  }
}

/// What a training run does to the layers of a model, and every key that is not about layers.
std::string effect_of(const PlannedRun& run) {
  config::Sources sources;
  for (const Assignment& a : run.assignments) {
    sources.sets.push_back(a.key + "=" + config::toml_text(a.value));
  }
  const train::TrainConfig config = config::resolve(sources).config;
  std::istringstream lines(config::canonical_text(config));
  std::string out, line;
  while (std::getline(lines, line)) {
    const bool about_layers =
        line.starts_with("slots.") || line.starts_with("policy") || line.starts_with("recipe ");
    if (!about_layers) out += line + "\n";
  }
  const train::LayerPolicy policy(config, config::recipe_slots);
  for (const nn::Role role : {nn::Role::attn_q, nn::Role::ffn_up, nn::Role::head}) {
    for (const int block : {0, 1}) {
      nn::LayerInfo layer;
      layer.role = role;
      layer.block = block;
      layer.blocks = 2;
      for (const nn::SlotConfig& slot : policy(layer).slot) {
        out += to_string(slot.spec) + " " + std::to_string(static_cast<int>(slot.source)) + " " +
               std::to_string(static_cast<int>(slot.estimator.kind)) + "\n";
      }
    }
  }
  return out;
}

TEST(Plan, NoTwoTrainingRunsOfABuiltinSweepTrainTheSame) {
  for (const BuiltinSweep& sweep : builtin_sweeps()) {
    std::map<std::string, std::string> effects;
    for (const PlannedRun& run : load_plan(sweep.name, {}).runs) {
      if (run.kind->name() != "train") continue;
      const auto [other, is_new] = effects.try_emplace(effect_of(run), run.id);
      EXPECT_TRUE(is_new) << sweep.name << ": " << run.id << " and " << other->second
                          << " differ in keys that have no effect";
    }
  }
}

TEST(CostModel, LearnsValueByValue) {
  const Plan plan = plan_of(
      "[[axis]]\nkey = \"error.spec\"\nvalues = [\"nvfp4\", \"mxfp4\"]\n[[axis]]\nseeds = 8\n");
  CostModel costs;
  const PlannedRun &fast = plan.runs[7], &slow = plan.runs[15];
  EXPECT_EQ(costs.seconds(fast), fast.cost);
  costs.learn(plan.runs[0], 3 * fast.cost);
  EXPECT_NEAR(costs.seconds(slow), 3 * slow.cost, 1e-12);  // nothing of its own is known
  for (std::size_t i = 1; i < 7; ++i) costs.learn(plan.runs[i], 3 * fast.cost);
  for (std::size_t i = 8; i < 15; ++i) costs.learn(plan.runs[i], 12 * slow.cost);
  EXPECT_NEAR(costs.seconds(fast) / fast.cost, 3, 0.4);
  EXPECT_NEAR(costs.seconds(slow) / slow.cost, 12, 1.6);
}

}  // namespace
}  // namespace fp4lab::sweep
