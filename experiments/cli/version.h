// What this build of the program is.
#pragma once

#include <string>

namespace fp4lab::cli {

/// The lines that `fp4lab --version` prints: version, commit, compiler, HDF5, CUDA, formats.
std::string version_text();

/// `0.1.0`.
std::string version_number();

/// Commit of the working tree at build time, with `+` when it had changes; `unknown` outside git.
std::string build_commit();

}  // namespace fp4lab::cli
