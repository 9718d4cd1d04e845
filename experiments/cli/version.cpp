#include "experiments/cli/version.h"

#include "data/hdf5_file.h"
#include "formats/catalog.h"
#include "fp4lab_git_commit.h"

namespace fp4lab::cli {

std::string version_number() { return FP4LAB_VERSION; }

std::string build_commit() { return FP4LAB_GIT_COMMIT; }

std::string version_text() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return "fp4lab " + version_number() + "\ncommit    " + build_commit() + "\ncompiler  " +
         compiler + "\nHDF5      " + hdf5_version() + "\nCUDA      " +
         (FP4LAB_WITH_CUDA ? "yes" : "no") + "\nformats   " + std::to_string(catalog().size()) +
         "\n";
}

}  // namespace fp4lab::cli
