// formats/README.md shows the catalogue; this test keeps the table equal to the code. With
// FP4LAB_UPDATE_DOCS=1 in the environment it rewrites the table instead.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "formats/fp4lab.h"

namespace fp4lab {
namespace {

constexpr const char* kBegin = "<!-- catalogue: generated, do not edit -->\n";
constexpr const char* kEnd = "<!-- end of catalogue -->\n";

std::string number(double v) { return detail::print_number(v); }

std::string magnitudes(const ElementFormat& f) {
  if (f.bits > 4) return "";
  std::string out;
  for (std::uint32_t c = 0; c < f.code_count(); ++c) {
    if (f.kind == FormatKind::codebook && c >= f.count) break;
    const double v = decode_f64(f, c);
    if (f.kind == FormatKind::minifloat && f.is_signed && (c & f.sign_mask()) != 0) {
      if (classify(f, c) == ValueClass::nan) out += " NaN";
      continue;
    }
    if (!out.empty()) out += " ";
    if (f.kind == FormatKind::codebook) {
      // Codebook entries are binary32; their shortest binary32 text is what people typed.
      out += std::signbit(v) && v == 0.0 ? "-0" : detail::print_number(v, true);
    } else {
      out += classify(f, c) == ValueClass::nan        ? "NaN"
             : classify(f, c) == ValueClass::infinite ? "Inf"
                                                      : number(v);
    }
  }
  return out;
}

std::string catalogue_table() {
  std::ostringstream s;
  s << "| id | bits | what | largest | values in code order (sign-magnitude: one sign) | source |\n"
    << "|---|---|---|---|---|---|\n";
  for (const FormatInfo& f : kCatalog) {
    s << "| `" << f.id << "` | " << int(f.format.bits) << " | " << f.title << " | "
      << detail::print_number(max_value(f.format), true) << " | " << magnitudes(f.format) << " | "
      << f.source << " |\n";
  }
  return s.str();
}

std::string read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream s;
  s << in.rdbuf();
  return s.str();
}

TEST(FormatsReadme, CatalogueTable_IsWhatTheCodeSays) {
  const std::string path = FP4LAB_SOURCE_DIR "/formats/README.md";
  std::string text = read(path);
  const std::size_t begin = text.find(kBegin), end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos) << path << " lost its marker";
  ASSERT_NE(end, std::string::npos) << path << " lost its end marker";
  const std::size_t at = begin + std::string(kBegin).size();
  const std::string table = catalogue_table();
  if (std::getenv("FP4LAB_UPDATE_DOCS") != nullptr) {
    text.replace(at, end - at, table);
    std::ofstream(path) << text;
    return;
  }
  EXPECT_EQ(text.substr(at, end - at), table)
      << "run this test with FP4LAB_UPDATE_DOCS=1 to rewrite the table";
}

TEST(FormatsReadme, EveryHeader_IsListed) {
  const std::string text = read(FP4LAB_SOURCE_DIR "/formats/README.md");
  for (const char* header : {"host_device.h", "element_format.h", "rounding.h", "policy.h",
                             "convert.h", "decision_table.h", "catalog.h", "registry.h", "philox.h",
                             "quant_spec.h", "bases.h", "spec_text.h", "spec_defaults.h", "block.h", "scale_rule.h",
                             "two_level.h", "reference_profiles.h", "block_quantize.h",
                             "choose_scale.h", "hadamard.h", "packing.h", "float_log2.h",
                             "exact_exp2.h", "names.h", "fp4lab.h"}) {
    EXPECT_NE(text.find(std::string("`") + header + "`"), std::string::npos) << header;
  }
}

}  // namespace
}  // namespace fp4lab
