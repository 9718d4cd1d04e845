// Instruments against computations by hand: the statistics of slots and products, and the
// oscillation of weights against a naive second implementation.
#include "sim/stabilize/oscillation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "formats/catalog.h"
#include "formats/spec_text.h"
#include "sim/stabilize/slot_statistics.h"
#include "tests/train/small_run.h"

namespace fp4lab::stabilize {
namespace {

const ElementFormat kE2m1 = parse_spec("e2m1").element;
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Moment {
  std::vector<float> w, wq;
  QuantizedTensor q;
};

Moment moment_of(const std::vector<float>& w, std::size_t rows, const char* spec) {
  Moment m;
  m.w = w;
  const std::size_t shape[2] = {rows, w.size() / rows};
  m.q = quantize(parse_spec(spec), w, shape);
  m.wq = dequantize(m.q);
  return m;
}

WeightSnapshot snapshot_of(const Moment& m) { return {m.w, m.wq, &m.q}; }

/// Weights that wander: 4 rows of 32, steps of a few percent.
std::vector<Moment> walk(int steps, const char* spec) {
  std::vector<float> w(128);
  std::vector<Moment> moments;
  for (int t = 0; t <= steps; ++t) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      const RandomStream stream{3, 1, static_cast<std::uint32_t>(t), RandomPurpose::noise, 0, 0};
      const float u = static_cast<float>(stream.slot(i, 32) >> 8) * 0x1p-24f - 0.5f;
      w[i] = t == 0 ? 2.0f * u : w[i] + 0.1f * u;
    }
    moments.push_back(moment_of(w, 4, spec));
  }
  return moments;
}

TEST(Grid, ConfidencesOfE2m1AreThoseOfThePaper) {
  const CodeGrid grid(kE2m1);
  const auto confidence = [&](double v) {
    // Nearest value; ties do not matter for the distance, which is zero there.
    int best = 0;
    for (int i = 0; i < grid.count(); ++i) {
      if (std::abs(grid.value(i) - v) < std::abs(grid.value(best) - v)) best = i;
    }
    return grid.confidence(v, best);
  };
  // Thresholds decide nothing, centres of bins decide most.
  for (const double threshold : {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0}) {
    EXPECT_EQ(confidence(threshold), 0.0) << threshold;
    EXPECT_EQ(confidence(-threshold), 0.0) << threshold;
  }
  EXPECT_EQ(confidence(0.0), 1.0);
  EXPECT_EQ(confidence(1.0), 1.0);
  EXPECT_EQ(confidence(3.0), 1.0);
  EXPECT_EQ(confidence(6.0), 1.0);
  EXPECT_EQ(confidence(7.0), 1.0);
  // The values 2 and 4 are not the centres of their bins (1.75, 2.5) and (3.5, 5).
  EXPECT_DOUBLE_EQ(confidence(2.0), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(confidence(-4.0), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(confidence(5.5), 0.5);
}

TEST(Grid, MinusZeroRanksWithZero) {
  const CodeGrid grid(kE2m1);
  EXPECT_EQ(grid.ordinal(0), grid.ordinal(8));
  EXPECT_EQ(grid.count(), 15);
  EXPECT_EQ(grid.value(grid.ordinal(0)), 0.0);
}

TEST(Oscillation, AgreesWithANaiveSecondComputation) {
  for (const char* spec : {"mxfp4", "nvfp4", "nvfp4,block=16x16", "int4", "mxfp4,rule=tseng34"}) {
    SCOPED_TRACE(spec);
    const int steps = 12;
    const auto moments = walk(steps, spec);
    OscillationTracker tracker(0.1);
    tracker.begin(snapshot_of(moments[0]));
    for (int t = 1; t <= steps; ++t) tracker.add(snapshot_of(moments[t]));
    const OscillationResult got = tracker.result();
    EXPECT_EQ(tracker.steps(), steps);

    const CodeGrid grid(moments[0].q.spec.element);
    std::vector<float> first_scale, last_scale;
    element_scales(moments[0].q, first_scale);
    element_scales(moments[steps].q, last_scale);
    double ratio = 0, code_ratio = 0, above = 0, confidence = 0;
    std::int64_t flips = 0, reversals = 0, signs = 0;
    for (std::size_t i = 0; i < 128; ++i) {
      double dw = 0, dq = 0, dc = 0;
      int direction = 0;
      double f = 0;
      for (int t = 1; t <= steps; ++t) {
        dw += std::abs(double(moments[t].w[i]) - double(moments[t - 1].w[i]));
        dq += std::abs(double(moments[t].wq[i]) - double(moments[t - 1].wq[i]));
        const double before = decode(moments[0].q.spec.element, moments[t - 1].q.codes[i]);
        const double now = decode(moments[0].q.spec.element, moments[t].q.codes[i]);
        dc += std::abs(now - before) * double(first_scale[i]);
        bool reversed = false;
        if (now != before) {
          ++flips;
          const int d = now > before ? 1 : -1;
          reversed = d == -direction;
          direction = d;
          reversals += reversed;
          signs += (now > 0) != (before > 0) || (now < 0) != (before < 0);
        }
        f = 0.1 * reversed + 0.9 * f;
      }
      ratio += dq / (dw + 1e-8) / 128;
      above += dq / (dw + 1e-8) > 16 ? 1.0 / 128 : 0;
      code_ratio += dc / (dw + 1e-8) / 128;
      confidence += grid.confidence(double(moments[steps].w[i]) / double(last_scale[i]),
                                    grid.ordinal(moments[steps].q.codes[i])) /
                    128;
      EXPECT_NEAR(tracker.frequency()[i], f, 1e-6);
    }
    std::int64_t scale_flips = 0;
    double r_w = 0, r_wq = 0;
    for (int t = 1; t <= steps; ++t) {
      for (std::size_t b = 0; b < moments[t].q.scale_codes.size(); ++b) {
        scale_flips += moments[t].q.scale_codes[b] != moments[t - 1].q.scale_codes[b];
      }
      double change = 0, size = 0, change_q = 0, size_q = 0;
      for (std::size_t i = 0; i < 128; ++i) {
        change += std::pow(double(moments[t].w[i]) - double(moments[t - 1].w[i]), 2);
        size += std::pow(double(moments[t - 1].w[i]), 2);
        change_q += std::pow(double(moments[t].wq[i]) - double(moments[t - 1].wq[i]), 2);
        size_q += std::pow(double(moments[t - 1].wq[i]), 2);
      }
      r_w += std::sqrt(change / size) / steps;
      r_wq += std::sqrt(change_q / size_q) / steps;
    }
    EXPECT_NEAR(got.ratio_mean, ratio, 1e-12);
    EXPECT_NEAR(got.fraction_above_16, above, 1e-12);
    EXPECT_NEAR(got.code_ratio_mean, code_ratio, 1e-12);
    EXPECT_NEAR(got.confidence_mean, confidence, 1e-12);
    EXPECT_NEAR(got.r_w, r_w, 1e-12);
    EXPECT_NEAR(got.r_wq, r_wq, 1e-12);
    EXPECT_EQ(got.flips, flips);
    EXPECT_EQ(got.reversals, reversals);
    EXPECT_EQ(got.sign_flips, signs);
    EXPECT_EQ(got.scale_flips, scale_flips);
    EXPECT_GT(flips, 0);
    EXPECT_GT(reversals, 0);
    std::int64_t binned = 0;
    for (const std::int64_t n : got.ratio_histogram) binned += n;
    EXPECT_EQ(binned, 128);
  }
}

TEST(Oscillation, ScalesThatMoveAloneShowOnlyInTheRatioWithLiveScales) {
  // The largest weight doubles: every other one keeps its place relative to the new scale only if
  // it flips, so hold the others at zero but one on the grid of both scales.
  std::vector<float> w(32, 0.0f);
  w[0] = 6.0f;
  w[1] = 2.0f;
  const Moment before = moment_of(w, 1, "mxfp4");
  w[0] = 12.0f;
  w[1] = 4.0f;
  const Moment after = moment_of(w, 1, "mxfp4");
  OscillationTracker tracker;
  tracker.begin(snapshot_of(before));
  tracker.add(snapshot_of(after));
  const OscillationResult r = tracker.result();
  EXPECT_EQ(r.flips, 0);
  EXPECT_EQ(r.scale_flips, 1);
  EXPECT_EQ(r.code_ratio_mean, 0.0);
  EXPECT_GT(r.ratio_mean, 0.0);
}

TEST(Oscillation, FrequencyOutlivesWindowsAndDirectionsOnlyJoinedOnes) {
  const Moment low = moment_of({6.0f, 2.4f}, 1, "mxfp4"),
               high = moment_of({6.0f, 2.6f}, 1, "mxfp4");
  for (const bool joins : {false, true}) {
    OscillationTracker tracker(0.5);
    tracker.begin(snapshot_of(low));
    tracker.add(snapshot_of(high));
    EXPECT_EQ(tracker.result().reversals, 0);
    tracker.begin(snapshot_of(high), joins);
    tracker.add(snapshot_of(low));
    EXPECT_EQ(tracker.result().reversals, joins ? 1 : 0);
    EXPECT_EQ(tracker.frequency()[1], joins ? 0.5f : 0.0f);
    tracker.begin(snapshot_of(low), true);
    tracker.add(snapshot_of(high));
    EXPECT_EQ(tracker.frequency()[1], joins ? 0.75f : 0.5f);
  }
}

TEST(Oscillation, UnquantizedWeightsHaveNoCodesAndARatioOfOne) {
  const std::vector<float> a{1.0f, 2.0f}, b{1.5f, 2.0f};
  OscillationTracker tracker;
  tracker.begin({a, a, nullptr});
  tracker.add({b, b, nullptr});
  const OscillationResult r = tracker.result();
  EXPECT_NEAR(r.ratio_mean, 0.5, 1e-7);
  EXPECT_EQ(r.flips, -1);
  EXPECT_TRUE(std::isnan(r.confidence_mean));
  EXPECT_TRUE(std::isnan(r.code_ratio_mean));
}

TEST(Oscillation, SeesAWeightOscillateAtItsThreshold) {
  // w climbs from 0.5's cell and falls from 1's, as under gradients w* - q with w* = 0.8.
  std::vector<float> latent{0.75f};
  const auto rounded = [](float w) { return w < 0.75f ? 0.5f : 1.0f; };
  for (int t = 0; t < 900; ++t) {
    latent.push_back(latent.back() - 0.01f * (rounded(latent.back()) - 0.8f));
  }
  OscillationTracker tracker;
  std::int64_t crossings = 0;
  for (std::size_t t = 0; t < latent.size(); ++t) {
    const Moment m = moment_of({latent[t]}, 1, "e2m1,rule=fixed:1");
    ASSERT_EQ(m.wq[0], rounded(latent[t]));
    if (t == 0) {
      tracker.begin(snapshot_of(m));
      continue;
    }
    tracker.add(snapshot_of(m));
    crossings += rounded(latent[t]) != rounded(latent[t - 1]) ? 1 : 0;
  }
  const OscillationResult r = tracker.result();
  EXPECT_EQ(r.flips, crossings);
  EXPECT_GE(r.reversals, crossings - 1);  // every crossing turns back, the first has no other
  EXPECT_GT(crossings, 100);
  EXPECT_EQ(r.fraction_above_16, 1.0);
  EXPECT_LT(r.confidence_mean, 0.1);
}

nn::SlotSample sample_of(const Moment& m) {
  nn::SlotSample s;
  s.spec = &m.q.spec;
  s.input = m.w;
  s.output = m.wq;
  s.codes = m.q.codes;
  s.scale_codes = m.q.scale_codes;
  s.saturated = m.q.saturated;
  return s;
}

TEST(SlotStatistics, CountWhatAQuantizationLost) {
  // amax 7 under the scale of 4: 7 saturates to 6; 0.2 underflows; -1 is exact.
  const Moment m = moment_of({7.0f, 0.2f, -1.0f, 0.0f}, 1, "mxfp4");
  SlotStatistics s;
  EXPECT_TRUE(s.empty());
  s.add(sample_of(m));
  EXPECT_EQ(s.amax(), 7.0);
  EXPECT_EQ(s.zero_fraction(), 0.5);
  EXPECT_DOUBLE_EQ(s.underflow_fraction(), 1.0 / 3.0);
  EXPECT_EQ(s.saturation_fraction(), 0.25);
  const double x2 = double(0.2f) * double(0.2f);
  EXPECT_DOUBLE_EQ(s.mse(), (1.0 + x2) / 4);
  EXPECT_DOUBLE_EQ(s.bias(), (-1.0 - double(0.2f)) / 4);
  EXPECT_NEAR(s.sqnr_db(), 10 * std::log10((49.0 + 1.0 + x2) / (1.0 + x2)), 1e-5);
  EXPECT_DOUBLE_EQ(s.cosine(), 43.0 / (std::sqrt(50.0 + x2) * std::sqrt(37.0)));
  EXPECT_DOUBLE_EQ(s.norm_ratio(), std::sqrt(37.0) / std::sqrt(50.0 + x2));
  EXPECT_TRUE(std::isnan(s.requant_exact_fraction()));
  EXPECT_EQ(s.code_histogram()[7], 1);   // 6
  EXPECT_EQ(s.code_histogram()[0], 2);   // 0.2, 0
  EXPECT_EQ(s.code_histogram()[10], 1);  // -1
  EXPECT_EQ(s.scale_histogram()[127], 1);
  s.add(sample_of(m));
  EXPECT_DOUBLE_EQ(s.mse(), (1.0 + x2) / 4);
  EXPECT_EQ(s.scale_histogram()[127], 2);
}

TEST(SlotStatistics, AreDefinedWithoutErrorsAndWithoutNumbers) {
  SlotStatistics exact;
  exact.add(sample_of(moment_of({6.0f, -3.0f}, 1, "mxfp4")));
  EXPECT_EQ(exact.sqnr_db(), kInf);
  EXPECT_DOUBLE_EQ(exact.cosine(), 1.0);
  SlotStatistics zero;
  zero.add(sample_of(moment_of({0.0f, 0.0f}, 1, "mxfp4")));
  EXPECT_TRUE(std::isnan(zero.sqnr_db()));
  EXPECT_TRUE(std::isnan(zero.underflow_fraction()));
  EXPECT_EQ(zero.zero_fraction(), 1.0);
  SlotStatistics wide;
  wide.add(sample_of(moment_of({1.0f, 2.0f}, 1, "mxfp8-e4m3")));
  EXPECT_EQ(wide.code_histogram()[0], -1);
  EXPECT_EQ(wide.scale_histogram()[0] >= 0, true);
}

TEST(GemmStatistics, CompareWithTheReference) {
  const std::vector<float> result{3.0f, 4.0f}, reference{3.0f, 5.0f};
  GemmStatistics g;
  g.add({0, nn::Gemm::y, result, reference});
  EXPECT_DOUBLE_EQ(g.rel_error(), 1.0 / std::sqrt(34.0));
  EXPECT_DOUBLE_EQ(g.rho(), std::sqrt(34.0));
  EXPECT_DOUBLE_EQ(g.pma(), 29.0 / 34.0);
  EXPECT_DOUBLE_EQ(g.cosine(), 29.0 / (5.0 * std::sqrt(34.0)));
  EXPECT_TRUE(std::isnan(g.ste_rel_error()));

  const std::vector<float> consistent{3.0f, 0.0f};
  GemmStatistics b;
  b.add({0, nn::Gemm::dx, result, reference, consistent});
  EXPECT_DOUBLE_EQ(b.rel_error(), 1.0 / std::sqrt(34.0));
  EXPECT_DOUBLE_EQ(b.ste_rel_error(), 4.0 / 3.0);
  EXPECT_DOUBLE_EQ(b.ste_cosine(), 9.0 / 15.0);
  EXPECT_DOUBLE_EQ(b.ste_norm_ratio(), 5.0 / 3.0);
}

}  // namespace
}  // namespace fp4lab::stabilize

namespace fp4lab::train {
namespace {

TEST(Instruments, KeepTheirCadenceAndFillWholeRows) {
  SmallRun run(small_config("tetrajet"));
  ASSERT_EQ(run.trainer->run(), RunStatus::complete);
  const RunRecord& r = run.trainer->record();
  using Steps = std::vector<std::int64_t>;
  // 12 steps: every 4 and the last; windows of 3 every 4 that end before the last 4 steps.
  EXPECT_EQ(r.values<std::int64_t>("/layers/step"), (Steps{0, 4, 8, 11}));
  EXPECT_EQ(r.values<std::int64_t>("/gemms/step"), (Steps{0, 4, 8, 11}));
  EXPECT_EQ(r.values<std::int64_t>("/oscillation/step"), (Steps{3, 7, 12}));
  EXPECT_EQ(r.values<std::int64_t>("/eval/step"), (Steps{0, 5, 10, 12}));
  EXPECT_EQ(r.values<std::int64_t>("/norms/step").size(), 12u);
  EXPECT_EQ(r.values<std::int64_t>("/traces/step"), (Steps{9, 10, 11, 12}));
  const std::size_t layers = r.values<std::string>("/layers/layer").size();
  EXPECT_EQ(layers, 3u);
  EXPECT_EQ(r.values<double>("/layers/sqnr_db").size(), 4 * layers * 6);
  EXPECT_EQ(r.values<std::int64_t>("/layers/code_histogram").size(), 4 * layers * 6 * 16);
  EXPECT_EQ(r.values<std::int64_t>("/layers/scale_histogram").size(), 4 * layers * 6 * 256);
  EXPECT_EQ(r.values<double>("/gemms/cosine").size(), 4 * layers * 3);
  // Two quantized layers; the head is kept in bf16 by the policy and says nothing of its slots.
  EXPECT_EQ(r.values<std::string>("/oscillation/layer").size(), 2u);
  EXPECT_EQ(r.values<float>("/traces/latent").size(), 4u * 2 * 64);
  EXPECT_EQ(r.values<double>("/traces/thresholds").size(), 14u);
  const auto& sqnr = r.values<double>("/layers/sqnr_db");
  for (std::size_t slot = 0; slot < 6; ++slot) {
    // The first layer hands nothing back: its q4 may be empty, q3 as well.
    if (slot != 2 && slot != 3) {
      EXPECT_FALSE(std::isnan(sqnr[slot])) << slot;
    }
    EXPECT_FALSE(std::isnan(sqnr[6 + slot])) << slot;
    EXPECT_TRUE(std::isnan(sqnr[12 + slot])) << slot;
  }
  const auto& exact = r.values<double>("/layers/requant_exact_fraction");
  EXPECT_TRUE(std::isnan(exact[6 + 0]));
  EXPECT_FALSE(std::isnan(exact[6 + 3]));
  EXPECT_FALSE(std::isnan(exact[6 + 5]));
  const auto& cosine = r.values<double>("/gemms/cosine");
  EXPECT_GT(cosine[3], 0.9);
  EXPECT_LT(cosine[3], 1.0);
  for (const double r_y : r.values<double>("/oscillation/r_y")) EXPECT_GT(r_y, 0.0);
  EXPECT_EQ(r.values<std::string>("/policy/spec")[6 * 2], "none");
}

TEST(Instruments, TracedWeightsAreThoseOfTheContract) {
  SmallRun run(small_config("mxfp4-rceil"));
  run.trainer->run();
  const RunRecord& r = run.trainer->record();
  const auto& flat = r.values<std::int64_t>("/traces/flat_index");
  const auto& latent = r.values<float>("/traces/latent");
  const auto& scale = r.values<float>("/traces/scale");
  const nn::Param& w = *run.model->params()[0];
  const std::size_t last = latent.size() - 2 * 64;  // the row after the last update
  for (std::size_t i = 0; i < 64; ++i) {
    const std::size_t at = i * w.value.size() / 64;
    EXPECT_EQ(flat[i], static_cast<std::int64_t>(at));
    EXPECT_EQ(latent[last + i], w.value[at] / scale[last + i]) << i;
  }
}

}  // namespace
}  // namespace fp4lab::train
