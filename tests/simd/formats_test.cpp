// Every narrow format under every deterministic rounding: all places where a result changes.
#include <gtest/gtest.h>

#include <cmath>

#include "sim/quantize_fast.h"
#include "tests/simd/compare.h"

namespace fp4lab::test {
namespace {

/// Thresholds of a format under a rounding and its values, each with `reach` neighbours on either
/// side; the ends of binary32, both zeros.
std::vector<float> breakpoints(const ElementFormat& f, const Rounding& r, int reach) {
  std::vector<float> x;
  const auto around = [&](float t) {
    const std::int64_t i = detail::ordered(t);
    for (int k = -reach; k <= reach; ++k) {
      const float y = detail::from_ordered(i + k);
      if (is_finite(y)) x.push_back(y);
    }
  };
  const DecisionTable t = make_decision_table(f, r);
  for (int i = 0; i < t.values.count; ++i) {
    if (i != 0) around(t.threshold[i]);
    around(static_cast<float>(t.values.value[i]));
    if (i != 0) around(static_cast<float>((t.values.value[i] + t.values.value[i - 1]) / 2));
  }
  for (const float e :
       {0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 0x1p-126f, -0x1p-126f, kFloatMax, -kFloatMax}) {
    around(e);
  }
  return x;
}

QuantSpec cast_spec(const FormatInfo& f, const Rounding& r) {
  QuantSpec spec = parse_spec(std::string(f.id) + ",scale=none");
  spec.round = r;
  return spec;
}

TEST(SimdFormats, EveryMachineHasSeveralTargets) {
  const auto targets = simd_targets();
  EXPECT_GE(targets.size(), 2u);
  for (const std::int64_t t : targets) RecordProperty(target_id(t), "tested");
}

TEST(SimdFormatsSlow, Cast_BreakpointsOfEveryFormatAndRounding) {
  for (const FormatInfo& f : narrow_formats()) {
    for (const Rounding& r : deterministic_roundings()) {
      std::vector<float> x = breakpoints(f.format, r, 2);
      QuantSpec scaled = parse_spec(std::string(f.id) + ",rule=fixed:1");
      scaled.round = r;
      compare_on_all_targets(scaled, x, 1, x.size());
      for (const std::uint32_t b :
           {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC00001u, 0x7F800001u, 0xFFFFFFFFu}) {
        x.push_back(bits_as<float>(b));
      }
      compare_on_all_targets(cast_spec(f, r), x, 1, x.size());
      if (HasFailure()) return;
    }
  }
}

TEST(SimdFormatsSlow, Cast_RandomWordsOfEveryFormatAndRounding) {
  std::vector<float> x(4099);
  const RandomStream s{5, 0, 0, RandomPurpose::synthetic_data};
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = bits_as<float>(s.slot(i, 32));
    if (!is_finite(x[i])) x[i] = 1.0f;
    // Half of them near the formats' range.
    if (i % 2 == 0) x[i] = bits_as<float>((s.slot(i, 32) & 0x83FFFFFFu) + 0x3C000000u);
  }
  for (const FormatInfo& f : narrow_formats()) {
    for (const Rounding& r : deterministic_roundings()) {
      QuantSpec spec = parse_spec(std::string(f.id) + ",rule=fixed:1");
      spec.round = r;
      compare_on_all_targets(spec, x, 1, x.size());
      if (HasFailure()) return;
    }
  }
}

/// Blocks whose largest element pins the scale to 1 (or the format's own power of two) and whose
/// others walk the breakpoints: thresholds are met exactly after scaling.
TEST(SimdFormatsSlow, Blocks_BreakpointsOfEveryFormatAndRoundingUnderMxPlainAndTwoLevelScales) {
  for (const FormatInfo& f : narrow_formats()) {
    const float top = qmax(f.format);
    for (const Rounding& r : deterministic_roundings()) {
      std::vector<float> x;
      for (const float b : breakpoints(f.format, r, 1)) {
        if (std::abs(b) > top) continue;
        if (x.size() % 16 == 0) x.push_back(top);
        x.push_back(b);
      }
      x.resize((x.size() + 15) / 16 * 16, 0.0f);
      for (const char* base :
           {"mxfp4,block=1x16", "e2m1,block=1x16", "nvfp4", "mxfp4,rule=rceil",
            "mxfp4,rule=even,block=1x16", "nvfp4,global=none", "e2m1,block=1x16,scale=e4m3"}) {
        QuantSpec spec = parse_spec(base);
        spec.element = f.format;
        spec.round = r;
        if (!has_fast_path(spec, 1, x.size())) {
          // The absmax scale of integers with one more negative value depends on signs, and amax /
          // q may overflow for q < 1.
          const bool lopsided =
              f.format.kind == FormatKind::integer && -f.format.min_int != f.format.max_int;
          EXPECT_TRUE(top < 1.0f || lopsided) << f.id << " " << base;
          continue;
        }
        compare_on_all_targets(spec, x, 1, x.size());
        if (HasFailure()) {
          ADD_FAILURE() << f.id << " " << to_string(r);
          return;
        }
      }
    }
  }
}

TEST(SimdFormats, StochasticGrids_EveryFormatWithOneAndEveryNumberOfBits) {
  const auto x = random_blocks(6000, 32, 3, {});
  QuantizeOptions o;
  o.random.stream = RandomStream{0x123456789ABCDEFull, 19, 3};
  int formats = 0;
  for (const FormatInfo& f : narrow_formats()) {
    QuantSpec spec = parse_spec("mxfp4");
    spec.element = f.format;
    spec.round = stochastic(16);
    if (!has_fast_path(spec, 60, 100, o)) continue;
    ++formats;
    for (const int n : {1, 4, 7, 8, 9, 12, 16, 17, 23, 24}) {
      spec.round = stochastic(n);
      compare_on_all_targets(spec, x, 60, 100, o);
      if (HasFailure()) return;
    }
    spec.round = Rounding{RoundingKind::luq};
    compare_on_all_targets(spec, x, 60, 100, o);
  }
  EXPECT_GE(formats, 5);
}

}  // namespace
}  // namespace fp4lab::test
