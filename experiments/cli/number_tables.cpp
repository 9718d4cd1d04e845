#include "experiments/cli/number_tables.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "data/atomic_file.h"
#include "data/error.h"
#include "experiments/cli/format_facts.h"
#include "experiments/cli/names.h"
#include "experiments/study/columns.h"
#include "formats/convert.h"
#include "formats/names.h"
#include "formats/spec_text.h"
#include "sim/nn/estimators.h"

namespace fp4lab::cli {
namespace {

const FormatInfo& small_format(const std::string& name) {
  const FormatInfo& info = require_format(name);
  if (info.format.bits > 8) {
    throw InputError("format " + std::string(info.id) + " has " + std::to_string(info.format.bits) +
                     " bits; the plots show formats of at most 8");
  }
  return info;
}

store::ResultFile finish(const study::Columns& table, const char* kind, const std::string& title) {
  store::ResultFile file;
  table.store(file);
  file.attributes["kind"] = std::string(kind);
  file.attributes["status"] = std::string("complete");
  file.attributes["title"] = title;
  return file;
}

/// Estimators whose factor is a function of v alone.
constexpr std::array<nn::EstimatorKind, 9> kEstimators = {
    nn::EstimatorKind::ste,   nn::EstimatorKind::clipped_ste, nn::EstimatorKind::dge,
    nn::EstimatorKind::ewgs,  nn::EstimatorKind::dsq,         nn::EstimatorKind::stacked_sigmoid,
    nn::EstimatorKind::reste, nn::EstimatorKind::stableqat,   nn::EstimatorKind::quest_mask,
};

}  // namespace

store::ResultFile format_table(const std::vector<std::string>& names, const std::string& rounding) {
  Rounding mode;
  try {
    mode = parse_rounding(rounding);
  } catch (const SpecError& e) {
    throw InputError(std::string("--round: ") + e.what());
  }
  if (mode.random_bits() != 0) {
    throw InputError("--round '" + printable(rounding, 40) +
                     "' is stochastic; thresholds are those of a deterministic rounding");
  }
  study::Columns table;
  std::string title;
  for (const std::string& name : names) {
    const FormatInfo& info = small_format(name);
    title += (title.empty() ? "" : ", ") + std::string(info.id);
    for (const Threshold& t : thresholds_of(info.format, mode)) {
      table.text("format", "number format", std::string(info.id));
      table.text("rounding", "rounding", to_string(mode));
      table.number("low", "1", "lower of two neighbouring values", t.low);
      table.number("high", "1", "upper of two neighbouring values", t.high);
      table.number("at", "1", "numbers below become the lower value, above the upper", t.at);
      table.count("at_goes_up", "1 when the number itself becomes the upper value", t.at_goes_up);
      table.next();
    }
  }
  return finish(table, "format", title + ", " + to_string(mode));
}

store::ResultFile estimator_table(const std::string& name) {
  const FormatInfo& info = small_format(name);
  const std::vector<double> values = values_of(info.format);
  std::vector<float> grid(values.begin(), values.end());
  const int n = static_cast<int>(grid.size());
  if (n < 2) throw InputError("format " + std::string(info.id) + " has fewer than two values");
  float widest = 0;
  for (int i = 1; i < n; ++i) widest = std::fmax(widest, grid[i] - grid[i - 1]);
  const float low = grid.front(), high = grid.back();
  const double margin = 0.25 * std::fmax(std::fabs(low), std::fabs(high));
  constexpr int kPoints = 1601;
  study::Columns table;
  for (const nn::EstimatorKind kind : kEstimators) {
    nn::EstimatorConfig config;
    config.kind = kind;
    const nn::EstimatorPlan plan = nn::plan_estimator(config, low, high, widest, 1.0);
    for (int i = 0; i < kPoints; ++i) {
      const double from = (low < 0 ? low - margin : low), to = high + margin;
      const auto v = static_cast<float>(from + (to - from) * i / (kPoints - 1));
      const float q = decode(info.format, encode(info.format, v, kRne));
      const float factor =
          nn::estimator_factor(plan, nn::grid_interval(grid.data(), n, v), v, q, 1);
      table.text("estimator", "gradient estimator", nn::estimator_name(kind));
      table.text("format", "number format", std::string(info.id));
      table.number("v", "1", "element over its scale", v);
      table.number("value", "1", "value it is rounded to", q);
      table.number("factor", "1", "what the upstream gradient is multiplied by", factor);
      table.next();
    }
  }
  return finish(table, "estimator", "gradient estimators on " + std::string(info.id));
}

std::string in_memory(store::ResultFile& file) {
  file.attributes["content_sha256"] = file.content_sha256();
  const AlignedBytes bytes = file.image("table in memory");
  const std::string seal = store::detail::seal_of(bytes.data(), bytes.size());
  const int descriptor =
      ::memfd_create("fp4lab-table", 0);  // inherited by the program started next
  int error = descriptor < 0 ? errno : write_all(descriptor, bytes.data(), bytes.size());
  if (error == 0) error = write_all(descriptor, seal.data(), seal.size());
  if (error != 0) {
    throw EnvironmentError(std::string("cannot keep a table in memory: ") + std::strerror(error));
  }
  return "/proc/self/fd/" + std::to_string(descriptor);
}

}  // namespace fp4lab::cli
