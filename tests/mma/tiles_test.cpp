// Whole-matrix kernels of tensor-core instructions and plans against mma_dot(), output by output:
// every preset, adversarial data, starts from C, ragged shapes, all instruction sets, all ways of
// forming dots.
#include <gtest/gtest.h>

#include <algorithm>

#include "formats/registry.h"
#include "sim/gemm_engine.h"
#include "sim/mma_presets.h"
#include "sim/mma_tiles.h"
#include "tests/math/targets.h"
#include "tests/mma/threads.h"
#include "tests/mma/twin.h"

namespace fp4lab::mma_test {
namespace {

std::string id_of(const std::string& ptx) {
  for (const FormatInfo* f : all_formats()) {
    if (f->format == *format_of_ptx_type(ptx)) return std::string(f->id);
  }
  return {};
}

struct Pair {
  GemmOperand a, b;
};
Pair operands(const MmaPreset& p, std::size_t m, std::size_t n, std::size_t k, Data data, bool wide,
              std::mt19937_64& random) {
  const auto block = static_cast<std::size_t>(p.params.scale_block);
  const std::string scale = p.scale.empty() ? "" : p.scale == "ue8m0" ? "e8m0" : "ue4m3";
  return {make_operand({id_of(p.a), scale, block}, m, k, data, wide, random).engine(),
          make_operand({id_of(p.b), scale, block}, n, k, data, wide, random).engine()};
}

std::vector<float> starts(std::size_t count, bool f16, bool from_zero, std::mt19937_64& random) {
  std::vector<float> c(count, 0.0f);
  for (float& x : c) {
    if (from_zero) break;
    x = f16 ? decode(find_format("fp16")->format, static_cast<std::uint32_t>(random() & 0xFFFF))
            : random_c(random);
  }
  return c;
}

bool same(float x, float y) {
  return bits_as<std::uint32_t>(x) == bits_as<std::uint32_t>(y) || (is_nan(x) && is_nan(y));
}

/// Outputs of the kernels against outputs one by one; false where the engine has no kernel.
bool compare(const detail::DotEngine& engine, std::size_t m, std::size_t n, std::size_t k0,
             std::size_t k1, const std::vector<float>& c, const std::string& what) {
  std::vector<float> want(c.size());
  for (std::size_t o = 0; o < c.size(); ++o) {
    want[o] = engine.dot(o / n, o % n, k0, k1, c[o], nullptr);
  }
  bool any = false;
  for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
    const fp4lab_test::InForce in_force(bit);
    std::vector<float> y = c;
    if (!engine.range_product(k0, k1, y.data())) continue;
    any = true;
    for (std::size_t o = 0; o < c.size(); ++o) {
      EXPECT_TRUE(same(y[o], want[o])) << what << " " << name << " [" << o / n << ", " << o % n
                                       << "] from " << c[o] << ": " << y[o] << ", not " << want[o];
      if (!same(y[o], want[o])) return any;
    }
  }
  EXPECT_EQ(m * n, c.size());
  return any;
}

TEST(Tiles, EveryPresetIsMmaDot) {
  const Threads one(1);
  std::mt19937_64 random(77);
  std::size_t with_kernel = 0;
  for (const MmaPreset& p : mma_presets()) {
    const bool covered = p.params.kind == MmaKind::fused_sum ||
                         p.params.kind == MmaKind::block_scaled ||
                         p.params.kind == MmaKind::fp4_groups;
    if (!covered) continue;
    for (const Data data : kAllData) {
      const std::size_t m = 1 + random() % 14, n = 1 + random() % 36;
      const std::size_t k = static_cast<std::size_t>(p.params.k) + random() % 70;
      const bool wide = random() % 2 == 0;
      const Pair pair = operands(p, m, n, k, data, wide, random);
      const auto engine = detail::make_engine(pair.a, pair.b, parse_accumulator(p.id), {});
      const auto c = starts(m * n, p.params.f16_accumulator, random() % 2 == 0, random);
      const bool any = compare(*engine, m, n, 0, k, c,
                               p.id + " data " + std::to_string(static_cast<int>(data)) + " k " +
                                   std::to_string(k) + (wide ? " wide" : ""));
      EXPECT_TRUE(any) << p.id << " has no kernel";
      with_kernel += any ? 1 : 0;
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(with_kernel, 500u);
}

// Scales far apart, so that groups and the accumulator lose bits to each other all the time.
TEST(Tiles, Fp4GroupsThatCutEachOther) {
  const Threads one(1);
  std::mt19937_64 random(78);
  for (const char* id :
       {"sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16", "sm120a.mma.k64.e2m1.e2m1.f32.ue8m0x32",
        "sm100a.tcgen05.k64.e2m1.e2m1.f32.ue8m0x16", "sm103a.tcgen05.k96.e2m1.e2m1.f32.ue4m3x16"}) {
    const MmaPreset& p = *find_preset(id);
    for (int round = 0; round < 20; ++round) {
      TwinOperand t[2];
      const std::size_t rows[2] = {7, 40}, k = 330;
      for (int s = 0; s < 2; ++s) {
        t[s] = make_operand({"e2m1", p.scale == "ue8m0" ? "e8m0" : "ue4m3",
                             static_cast<std::size_t>(p.params.scale_block)},
                            rows[s], k, round % 2 == 0 ? Data::finite_codes : Data::mostly_zero,
                            false, random);
        // Exponents up to 2^spread apart on each side.
        const std::uint32_t spread = 1 + random() % 24;
        for (std::uint32_t& c : t[s].scales) {
          c = p.scale == "ue8m0"
                  ? 127 - spread + random() % (2 * spread)
                  : static_cast<std::uint32_t>(random() % (8 * std::min(spread, 15u)));
        }
      }
      const GemmOperand a = t[0].engine(), b = t[1].engine();
      const auto engine = detail::make_engine(a, b, parse_accumulator(id), {});
      std::vector<float> c(7 * 40);
      for (float& x : c) {
        x = bits_as<float>(
            static_cast<std::uint32_t>(((90 + random() % 70) << 23) | (random() & 0x807FFFFF)));
      }
      EXPECT_TRUE(compare(*engine, 7, 40, 0, k, c, id));
      EXPECT_TRUE(compare(*engine, 7, 40, 64, 64 + 128, c, id));
      if (HasFailure()) return;
    }
  }
}

// Plans are made of ranges of k.
TEST(Tiles, PlansAreTheirOutputs) {
  const Threads one(1);
  std::mt19937_64 random(79);
  const struct {
    const char *plan, *preset;
  } cases[] = {{"cublaslt-fp8-slow", "sm90a.wgmma.k32.e4m3.e5m2.f32"},
               {"cublaslt-fp8-fast", "sm90a.wgmma.k32.e4m3.e4m3.f32"},
               {"torch-bf16", "sm90a.wgmma.k16.bf16.bf16.f32"},
               {"sm90,split-k=3", "sm90a.wgmma.k16.f16.f16.f32"},
               {"sm120,promote=64,split-k=2", "sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16"},
               {"promote:48:fp32-fma", "sm90a.wgmma.k16.bf16.bf16.f32"},
               {"fp32-fma", "sm90a.wgmma.k16.f16.f16.f32"}};
  for (const auto& [plan, preset] : cases) {
    for (const Data data : {Data::finite_codes, Data::cancelling, Data::one_huge, Data::uniform}) {
      const Pair pair = operands(*find_preset(preset), 9, 37, 300, data, false, random);
      const auto engine = detail::make_engine(pair.a, pair.b, parse_accumulator(plan), {});
      const std::vector<float> c(9 * 37, 0.0f);
      EXPECT_TRUE(compare(*engine, 9, 37, 0, 300, c, plan)) << plan;
      if (HasFailure()) return;
    }
  }
}

TEST(Tiles, AnyThreadsAnyDots) {
  std::mt19937_64 random(80);
  for (const char* id :
       {"sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16", "sm90a.wgmma.k32.e4m3.e4m3.f32"}) {
    const MmaPreset& p = *find_preset(id);
    const std::size_t m = 260, n = 130, k = 192;
    const TwinOperand ta =
        make_operand({id_of(p.a), p.scale, 16}, m, k, Data::finite_codes, false, random);
    const TwinOperand tb =
        make_operand({id_of(p.b), p.scale, 16}, n, k, Data::finite_codes, false, random);
    std::vector<MmaOperand> elements[2], scales[2];
    for (int s = 0; s < 2; ++s) {
      const TwinOperand& t = s == 0 ? ta : tb;
      for (const auto c : t.codes) {
        elements[s].push_back(decode_operand(*format_of_ptx_type(s == 0 ? p.a : p.b), c));
      }
      for (const auto c : t.scales) {
        scales[s].push_back(decode_operand(find_format("ue4m3")->format, c));
      }
    }
    const std::vector<std::uint8_t> special(m, 0);
    const detail::InstructionTiles tiles(
        p.params, {m, k, elements[0].data(), scales[0].data(), k / 16, special.data()},
        {n, k, elements[1].data(), scales[1].data(), k / 16, special.data()});
    std::vector<float> want;
    for (const int threads : {1, 2, 3, 8}) {
      const Threads some(threads);
      for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
        const fp4lab_test::InForce in_force(bit);
        for (const auto kind : {detail::DotKind::automatic, detail::DotKind::quads,
                                detail::DotKind::pairs, detail::DotKind::wide}) {
          std::vector<float> y(m * n, 0.0f);
          std::vector<std::uint8_t> again(m * n);
          if (!tiles.run(0, k, y.data(), again.data(), kind)) continue;
          if (want.empty()) want = y;
          EXPECT_EQ(y, want) << id << " " << name << " " << threads << " threads, dots "
                             << static_cast<int>(kind);
        }
      }
    }
    EXPECT_FALSE(want.empty());
  }
}

}  // namespace
}  // namespace fp4lab::mma_test
