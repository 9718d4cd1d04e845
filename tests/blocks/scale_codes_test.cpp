// Every block scale that a rule can produce, times every midpoint of the element format, one ulp to
// either side, both signs: the places where a scale or a rounding that is off by one bit shows.
#include <set>
#include <string>
#include <vector>

#include "tests/blocks/compare.h"

namespace fp4lab_blocks {
namespace {

using oracle::Rational;

/// |midpoints| of neighbouring levels and the levels themselves, in (0, limit].
std::vector<Rational> critical_points(const oracle::Format& f, const Rational& limit) {
  std::vector<Rational> all;
  for (std::size_t i = 0; i < f.levels.size(); ++i) {
    const Rational& v = f.levels[i].value;
    if (v > 0 && v <= limit) all.push_back(v);
    if (i + 1 == f.levels.size()) break;
    const Rational middle = (v + f.levels[i + 1].value) / 2;
    if (middle > 0 && middle <= limit) all.push_back(middle);
  }
  return all;
}

/// {-1, 0, +1} ulp around RN32(x), both signs, nothing beyond `limit` in magnitude.
void push_neighbours(std::vector<F32>& out, const Rational& x, F32 limit) {
  const F32 centre = oracle::to_binary32(x);
  for (int step = -1; step <= 1; ++step) {
    const F32 v = centre + static_cast<F32>(step);
    if (oracle::abs32(v) > limit || (centre == 0 && step < 0)) continue;
    out.push_back(v);
    out.push_back(v | oracle::kSign32);
  }
}

/// Cuts `body` into blocks of `width` whose first element is `amax`; a last short block is padded
/// with zeros.
void push_blocks(Tensor& t, F32 amax, const std::vector<F32>& body, std::size_t width) {
  for (std::size_t i = 0; i < body.size(); i += width - 1) {
    t.bits.push_back(amax);
    for (std::size_t k = i; k < i + width - 1; ++k) {
      t.bits.push_back(k < body.size() ? body[k] : 0);
    }
  }
  t.rows = t.bits.size() / width;
  t.cols = width;
}

const char* const kMxBases[] = {"mxfp4",      "mxfp6-e2m3", "mxfp6-e3m2", "mxfp8-e4m3",
                                "mxfp8-e5m2", "mxint8",     "mxint4",     "mxint2"};

/// All scales 2^e for e with the given step, under one MX rule.
void check_mx_rule(const std::string& base, const std::string& rule, int step) {
  const oracle::BlockSpec s = oracle::block_spec(base);
  const oracle::Format& f = *s.element;
  const Rational top = f.levels.back().value;
  Tensor t{"every scale x every midpoint", 0, 0, {}};
  for (int e = -127; e <= 127; e += step) {
    // Three block maxima that FLOOR, RCEIL and the mantissa rounding of EVEN tell apart.
    for (const Rational& share : {Rational(1), Rational(7, 12), Rational(3, 4)}) {
      const Rational largest = top * share * oracle::pow2(e);
      if (largest > oracle::from_binary32(oracle::kMax32).value) continue;
      const F32 amax = oracle::to_binary32(largest);
      if (amax == 0) continue;
      std::vector<F32> body;
      for (const Rational& m : critical_points(f, top * share)) {
        push_neighbours(body, m * oracle::pow2(e), amax);
      }
      push_blocks(t, amax, body, 32);
    }
  }
  if (step == 1) {
    // The construction reaches every code that the rule can give.
    std::set<std::uint32_t> seen;
    for (const std::uint32_t c : library_quantize(base + ",rule=" + rule, t).scale_codes)
      seen.insert(c);
    EXPECT_GE(seen.size(), 250u - static_cast<unsigned>(oracle::floor_log2(top)));
  }
  expect_same(base + ",rule=" + rule, t);
}

class MxRules : public testing::TestWithParam<const char*> {};

TEST_P(MxRules, Fp4_EveryScaleTimesEveryMidpoint) { check_mx_rule("mxfp4", GetParam(), 1); }

TEST_P(MxRules, OtherElements_SomeScalesTimesEveryMidpoint) {
  for (const char* base : kMxBases) {
    const bool many = std::string(base) == "mxfp8-e4m3" || std::string(base) == "mxfp8-e5m2" ||
                      std::string(base) == "mxint8";
    check_mx_rule(base, GetParam(), many ? 51 : 7);
  }
}

INSTANTIATE_TEST_SUITE_P(All, MxRules, testing::Values("floor", "ceil", "even", "rceil", "tseng34"),
                         [](const auto& info) { return std::string(info.param); });

TEST(MxRulesSlow, EveryElement_ManyScalesTimesEveryMidpoint) {
  for (const char* base : kMxBases) {
    for (const char* rule : {"floor", "ceil", "even", "rceil", "tseng34"}) {
      check_mx_rule(base, rule, std::string(base).find("8") != std::string::npos ? 4 : 1);
    }
  }
}

TEST(MxRules, AmaxAroundEveryThreshold_TakesTheRightExponent) {
  // One-element blocks: powers of two, 1.5, 1.75 and qmax times a power of two, 0..2 ulp apart.
  for (const char* base : kMxBases) {
    const oracle::Format& f = *oracle::block_spec(base).element;
    Tensor t{"amax around thresholds", 0, 1, {}};
    for (int e = -149; e <= 127; ++e) {
      if ((e > -118 && e < -4) || (e > 4 && e < 118)) continue;  // nothing changes in between
      for (const Rational& m : {Rational(1), Rational(3, 2), Rational(7, 4), Rational(15, 8),
                                Rational(255, 128), f.levels.back().value}) {
        const Rational x = m * oracle::pow2(e);
        if (x > oracle::from_binary32(oracle::kMax32).value) continue;
        const F32 centre = oracle::to_binary32(x);
        for (int step = -2; step <= 2; ++step) {
          const F32 v = centre + static_cast<F32>(step);
          if (oracle::abs32(v) < oracle::kInf32) t.bits.push_back(v);
        }
      }
    }
    t.bits.push_back(oracle::kMax32);
    t.rows = t.bits.size();
    for (const char* rule : {"floor", "ceil", "even", "rceil", "tseng34", "quest"}) {
      expect_same(std::string(base) + ",rule=" + rule, t);
    }
    for (const char* rule : {"pow2-floor", "pow2-ceil", "pow2-near"}) {
      expect_same(std::string(base) + ",rule=" + rule, t);
    }
  }
}

/// Blocks of a two-level spec whose scale is each E4M3 code in turn. The scale follows from amax,
/// so the factor that undoes it is found by quantizing the maxima first; a first element A fixes
/// the global factor.
void check_two_level(const std::string& spec, const Rational& tensor_amax, int width) {
  oracle::BlockSpec s = oracle::block_spec(spec);
  const oracle::Format& f = *s.element;
  const F32 A = oracle::to_binary32(tensor_amax);
  const Rational exact_A = oracle::from_binary32(A).value;
  // dequantization step of code value v: v A / (top of the block scales)
  const bool single = s.global == oracle::Scope::kNone;  // scales stand for themselves
  const Rational per_unit = single ? Rational(1) : exact_A / (448 * f.levels.back().value);
  Tensor t{"every E4M3 code x every midpoint, A = " + std::to_string(as_float(A)), 0, 0, {}};
  t.bits.assign(static_cast<std::size_t>(width), 0);
  t.bits[0] = A;
  for (std::uint32_t code = 1; code <= 0x7E; ++code) {
    const Rational scale = oracle::format("ue4m3").codes[code].value;
    for (const Rational& share : {Rational(1), Rational(33, 32)}) {
      const Rational step = scale * per_unit;
      Rational largest = step * f.levels.back().value * share;
      if (!single && largest > exact_A) largest = exact_A;
      const F32 amax = oracle::to_binary32(largest);
      if (amax == 0) continue;
      std::vector<F32> body;
      for (const Rational& m : critical_points(f, f.levels.back().value)) {
        push_neighbours(body, m * step, amax);
      }
      push_blocks(t, amax, body, static_cast<std::size_t>(width));
    }
  }
  t.rows = t.bits.size() / static_cast<std::size_t>(width);
  t.cols = static_cast<std::size_t>(width);
  if (s.global == oracle::Scope::kRow) {
    t.cols = t.bits.size();  // one row, or every block would have its own factor
    t.rows = 1;
  }
  std::set<std::uint32_t> seen;
  for (const std::uint32_t c : library_quantize(spec, t).scale_codes) seen.insert(c & 0x7Fu);
  EXPECT_GE(seen.size(), 20u) << spec;
  if (spec == "nvfp4" || spec == "nvfp4@te") {
    EXPECT_GE(seen.size(), 126u) << spec;
  }
  expect_same(spec, t);
}

const char* const kTwoLevelSpecs[] = {
    "nvfp4",
    "nvfp4@te",
    "nvfp4@torchao",
    "nvfp4@torchao-single",
    "nvfp4@modelopt",
    "nvfp4@te-4over6",
    "nvfp4@te-4over6,e4m3max=256",
    "nvfp4@te-4over6,error=mse",
    "nvfp4@fouroversix",
    "nvfp4@fouroversix,error=mae",
    "nvfp4@fouroversix,error=absmax",
    "nvfp4@fouroversix,rule=static6",
    "nvfp4@fouroversix,rule=static4",
    "nvfp4,rule=static6",
    "nvfp4,rule=static4",
    "nvfp4,rule=4over6",
    "nvfp4,rule=4over6,error=mse",
    "nvfp4,rule=4over6,error=absmax",
    "nvfp4,rule=4over6,error=mse-fp16",
    "nvfp4,rule=4over6,e4m3max=448",
    "nvfp4,headroom=17/16",
    "nvfp4,global=none",
    "nvfp4,global=row",
    "nvint4",
    "nvint4@fouroversix",
    "if4",
    "if4@fouroversix",
};

class TwoLevel : public testing::TestWithParam<const char*> {};

TEST_P(TwoLevel, EveryScaleCodeTimesEveryMidpoint) {
  for (const Rational& A :
       {Rational(2688), Rational(1), Rational(7), Rational(448), Rational(1, 10), Rational(1536)}) {
    check_two_level(GetParam(), A, 16);
  }
}

std::string test_name(const testing::TestParamInfo<const char*>& info) {
  std::string name;
  for (const char c : std::string(info.param)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      name += c;
    else
      name += '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, TwoLevel, testing::ValuesIn(kTwoLevelSpecs), test_name);

TEST_P(TwoLevel, ShortMantissas_WhereOrdersOfOperationPart) {
  // Integer- and bf16-valued pairs of tensor and block maxima, with elements on the midpoints of
  // the exact quotient grid.
  Generator random(7);
  for (int round = 0; round < 16; ++round) {
    const int bits = 2 + round % 6;
    const F32 A = oracle::abs32(random.number(0, 0, bits));
    Tensor t{"short mantissas " + std::to_string(round), 16, 16, {}};
    for (int block = 0; block < 16; ++block) {
      const F32 raw = oracle::abs32(random.number(-7, 0, bits));
      const F32 amax = block == 0 ? A : oracle::min_of(raw, A);
      t.bits.push_back(amax);
      for (int i = 1; i < 16; ++i) {
        const Rational part(static_cast<long>(random.below(25)), 24);
        const F32 x = oracle::to_binary32(oracle::from_binary32(amax).value * part);
        t.bits.push_back((x & 0xFFFF0000u) | (random.next() & 1 ? oracle::kSign32 : 0));
      }
    }
    expect_same(GetParam(), t);
  }
}

TEST_P(TwoLevel, RandomBlocks_WithWideRanges) {
  const std::string spec = GetParam();
  for (int low : {-10, -40, -149}) {
    for (int high : {0, 60, 127}) {
      // fouroversix's own arithmetic overflows its nibble outside the normal range of scales.
      Generator random(static_cast<std::uint64_t>(300 + low + 7 * high));
      Tensor t{"exponents " + std::to_string(low) + ".." + std::to_string(high), 12, 48, {}};
      for (std::size_t i = 0; i < 12 * 48; ++i) t.bits.push_back(random.number(low, high));
      expect_same(spec, t);
    }
  }
  expect_same(spec, bell("bell", 20, 64, 0, 5));
  expect_same(spec, short_mantissas(bell("bell", 20, 64, -3, 6)));
  expect_same(spec, bell("small bell", 4, 64, -120, 8));
}

}  // namespace
}  // namespace fp4lab_blocks
