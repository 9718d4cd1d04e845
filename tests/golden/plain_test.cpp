// The project's own defaults (no profile) against the implementations that follow the same rule:
// plain MX against torchao on the ordinary blocks, plain NVFP4 against Transformer Engine.
#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

struct MxFile {
  const char* stem;
  const char* base;
};

class PlainMx : public testing::TestWithParam<MxFile> {};

TEST_P(PlainMx, AgreesWithTorchaoOnOrdinaryBlocks) {
  const File& f = file("mx_torchao", GetParam().stem);
  const Matrix x = matrix(file("mx_inputs", "blocks32").at("x"));
  for (const std::string rule : {"floor", "rceil", "ceil", "even"}) {
    const std::string spec = std::string(GetParam().base) + ",rule=" + rule;
    const std::string prefix = "x:" + rule;
    const std::vector<std::uint8_t>& scale = f.at(prefix + ":scale").u8();
    const std::vector<std::uint8_t>& code = f.at(prefix + ":code").u8();
    const std::vector<std::uint32_t>& value = f.at(prefix + ":dequant").u32();
    const Quantized q = quantize(spec, x);
    Comparison scales(f, prefix + ":scale", spec);
    Comparison codes(f, prefix + ":code", spec);
    Comparison values(f, prefix + ":dequant", spec);
    for (std::size_t i = 0; i < scale.size(); ++i) {
      scales.check(i, bits(x.values[i * 32]), q.scale_codes[i], scale[i]);
    }
    for (std::size_t i = 0; i < code.size(); ++i) {
      codes.check(i, bits(x.values[i]), q.codes[i], code[i]);
      values.check_f32(i, bits(x.values[i]), q.values[i], value[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, PlainMx,
                         testing::Values(MxFile{"fp4_e2m1", "mxfp4"},
                                         MxFile{"fp6_e2m3", "mxfp6-e2m3"},
                                         MxFile{"fp6_e3m2", "mxfp6-e3m2"},
                                         MxFile{"fp8_e4m3", "mxfp8-e4m3"},
                                         MxFile{"fp8_e5m2", "mxfp8-e5m2"}),
                         [](const auto& param) { return std::string(param.param.stem); });

// Plain nvfp4 keeps the sign of zero, the reference does not: the only difference.
TEST(PlainNvfp4, AgreesWithTransformerEngineButForNegativeZero) {
  for (const std::string config : {"1x16", "16x16"}) {
    const std::string spec = config == "1x16" ? "nvfp4" : "nvfp4,block=16x16";
    for (const std::string dtype : {"f32", "bf16"}) {
      const File& f = file("nvfp4_te_reference", config + "_" + dtype);
      const File& in = file("nvfp4_inputs", "inputs_" + dtype);
      for (const std::string& input : in.names()) {
        const std::string name = input.substr(0, input.rfind(':'));
        const Matrix x = matrix(in.at(input));
        const Quantized q = quantize(spec, x);
        const std::vector<std::uint8_t>& code = f.at(name + ":row:code").u8();
        const std::vector<std::uint8_t>& scale = f.at(name + ":row:scale").u8();
        Comparison scales(f, name + ":row:scale", spec);
        Comparison codes(f, name + ":row:code", spec);
        for (std::size_t i = 0; i < scale.size(); ++i) {
          scales.check(i, bits(x.values[i * 16]), q.scale_codes[i], scale[i]);
        }
        for (std::size_t i = 0; i < code.size(); ++i) {
          const bool negative_zero = bits(x.values[i]) == 0x80000000U;
          codes.check(i, bits(x.values[i]), q.codes[i], negative_zero ? 8U : code[i]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab::golden
