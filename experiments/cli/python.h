// The Python side: pictures and reports are made by the package in analysis/, which reads result
// files and nothing else.
#pragma once

#include <string>
#include <vector>

namespace fp4lab::cli {

/// Replaces this process by `python3 -m fp4lab_analysis ARGUMENTS`. The interpreter is
/// $FP4LAB_PYTHON, else the first of `python3` and /usr/bin/python3 that has the modules; the
/// package lies in $FP4LAB_ANALYSIS, in the installed share folder, in the source tree, or is
/// installed with pip. Returns only by throwing EnvironmentError; a missing module is named by the
/// package itself, with the commands that bring it and exit code 3.
[[noreturn]] void run_analysis(const std::vector<std::string>& arguments);

}  // namespace fp4lab::cli
