#include <memory>

#include "experiments/cli/context.h"
#include "experiments/cli/version.h"

namespace fp4lab::cli {
namespace {

/// CLI11's help with the command's examples in front.
class ExamplesFirst : public CLI::Formatter {
 public:
  explicit ExamplesFirst(const Context& context) : context_(context) {
    label("REQUIRED", "(required)");
    label("TEXT", "");
    label("UINT", "N");
    column_width(28);
  }

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    const auto at = context_.examples.find(app);
    const std::string examples =
        at == context_.examples.end() ? "" : "Examples:\n" + at->second + "\n";
    return examples + CLI::Formatter::make_help(app, name, mode);
  }

 private:
  const Context& context_;
};

}  // namespace

CLI::App* add_command(CLI::App& app, Context& context, const std::string& name,
                      const std::string& description, const std::string& examples,
                      std::function<ExitCode()> run) {
  CLI::App* const command = app.add_subcommand(name, description);
  context.examples[command] = examples;
  command->callback([&context, run = std::move(run)] { context.run = run; });
  command->footer("Global options (--formats, --color) are in fp4lab --help.");
  return command;
}

void build_app(CLI::App& app, Context& context) {
  app.name("fp4lab");
  app.description("Bit-exact laboratory for 4-bit number formats.");
  app.formatter(std::make_shared<ExamplesFirst>(context));
  app.set_help_flag("-h,--help", "Print this help");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Arrays: x.npy, x.h5:/path, raw x.f32 x.u8 ... x.raw (with --shape), - for raw on standard\n"
      "input or output, sample:NAME for a built-in tensor (gaussian outliers laplace ties ramp).\n"
      "Exit codes: 0 done, 1 a check failed, 2 wrong input, 3 the environment, 130 interrupted.");
  context.examples[&app] =
      "  fp4lab formats e2m1\n"
      "  fp4lab quantize --spec mxfp4 sample:gaussian\n"
      "  fp4lab cast --format e2m1 x.npy codes.npy\n"
      "  fp4lab train\n";

  app.add_option("--formats", context.format_files,
                 "TOML file with further number formats (repeatable)")
      ->envname("FP4LAB_FORMATS")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI::Option* const color =
      app.add_option("--color", context.color, "auto, always or never (NO_COLOR is heeded)")
          ->type_name("WHEN");
  context.choices[color] = {"auto", "always", "never"};
  app.set_version_flag("--version", version_text, "Print version, commit, compiler, libraries");

  add_formats_command(app, context);
  add_cast_command(app, context);
  add_decode_command(app, context);
  add_quantize_command(app, context);
  add_gemm_command(app, context);
  add_plot_command(app, context);
  add_train_command(app, context);
  add_error_command(app, context);
  add_sweep_command(app, context);
  add_merge_command(app, context);
  add_config_command(app, context);
  add_report_command(app, context);
  add_completion_command(app, context);
}

}  // namespace fp4lab::cli
