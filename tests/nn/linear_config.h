// Layers and numbers for the tests of linear layers.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "formats/spec_text.h"
#include "sim/nn/init.h"
#include "sim/nn/linear.h"

namespace fp4lab::test {

/// "SOURCE SPEC" of a slot; "-" is none.
struct SlotText {
  const char* source;
  const char* spec;
};

inline nn::SlotConfig slot_config(const SlotText& t) {
  nn::SlotConfig c;
  const std::string s = t.source;
  c.source = s == "master"     ? nn::SlotSource::master
             : s == "requant"  ? nn::SlotSource::requant
             : s == "shared2d" ? nn::SlotSource::shared2d
             : s == "dequant"  ? nn::SlotSource::dequant
                               : nn::SlotSource::none;
  if (t.spec != nullptr && *t.spec != '\0') c.spec = parse_spec(t.spec);
  return c;
}

inline nn::LayerConfig layer_config(const std::array<SlotText, nn::kSlots>& slots,
                                    nn::Compute compute = nn::Compute::fp32) {
  nn::LayerConfig c;
  for (std::size_t i = 0; i < nn::kSlots; ++i) c.slot[i] = slot_config(slots[i]);
  c.compute = compute;
  return c;
}

/// Named sets of six slots, as recipes have them.
struct NamedSlots {
  const char* name;
  std::array<SlotText, nn::kSlots> slots;
};

inline const std::vector<NamedSlots>& named_slots() {
  static const std::vector<NamedSlots> list = {
      {"none",
       {{{"none", ""}, {"none", ""}, {"none", ""}, {"none", ""}, {"none", ""}, {"none", ""}}}},
      {"mxfp4_baseline",
       {{{"master", "mxfp4"},
         {"master", "mxfp4"},
         {"master", "mxfp4"},
         {"master", "mxfp4"},
         {"master", "mxfp4"},
         {"master", "mxfp4"}}}},
      {"tetrajet",
       {{{"master", "mxfp4,rule=rceil"},
         {"master", "mxfp4,rule=rceil"},
         {"master", "mxfp4,rule=rceil,round=sr"},
         {"requant", "mxfp4,rule=rceil,round=sr"},
         {"master", "mxfp4,rule=rceil,round=sr"},
         {"requant", "mxfp4,rule=rceil,round=sr"}}}},
      {"nvfp4_nvidia",
       {{{"master", "nvfp4"},
         {"master", "nvfp4,block=16x16"},
         {"master", "nvfp4,round=sr"},
         {"shared2d", ""},
         {"master", "nvfp4,round=sr,hadamard=16"},
         {"master", "nvfp4,hadamard=16"}}}},
      {"nvfp4_basic",
       {{{"master", "nvfp4"},
         {"master", "nvfp4"},
         {"master", "nvfp4,round=sr"},
         {"master", "nvfp4"},
         {"master", "nvfp4,round=sr"},
         {"master", "nvfp4"}}}},
      {"int4",
       {{{"master", "int4"},
         {"master", "int4"},
         {"master", "int4,round=sr"},
         {"master", "int4,round=sr"},
         {"master", "int4,round=sr"},
         {"master", "int4,round=sr"}}}},
      {"fp8",
       {{{"master", "e4m3"},
         {"master", "e4m3"},
         {"master", "e5m2"},
         {"shared2d", ""},
         {"shared2d", ""},
         {"shared2d", ""}}}},
      {"tseng",
       {{{"none", ""},
         {"none", ""},
         {"master", "mxfp4,rule=tseng34,round=sr,hadamard=64:per-call"},
         {"master", "mxfp4,rule=tseng34,round=sr,hadamard=64:per-call"},
         {"master", "mxfp4,rule=tseng34,round=sr,hadamard=64:per-call"},
         {"master", "mxfp4,rule=tseng34,round=sr,hadamard=64:per-call"}}}},
      {"quartet",
       {{{"master", "mxfp4,rule=quest,hadamard=32"},
         {"master", "mxfp4,rule=quest,hadamard=32"},
         {"master", "mxfp4,rule=tseng34,hadamard=32:per-layer-step"},
         {"requant", "mxfp4,rule=tseng34,hadamard=32:per-layer-step"},
         {"master", "mxfp4,rule=tseng34,hadamard=32:per-layer-step"},
         {"requant", "mxfp4,rule=tseng34,hadamard=32:per-layer-step"}}}},
      {"mixed",
       {{{"none", ""},
         {"master", "nvfp4"},
         {"master", "mxfp4,hadamard=16"},
         {"dequant", ""},
         {"master", "e2m1,block=row"},
         {"none", ""}}}},
      {"one_sided_hadamard",
       {{{"master", "mxfp4,hadamard=32:per-call"},
         {"none", ""},
         {"none", ""},
         {"master", "nvfp4,hadamard=16:per-call"},
         {"none", ""},
         {"requant", "mxfp4,hadamard=32:per-call"}}}},
      {"squares_and_rows",
       {{{"master", "mxfp4,block=32x32"},
         {"master", "mxfp4,block=32x32"},
         {"master", "nvfp4,round=sr-fast:8"},
         {"shared2d", ""},
         {"master", "int4,block=row"},
         {"shared2d", ""}}}},
  };
  return list;
}

/// A layer numbered `layer` with these slots.
inline std::unique_ptr<nn::Linear> make_linear(const nn::LayerConfig& config, std::size_t in,
                                               std::size_t out, std::uint32_t layer = 3,
                                               bool bias = false) {
  nn::BuildContext build;
  build.seed_init = 11;
  build.policy = [&](const nn::LayerInfo&) { return config; };
  for (std::uint32_t i = 0; i < layer; ++i) build.add("before", nn::Role::norm);
  nn::LinearOptions options;
  options.bias = bias;
  return std::make_unique<nn::Linear>(build, "layer", nn::Role::ffn_up, -1, in, out, options);
}

/// Normals with a few large elements, zeros of both signs and a wide range of magnitudes.
inline Tensor test_values(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor t({rows, cols});
  nn::fill_normal({seed, 1, 0, RandomPurpose::synthetic_data, 0, 0}, 1.0f, t.span());
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (i % 97 == 3) t[i] *= 30.0f;
    if (i % 61 == 5) t[i] *= 0.001f;
    if (i % 53 == 7) t[i] = i % 2 == 0 ? 0.0f : -0.0f;
  }
  return t;
}

}  // namespace fp4lab::test
