// What the commands share: global options, the chosen action, and what completion needs to know.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/error.h"
#include "experiments/cli/terminal.h"

namespace fp4lab::cli {

/// State of one invocation. Commands add themselves to the App and leave their action in `run`.
struct Context {
  std::vector<std::string> format_files;  ///< --formats FILE, repeatable
  std::string color = "auto";             ///< --color
  Output out;                             ///< standard output

  /// The action of the sub-command that was parsed; returns the exit code.
  std::function<ExitCode()> run;

  /// Values an option accepts, for completion scripts.
  std::map<const CLI::Option*, std::vector<std::string>> choices;

  /// Example lines shown at the top of a command's help.
  std::map<const CLI::App*, std::string> examples;
};

/// Adds a sub-command with its examples, and `run` as its action.
CLI::App* add_command(CLI::App& app, Context& context, const std::string& name,
                      const std::string& description, const std::string& examples,
                      std::function<ExitCode()> run);

/// Each adds one sub-command.
void add_formats_command(CLI::App& app, Context& context);
void add_cast_command(CLI::App& app, Context& context);
void add_decode_command(CLI::App& app, Context& context);
void add_quantize_command(CLI::App& app, Context& context);
void add_gemm_command(CLI::App& app, Context& context);
void add_plot_command(CLI::App& app, Context& context);
void add_train_command(CLI::App& app, Context& context);
void add_sweep_command(CLI::App& app, Context& context);
void add_merge_command(CLI::App& app, Context& context);
void add_config_command(CLI::App& app, Context& context);
void add_error_command(CLI::App& app, Context& context);
void add_report_command(CLI::App& app, Context& context);
void add_completion_command(CLI::App& app, Context& context);

/// The whole command tree: `fp4lab` with its global options and every sub-command.
void build_app(CLI::App& app, Context& context);

}  // namespace fp4lab::cli
