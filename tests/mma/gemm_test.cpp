// The product as a whole: operands from quantized tensors, the Transformer Engine golden, plans,
// determinism, instruction sets, text forms, errors, explanations.
#include "sim/gemm.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <sstream>

#include "formats/registry.h"
#include "sim/gemm_explain.h"
#include "tests/golden/gv1.h"
#include "tests/math/targets.h"
#include "tests/mma/twin.h"

namespace fp4lab::mma_test {
namespace {

std::vector<float> normals(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> x(n);
  for (float& v : x) {
    float s = 0.0f;  // a sum of uniforms is normal enough
    for (int i = 0; i < 12; ++i) s += static_cast<float>(random() >> 40) * 0x1p-24f;
    v = (s - 6.0f) * (random() % 50 == 0 ? 20.0f : 1.0f);
  }
  return x;
}

GemmOperand quantized(const char* spec, std::size_t rows, std::size_t k, std::uint64_t seed) {
  const std::size_t shape[] = {rows, k};
  return GemmOperand::from_quantized(quantize(parse_spec(spec), normals(rows * k, seed), shape));
}

TEST(TransformerEngineQgemm, PlanGivesItsBits) {
  const golden::File f = golden::File::load(FP4LAB_GOLDEN_DIR "/nvfp4_te_reference/qgemm.gv.gz");
  const Accumulator plan = parse_accumulator("te-qgemm");
  std::size_t products = 0, outputs = 0;
  for (const std::string& name : f.names()) {
    if (!name.ends_with(":y")) continue;
    const std::string prefix = name.substr(0, name.size() - 2);
    const std::vector<std::uint32_t>& amax = f.at(prefix + ":amax").u32();
    std::vector<GemmOperand> recorded, own;
    for (int i = 0; i < 2; ++i) {
      const std::string letter = prefix + (i == 0 ? ":x" : ":w");
      const golden::Tensor& x = f.at(letter);
      RecordedOperand r;
      r.rows = x.shape()[0];
      r.k = x.shape()[1];
      r.format = find_format("e2m1")->format;
      const auto &codes = f.at(letter + "_code").u8(), &scales = f.at(letter + "_scale").u8();
      const std::vector<std::uint32_t> c(codes.begin(), codes.end()),
          s(scales.begin(), scales.end());
      r.codes = c;
      r.scale = {ScaleFormat::Kind::coded, find_format("ue4m3")->format};
      r.block = {1, 16};
      r.scale_codes = s;
      recorded.push_back(GemmOperand::from_codes(r));
      const char* spec = prefix.ends_with("16x16") ? "nvfp4@te,block=16x16" : "nvfp4@te";
      const std::vector<float> data = x.f32();
      own.push_back(GemmOperand::from_quantized(quantize(parse_spec(spec), data, x.shape())));
      recorded.back().amax = own.back().amax = bits_as<float>(amax[static_cast<std::size_t>(i)]);
    }
    const std::vector<std::uint32_t>& want = f.at(name).u32();
    EXPECT_EQ(gemm(recorded[0], recorded[1], plan).bits, want) << prefix;
    EXPECT_EQ(gemm(own[0], own[1], plan).bits, want) << prefix;
    ++products;
    outputs += want.size();
  }
  EXPECT_EQ(products, 4u);
  EXPECT_EQ(outputs, 2304u);
}

// Values, scales and global factor of an operand multiply back to what dequantize gives.
TEST(Operand, IsTheQuantizedTensor) {
  for (const char* text : {"mxfp4",
                           "mxfp4,block=32x32",
                           "nvfp4",
                           "nvfp4,block=16x16",
                           "nvfp4,global=1x128",
                           "nvfp4,global=row",
                           "nvint4",
                           "if4",
                           "razer",
                           "hif4",
                           "int4",
                           "uint4-asym,block=row",
                           "nf4,block=1x64",
                           "e2m1,block=col",
                           "e3m0",
                           "mxfp8-e4m3",
                           "mxint8",
                           "bf16",
                           "fp32",
                           "mxfp4,rule=tseng34",
                           "radix4-even,block=row",
                           "nvfp4@te-4over6"}) {
    SCOPED_TRACE(text);
    const QuantSpec spec = parse_spec(text);
    const std::size_t shape[] = {40, 200};
    const QuantizedTensor q = quantize(spec, normals(40 * 200, 3), shape);
    const std::vector<float> want = dequantize(q);
    const GemmOperand o = GemmOperand::from_quantized(q);
    ASSERT_EQ(o.rows(), 40u);
    ASSERT_EQ(o.k(), 200u);
    for (std::size_t r = 0; r < 40; ++r) {
      for (std::size_t k = 0; k < 200; ++k) {
        float y = mul_rn(o.row_values(r)[k], o.scale(r, k));
        if (o.has_global()) y = mul_rn(y, o.global(r));
        // Powers of two and selector constants may join either factor: same product, other order.
        const bool order = std::string(text) == "if4";
        if (order) {
          ASSERT_LE(ulp_distance(y, want[r * 200 + k]), 1) << r << " " << k;
        } else {
          ASSERT_EQ(bits_as<std::uint32_t>(y), bits_as<std::uint32_t>(want[r * 200 + k]))
              << r << " " << k;
        }
      }
    }
  }
}

const char* const kManyModels[] = {
    "exact",      "block-exact",         "fp32-seq",
    "fp32-fma",   "fp32-tree:4",         "fp32-split:3",
    "fp32-block", "promote:64:fp32-fma", "fp16-chunk",
    "acc:bf16",   "acc-sr:fp16:16",      "tfs:16:20:none:f32-rne:rne",
    "sm100",      "sm120,split-k=3",     "sm100,promote=64,split-k=2,reduce=pairwise"};

TEST(Determinism, AnyNumberOfThreads) {
  const GemmOperand a = quantized("nvfp4", 37, 208, 1), b = quantized("nvfp4", 83, 208, 2);
  const int before = omp_get_max_threads();
  for (const char* text : kManyModels) {
    GemmOptions options;
    options.random.seed = 5;
    std::vector<std::uint32_t> first;
    for (const int threads : {1, 2, 3, 8}) {
      omp_set_num_threads(threads);
      const std::vector<std::uint32_t> bits = gemm(a, b, parse_accumulator(text), options).bits;
      if (first.empty()) first = bits;
      EXPECT_EQ(bits, first) << text << " " << threads << " threads";
    }
    // One element alone is the same computation.
    EXPECT_EQ(explain(a, b, parse_accumulator(text), 36, 81, options).bits, first[36 * 83 + 81])
        << text;
  }
  omp_set_num_threads(before);
}

TEST(Determinism, AnyInstructionSet) {
  const std::pair<const char*, const char*> pairs[] = {
      {"mxfp4", "mxfp4"},           {"nvfp4", "nvfp4"},          {"mxfp4", "nvfp4"},
      {"int4,block=row", "e2m1"},   {"int8", "int8,block=1x32"}, {"hif4", "hif4"},
      {"nvfp4,block=1x15", "nvfp4"}};
  for (const auto& [sa, sb] : pairs) {
    for (const std::size_t k : {200, 31, 1}) {
      const GemmOperand a = quantized(sa, 19, k, 7), b = quantized(sb, 70, k, 8);
      std::vector<std::uint32_t> first;
      for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
        const fp4lab_test::InForce in_force(bit);
        const std::vector<std::uint32_t> bits = gemm(a, b, parse_accumulator("block-exact")).bits;
        if (first.empty()) first = bits;
        EXPECT_EQ(bits, first) << sa << " x " << sb << " k " << k << " " << name;
      }
      // Chains of fused multiply-adds, emulated or in hardware.
      std::vector<std::uint32_t> chains;
      for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
        const fp4lab_test::InForce in_force(bit);
        const std::vector<std::uint32_t> bits = gemm(a, b, parse_accumulator("fp32-fma")).bits;
        if (chains.empty()) chains = bits;
        EXPECT_EQ(bits, chains) << sa << " x " << sb << " k " << k << " fp32-fma " << name;
      }
      // The traced path is the binary64 chain of the definition.
      for (const std::size_t o : {std::size_t{0}, std::size_t{69}, std::size_t{19 * 70 - 1}}) {
        EXPECT_EQ(explain(a, b, parse_accumulator("block-exact"), o / 70, o % 70).bits, first[o]);
      }
    }
  }
}

TEST(Plans, PromotionAndSplitK) {
  const GemmOperand a = quantized("e4m3,scale=none", 5, 600, 4),
                    b = quantized("e4m3,scale=none", 6, 600, 5);
  const auto bits = [&](const char* text) { return gemm(a, b, parse_accumulator(text)).bits; };
  EXPECT_EQ(bits("cublaslt-fp8-slow"), bits("sm90.wgmma,promote=128"));
  EXPECT_EQ(bits("cublaslt-fp8-slow"), bits("promote:128:cublaslt-fp8-fast"));
  EXPECT_NE(bits("cublaslt-fp8-slow"), bits("cublaslt-fp8-fast"));
  EXPECT_EQ(bits("deepgemm"), bits("cublaslt-fp8-slow"));  // scales of 1: fma is an addition
  EXPECT_EQ(bits("sm90,split-k=1"), bits("sm90"));
  EXPECT_NE(bits("sm90,split-k=4"), bits("sm90"));
  // Parts of 14 bits add without rounding here, in any order; parts of 24 bits do not.
  const GemmOperand p = quantized("bf16", 5, 600, 4), q = quantized("bf16", 6, 600, 5);
  EXPECT_NE(gemm(p, q, parse_accumulator("sm90,split-k=5,reduce=pairwise")).bits,
            gemm(p, q, parse_accumulator("sm90,split-k=5")).bits);
  // DeepGEMM's block scales of binary32 along k.
  const GemmOperand x = quantized("e4m3,block=1x128", 5, 600, 4),
                    y = quantized("e4m3,block=128x128", 6, 600, 5);
  const GemmResult d = gemm(x, y, parse_accumulator("deepgemm"));
  EXPECT_EQ(d.instruction, "sm90a.wgmma.k32.e4m3.e4m3.f32");
  const GemmResult e = gemm(x, y, parse_accumulator("exact"));
  for (std::size_t i = 0; i < d.bits.size(); ++i) {
    EXPECT_NEAR(d.values()[i], e.values()[i], 0.02 * 600) << i;
    EXPECT_NE(d.bits[i], 0u);
  }
  EXPECT_THROW(gemm(x, y, parse_accumulator("cublaslt-fp8-slow")), std::invalid_argument);
}

TEST(AccumulatorText, ReadsAndPrints) {
  const std::pair<const char*, const char*> forms[] = {
      {"EXACT", "exact"},
      {"block_exact", "block-exact"},
      {"fp32-tree", "fp32-tree:1"},
      {"fp32-split:4", "fp32-split:4"},
      {"promote:128:fp32-fma", "promote:128:fp32-fma"},
      {"promote:256:promote:32:sm90", "promote:256:promote:32:sm90"},
      {"fp16-chunk", "chunk:fp16:64"},
      {"chunk:half:8", "chunk:fp16:8"},
      {"acc:bf16", "acc:bf16"},
      {"acc-sr:e6m9", "acc-sr:e6m9:16"},
      {"tfs:16:25:-133:f32_rz", "tfs:16:25:-133:f32-rz"},
      {"tfs:4:30:none:f16-rne:rne", "tfs:4:30:none:f16-rne:nearest-even"},
      {"sm90a", "sm90"},
      {"SM100A.tcgen05", "sm100.tcgen05"},
      {"sm90.wgmma.k16.f16.f16.f32", "sm90a.wgmma.k16.f16.f16.f32"},
      {"sm120,promote=64,split-k=2,reduce=pairwise,zero=mmasim",
       "sm120,promote=64,split-k=2,reduce=pairwise,zero=mmasim"},
      {"te_qgemm", "te-qgemm"},
      {"f32_block16", "fp32-block"}};
  for (const auto& [in, out] : forms) {
    EXPECT_EQ(to_string(parse_accumulator(in)), out);
    EXPECT_EQ(parse_accumulator(out), parse_accumulator(in)) << in;
  }
  for (const GemmPlan& p : named_plans()) EXPECT_EQ(to_string(parse_accumulator(p.name)), p.name);
}

TEST(AccumulatorText, SaysWhereAndWhatIsNear) {
  struct Wrong {
    const char* text;
    std::size_t position;
    const char* says;
  };
  const Wrong wrong[] = {{"", 0, "block-exact"},
                         {"exakt", 0, "nearest: 'exact'"},
                         {"sm91", 0, "nearest: 'sm9"},
                         {"sm90a.wgmma.k16.f16.f16.f23", 0, "sm90a.wgmma.k16.f16.f16.f32"},
                         {"fp32-tree:x", 10, "number of leaves"},
                         {"fp32-split", 0, "fp32-split:PARTS"},
                         {"promote:128", 0, "promote:N:INNER"},
                         {"promote:128:exat", 12, "nearest: 'exact'"},
                         {"promote:0:exact", 8, "number of products"},
                         {"chunk:fp61:8", 6, "nearest: 'fp16'"},
                         {"acc:e8m0", 4, "cannot accumulate"},
                         {"acc-sr:fp32:32", 12, "1 to 28"},
                         {"tfs:16:25:0:f32-r", 12, "nearest: 'f32-rz'"},
                         {"exact:3", 6, "too many"},
                         {"sm90,promot=3", 5, "nearest: 'promote'"},
                         {"sm90,op=fma-scale", 0, "promote=N"},
                         {"torch-bf16,promote=4", 11, "takes no options"}};
  for (const Wrong& w : wrong) {
    try {
      parse_accumulator(w.text);
      ADD_FAILURE() << w.text << " was read";
    } catch (const SpecError& e) {
      EXPECT_EQ(e.position(), w.position) << e.what();
      EXPECT_NE(std::string(e.what()).find(w.says), std::string::npos) << e.what();
    }
  }
}

TEST(Errors, NameWhatDoesNotFit) {
  const GemmOperand nv = quantized("nvfp4", 4, 64, 1), mx = quantized("mxfp4", 4, 64, 1),
                    other = quantized("nvfp4", 4, 32, 1);
  const auto message = [](const GemmOperand& a, const GemmOperand& b, const char* acc,
                          const GemmOptions& o = {}) {
    try {
      gemm(a, b, parse_accumulator(acc), o);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(message(nv, other, "exact").find("K = 64"), std::string::npos);
  EXPECT_NE(message(nv, nv, "sm90").find("e2m1 with ue4m3 scales per 16"), std::string::npos)
      << message(nv, nv, "sm90");
  EXPECT_NE(
      message(nv, mx, "sm100a.tcgen05.k64.e2m1.e2m1.f32.ue4m3x16").find("B has e8m0 scales per 32"),
      std::string::npos);
  EXPECT_NE(message(nv, nv, "te-qgemm").find("amax"), std::string::npos);
  EXPECT_NE(message(mx, mx, "sm90a.wgmma.k16.f16.f16.f32").find("A is e2m1"), std::string::npos);
  const std::vector<float> c(3);
  GemmOptions o;
  o.c = c;
  EXPECT_NE(message(nv, nv, "exact", o).find("C has 3"), std::string::npos);
  EXPECT_THROW(GemmOperand::from_floats(c, 2, 2), std::invalid_argument);
  RecordedOperand r;
  r.rows = 1;
  r.k = 2;
  r.format = find_format("e2m1")->format;
  const std::vector<std::uint32_t> codes = {3, 16};
  r.codes = codes;
  EXPECT_THROW(GemmOperand::from_codes(r), std::invalid_argument);  // code 16 of a 4-bit format
  EXPECT_THROW(explain(nv, nv, parse_accumulator("exact"), 4, 0), std::out_of_range);
}

TEST(Explain, EveryModelEndsAtItsResult) {
  const GemmOperand a = quantized("nvfp4", 3, 80, 11), b = quantized("nvfp4", 3, 80, 12);
  const std::vector<float> c = {0.25f, -3.0f, 1.5f, 0.0f, 0.0f, 2.0f, 1.0f, 0x1p-30f, -1.0f};
  for (const bool with_c : {false, true}) {
    GemmOptions options;
    if (with_c) options.c = c;
    for (const char* text : kManyModels) {
      const Accumulator acc = parse_accumulator(text);
      const Explanation e = explain(a, b, acc, 2, 1, options);
      EXPECT_EQ(e.bits, gemm(a, b, acc, options).bits[2 * 3 + 1]) << text;
      ASSERT_FALSE(e.trace.steps.empty()) << text;
      EXPECT_EQ(bits_as<std::uint32_t>(e.trace.steps.back().result),
                bits_as<std::uint32_t>(e.value))
          << text;
      // The integers of a fused sum add up to S.
      for (const TraceStep& s : e.trace.steps) {
        if (!s.fused) continue;
        std::int64_t sum = 0;
        for (const TraceTerm& t : s.terms) sum += t.kept;
        EXPECT_EQ(sum, s.sum) << text;
      }
      EXPECT_GE(e.models.size(), 15u);
      EXPECT_EQ(e.models.front().name, "exact");
    }
  }
  std::ostringstream out;
  print(out, explain(a, b, parse_accumulator("sm100"), 0, 0));
  const std::string text = out.str();
  for (const char* part :
       {"sm100a.tcgen05.k64.e2m1.e2m1.f32.ue4m3x16", "published", "groups of 16 in k=0..63",
        "E = ", "toward zero to 24 bits", "global factors", "ulp from exact", "sm120a.mma.k64"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

}  // namespace
}  // namespace fp4lab::mma_test
