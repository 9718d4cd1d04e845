#include "experiments/sweep/cost_model.h"

#include <cmath>

#include "data/error.h"
#include "experiments/store/result_file.h"
#include "experiments/sweep/index.h"

namespace fp4lab::sweep {

void CostModel::learn(const PlannedRun& run, double wall_s) {
  if (!(run.cost > 0) || !(wall_s > 0)) return;
  const double factor = std::log(wall_s / run.cost);
  kinds_[run.kind].add(factor);
  Part& part = parts_[run.part];
  part.all.add(factor);
  for (const auto& [column, value] : run.columns) {
    if (column != "seed") part.axes[column][cell_text(value)].add(factor);
  }
}

void CostModel::learn_from(const SweepFolder& folder, const PlannedRun& run) {
  try {
    const auto file = store::ResultFile::read_some(folder.result(run.id).string(), {});
    const auto wall = file.attributes.find("wall_s");
    if (wall == file.attributes.end()) return;
    if (const auto* seconds = std::get_if<double>(&wall->second)) learn(run, *seconds);
  } catch (const InputError&) {
  }
}

double CostModel::seconds(const PlannedRun& run) const {
  const auto part = parts_.find(run.part);
  if (part == parts_.end()) {
    const auto kind = kinds_.find(run.kind);
    return kind == kinds_.end() ? run.cost : run.cost * std::exp(kind->second.value());
  }
  const double mean = part->second.all.value();
  double factor = mean;
  for (const auto& [column, value] : run.columns) {
    const auto axis = part->second.axes.find(column);
    if (axis == part->second.axes.end()) continue;
    const auto seen = axis->second.find(cell_text(value));
    if (seen == axis->second.end()) continue;
    // Half of the difference for one run, nearly all of it for many.
    const auto n = static_cast<double>(seen->second.n);
    factor += n / (n + 1) * (seen->second.value() - mean);
  }
  return run.cost * std::exp(factor);
}

}  // namespace fp4lab::sweep
