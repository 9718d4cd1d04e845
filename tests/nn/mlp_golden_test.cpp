// Twenty steps of somebody else's quantized training (tests/golden/peer_mlp_mxfp4) through our
// layers.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/golden/gv1.h"
#include "tests/nn/linear_config.h"

namespace fp4lab::test {
namespace {

struct Variant {
  const char* file;
  std::array<SlotText, nn::kSlots> slots;
};

std::array<SlotText, nn::kSlots> all(const char* spec) {
  return {{{"master", spec},
           {"master", spec},
           {"master", spec},
           {"master", spec},
           {"master", spec},
           {"master", spec}}};
}

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list = {
      {"mxfp4_nearest_f32", all("mxfp4@microxcaling,round=rna")},
      {"mxfp4_nearest_f64", all("mxfp4@microxcaling,round=rna")},
      {"mxfp4_even_f64", all("mxfp4@microxcaling,round=rne")},
      {"block16_f64", all("mxfp4@microxcaling,round=rne,block=1x16")},
      {"ragged_f64", all("mxfp4@microxcaling,round=rne")},
      {"w4a6g8_f64",
       {{{"master", "mxfp6-e2m3@microxcaling,round=rne"},
         {"master", "mxfp4@microxcaling,round=rne"},
         {"master", "mxfp8-e5m2@microxcaling,round=rne"},
         {"master", "mxfp4@microxcaling,round=rne"},
         {"master", "mxfp8-e5m2@microxcaling,round=rne"},
         {"master", "mxfp6-e2m3@microxcaling,round=rne"}}}},
      {"fwd_only_f64",
       {{{"master", "mxfp4@microxcaling,round=rne"},
         {"master", "mxfp4@microxcaling,round=rne"},
         {"none", ""},
         {"none", ""},
         {"none", ""},
         {"none", ""}}}},
      {"noquant_f64",
       {{{"none", ""}, {"none", ""}, {"none", ""}, {"none", ""}, {"none", ""}, {"none", ""}}}},
  };
  return list;
}

std::vector<double> numbers(const golden::File& f, const std::string& name) {
  const golden::Tensor& t = f.at(name);
  if (f.header("dtype") == "f64") return t.f64();
  const std::vector<float> x = t.f32();
  return {x.begin(), x.end()};
}

Tensor tensor(const golden::File& f, const std::string& name) {
  Tensor t(f.at(name).shape());
  const std::vector<double> x = numbers(f, name);
  for (std::size_t i = 0; i < x.size(); ++i) t[i] = static_cast<float>(x[i]);
  return t;
}

/// |got - want| <= tolerance times the largest |want|.
void expect_close(const Tensor& got, const std::vector<double>& want, double tolerance,
                  const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double scale = 0;
  for (const double w : want) scale = std::max(scale, std::abs(w));
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got[i]), want[i], tolerance * scale) << what << "[" << i << "]";
  }
}

/// Two layers with ReLU between, mean cross-entropy in binary64, SGD in binary32.
class Mlp {
 public:
  Mlp(const golden::File& f, const nn::LayerConfig& config) : x_(tensor(f, "X")) {
    const Tensor w1 = tensor(f, "W1_init"), w2 = tensor(f, "W2_init");
    first_ = make_linear(config, w1.extent(1), w1.extent(0), 0, true);
    second_ = make_linear(config, w2.extent(1), w2.extent(0), 1, true);
    first_->weight().value = w1;
    first_->bias()->value = tensor(f, "b1_init");
    second_->weight().value = w2;
    second_->bias()->value = tensor(f, "b2_init");
    for (std::size_t i = 0; i < f.at("labels").size(); ++i) {
      labels_.push_back(static_cast<std::size_t>(f.at("labels").bits(i)));
    }
  }

  double forward_backward(std::uint32_t step) {
    nn::StepContext ctx;
    ctx.step = step;
    first_->forward(ctx, x_, hidden);
    Tensor active = hidden, dlogits, dactive, dx;
    for (float& v : active.span()) v = v > 0.0f ? v : 0.0f;
    second_->forward(ctx, active, logits);
    dlogits.resize(logits.shape());
    const double n = static_cast<double>(labels_.size());
    double loss = 0;
    for (std::size_t r = 0; r < labels_.size(); ++r) {
      double top = -1e300, sum = 0;
      for (const float v : logits.row(r)) top = std::max(top, static_cast<double>(v));
      for (const float v : logits.row(r)) sum += std::exp(static_cast<double>(v) - top);
      for (std::size_t c = 0; c < logits.cols(); ++c) {
        const double p = std::exp(static_cast<double>(logits(r, c)) - top) / sum;
        dlogits(r, c) = static_cast<float>((p - (c == labels_[r] ? 1.0 : 0.0)) / n);
        if (c == labels_[r]) loss -= std::log(p) / n;
      }
    }
    for (nn::Param* p : params()) p->grad.fill(0.0f);
    second_->backward(ctx, dlogits, dactive);
    for (std::size_t i = 0; i < dactive.size(); ++i) {
      if (!(hidden[i] > 0.0f)) dactive[i] = 0.0f;
    }
    first_->backward(ctx, dactive, dx);
    return loss;
  }

  void update(float rate) {
    for (nn::Param* p : params()) {
      for (std::size_t i = 0; i < p->value.size(); ++i) p->value[i] -= rate * p->grad[i];
    }
  }

  /// W1 b1 W2 b2.
  std::vector<nn::Param*> params() {
    std::vector<nn::Param*> list;
    first_->collect(list);
    second_->collect(list);
    return list;
  }

  Tensor hidden, logits;

 private:
  Tensor x_;
  std::vector<std::size_t> labels_;
  std::unique_ptr<nn::Linear> first_, second_;
};

class MlpGolden : public testing::TestWithParam<Variant> {};

TEST_P(MlpGolden, IsReplayed) {
  omp_set_num_threads(1);  // 32 rows are not worth waking threads for
  const std::string path =
      std::string(FP4LAB_GOLDEN_DIR) + "/peer_mlp_mxfp4/" + GetParam().file + ".gv.gz";
  const golden::File f = golden::File::load(path);
  Mlp mlp(f, layer_config(GetParam().slots));
  const std::vector<double> loss = numbers(f, "loss");
  ASSERT_EQ(loss.size(), 20u);
  const char* names[4] = {"W1", "b1", "W2", "b2"};
  const std::string variant = GetParam().file;
  const bool smooth = variant == "noquant_f64" || variant == "fwd_only_f64";
  int weights_compared = 0;
  for (std::uint32_t step = 0; step < 20; ++step) {
    const double got = mlp.forward_backward(step);
    if (step == 0) {
      expect_close(mlp.hidden, numbers(f, "step0:h"), 1e-6, "h");
      expect_close(mlp.logits, numbers(f, "step0:logits"), 1e-6, "logits");
      for (std::size_t i = 0; i < 4; ++i) {
        expect_close(mlp.params()[i]->grad, numbers(f, std::string("step0:grad_") + names[i]), 1e-6,
                     names[i]);
      }
      EXPECT_NEAR(got, loss[0], 1e-6 * loss[0]);
    }
    // Sooner or later a value near a threshold flips; where gradients are not quantized none does.
    const bool same_codes = smooth || step <= 4;
    EXPECT_NEAR(got, loss[step], (same_codes ? 1e-5 : 0.01) * loss[step]) << "step " << step;
    mlp.update(0.1f);
    if (step == 4 && f.has("after_step4:W1")) {  // the binary64 files keep no weights
      ++weights_compared;
      for (std::size_t i = 0; i < 4; ++i) {
        expect_close(mlp.params()[i]->value, numbers(f, std::string("after_step4:") + names[i]),
                     1e-5, names[i]);
      }
    }
  }
  EXPECT_EQ(weights_compared, variant == "mxfp4_nearest_f32" ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Peer, MlpGolden, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.file); });

}  // namespace
}  // namespace fp4lab::test
