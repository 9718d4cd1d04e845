// Codes to values: every code of every table.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>

#include "formats/element_format.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/scalar_columns.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

// ml_dtypes' integers by the catalogue's names; its uint2 is a record without a row.
ElementFormat integer_or_float(const std::string& name) {
  if (name == "int4") return element_format("int4-full");
  if (name == "uint4") return element_format("uint4-asym");
  if (name == "uint2") {
    ElementFormat f = element_format("uint4-asym");
    f.bits = f.mantissa_bits = 2;
    f.bias = -1;
    return f;
  }
  return element_format(format_id(name));
}

TEST(DecodeTables, OcpAndFriends) {
  const File& f = file("decode_tables", "ocp_and_friends");
  for (const std::string& column : f.names()) {
    const std::string name = column.substr(column.find(':') + 1);
    const ElementFormat format = integer_or_float(name);
    const std::vector<std::uint32_t>& want = f.at(column).u32();
    ASSERT_EQ(want.size(), format.code_count()) << column;
    Comparison comparison(f, column, "decode " + name);
    for (std::uint32_t code = 0; code < want.size(); ++code) {
      comparison.check_f32(code, code, decode(format, code), want[code]);
    }
  }
}

TEST(DecodeTables, P3109AndCustom) {
  const File& f = file("decode_tables", "p3109_and_custom");
  for (const std::string& column : f.names()) {
    const ElementFormat format = gfloat_format(column);
    const std::vector<std::uint64_t>& want = f.at(column).u64();
    ASSERT_EQ(want.size(), format.code_count()) << column;
    Comparison comparison(f, column, "decode");
    for (std::uint32_t code = 0; code < want.size(); ++code) {
      const double got = decode_f64(format, code);
      const bool nan = std::isnan(got) && std::isnan(std::bit_cast<double>(want[code]));
      comparison.check(code, code, nan ? want[code] : std::bit_cast<std::uint64_t>(got),
                       want[code]);
    }
  }
}

}  // namespace
}  // namespace fp4lab::golden
