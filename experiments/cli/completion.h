// Shell completion generated from the command tree.
#pragma once

#include <string>

#include "experiments/cli/context.h"

namespace fp4lab::cli {

/// A completion script for `shell` (bash, zsh or fish) that knows every sub-command, option and
/// enumerated value of `app`. Throws InputError for another shell.
std::string completion_script(const CLI::App& app, const Context& context,
                              const std::string& shell);

}  // namespace fp4lab::cli
