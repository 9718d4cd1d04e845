// Reference accumulators against exact rationals, on data made to break sums.
#include <gtest/gtest.h>

#include "formats/registry.h"
#include "sim/gemm_explain.h"
#include "tests/mma/twin.h"

namespace fp4lab::mma_test {
namespace {

namespace oracle = fp4lab_oracle;
using oracle::Number;
using oracle::Row;

/// The oracle's y for one model, without global factors, from `c` where the model starts there.
using Model = std::function<Number(const Row&, const Row&, const Number& c)>;

struct ModelCase {
  const char* text;
  bool starts_at_c;
  Model model;
};

const oracle::IeeeLayout kE6m9{6, 9};

const std::vector<ModelCase>& models() {
  static const std::vector<ModelCase> list = {
      {"block-exact", false, [](auto& a, auto& b, auto&) { return oracle::sum_block_exact(a, b); }},
      {"fp32-block", false, [](auto& a, auto& b, auto&) { return oracle::sum_fp32_block(a, b); }},
      {"fp32-seq", true, [](auto& a, auto& b, auto& c) { return oracle::sum_fp32_seq(a, b, c); }},
      {"fp32-fma", true, [](auto& a, auto& b, auto& c) { return oracle::sum_fp32_fma(a, b, c); }},
      {"fp32-tree", false, [](auto& a, auto& b, auto&) { return oracle::sum_fp32_tree(a, b, 1); }},
      {"fp32-tree:8", false,
       [](auto& a, auto& b, auto&) { return oracle::sum_fp32_tree(a, b, 8); }},
      {"fp32-split:3", false,
       [](auto& a, auto& b, auto&) { return oracle::sum_fp32_split(a, b, 3); }},
      {"promote:24:fp32-seq", false,
       [](auto& a, auto& b, auto&) {
         return oracle::sum_promote(a, b, 24, [](const Row& x, const Row& y) {
           return oracle::sum_fp32_seq(x, y, oracle::finite(0));
         });
       }},
      {"promote:40:block-exact", false,
       [](auto& a, auto& b, auto&) {
         return oracle::sum_promote(
             a, b, 40, [](const Row& x, const Row& y) { return oracle::sum_block_exact(x, y); });
       }},
      {"promote:40:exact", false,
       [](auto& a, auto& b, auto&) {
         return oracle::sum_promote(a, b, 40, [](const Row& x, const Row& y) {
           return oracle::sum_exact(x, y, oracle::finite(1), oracle::finite(1), oracle::finite(0));
         });
       }},
      {"fp16-chunk", false,
       [](auto& a, auto& b, auto&) { return oracle::sum_chunk(a, b, oracle::kBinary16, 64); }},
      {"chunk:bf16:7", false,
       [](auto& a, auto& b, auto&) { return oracle::sum_chunk(a, b, oracle::kBfloat16, 7); }},
      {"chunk:e6m9-ieee:16", false,
       [](auto& a, auto& b, auto&) { return oracle::sum_chunk(a, b, kE6m9, 16); }},
      {"acc:fp16", true,
       [](auto& a, auto& b, auto& c) { return oracle::sum_short(a, b, oracle::kBinary16, c); }},
      {"acc:bf16", true,
       [](auto& a, auto& b, auto& c) { return oracle::sum_short(a, b, oracle::kBfloat16, c); }},
      {"acc:fp32", true,
       [](auto& a, auto& b, auto& c) { return oracle::sum_short(a, b, oracle::kBinary32, c); }},
  };
  return list;
}

struct PairCase {
  const char* name;
  OperandKind a, b;
};
const std::vector<PairCase>& pairs() {
  static const std::vector<PairCase> list = {
      {"mxfp4", {"e2m1", "e8m0", 32}, {"e2m1", "e8m0", 32}},
      {"nvfp4", {"e2m1", "ue4m3", 16, true}, {"e2m1", "ue4m3", 16, true}},
      {"mx32_by_nv16", {"e2m1", "e8m0", 32}, {"e3m0", "ue4m3", 16}},
      {"int4_by_e2m3", {"int4-full", "fp32", 24}, {"e2m3", "", 0}},
      {"fp8_tensor", {"e4m3", "fp32", 0}, {"e5m2", "fp32", 0}},
      {"nf4_rows", {"nf4", "fp32", 64}, {"radix4-even", "e8m0", 32, true}},
      {"bf16_fp16", {"bf16", "", 0}, {"fp16", "", 0}},
      {"wide_scales_of_floats", {"fp32", "fp32", 8}, {"tf32", "fp32", 5}},
      {"floats", {"fp32", "", 0}, {"fp32", "", 0}},
      {"quantized_by_float", {"e2m1", "e8m0", 32}, {"fp32", "", 0}},
  };
  return list;
}

/// Y = fl(fl(gA gB) y), Y = fl(Y + C) around a model, as decisions.md 5 has it.
std::uint32_t expected(const ModelCase& m, const Row& a, const Row& b, const TwinOperand& ta,
                       const TwinOperand& tb, const float* c, const std::string& type) {
  const bool has_global = ta.kind.global || tb.kind.global;
  Number start = oracle::finite(0);
  const bool inside = c != nullptr && m.starts_at_c && !has_global;
  const auto layout = type == "fp16"   ? oracle::kBinary16
                      : type == "bf16" ? oracle::kBfloat16
                      : type == "fp32" ? oracle::kBinary32
                                       : kE6m9;
  if (inside) {
    start = oracle::from_binary32(bits_as<std::uint32_t>(*c));
    if (type != "fp32")
      start = oracle::add(
          start,
          [] {
            auto z = oracle::finite(0);
            z.negative = true;
            return z;
          }(),
          layout);
  }
  Number y = m.model(a, b, start);
  if (has_global) {
    y = oracle::multiply(
        oracle::multiply(ta.global_factor(), tb.global_factor(), oracle::kBinary32), y,
        oracle::kBinary32);
  }
  if (c != nullptr && !inside) {
    y = oracle::add(y, oracle::from_binary32(bits_as<std::uint32_t>(*c)), oracle::kBinary32);
  }
  return oracle::pattern(y, layout);
}

class Models : public testing::TestWithParam<std::size_t> {};

TEST_P(Models, AgainstExactRationals) {
  const PairCase& pair = pairs()[GetParam()];
  std::mt19937_64 random(17 + GetParam());
  const bool plain = pair.a.format == "fp32" && pair.a.scale.empty();
  const bool unquantized = plain || (pair.b.format == "fp32" && pair.b.scale.empty());
  std::size_t checked = 0;
  for (const Data data : kAllData) {
    for (const std::size_t k : {3, 50}) {
      const bool wide = random() % 3 == 0;
      const TwinOperand ta = make_operand(pair.a, 2, k, data, wide, random);
      const TwinOperand tb = make_operand(pair.b, 2, k, data, wide, random);
      const GemmOperand a = ta.engine(), b = tb.engine();
      const std::vector<Row> rows_a = {ta.row(0), ta.row(1)}, rows_b = {tb.row(0), tb.row(1)};
      std::vector<float> c(4);
      for (float& x : c) x = random_c(random);
      for (const bool with_c : {false, true}) {
        GemmOptions options;
        if (with_c) options.c = c;
        for (const ModelCase& m : models()) {
          const GemmResult r = gemm(a, b, parse_accumulator(m.text), options);
          for (std::size_t o = 0; o < 4; ++o) {
            const Row &ra = rows_a[o / 2], &rb = rows_b[o % 2];
            ModelCase used = m;
            if (unquantized && std::string(m.text) == "block-exact") used = models()[3];
            if (unquantized && std::string(m.text) == "promote:40:block-exact") {
              used.model = [](auto& x, auto& y, auto&) {
                return oracle::sum_promote(x, y, 40, [](const Row& p, const Row& q) {
                  return oracle::sum_fp32_fma(p, q, oracle::finite(0));
                });
              };
            }
            const std::uint32_t want =
                expected(used, ra, rb, ta, tb, with_c ? &c[o] : nullptr, r.type_name);
            ASSERT_EQ(r.bits[o], want)
                << pair.name << " " << m.text << " data " << static_cast<int>(data) << " k " << k
                << " wide " << wide << " output " << o << " c " << with_c << " type "
                << r.type_name;
            ++checked;
          }
        }
        const GemmResult e = gemm(a, b, parse_accumulator("exact"), options);
        for (std::size_t o = 0; o < 4; ++o) {
          const Number y = oracle::sum_exact(
              rows_a[o / 2], rows_b[o % 2], ta.global_factor(), tb.global_factor(),
              with_c ? oracle::from_binary32(bits_as<std::uint32_t>(c[o])) : oracle::finite(0));
          ASSERT_EQ(e.bits[o], oracle::pattern(y, oracle::kBinary32))
              << pair.name << " exact, data " << static_cast<int>(data) << " k " << k << " wide "
              << wide << " output " << o;
          ++checked;
        }
      }
    }
  }
  EXPECT_EQ(checked, std::size(kAllData) * 2 * 2 * 17 * 4);
}

INSTANTIATE_TEST_SUITE_P(Pairs, Models, testing::Range<std::size_t>(0, 10),
                         [](const auto& p) { return std::string(pairs()[p.param].name); });

TEST(StochasticAccumulator, AgainstExactRationals) {
  std::mt19937_64 random(99);
  for (const auto& [text, layout, bits] : {std::tuple("acc-sr:fp16:16", oracle::kBinary16, 16),
                                           std::tuple("acc-sr:bf16:8", oracle::kBfloat16, 8),
                                           std::tuple("acc-sr:fp16:32", oracle::kBinary16, 32),
                                           std::tuple("acc-sr:fp32:20", oracle::kBinary32, 20)}) {
    for (const Data data : kAllData) {
      const OperandKind kind{"e4m3", "fp32", 8};
      const TwinOperand ta = make_operand(kind, 3, 50, data, false, random);
      const TwinOperand tb = make_operand(kind, 5, 50, data, false, random);
      GemmOptions options;
      options.random.seed = 0x123456789ABCDEFull;
      options.random.step = 7;
      options.random.stream = 8 * 3 + 5;
      options.random.microbatch = 300;
      const GemmResult r = gemm(ta.engine(), tb.engine(), parse_accumulator(text), options);
      for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 5; ++j) {
          // The counter, word by word as the contract lays it out.
          const int width = bits <= 8 ? 8 : bits <= 16 ? 16 : 32;
          const auto word = [&, w = width](std::size_t k) {
            const std::uint32_t per = 128u / static_cast<std::uint32_t>(w);
            const PhiloxDraw d = philox4x32(
                {static_cast<std::uint32_t>(k) / per, static_cast<std::uint32_t>(i * 5 + j), 7u,
                 (7u << 24) | ((8u * 3 + 5) << 8) | (300u % 256)},
                0x89ABCDEFu, 0x01234567u);
            const std::uint32_t bit =
                static_cast<std::uint32_t>(w) * (static_cast<std::uint32_t>(k) % per);
            return d[bit / 32] >> (bit % 32);
          };
          const Number y = oracle::sum_short_stochastic(ta.row(i), tb.row(j), layout, bits,
                                                        oracle::finite(0), word);
          ASSERT_EQ(r.bits[i * 5 + j], oracle::pattern(y, layout)) << text << " " << i << " " << j;
        }
      }
    }
  }
}

TEST(EmptyProducts, AreZeroOrC) {
  const GemmOperand a = GemmOperand::from_floats({}, 2, 0), b = GemmOperand::from_floats({}, 3, 0);
  const std::vector<float> c = {1, 2, 3, 4, 5, -0.0f};
  for (const Accumulator& m : reference_models()) {
    EXPECT_EQ(gemm(a, b, m).bits, std::vector<std::uint32_t>(6, 0)) << to_string(m);
    GemmOptions options;
    options.c = c;
    const std::vector<float> got = gemm(a, b, m, options).values();
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(got[i], c[i]) << to_string(m);
  }
  const GemmOperand none = GemmOperand::from_floats({}, 0, 4);
  EXPECT_TRUE(gemm(none, GemmOperand::from_floats(std::vector<float>(8), 2, 4),
                   parse_accumulator("block-exact"))
                  .bits.empty());
}

}  // namespace
}  // namespace fp4lab::mma_test
