// fp4lab error: what specs do to distributions or to the tensors of a file.
#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/cli/context.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/table.h"
#include "experiments/study/study.h"
#include "experiments/sweep/kind.h"
#include "experiments/sweep/plan.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

using nlohmann::json;

struct ErrorArguments {
  std::vector<std::string> sources;
  std::vector<std::string> specs;
  std::uint64_t rows = 512, columns = 1024, seed = 0;
  bool each = false, as_json = false;
};

/// Columns of a study's table that the command shows.
struct Shown {
  const char* column;
  const char* title;
};
constexpr Shown kShown[] = {{"sqnr_db", "SQNR dB"},
                            {"mse", "MSE"},
                            {"max_abs_error", "max error"},
                            {"underflow_fraction", "underflow"},
                            {"saturation_fraction", "saturated"},
                            {"bits_per_value", "bits"}};

ExitCode run(Context& context, const ErrorArguments& a) {
  std::vector<std::string> sources = a.sources, specs = a.specs;
  if (sources.empty()) sources = {"normal", "laplace", "student-t:5", "lognormal:2", "outliers"};
  if (specs.empty()) {
    specs = {"nvfp4", "nvfp4,rule=4over6", "mxfp4", "mxfp4,rule=rceil", "int4,block=1x32"};
  }
  Table table({{"source"},
               {"tensor"},
               {"spec"},
               {"SQNR dB", Align::kRight},
               {"MSE", Align::kRight},
               {"max error", Align::kRight},
               {"underflow", Align::kRight},
               {"saturated", Align::kRight},
               {"bits", Align::kRight}});
  json rows = json::array();
  Progress progress("error", sources.size() * specs.size());
  std::size_t done = 0;
  for (const std::string& source : sources) {
    for (const std::string& spec : specs) {
      study::ErrorConfig config;
      try {
        config.source.name = study::canonical_source(source);
      } catch (const std::invalid_argument& e) {
        throw InputError(e.what());
      }
      config.source.rows = a.rows;
      config.source.columns = a.columns;
      config.source.seed = a.seed;
      config.spec = spec;
      const store::ResultFile file = study::run_error(config);
      progress.update(++done);
      const auto& tensors = file.at("/table/tensor").texts;
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        const bool is_total = i + 1 == tensors.size();
        // The total of a single tensor repeats it.
        if (is_total ? a.each && tensors.size() == 2 : !a.each) continue;
        std::vector<std::string> cells = {source, tensors[i], file.at("/table/spec").texts[i]};
        json row = {{"source", source}, {"tensor", tensors[i]}, {"spec", cells[2]}};
        for (const Shown& shown : kShown) {
          const double v = file.at(std::string("/table/") + shown.column).number(i);
          const std::string name = shown.column;
          cells.push_back(name == "sqnr_db"                    ? fixed(v, 2)
                          : name.find("fraction") != name.npos ? percent(v)
                                                               : general(v, 4));
          row[name] = std::isfinite(v) ? json(v) : json(nullptr);
        }
        table.add(cells);
        rows.push_back(row);
      }
    }
  }
  if (a.as_json) {
    context.out.line(rows.dump(2));
  } else {
    table.print(context.out);
  }
  return ExitCode::kDone;
}

}  // namespace

void add_error_command(CLI::App& app, Context& context) {
  auto a = std::make_shared<ErrorArguments>();
  CLI::App* const command = add_command(
      app, context, "error", "Quantization error of specs on distributions or on a file's tensors",
      "  fp4lab error                                   five distributions, five specs\n"
      "  fp4lab error model.safetensors --spec nvfp4 --spec mxfp4 --each\n"
      "  fp4lab error student-t:3 w.npy --spec mxfp4,rule=rceil --json\n",
      [a, &context] { return run(context, *a); });
  command
      ->add_option("source", a->sources,
                   "normal laplace student-t:NU lognormal:SIGMA uniform outliers, sample:NAME, "
                   "x.safetensors, x.npy, x.h5, x.h5:/path")
      ->type_name("SOURCE");
  command->add_option("--spec", a->specs, "A rule (repeatable)")
      ->type_name("SPEC")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--rows", a->rows, "Rows of a drawn tensor")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--columns", a->columns, "Columns of a drawn tensor")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--seed", a->seed, "Seed of drawn numbers and of stochastic rounding")
      ->capture_default_str();
  command->add_flag("--each", a->each, "A row for every tensor of a file, then the total");
  command->add_flag("--json", a->as_json, "Print as JSON");
}

}  // namespace fp4lab::cli
