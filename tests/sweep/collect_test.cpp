// Runs that move between folders, and the index that is made from them.
#include "experiments/sweep/collect.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "data/error.h"
#include "experiments/store/result_file.h"
#include "experiments/sweep/index.h"

namespace fp4lab::sweep {
namespace {

namespace fs = std::filesystem;

class Collect : public testing::Test {
 protected:
  Collect() : root_(fs::temp_directory_path() / ("fp4lab-collect-" + std::to_string(::getpid()))) {}
  ~Collect() override { fs::remove_all(root_); }

  static Plan plan_of(int seeds) {
    return parse_plan(
        "kind = \"error\"\n[base]\nerror.rows = 4\nerror.columns = 32\n[[axis]]\nseeds = " +
            std::to_string(seeds) + "\n",
        "s.toml", {});
  }
  SweepFolder folder(const std::string& name) const { return {root_ / name}; }

  /// A finished run; `shift` makes its content another.
  static void finish(const PlannedRun& run, const SweepFolder& where, std::int64_t shift = 0) {
    store::ResultFile file = run.kind->resolve(run.assignments)->execute({});
    file.attributes["seed"] = static_cast<std::int64_t>(run.seed);
    if (shift != 0) {
      std::vector<std::int64_t> counts(file.at("/table/elements").size(), shift);
      file.put("/table/elements", std::span<const std::int64_t>(counts));
    }
    fs::create_directories(where.runs());
    file.write(where.result(run.id).string());
  }
  static void cut(const fs::path& path) { fs::resize_file(path, fs::file_size(path) - 100); }

  fs::path root_;
};

TEST_F(Collect, TakesWhatIsMissingAndSaysWhatItCannotUse) {
  const Plan plan = plan_of(6);
  const SweepFolder a = folder("a"), b = folder("b");
  save_plan(plan, a);
  save_plan(plan, b);
  finish(plan.runs[0], a);
  finish(plan.runs[0], b);  // both have it
  finish(plan.runs[1], a);
  finish(plan.runs[1], b, 7);  // both, but not the same
  finish(plan.runs[2], b);     // to be taken
  finish(plan.runs[3], b);
  cut(b.result(plan.runs[3].id));  // to be refused
  finish(plan.runs[4], a);
  cut(a.result(plan.runs[4].id));
  finish(plan.runs[4], b);  // takes the place of the damaged one
  write_failure(b, plan.runs[5].id, "no such file", 2, 1);
  write_failure(a, plan.runs[2].id, "an old failure", 2, 1);

  const Collected c = collect_runs(plan, b, a);
  EXPECT_EQ(c.taken, 2u);
  EXPECT_EQ(c.had, 2u);
  EXPECT_EQ(c.failed, 1u);
  EXPECT_EQ(c.damaged, std::vector<std::string>{plan.runs[3].id});
  EXPECT_EQ(c.differing, std::vector<std::string>{plan.runs[1].id});

  const Index index = read_index(plan, a);
  EXPECT_EQ(index.done, 4u);
  EXPECT_EQ(index.failed, 1u);
  EXPECT_EQ(index.missing, 1u);
  EXPECT_EQ(index.rows[5].status.detail, "no such file");
  EXPECT_FALSE(fs::exists(a.error(plan.runs[2].id)));
  EXPECT_TRUE(fs::exists(b.result(plan.runs[2].id)));  // taken, not moved
  EXPECT_THROW(collect_runs(plan, a, a), InputError);
}

TEST_F(Collect, PlansGrowByWhatTheyLack) {
  Plan small = plan_of(2);
  const Plan large = plan_of(5);
  EXPECT_FALSE(same_runs(small, large));
  add_runs(small, large);
  EXPECT_TRUE(same_runs(small, large));
  EXPECT_EQ(small.parts.size(), 2u);
  EXPECT_EQ(small.runs[4].part, 1u);
  add_runs(small, large);  // again changes nothing
  EXPECT_EQ(small.parts.size(), 2u);
  EXPECT_EQ(small.runs.size(), 5u);
  save_plan(small, folder("c"));
  EXPECT_TRUE(same_runs(stored_plan(folder("c")), large));
  EXPECT_THROW(stored_plan(folder("nowhere")), InputError);
}

// An index needs a few numbers of each file; it reads those alone, and what it says is the same.
TEST_F(Collect, AnIndexFromPartsIsTheOneFromWholeFiles) {
  const Plan plan = plan_of(2);
  const SweepFolder a = folder("a");
  for (const PlannedRun& run : plan.runs) finish(run, a);
  const Index index = read_index(plan, a);
  for (const IndexRow& row : index.rows) {
    const auto whole = store::ResultFile::read(a.result(row.run->id).string());
    const std::vector<Metric> expected = row.run->kind->metrics(whole);
    ASSERT_EQ(row.metrics.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(row.metrics[i].name, expected[i].name);
      EXPECT_EQ(row.metrics[i].value, expected[i].value) << expected[i].name;
    }
  }
}

}  // namespace
}  // namespace fp4lab::sweep
