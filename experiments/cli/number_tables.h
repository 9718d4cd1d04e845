// Tables of what a number format does, as result files: so that the plots, which read nothing else,
// can show them.
#pragma once

#include <string>
#include <vector>

#include "experiments/store/result_file.h"

namespace fp4lab::cli {

/// Kind `format`: one row for each two neighbouring values of each format, with the number at which
/// rounding changes from one to the other. Formats by name, a deterministic rounding. Throws
/// InputError for unknown names and formats of more than 8 bits.
store::ResultFile format_table(const std::vector<std::string>& names, const std::string& rounding);

/// Kind `estimator`: the factor that each gradient estimator puts in front of the gradient, for v =
/// x / scale across the range of a format and a quarter beyond; defaults of the estimators, at the
/// end of training (reste). Throws InputError.
store::ResultFile estimator_table(const std::string& format);

/// The bytes of a file in memory that a program started from here can read; returns its path.
/// Throws EnvironmentError.
std::string in_memory(store::ResultFile& file);

}  // namespace fp4lab::cli
