// Every stored output of a real H100, bit for bit, through three doors: the header's function, the
// GEMM engine with its fast paths, and the traced computation.
#include <gtest/gtest.h>

#include <cstring>
#include <regex>

#include "formats/registry.h"
#include "sim/gemm.h"
#include "sim/gemm_explain.h"
#include "sim/mma_presets.h"
#include "tests/mma/h100_file.h"

namespace fp4lab::mma_test {
namespace {

const std::string kFolder = FP4LAB_GOLDEN_DIR "/h100_mma/";

/// "wgmma_k32_e4m3e5m2_f32" -> sm90a.wgmma.k32.e4m3.e5m2.f32.
std::string preset_id(const std::string& section) {
  static const std::regex pattern("(mma|wgmma)_k([0-9]+)_([a-z0-9]+)_(f32|f16)");
  std::smatch m;
  if (!std::regex_match(section, m, pattern)) return {};
  std::string a = m[3], b = m[3];
  if (a == "e4m3e5m2") {
    a = "e4m3";
    b = "e5m2";
  }
  return "sm90a." + m[1].str() + ".k" + m[2].str() + "." + a + "." + b + "." + m[4].str();
}

std::vector<MmaOperand> decoded(const ElementFormat& f, const std::uint32_t* codes, std::size_t n) {
  std::vector<MmaOperand> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = decode_operand(f, codes[i]);
  return out;
}

GemmOperand operand(const ElementFormat& f, const std::uint32_t* codes, std::size_t rows,
                    std::size_t k) {
  RecordedOperand r;
  r.rows = rows;
  r.k = k;
  r.format = f;
  r.codes = {codes, rows * k};
  return GemmOperand::from_codes(r);
}

TEST(H100Tiles, HeaderFunction) {
  const auto sections = read_sections(kFolder + "mma_tiles.bin", true);
  ASSERT_EQ(sections.size(), 20u);
  std::size_t outputs = 0;
  for (const Section& s : sections) {
    const MmaPreset* p = find_preset(preset_id(s.name));
    ASSERT_NE(p, nullptr) << s.name;
    EXPECT_EQ(p->evidence, Evidence::measured) << p->id;
    const ElementFormat fa = *format_of_ptx_type(p->a), fb = *format_of_ptx_type(p->b);
    for (std::size_t t = 0; t < s.cases; ++t) {
      for (std::size_t i = 0; i < s.m; ++i) {
        const auto a = decoded(fa, s.a.data() + (t * s.m + i) * s.k, s.k);
        for (std::size_t j = 0; j < s.n; ++j) {
          const auto b = decoded(fb, s.b.data() + (t * s.n + j) * s.k, s.k);
          const std::size_t o = (t * s.m + i) * s.n + j;
          const std::uint32_t got =
              mma_dot(p->params, a.data(), b.data(), nullptr, nullptr, 0, s.c[o]);
          ASSERT_EQ(got, s.d[o]) << p->id << " case " << t << " [" << i << ", " << j
                                 << "], generator " << t % s.generators;
          ++outputs;
        }
      }
    }
  }
  EXPECT_EQ(outputs, 5120u);
}

TEST(H100Tiles, GemmAndTrace) {
  std::size_t outputs = 0;
  for (const Section& s : read_sections(kFolder + "mma_tiles.bin", true)) {
    const MmaPreset* p = find_preset(preset_id(s.name));
    ASSERT_NE(p, nullptr) << s.name;
    const Accumulator acc = parse_accumulator(p->id);
    const ElementFormat half = find_format("fp16")->format;
    for (std::size_t t = 0; t < s.cases; ++t) {
      const GemmOperand a =
          operand(*format_of_ptx_type(p->a), s.a.data() + t * s.m * s.k, s.m, s.k);
      const GemmOperand b =
          operand(*format_of_ptx_type(p->b), s.b.data() + t * s.n * s.k, s.n, s.k);
      std::vector<float> c(s.m * s.n);
      for (std::size_t i = 0; i < c.size(); ++i) {
        const std::uint32_t w = s.c[t * s.m * s.n + i];
        c[i] = s.c_bits == 16 ? decode(half, w) : bits_as<float>(w);
      }
      GemmOptions options;
      options.c = c;
      const GemmResult r = gemm(a, b, acc, options);
      EXPECT_EQ(r.instruction, p->id);
      EXPECT_EQ(r.type_name, s.c_bits == 16 ? "fp16" : "fp32");
      for (std::size_t o = 0; o < c.size(); ++o) {
        ASSERT_EQ(r.bits[o], s.d[t * c.size() + o])
            << p->id << " case " << t << " output " << o << ", generator " << t % s.generators;
        ++outputs;
      }
      // The traced path is another one: it must land on the same bits.
      const Explanation e = explain(a, b, acc, s.m - 1, s.n - 1, options);
      EXPECT_EQ(e.bits, s.d[(t + 1) * c.size() - 1]) << p->id << " case " << t;
    }
  }
  EXPECT_EQ(outputs, 5120u);
}

TEST(H100Gemm, LibraryProducts) {
  const auto sections = read_sections(kFolder + "gemm.bin", false);
  ASSERT_EQ(sections.size(), 3u);
  const std::pair<const char*, const char*> plans[] = {
      {"cublaslt_e4m3_f32_fast0", "cublaslt-fp8-slow"},
      {"cublaslt_e4m3_f32_fast1", "cublaslt-fp8-fast"},
      {"cublaslt_bf16_f32", "torch-bf16"}};
  std::size_t outputs = 0;
  for (const Section& s : sections) {
    const char* plan = nullptr;
    for (const auto& [section, name] : plans) {
      if (s.name == section) plan = name;
    }
    ASSERT_NE(plan, nullptr) << s.name;
    const ElementFormat f = find_format(s.a_bits == 8 ? "e4m3" : "bf16")->format;
    const GemmOperand a = operand(f, s.a.data(), s.m, s.k), b = operand(f, s.b.data(), s.n, s.k);
    const GemmResult r = gemm(a, b, parse_accumulator(plan));
    EXPECT_EQ(r.evidence, Evidence::measured);
    EXPECT_EQ(r.bits, s.d) << plan;
    outputs += r.bits.size();
    // The plan matters: the other FP8 plan gives other bits.
    if (s.a_bits == 8) {
      const bool slow = std::strcmp(plan, "cublaslt-fp8-slow") == 0;
      EXPECT_NE(
          gemm(a, b, parse_accumulator(slow ? "cublaslt-fp8-fast" : "cublaslt-fp8-slow")).bits,
          s.d);
      EXPECT_EQ(gemm(a, b, parse_accumulator(slow ? "promote:128:sm90" : "sm90")).bits, s.d);
    }
  }
  EXPECT_EQ(outputs, 192u);
}

}  // namespace
}  // namespace fp4lab::mma_test
