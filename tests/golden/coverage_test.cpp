// Nothing is forgotten: after a run of all other tests, every stored column was either compared or
// is an input. Asked for by FP4LAB_GOLDEN_COVERAGE=1, since it means nothing for a single test.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/golden/compare.h"
#include "tests/golden/files.h"

namespace fp4lab::golden {
namespace {

// Inputs by folder and name; the numbers that others made from them are elsewhere.
bool is_input(std::string_view source, std::string_view column) {
  const auto in = [&](std::string_view folder) {
    return source.find(folder) != std::string_view::npos;
  };
  if (in("/mx_inputs/") || in("/nvfp4_inputs/")) return true;
  if (in("/scalar_convert/")) return column == "x";
  if (in("/gfloat_round/")) {
    return column == "x" || column == "sr_x" || column.starts_with("sr_bits:");
  }
  if (in("/mxfp4_tetrajet/")) return column.ends_with(":sr_noise") || column.ends_with(":ema_in");
  if (in("/stochastic_values")) return column == "x" || column == "noise";
  if (in("/qgemm")) return column.ends_with(":x") || column.ends_with(":w");
  if (in("/hadamard/")) {
    return column.ends_with(":x") || column.ends_with(":xint") || column.ends_with(":sign");
  }
  return false;
}

class Coverage : public testing::Environment {
 public:
  void TearDown() override {
    if (std::getenv("FP4LAB_GOLDEN_COVERAGE") == nullptr) return;
    std::size_t columns = 0;
    for (const std::string& path : stored_files()) {
      // The sums over all inputs have a test of their own that every column has a rule.
      if (path.find("all_f32_hash") != std::string::npos) continue;
      const File f = File::load(path);
      for (const std::string& column : f.names()) {
        if (is_input(path, column)) continue;
        ++columns;
        EXPECT_TRUE(compared_columns().count(column_key(f, column)) != 0)
            << path << ": " << column << " was not compared with anything";
      }
    }
    std::printf("%zu golden columns, %zu stored tensors of them compared\n", columns,
                compared_columns().size());
  }
};

[[maybe_unused]] const testing::Environment* const kCoverage =
    testing::AddGlobalTestEnvironment(new Coverage);

}  // namespace
}  // namespace fp4lab::golden
