// TetraJet's quantizer: four scale modes, stochastic rounding with the stored noise, the EMA
// variant, bf16 tensors, and the Triton twin; seven element formats.
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <utility>

#include "formats/block.h"
#include "formats/reference_profiles.h"
#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

// Rounds to bf16 where the tensors are bf16.
float stored(float x, bool bf16) {
  return bf16 ? decode(element_format("bf16"), encode(element_format("bf16"), x)) : x;
}

class Tetrajet : public testing::TestWithParam<const char*> {
 protected:
  // The format has all its codes finite, so E4M3 reaches 480 and E5M2 114688 here.
  static ElementFormat element(const File& f) {
    ElementFormat e = element_format("e2m1");
    e.bits = static_cast<std::uint8_t>(std::stoi(f.header("bits")));
    e.exponent_bits = static_cast<std::uint8_t>(std::stoi(f.header("e_bit")));
    e.mantissa_bits = static_cast<std::uint8_t>(e.bits - 1 - e.exponent_bits);
    e.bias = static_cast<std::int16_t>((1 << (e.exponent_bits - 1)) - 1);
    return e;
  }
};

// One run over all blocks: `column` holds what `value` gives for (element, scale, index).
template <typename Value>
void check_column(const File& f, const std::string& column, const std::string& rule,
                  const Matrix& x, const std::vector<float>& scales, Value value) {
  const std::vector<std::uint32_t>& want = f.at(column).u32();
  ASSERT_EQ(want.size(), x.values.size()) << column;
  Comparison comparison(f, column, rule);
  for (std::size_t i = 0; i < want.size(); ++i) {
    comparison.check_f32(i, bits(x.values[i]), value(x.values[i], scales[i / x.cols], i), want[i]);
  }
}

TEST_P(Tetrajet, ModesNoiseEmaAndTriton) {
  const File& f = file("mxfp4_tetrajet", GetParam());
  const ElementFormat format = element(f);
  const std::string name = "tetrajet " + std::string(GetParam());
  for (const bool bf16 : {false, true}) {
    const std::string dtype = bf16 ? "bf16" : "f32";
    if (!f.has(dtype + ":mxscale0:q")) continue;
    Matrix x = matrix(file("mx_inputs", "blocks32").at("x"));
    for (float& v : x.values) v = stored(v, bf16);
    for (int mode = 0; mode < 4; ++mode) {
      const std::string prefix = dtype + ":mxscale" + std::to_string(mode);
      const std::string rule = name + " mode " + std::to_string(mode) + " " + dtype;
      TetrajetOptions options{static_cast<TetrajetMode>(mode), bf16, false};
      TetrajetOptions triton = options;
      triton.triton = true;
      std::vector<float> scales;
      std::vector<float> triton_scales;
      for (std::size_t r = 0; r < x.rows; ++r) {
        const BlockView block{
            x.values.data(), r * x.cols, 1, static_cast<std::uint32_t>(x.cols), 0, 1};
        scales.push_back(tetrajet_scale(format, block_amax(block), options));
        triton_scales.push_back(tetrajet_scale(format, block_amax(block), triton));
      }
      {
        const std::vector<std::uint32_t>& want = f.at(prefix + ":scale").u32();
        ASSERT_EQ(want.size(), x.rows);
        Comparison comparison(f, prefix + ":scale", rule);
        for (std::size_t r = 0; r < x.rows; ++r) {
          comparison.check_f32(r, r, scales[r], want[r]);
        }
      }
      const auto value = [&](TetrajetElement how, const TetrajetOptions& o) {
        return [&format, how, o](float v, float s, float extra) {
          return tetrajet_value(format, v, s, how, extra, o);
        };
      };
      const auto nearest = value(TetrajetElement::nearest, options);
      check_column(f, prefix + ":q", rule, x, scales,
                   [&](float v, float s, std::size_t) { return nearest(v, s, 0.0F); });
      check_column(f, prefix + ":dequant", rule, x, scales, [&](float v, float s, std::size_t) {
        return stored(nearest(v, s, 0.0F) * s, bf16);
      });
      if (f.has(prefix + ":dequant_triton")) {
        const auto away = value(TetrajetElement::nearest, triton);
        check_column(
            f, prefix + ":dequant_triton", rule + " triton", x, triton_scales,
            [&](float v, float s, std::size_t) { return stored(away(v, s, 0.0F) * s, bf16); });
      }
      if (f.has(prefix + ":sr_noise")) {
        const std::vector<float> noise = f.at(prefix + ":sr_noise").f32();
        const auto noisy = value(TetrajetElement::noise, options);
        check_column(f, prefix + ":sr_dequant", rule + " noise", x, scales,
                     [&](float v, float s, std::size_t i) {
                       return stored(noisy(v, s, noise[i]) * s, bf16);
                     });
      }
      if (f.has(prefix + ":ema_in")) {
        const std::vector<float> ema = f.at(prefix + ":ema_in").f32();
        const auto side = value(TetrajetElement::ema, options);
        check_column(
            f, prefix + ":ema_dequant", rule + " ema", x, scales,
            [&](float v, float s, std::size_t i) { return stored(side(v, s, ema[i]) * s, bf16); });
      }
    }
  }
}

// The same through specs: what a user of mxfp4@tetrajet gets. Noise is handed in as random words.
TEST_P(Tetrajet, Specs) {
  const std::pair<const char*, const char*> bases[] = {{"e2_bits4", "mxfp4"},
                                                       {"e2_bits6", "mxfp6-e2m3"},
                                                       {"e3_bits6", "mxfp6-e3m2"},
                                                       {"e4_bits8", "mxfp8-e4m3"},
                                                       {"e5_bits8", "mxfp8-e5m2"}};
  const char* const rules[] = {"absmax", "rceil", "pow2-floor", "floor"};
  for (const auto& [stem, base] : bases) {
    if (GetParam() != std::string(stem)) continue;
    const File& f = file("mxfp4_tetrajet", stem);
    const Matrix x = matrix(file("mx_inputs", "blocks32").at("x"));
    for (int mode = 0; mode < 4; ++mode) {
      const std::string prefix = "f32:mxscale" + std::to_string(mode);
      std::string spec = std::string(base) + "@tetrajet,rule=" + rules[mode];
      if (mode == 0) spec += ",scale=fp32";
      const auto compare = [&](const std::string& column, const std::string& text,
                               const Quantized& q) {
        const std::vector<std::uint32_t>& want = f.at(column).u32();
        ASSERT_EQ(q.values.size(), want.size());
        Comparison comparison(f, column, text);
        for (std::size_t i = 0; i < want.size(); ++i) {
          comparison.check_f32(i, bits(x.values[i]), q.values[i], want[i]);
        }
      };
      const Quantized q = quantize(spec, x);
      compare(prefix + ":dequant", spec, q);
      const std::vector<std::uint32_t>& scale = f.at(prefix + ":scale").u32();
      ASSERT_EQ(q.scales.size(), scale.size());
      Comparison scales(f, prefix + ":scale", spec);
      for (std::size_t i = 0; i < scale.size(); ++i) {
        scales.check_f32(i, i, q.scales[i], scale[i]);
      }
      if (!f.has(prefix + ":sr_noise")) continue;
      std::vector<std::uint32_t> words;
      for (const float noise : f.at(prefix + ":sr_noise").f32()) {
        // u = noise + 1/2 is a multiple of 2^-24; a word holds it in its upper 24 bits.
        const double u = (static_cast<double>(noise) + 0.5) * 0x1p24;
        ASSERT_EQ(u, static_cast<double>(static_cast<std::uint32_t>(u)));
        words.push_back(static_cast<std::uint32_t>(u) << 8);
      }
      spec += ",round=sr-noise";
      compare(prefix + ":sr_dequant", spec, quantize(spec, x, words));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Tetrajet,
                         testing::Values("e2_bits4", "e1_bits4", "e3_bits4", "e2_bits6", "e3_bits6",
                                         "e4_bits8", "e5_bits8"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace fp4lab::golden
