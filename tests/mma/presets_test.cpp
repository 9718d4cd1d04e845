// Tensor-core presets against exact rationals; facts the specification states; the catalogue.
#include <gtest/gtest.h>

#include <set>

#include "formats/registry.h"
#include "sim/gemm.h"
#include "sim/mma_presets.h"
#include "tests/mma/twin.h"

namespace fp4lab::mma_test {
namespace {

namespace oracle = fp4lab_oracle;
using oracle::Number;
using oracle::Row;

oracle::Fused fused_of(const MmaPreset& p) {
  oracle::Fused f;
  f.fraction_bits = p.params.fused.fraction_bits;
  f.has_floor = p.params.fused.floor != kNoFloor;
  f.floor = p.params.fused.floor;
  switch (p.params.fused.out) {
    case OutRound::f32_rz:
      f.out = oracle::Fused::Out::kF32Rz;
      break;
    case OutRound::f16_rne:
      f.out = oracle::Fused::Out::kF16Rne;
      break;
    case OutRound::e8m13_rz:
      f.out = oracle::Fused::Out::kE8m13Rz;
      break;
    case OutRound::f32_rne:
      f.out = oracle::Fused::Out::kF32Rne;
      break;
  }
  return f;
}

bool has_twin(const MmaPreset& p) {
  switch (p.params.kind) {
    case MmaKind::fused_sum:
    case MmaKind::block_scaled:
    case MmaKind::fp4_groups:
    case MmaKind::fp8_as_f16:
      return true;
    case MmaKind::fma_chain:
      return p.a == "f32";
    case MmaKind::amd_tree:
    case MmaKind::amd_tree_flush:
    case MmaKind::amd_exact_group:
    case MmaKind::amd_two_stage:
    case MmaKind::amd_two_stage_f8:
      return true;
  }
  return false;
}

/// Catalogue id of a PTX type.
std::string find_id(const std::string& ptx) {
  for (const FormatInfo* f : all_formats()) {
    if (f->format == *format_of_ptx_type(ptx)) return std::string(f->id);
  }
  return {};
}

/// Whole instructions: what K does not fill is zeros, and those take part.
Row padded(Row r, std::size_t k) {
  oracle::Factor zero;
  zero.value = oracle::finite(0);
  zero.scale = oracle::finite(1);
  r.resize((r.size() + k - 1) / k * k, zero);
  return r;
}

std::uint32_t twin_bits(const MmaPreset& p, Row a, Row b, const Number& c) {
  const auto k = static_cast<std::size_t>(p.params.k);
  const auto terms = static_cast<std::size_t>(p.params.fused.terms);
  if (p.params.kind != MmaKind::fp4_groups) {
    a = padded(a, k);
    b = padded(b, k);
  }
  switch (p.params.kind) {
    case MmaKind::fp4_groups:
      return oracle::fp4_chain(a, b, c, fused_of(p), k);
    case MmaKind::fp8_as_f16: {
      std::uint32_t bits =
          oracle::pattern(c, p.params.f16_accumulator ? oracle::kBinary16 : oracle::kBinary32);
      for (std::size_t at = 0; at < a.size(); at += k) {
        const auto from = static_cast<std::ptrdiff_t>(at);
        const auto to = static_cast<std::ptrdiff_t>(std::min(a.size(), at + k));
        bits = oracle::fp8_through_f16(
            Row(a.begin() + from, a.begin() + to), Row(b.begin() + from, b.begin() + to),
            oracle::decode_ieee(bits,
                                p.params.f16_accumulator ? oracle::kBinary16 : oracle::kBinary32),
            fused_of(p));
      }
      return bits;
    }
    case MmaKind::fma_chain:
      return oracle::hardware_pattern(oracle::sum_fp32_fma(a, b, c));
    case MmaKind::amd_tree:
      return oracle::amd_tree(a, b, c, terms, false);
    case MmaKind::amd_tree_flush:
      return oracle::amd_tree(a, b, c, terms, true);
    case MmaKind::amd_exact_group:
      return oracle::amd_exact(a, b, c, terms);
    case MmaKind::amd_two_stage:
      return oracle::amd_two_stage(a, b, c, terms, false);
    case MmaKind::amd_two_stage_f8:
      return oracle::amd_two_stage(a, b, c, terms, true);
    default:
      return oracle::fused_chain(a, b, c, fused_of(p), terms);
  }
}

/// Runs one preset on one kind of data, two instructions and a tail long; returns outputs compared.
std::size_t compare(const MmaPreset& p, Data data, std::mt19937_64& random, std::size_t rows) {
  const std::string fa = find_id(p.a), fb = find_id(p.b);
  const auto block = static_cast<std::size_t>(p.params.scale_block);
  const std::string scale = p.scale.empty() ? "" : p.scale == "ue8m0" ? "e8m0" : "ue4m3";
  const std::size_t k = static_cast<std::size_t>(p.params.k) + (random() % 2 == 0 ? 0 : 5);
  const bool wide = random() % 2 == 0;
  const TwinOperand ta = make_operand({fa, scale, block}, rows, k, data, wide, random);
  const TwinOperand tb = make_operand({fb, scale, block}, rows, k, data, wide, random);
  std::vector<float> c(rows * rows);
  for (float& x : c) {
    x = random_c(random);
    if (p.params.f16_accumulator) {
      const Number h = oracle::decode_ieee(random() & 0xFFFF, oracle::kBinary16);
      x = bits_as<float>(oracle::pattern(h, oracle::kBinary32));
    }
  }
  GemmOptions options;
  options.c = c;
  const GemmResult r = gemm(ta.engine(), tb.engine(), parse_accumulator(p.id), options);
  for (std::size_t o = 0; o < c.size(); ++o) {
    const std::uint32_t want = twin_bits(p, ta.row(o / rows), tb.row(o % rows),
                                         oracle::from_binary32(bits_as<std::uint32_t>(c[o])));
    EXPECT_EQ(r.bits[o], want) << p.id << " data " << static_cast<int>(data) << " k " << k
                               << " output " << o << " wide scales " << wide << " c " << c[o];
    if (r.bits[o] != want) break;
  }
  return c.size();
}

class Presets : public testing::TestWithParam<const char*> {};

TEST_P(Presets, AgainstExactRationals) {
  std::mt19937_64 random(4711);
  std::size_t presets = 0;
  for (const MmaPreset& p : mma_presets()) {
    if (p.chip != GetParam() || !has_twin(p)) continue;
    ++presets;
    const std::size_t rows = p.evidence == Evidence::measured ? 6 : 2;
    for (const Data data : kAllData) compare(p, data, random, rows);
    if (HasFailure()) break;
  }
  EXPECT_GE(presets, 2u);
}
INSTANTIATE_TEST_SUITE_P(Chips, Presets,
                         testing::Values("sm70", "sm75", "sm80", "sm89", "sm90a", "sm100a",
                                         "sm103a", "sm120a", "cdna1", "cdna2", "cdna3"),
                         [](const auto& p) { return std::string(p.param); });

TEST(ExhaustivePresets, AMillionOutputsOfTheMeasuredForms) {
  std::random_device seed;
  const std::uint64_t s = (std::uint64_t{seed()} << 32) | seed();
  SCOPED_TRACE("seed " + std::to_string(s));
  std::mt19937_64 random(s);
  std::size_t outputs = 0;
  for (int round = 0; round < 120; ++round) {
    for (const MmaPreset& p : mma_presets()) {
      if (p.evidence != Evidence::measured) continue;
      for (const Data data : kAllData) outputs += compare(p, data, random, 8);
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_GE(outputs, 1000000u);
}

// Where the specification names a fact, the fact.
float one(const char* preset, const std::vector<std::uint32_t>& a,
          const std::vector<std::uint32_t>& b, float c, std::uint32_t* bits = nullptr) {
  const MmaPreset* p = find_preset(preset);
  RecordedOperand ra, rb;
  ra.rows = rb.rows = 1;
  ra.k = rb.k = a.size();
  ra.format = *format_of_ptx_type(p->a);
  rb.format = *format_of_ptx_type(p->b);
  ra.codes = a;
  rb.codes = b;
  GemmOptions options;
  options.c = {&c, 1};
  const GemmResult r = gemm(GemmOperand::from_codes(ra), GemmOperand::from_codes(rb),
                            parse_accumulator(preset), options);
  if (bits != nullptr) *bits = r.bits[0];
  return r.values()[0];
}

TEST(TensorCoreFacts, Hopper) {
  const char* bf16 = "sm90a.wgmma.k16.bf16.bf16.f32";
  std::uint32_t bits = 1;
  const std::vector<std::uint32_t> minus_zero(16, 0x8000), zero(16, 0);
  one(bf16, minus_zero, zero, -0.0f, &bits);
  EXPECT_EQ(bits, 0u);  // nothing but -0 gives +0
  std::vector<std::uint32_t> a(16, 0), b(16, 0);
  a[0] = 0x8000 | (52 << 7);  // -2^-75
  b[0] = 52 << 7;             // 2^-75: a product of -2^-150
  one(bf16, a, b, 0.0f, &bits);
  EXPECT_EQ(bits, 0u);     // negative underflow gives +0
  a[0] = b[0] = 191 << 7;  // 2^64 each
  one(bf16, a, b, 0.0f, &bits);
  EXPECT_EQ(bits, 0x7F800000u);  // 2^128 is infinity though the mode is toward zero
  a[1] = 0x8000 | (191 << 7);
  b[1] = 191 << 7;
  a[2] = b[2] = 127 << 7;
  EXPECT_EQ(one(bf16, a, b, 0.0f), 0.0f);  // 2^128 - 2^128 + 1: the 1 lies below 2^(128-25)
  a[2] = 127 << 7;
  b[2] = (127 + 110) << 7;
  EXPECT_EQ(one(bf16, a, b, 0.0f), 0x1p110f);  // but 2^110 survives, and nothing is infinite
  // c is dropped whole iff e_c < E - 25.
  std::vector<std::uint32_t> x(16, 0), y(16, 0);
  x[0] = y[0] = 127 << 7;
  EXPECT_EQ(one(bf16, x, y, 0x1.fffffep-26f), 1.0f);
  x[1] = 0x8000 | (127 << 7);
  y[1] = 127 << 7;
  EXPECT_EQ(one(bf16, x, y, 0x1.fffffep-26f), 0.0f);
  EXPECT_EQ(one(bf16, x, y, 0x1.fffffep-25f), 0x1p-25f);
  // A zero times something huge does not disturb.
  std::vector<std::uint32_t> u(16, 0), v(16, 0);
  u[0] = 254 << 7;
  u[1] = 107 << 7;
  v[1] = 107 << 7;
  EXPECT_EQ(one(bf16, u, v, 0.0f), 0x1p-40f);
}

TEST(TensorCoreFacts, ZeroRuleIsAnOption) {
  RecordedOperand r;
  r.rows = 1;
  r.k = 16;
  r.format = find_format("bf16")->format;
  std::vector<std::uint32_t> u(16, 0), v(16, 0);
  u[0] = 254 << 7;        // 2^127 times zero
  u[1] = v[1] = 40 << 7;  // 2^-174 is below the floor; 2^-87 each
  r.codes = u;
  const GemmOperand a = GemmOperand::from_codes(r);
  r.codes = v;
  const GemmOperand b = GemmOperand::from_codes(r);
  EXPECT_NE(parse_accumulator("sm90,zero=mmasim"), parse_accumulator("sm90"));
  const float c = 0x1.000002p-40f;
  GemmOptions options;
  options.c = {&c, 1};
  EXPECT_EQ(gemm(a, b, parse_accumulator("sm90"), options).values()[0], c);
  // MMA-Sim's code lets 2^127 * 0 count as exponent 127 - 126, so c loses all below 2^(1 - 25).
  EXPECT_EQ(gemm(a, b, parse_accumulator("sm90,zero=mmasim"), options).values()[0], 0.0f);
}

TEST(TensorCoreFacts, Fp4EqualScalesAreExactThenTowardZero) {
  std::mt19937_64 random(5);
  for (int n = 0; n < 200; ++n) {
    TwinOperand a = make_operand({"e2m1", "ue4m3", 16}, 4, 64, Data::finite_codes, false, random);
    TwinOperand b = make_operand({"e2m1", "ue4m3", 16}, 4, 64, Data::finite_codes, false, random);
    const auto s = static_cast<std::uint32_t>(1 + random() % 126);
    std::fill(a.scales.begin(), a.scales.end(), s);
    std::fill(b.scales.begin(), b.scales.end(), s);
    const GemmResult hw = gemm(a.engine(), b.engine(), parse_accumulator("sm120"));
    const GemmResult exact = gemm(a.engine(), b.engine(), parse_accumulator("exact"));
    EXPECT_EQ(hw.instruction, "sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16");
    // 64 products of 4-bit codes under one scale fit binary32: no rounding at all.
    EXPECT_EQ(hw.bits, exact.bits);
  }
}

TEST(TensorCoreFacts, SmallIntegersAreTheSameUnderEveryPreset) {
  std::mt19937_64 random(6);
  std::vector<std::uint32_t> ca(3 * 96), cb(3 * 96);
  for (auto* codes : {&ca, &cb}) {
    for (std::uint32_t& c : *codes) {
      static constexpr std::uint32_t kIntegers[] = {0, 2, 4, 8, 10, 12};  // 0, 1, 2, -0, -1, -2
      c = kIntegers[random() % 6];
    }
  }
  RecordedOperand r;
  r.rows = 3;
  r.k = 96;
  r.format = find_format("e2m1")->format;
  r.codes = ca;
  const GemmOperand a = GemmOperand::from_codes(r);
  r.codes = cb;
  const GemmOperand b = GemmOperand::from_codes(r);
  const auto want = gemm(a, b, parse_accumulator("exact")).values();
  const auto presets = matching_presets(a, b);
  EXPECT_GE(presets.size(), 10u);
  for (const MmaPreset* p : presets) {
    EXPECT_EQ(gemm(a, b, parse_accumulator(p->id)).values(), want) << p->id;
  }
}

TEST(PresetCatalogue, IdsAreUniqueAndReadBack) {
  std::set<std::string> ids;
  std::size_t measured = 0;
  for (const MmaPreset& p : mma_presets()) {
    EXPECT_TRUE(ids.insert(p.id).second) << p.id << " twice";
    EXPECT_EQ(find_preset(p.id), &p);
    EXPECT_EQ(to_string(parse_accumulator(p.id)), p.id);
    EXPECT_FALSE(p.source.empty()) << p.id;
    measured += p.evidence == Evidence::measured ? 1u : 0u;
    EXPECT_EQ(format_of_ptx_type(p.a).has_value(), p.a != "f64") << p.id;
  }
  EXPECT_EQ(measured, 36u);  // every sm90a form but f64, seen on an H100, and no others
}

TEST(PresetCatalogue, ShortNamesTakeTheWidestInstruction) {
  const auto pick = [](const char* prefix, const char* a, const char* b, const char* scale = "",
                       std::size_t block = 0) {
    const MmaPreset* p =
        choose_preset(canonical_prefix(prefix), {a, scale, block}, {b, scale, block});
    return p == nullptr ? std::string("none") : p->id;
  };
  EXPECT_EQ(pick("sm90", "f16", "f16"), "sm90a.wgmma.k16.f16.f16.f32");
  EXPECT_EQ(pick("SM90A", "e4m3", "e5m2"), "sm90a.wgmma.k32.e4m3.e5m2.f32");
  EXPECT_EQ(pick("sm90.mma", "e4m3", "e4m3"), "sm90a.mma.k32.e4m3.e4m3.f32");
  EXPECT_EQ(pick("sm90", "e2m1", "e2m1"), "none");
  EXPECT_EQ(pick("sm80", "bf16", "bf16"), "sm80.mma.k16.bf16.bf16.f32");
  EXPECT_EQ(pick("sm86", "tf32", "tf32"), "sm80.mma.k8.tf32.tf32.f32");
  EXPECT_EQ(pick("sm100", "e2m1", "e2m1", "ue4m3", 16),
            "sm100a.tcgen05.k64.e2m1.e2m1.f32.ue4m3x16");
  EXPECT_EQ(pick("sm100", "e2m1", "e2m1", "ue8m0", 32),
            "sm100a.tcgen05.k64.e2m1.e2m1.f32.ue8m0x32");
  EXPECT_EQ(pick("sm100", "e4m3", "e2m1", "ue8m0", 32),
            "sm100a.tcgen05.k32.e4m3.e2m1.f32.ue8m0x32");
  EXPECT_EQ(pick("sm100", "e2m1", "e2m1"), "sm100a.tcgen05.k32.e2m1.e2m1.f32");
  EXPECT_EQ(pick("sm120", "e2m1", "e2m1", "ue4m3", 32), "sm120a.mma.k64.e2m1.e2m1.f32.ue4m3x16");
  EXPECT_EQ(pick("sm103", "e2m1", "e2m1", "ue4m3", 16),
            "sm103a.tcgen05.k64.e2m1.e2m1.f32.ue4m3x16");
  EXPECT_EQ(pick("cdna3", "tf32", "tf32"), "cdna3.mfma.k8.xf32.xf32.f32");
}

TEST(DoublePrecision, ChainOfFusedMultiplyAdds) {
  std::mt19937_64 random(8);
  for (int n = 0; n < 4000; ++n) {
    double a[4], b[4];
    const auto draw = [&] {
      std::uint64_t bits = random();
      switch (random() % 4) {
        case 0:  // near one, few bits: ties and cancellation
          bits =
              (bits & 0x8000000000000000ull) | (1020 + random() % 6) << 52 | (bits & 0xFull) << 48;
          break;
        case 1:  // tiny
          bits &= 0x800FFFFFFFFFFFFFull | (1ull << 61);
          break;
        default:
          bits = (bits & 0x800FFFFFFFFFFFFFull) | (1000 + random() % 40) << 52;
          break;
      }
      return bits_as<double>(bits);
    };
    for (int i = 0; i < 4; ++i) {
      a[i] = draw();
      b[i] = draw();
    }
    const double c = draw();
    Number y = oracle::decode_ieee(bits_as<std::uint64_t>(c), oracle::kBinary64);
    for (int i = 0; i < 4; ++i) {
      y = oracle::fma(oracle::decode_ieee(bits_as<std::uint64_t>(a[i]), oracle::kBinary64),
                      oracle::decode_ieee(bits_as<std::uint64_t>(b[i]), oracle::kBinary64), y,
                      oracle::kBinary64);
    }
    const std::uint64_t want = oracle::encode_ieee_rne(y.value, oracle::kBinary64, y.negative);
    ASSERT_EQ(bits_as<std::uint64_t>(mma_dot_f64(a, b, 4, c)), want) << n;
  }
}

}  // namespace
// Seen on an H100: a product that overflows as a binary64 is finite inside the fused operation, so
// an infinity that the chain carries already stays.
TEST(MmaModel, AnInfinityInTheBinary64ChainSurvivesAProductThatWouldOverflow) {
  const auto d = [](std::uint64_t bits) { return bits_as<double>(bits); };
  const double a[4] = {d(0xE5EE03CE32CE5181), d(0x95A9ED5B2AD57BF0), d(0xEEC2B5B7C29EA03B),
                       d(0x00CB06727A289225)};
  const double b[4] = {d(0x6E7DA7AE2699C6A7), d(0xE6CC4DA74E6EA595), d(0xFBEBB105868F6B38),
                       d(0xF72BA42A74DD1FAC)};
  EXPECT_EQ(bits_as<std::uint64_t>(mma_dot_f64(a, b, 4, d(0xAE1B24ECF7D67893))),
            0xFFF0000000000000u);
}

}  // namespace fp4lab::mma_test
