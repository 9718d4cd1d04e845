#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "formats/fp4lab.h"
#include "sim/models/factories.h"
#include "sim/nn/linear.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

ModelConfig small() {
  ModelConfig c;
  c.kind = "mlp";
  c.dim = 12;
  c.layers = 2;
  c.height = 3;
  c.width = 5;
  c.classes = 4;
  return c;
}

BuildContext in_fp32(std::uint64_t seed = 3) {
  BuildContext build;
  build.seed_init = seed;
  build.policy = [](const LayerInfo&) {
    LayerConfig c;
    c.compute = Compute::fp32;
    return c;
  };
  return build;
}

Batch images(const ModelConfig& c, std::size_t items) {
  Batch b;
  b.items = items;
  b.inputs = random_tensor({items, c.channels, c.height, c.width}, 61);
  b.targets = random_labels(items, static_cast<std::int32_t>(c.classes), 62);
  return b;
}

/// The network in binary64; in[] are weight, bias of each layer in order.
double mlp_twin(const Values& in, const Batch& batch) {
  double loss = 0, counted = 0;
  const std::size_t pixels = batch.inputs.size() / batch.items;
  for (std::size_t n = 0; n < batch.items; ++n) {
    if (batch.targets[n] < 0) continue;
    Vec x(batch.inputs.begin() + n * pixels, batch.inputs.begin() + (n + 1) * pixels);
    for (std::size_t layer = 0; 2 * layer < in.size(); ++layer) {
      const Vec &w = in[2 * layer], &b = in[2 * layer + 1];
      Vec y = b;
      for (std::size_t o = 0; o < b.size(); ++o) {
        for (std::size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
        const bool hidden = 2 * layer + 2 < in.size();
        if (hidden) y[o] *= 0.5 * std::erfc(-y[o] / std::sqrt(2.0));
      }
      x = y;
    }
    double sum = 0;
    for (const double v : x) sum += std::exp(v);
    loss += std::log(sum) - x[static_cast<std::size_t>(batch.targets[n])];
    ++counted;
  }
  return loss / counted;
}

TEST(Mlp, GradientsOfTheWholeModel) {
  for (const std::size_t layers : {0u, 1u, 2u}) {
    ModelConfig c = small();
    c.layers = layers;
    BuildContext build = in_fp32();
    const auto model = make_mlp(c, build);
    Batch batch = images(c, 9);
    batch.targets[2] = -1;
    const LossResult result = model->forward({}, batch);
    EXPECT_EQ(result.counted, 8u);
    model->backward({}, 1.0f);
    ASSERT_EQ(model->params().size(), 2 * (layers + 1));
    check_model(
        model->params(), [&](const Values& in) { return mlp_twin(in, batch); }, result.loss);
  }
}

TEST(Mlp, LayersAreNumberedAndNamed) {
  BuildContext build = in_fp32();
  const auto model = make_mlp(small(), build);
  ASSERT_EQ(model->layers().size(), 3u);
  EXPECT_EQ(model->layers()[0].name, "fc0");
  EXPECT_EQ(model->layers()[1].role, Role::ffn_up);
  EXPECT_EQ(model->layers()[1].block, 1);
  EXPECT_EQ(model->layers()[1].blocks, 2);
  EXPECT_EQ(model->layers()[2].name, "head");
  EXPECT_EQ(model->layers()[2].role, Role::head);
  EXPECT_EQ(model->configs()[0].compute, Compute::fp32);
  EXPECT_EQ(model->linears().size(), 3u);
  EXPECT_EQ(model->params()[0]->name, "fc0.weight");
  EXPECT_EQ(model->params()[0]->value.shape(), (Shape{12, 15}));
  double square = 0;
  for (const float w : model->params()[0]->value) square += double{w} * w;
  EXPECT_NEAR(square / 180, 2.0 / 15, 0.05);
}

/// The same bits for any number of threads, with all six slots quantized.
TEST(Mlp, ThreadsLeaveTheBits) {
  ModelConfig c = small();
  c.dim = 96;
  c.height = c.width = 8;
  const Batch batch = images(c, 130);
  std::vector<Tensor> first;
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    BuildContext build;
    build.policy = [](const LayerInfo&) {
      LayerConfig config;
      for (std::size_t s = 0; s < kSlots; ++s) {
        config.slot[s].spec = parse_spec(s == 2 || s == 4 ? "mxfp4,round=sr:16" : "mxfp4");
        config.slot[s].source = SlotSource::master;
      }
      return config;
    };
    const auto model = make_mlp(c, build);
    model->forward({}, batch);
    model->backward({}, 1.0f);
    for (std::size_t k = 0; k < model->params().size(); ++k) {
      if (threads == 1) first.push_back(model->params()[k]->grad);
      EXPECT_TRUE(same_bits(model->params()[k]->grad, first[k])) << model->params()[k]->name;
    }
  }
  omp_set_num_threads(before);
}

TEST(Mlp, SaysWhatDoesNotFit) {
  BuildContext build = in_fp32();
  ModelConfig c = small();
  c.classes = 0;
  EXPECT_THROW(make_mlp(c, build), std::invalid_argument);
  c = small();
  c.dim = 0;
  EXPECT_THROW(make_mlp(c, build), std::invalid_argument);
  const auto model = make_mlp(small(), build);
  Batch batch = images(small(), 3);
  batch.items = 4;
  EXPECT_THROW(model->forward({}, batch), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab_test
