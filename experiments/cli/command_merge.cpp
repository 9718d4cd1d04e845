// fp4lab merge: the index of a sweep, after taking over what other folders have.
#include <filesystem>

#include "data/error.h"
#include "experiments/cli/context.h"
#include "experiments/sweep/collect.h"
#include "experiments/sweep/index.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

using namespace sweep;

struct MergeArguments {
  std::string folder;
  std::vector<std::string> others;
  bool links = false, extend = false;
};

ExitCode merge(Context& context, const MergeArguments& a) {
  const SweepFolder folder{a.folder};
  // A folder that is not there yet begins as the first of the others.
  if (!a.others.empty() && !has_plan(folder)) {
    save_plan(stored_plan(SweepFolder{a.others[0]}), folder);
  }
  Plan plan = stored_plan(folder);
  for (const std::string& other : a.others) {
    const SweepFolder from{other};
    Plan theirs = stored_plan(from);
    if (!same_runs(plan, theirs)) {
      if (!a.extend) {
        throw InputError("'" + printable(other, 200) + "' and '" + printable(a.folder, 200) +
                         "' hold different sweeps; --extend adds the runs of the one to the other");
      }
      add_runs(plan, theirs);
      save_plan(plan, folder);
    }
    const Collected c = collect_runs(theirs, from, folder);
    std::string line = other + ": " + std::to_string(c.taken) + " runs taken, " +
                       std::to_string(c.had) + " were there";
    if (c.failed != 0) line += ", " + std::to_string(c.failed) + " failed there";
    if (!c.damaged.empty()) line += ", " + std::to_string(c.damaged.size()) + " damaged";
    context.out.line(line);
    for (const std::string& id : c.differing) {
      context.out.line("  run " + id +
                       " has other content there: one of them was made by another " +
                       "version of the program; kept is the one of " + a.folder);
    }
  }
  const Index index = read_index(plan, folder);
  write_index(plan, index, folder);
  if (a.links) write_links(plan, index, folder);
  context.out.line(folder.index().string() + ": " + std::to_string(index.done) + " of " +
                   std::to_string(plan.runs.size()) + " runs");
  return ExitCode::kDone;
}

}  // namespace

void add_merge_command(CLI::App& app, Context& context) {
  auto a = std::make_shared<MergeArguments>();
  CLI::App* const command = add_command(
      app, context, "merge", "Make the index of a sweep again, with the runs of other folders",
      "  fp4lab merge results/default          the index from the run files\n"
      "  fp4lab merge results/all shard0 shard1 shard2    shards of machines without a common "
      "disk\n"
      "  fp4lab merge results/default --links  and links.h5, one file with all runs for h5py\n",
      [=, &context] { return merge(context, *a); });
  command->add_option("folder", a->folder, "Folder of the sweep")->required()->type_name("DIR");
  command->add_option("others", a->others, "Folders whose finished runs it takes over")
      ->type_name("DIR");
  command->add_flag("--extend", a->extend, "Take over runs that the sweep does not have, too");
  command->add_flag("--links", a->links, "Also write links.h5 with external links /runs/<id>");
}

}  // namespace fp4lab::cli
