// fp4lab plot KIND PATH..., fp4lab report PATH...: hand over to the Python package of analysis/.
#include <filesystem>
#include <memory>

#include "data/error.h"
#include "experiments/cli/context.h"
#include "experiments/cli/names.h"
#include "experiments/cli/number_tables.h"
#include "experiments/cli/python.h"

namespace fp4lab::cli {
namespace {

/// Kinds of plot, for completion and help; a test compares them with the package's own list.
const std::vector<std::string> kKinds = {
    "error",     "error-map", "rate-distortion", "transfer",    "estimators", "loss",
    "grad-norm", "layers",    "codes",           "scales",      "clipping",   "gemms",
    "slots",     "final",     "effects",         "oscillation", "confidence", "trajectories",
    "flips",     "rounding",  "accumulator",     "attention",   "router"};

struct Options {
  std::string kind;
  std::vector<std::string> paths;
  std::string round;                                       ///< of transfer curves
  std::vector<std::pair<std::string, std::string>> named;  ///< long name, value
};

/// Adds `--NAME VALUE`, handed through as typed.
void pass_on(CLI::App* command, const std::shared_ptr<Options>& options, const std::string& flags,
             const std::string& type, const std::string& meaning) {
  const std::string name = flags.substr(flags.rfind("--"));
  command
      ->add_option_function<std::string>(
          flags, [options, name](const std::string& v) { options->named.emplace_back(name, v); },
          meaning)
      ->type_name(type);
}

std::vector<std::string> arguments_of(const std::string& command, const Options& options) {
  std::vector<std::string> words = {command};
  for (const auto& [name, value] : options.named) words.push_back(name + "=" + value);
  words.emplace_back("--");
  if (!options.kind.empty()) words.push_back(options.kind);
  words.insert(words.end(), options.paths.begin(), options.paths.end());
  return words;
}

/// Kinds that show number formats take their names; the table that is drawn is made here.
ExitCode run_plot(Context& context, Options options) {
  const bool transfer = options.kind == "transfer", estimators = options.kind == "estimators";
  if (!options.round.empty() && !transfer) {
    throw InputError("--round goes with the kind transfer alone");
  }
  if ((transfer || estimators) && !std::filesystem::exists(options.paths.front())) {
    register_user_formats(context.format_files);
    if (estimators && options.paths.size() != 1) {
      throw InputError("the kind estimators takes one format, not " +
                       std::to_string(options.paths.size()));
    }
    store::ResultFile file =
        transfer ? format_table(options.paths, options.round.empty() ? "rne" : options.round)
                 : estimator_table(options.paths.front());
    options.paths = {in_memory(file)};
  }
  run_analysis(arguments_of("plot", options));
}

}  // namespace

void add_plot_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, context, "plot", "Draw a plot from result files or sweep folders",
                  "  fp4lab plot loss results/\n"
                  "  fp4lab plot error results/ -o error.pdf --data error.csv\n"
                  "  fp4lab plot layers run.h5 --statistic underflow_fraction --slot q3\n"
                  "  fp4lab plot loss results-a/ results-b/        (two sweeps over each other)\n"
                  "  fp4lab plot transfer e2m1 nf4                 (number formats, no file)\n",
                  [&context, options] { return run_plot(context, *options); });
  CLI::Option* const kind = command->add_option("KIND", options->kind, "kind of plot")->required();
  context.choices[kind] = kKinds;
  command
      ->add_option("PATH", options->paths,
                   "result files or sweep folders; formats for transfer, estimators")
      ->required();
  pass_on(command, options, "-o,--out", "FILE",
          "picture to write: .svg, .png or .pdf (default: plots/KIND.svg in the sweep folder)");
  pass_on(command, options, "--data", "FILE", "CSV file for the drawn numbers");
  pass_on(command, options, "--baseline", "NAME", "recipe to compare with (default: bf16, fp32)");
  pass_on(command, options, "--metric", "NAME", "quantity to draw");
  pass_on(command, options, "--statistic", "NAME", "statistic of /layers");
  pass_on(command, options, "--run", "NAME", "one run: its label or the start of its id");
  pass_on(command, options, "--layer", "NAME", "layer, or a part of its name");
  pass_on(command, options, "--slot", "NAME", "quantizer slot, q1 to q6");
  pass_on(command, options, "--source", "NAME", "source of the tensors");
  pass_on(command, options, "--by", "KEY", "configuration key to compare by");
  command->add_option("--round", options->round, "deterministic rounding of transfer (rne)")
      ->type_name("MODE");
  pass_on(command, options, "--task", "NAME", "training task, where a sweep has several");
  pass_on(command, options, "--weights", "N", "number of traced weights to draw");
  pass_on(command, options, "--smoothing", "STEPS", "steps of the running mean of losses");
}

void add_report_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, context, "report", "Write one HTML page about a sweep",
                  "  fp4lab report results/                        (results/report.html)\n"
                  "  fp4lab report results/ -o page.html --tables tables/\n",
                  [options]() -> ExitCode { run_analysis(arguments_of("report", *options)); });
  command->add_option("PATH", options->paths, "result files or sweep folders")->required();
  pass_on(command, options, "-o,--out", "FILE",
          "page to write (default: report.html in the folder)");
  pass_on(command, options, "--tables", "DIR", "folder for the tables in Markdown, CSV and LaTeX");
  pass_on(command, options, "--baseline", "NAME", "recipe to compare with (default: bf16, fp32)");
}

}  // namespace fp4lab::cli
