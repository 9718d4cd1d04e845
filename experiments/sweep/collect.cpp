#include "experiments/sweep/collect.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "data/atomic_file.h"
#include "data/byte_source.h"
#include "data/error.h"
#include "experiments/store/result_file.h"
#include "formats/names.h"

namespace fp4lab::sweep {
namespace {

namespace fs = std::filesystem;

std::set<std::string> ids_of(const Plan& plan) {
  std::set<std::string> ids;
  for (const PlannedRun& run : plan.runs) ids.insert(run.id);
  return ids;
}

void copy_whole(const fs::path& from, const fs::path& to) {
  ByteSource source(from.string());
  const AlignedBytes bytes = source.read_rest();
  AtomicFile file(to.string());
  file.write(bytes.data(), bytes.size());
  file.finish();
  file.publish();
}

/// A result never changes under its name, so that two names may share one file.
void take(const fs::path& from, const fs::path& to) {
  std::error_code ignored;
  fs::remove(to, ignored);  // damaged, or it would not be taken
  if (::link(from.c_str(), to.c_str()) == 0) return;
  copy_whole(from, to);
}

/// The hash of a finished run's content. Throws InputError.
std::string content_of(const fs::path& path) {
  return store::ResultFile::read_some(path.string(), {}).text_attribute("content_sha256");
}

}  // namespace

bool has_plan(const SweepFolder& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder.config(), ignored);
}

Plan stored_plan(const SweepFolder& folder) {
  if (!has_plan(folder)) {
    throw InputError("'" + printable(folder.root.string(), 200) +
                     "' is no sweep: it has no sweep.toml");
  }
  return read_plan(folder.config().string());
}

void save_plan(const Plan& plan, const SweepFolder& folder) {
  std::error_code error;
  fs::create_directories(folder.runs(), error);
  if (error) {
    throw EnvironmentError("cannot make '" + folder.runs().string() + "': " + error.message());
  }
  const std::string text = plan_text(plan);
  AtomicFile file(folder.config().string());
  file.write(text.data(), text.size());
  file.finish();
  file.publish();
}

bool same_runs(const Plan& a, const Plan& b) { return ids_of(a) == ids_of(b); }

void add_runs(Plan& plan, const Plan& more) {
  std::set<std::string> there = ids_of(plan);
  std::map<std::size_t, std::size_t> places;  // of the added parts
  for (const PlannedRun& run : more.runs) {
    if (!there.insert(run.id).second) continue;
    const auto [place, is_new] = places.try_emplace(run.part, plan.parts.size());
    if (is_new) plan.parts.push_back(more.parts[run.part]);
    plan.runs.push_back(run);
    plan.runs.back().part = place->second;
  }
}

Collected collect_runs(const Plan& plan, const SweepFolder& from, const SweepFolder& into) {
  Collected out;
  std::error_code error;
  fs::create_directories(into.runs(), error);
  if (error) {
    throw EnvironmentError("cannot make '" + into.runs().string() + "': " + error.message());
  }
  if (fs::equivalent(from.runs(), into.runs(), error)) {
    throw InputError("'" + printable(from.root.string(), 200) + "' is the folder itself");
  }
  for (const PlannedRun& run : plan.runs) {
    const fs::path mine = into.result(run.id), theirs = from.result(run.id);
    const bool there = fs::is_regular_file(theirs, error);
    if (fs::is_regular_file(mine, error) && seal_problem(mine).empty()) {
      ++out.had;
      try {
        if (there && content_of(theirs) != content_of(mine)) out.differing.push_back(run.id);
      } catch (const InputError&) {
        out.damaged.push_back(run.id);
      }
    } else if (there && !seal_problem(theirs).empty()) {
      out.damaged.push_back(run.id);
    } else if (there) {
      take(theirs, mine);
      fs::remove(into.error(run.id), error);
      ++out.taken;
    } else if (fs::is_regular_file(from.error(run.id), error)) {
      ++out.failed;
      if (!fs::exists(into.error(run.id), error)) {
        copy_whole(from.error(run.id), into.error(run.id));
      }
    }
  }
  return out;
}

}  // namespace fp4lab::sweep
