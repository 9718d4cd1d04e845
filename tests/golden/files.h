// Where the golden files are.
#pragma once

#include <string>
#include <vector>

#include "tests/golden/gv1.h"

namespace fp4lab::golden {

// The folder that holds the golden folders: this one, unless the environment variable
// FP4LAB_GOLDEN_DIR names another sample with the same layout.
std::string root();

// Paths of all .gv.gz files below root(), sorted.
std::vector<std::string> stored_files();

// File stems of one golden folder (`f32_to_e2m1` for scalar_convert/f32_to_e2m1.gv.gz), sorted.
std::vector<std::string> stems(const std::string& folder);

// The file folder/stem.gv.gz, read once and kept.
const File& file(const std::string& folder, const std::string& stem);

}  // namespace fp4lab::golden
