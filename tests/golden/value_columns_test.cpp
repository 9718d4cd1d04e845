// The columns of scalar_convert that hold values: microxcaling's element step on its own (Python
// and C++ path) and fouroversix's rounding before its packer.
#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "formats/convert.h"
#include "formats/reference_profiles.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/scalar_columns.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

Rounding mode(const std::string& column) {
  const std::string name = column.substr(column.find(':') + 1);
  if (name == "nearest") return kRna;
  if (name == "even") return kRne;
  EXPECT_EQ(name, "floor");
  return kRtz;
}

class ValueColumns : public testing::TestWithParam<const char*> {};

TEST_P(ValueColumns, MicroxcalingAndFouroversix) {
  const File& f = file("scalar_convert", GetParam());
  const ElementFormat format = element_format(format_id(f.header("format")));
  const std::vector<float> x = f.at("x").f32();
  std::size_t columns = 0;
  for (const std::string& column : f.names()) {
    if (column.find("_value") == std::string::npos) continue;
    ++columns;
    const std::vector<std::uint32_t>& want = f.at(column).u32();
    ASSERT_EQ(want.size(), x.size());
    Comparison comparison(f, column, column.substr(0, column.find(':')));
    for (std::size_t i = 0; i < x.size(); ++i) {
      float got = 0.0F;
      if (column == "fouroversix:fake_e2m1_value") {
        got = fouroversix_stochastic(x[i], 0.0F);
      } else if (column.starts_with("microxcaling_value:")) {
        got = microxcaling_value(format, x[i], mode(column));
      } else if (is_nan(x[i])) {
        comparison.exclude(Exclusion::kMicroxcalingCppNan);
        continue;
      } else {
        // The C++ path rounds by value, saturates everywhere and gives +0 for every zero.
        got = round_to(format, x[i], mode(column), Policy::gfloat_sat);
        if (got == 0.0F) got = 0.0F;
      }
      comparison.check_f32(i, std::bit_cast<std::uint32_t>(x[i]), got, want[i]);
    }
  }
  EXPECT_EQ(columns, GetParam() == std::string("f32_to_e2m1") ? 7U : 6U);
}

INSTANTIATE_TEST_SUITE_P(Files, ValueColumns,
                         testing::Values("f32_to_e2m1", "f32_to_e2m3", "f32_to_e3m2",
                                         "f32_to_e4m3fn", "f32_to_e5m2", "f32_to_bf16",
                                         "f32_to_f16"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace fp4lab::golden
