// MX block quantizers: microxcaling (Python and C++ path) and torchao.
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <utility>

#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

constexpr std::uint32_t kNanScale = 255;

// File stem and the base of the spec it is compared with.
struct MxFile {
  const char* stem;
  const char* base;
};

std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

std::string stem_name(const testing::TestParamInfo<MxFile>& info) { return info.param.stem; }

class Microxcaling : public testing::TestWithParam<MxFile> {
 protected:
  // Compares one column of dequantized values.
  static void values(const File& f, const std::string& column, const std::string& spec) {
    const Matrix x = matrix(file("mx_inputs", "blocks32").at(column.substr(0, column.find(':'))));
    const Quantized q = quantize(spec, x);
    const std::vector<std::uint32_t>& want = f.at(column).u32();
    ASSERT_EQ(q.values.size(), want.size()) << column;
    Comparison comparison(f, column, spec);
    for (std::size_t i = 0; i < want.size(); ++i) {
      comparison.check_f32(i, bits(x.values[i]), q.values[i], want[i]);
    }
  }
};

TEST_P(Microxcaling, Values) {
  const File& f = file("mx_microxcaling", GetParam().stem);
  const std::string base = GetParam().base;
  const std::pair<const char*, const char*> modes[] = {
      {"nearest", ""}, {"even", ",round=rne"}, {"floor", ",round=rtz"}};
  for (const std::string input : {"x", "xs"}) {
    for (const auto& [mode, option] : modes) {
      values(f, input + ":" + mode, base + "@microxcaling" + option);
      values(f, input + ":" + mode + ":cpp", base + "@microxcaling-cuda" + option);
    }
    values(f, input + ":nearest:flush", base + "@microxcaling,flush=on");
    values(f, input + ":nearest:flush:cpp", base + "@microxcaling-cuda,flush=on");
  }
}

TEST_P(Microxcaling, Scales) {
  const File& f = file("mx_microxcaling", GetParam().stem);
  const std::string base = GetParam().base;
  for (const std::string input : {"x", "xs"}) {
    const Matrix x = matrix(file("mx_inputs", "blocks32").at(input));
    {
      const std::string column = input + ":scale_exp";
      const std::string spec = base + "@microxcaling";
      const std::vector<std::uint32_t>& want = f.at(column).u32();
      const Quantized q = quantize(spec, x);
      ASSERT_EQ(q.scale_codes.size(), want.size());
      Comparison comparison(f, column, spec);
      for (std::size_t i = 0; i < want.size(); ++i) {
        const std::uint32_t code = q.scale_codes[i];
        comparison.check(i, bits(x.values[i * x.cols]),
                         code == kNanScale ? 0x80000000U : code - 127, want[i]);
      }
    }
    const std::string column = input + ":cpp_scale";
    const std::string spec = base + "@microxcaling-cuda";
    const std::vector<std::uint32_t>& want = f.at(column).u32();
    const Quantized q = quantize(spec, x);
    ASSERT_EQ(q.scales.size(), want.size());
    Comparison comparison(f, column, spec);
    for (std::size_t i = 0; i < want.size(); ++i) {
      comparison.check_f32(i, bits(x.values[i * x.cols]), q.scales[i], want[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Microxcaling,
                         testing::Values(MxFile{"fp4_e2m1", "mxfp4"},
                                         MxFile{"fp6_e2m3", "mxfp6-e2m3"},
                                         MxFile{"fp6_e3m2", "mxfp6-e3m2"},
                                         MxFile{"fp8_e4m3", "mxfp8-e4m3"},
                                         MxFile{"fp8_e5m2", "mxfp8-e5m2"}, MxFile{"int8", "mxint8"},
                                         MxFile{"int4", "mxint4"}, MxFile{"int2", "mxint2"}),
                         stem_name);

class TorchaoMx : public testing::TestWithParam<MxFile> {};

TEST_P(TorchaoMx, ScalesCodesAndValues) {
  const File& f = file("mx_torchao", GetParam().stem);
  for (const std::string input : {"x", "xs"}) {
    const Matrix x = matrix(file("mx_inputs", "blocks32").at(input));
    for (const std::string rule : {"floor", "rceil", "ceil", "even"}) {
      const std::string spec = std::string(GetParam().base) + "@torchao,rule=" + rule;
      const std::string prefix = input + ":" + rule;
      const std::vector<std::uint8_t>& scale = f.at(prefix + ":scale").u8();
      const std::vector<std::uint8_t>& code = f.at(prefix + ":code").u8();
      const std::vector<std::uint32_t>& value = f.at(prefix + ":dequant").u32();
      const Quantized q = quantize(spec, x);
      ASSERT_EQ(q.scale_codes.size(), scale.size());
      ASSERT_EQ(q.codes.size(), code.size());
      ASSERT_EQ(q.values.size(), value.size());
      Comparison scales(f, prefix + ":scale", spec);
      for (std::size_t i = 0; i < scale.size(); ++i) {
        scales.check(i, bits(x.values[i * x.cols]), q.scale_codes[i], scale[i]);
      }
      Comparison codes(f, prefix + ":code", spec);
      Comparison values(f, prefix + ":dequant", spec);
      for (std::size_t i = 0; i < code.size(); ++i) {
        if (scale[i / x.cols] == kNanScale) {
          codes.exclude(Exclusion::kTorchaoPoisonedBlock);
          values.exclude(Exclusion::kTorchaoPoisonedBlock);
          continue;
        }
        codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
        values.check_f32(i, bits(x.values[i]), q.values[i], value[i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TorchaoMx,
                         testing::Values(MxFile{"fp4_e2m1", "mxfp4"},
                                         MxFile{"fp6_e2m3", "mxfp6-e2m3"},
                                         MxFile{"fp6_e3m2", "mxfp6-e3m2"},
                                         MxFile{"fp8_e4m3", "mxfp8-e4m3"},
                                         MxFile{"fp8_e5m2", "mxfp8-e5m2"}),
                         stem_name);

}  // namespace
}  // namespace fp4lab::golden
