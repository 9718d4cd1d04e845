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
  c.kind = "resnet-mini";
  c.dim = 4;
  c.layers = 2;
  c.channels = 2;
  c.height = 6;
  c.width = 5;
  c.classes = 3;
  return c;
}

BuildContext in_fp32() {
  BuildContext build;
  build.seed_init = 4;
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
  b.inputs = random_tensor({items, c.channels, c.height, c.width}, 71);
  b.targets = random_labels(items, static_cast<std::int32_t>(c.classes), 72);
  return b;
}

/// Images as [item][channel][row][column], each channel of all items normalized together.
struct Maps {
  std::size_t items, channels, h, w;
  Vec v;
  double& at(std::size_t n, std::size_t c, std::size_t y, std::size_t x) {
    return v[((n * channels + c) * h + y) * w + x];
  }
};

/// Convolution, the weight's columns in the order [ky][kx][channel].
Maps conv(Maps& in, const Vec& weight, std::size_t kernel, std::size_t stride) {
  const std::size_t pad = kernel / 2, filters = weight.size() / (in.channels * kernel * kernel);
  Maps out{in.items,
           filters,
           (in.h + 2 * pad - kernel) / stride + 1,
           (in.w + 2 * pad - kernel) / stride + 1,
           {}};
  out.v.assign(in.items * filters * out.h * out.w, 0.0);
  for (std::size_t n = 0; n < in.items; ++n)
    for (std::size_t f = 0; f < filters; ++f)
      for (std::size_t y = 0; y < out.h; ++y)
        for (std::size_t x = 0; x < out.w; ++x)
          for (std::size_t ky = 0; ky < kernel; ++ky)
            for (std::size_t kx = 0; kx < kernel; ++kx) {
              const std::size_t iy = y * stride + ky - pad, ix = x * stride + kx - pad;
              if (iy >= in.h || ix >= in.w) continue;  // a border of zeros (below 0 wraps)
              for (std::size_t c = 0; c < in.channels; ++c) {
                out.at(n, f, y, x) += weight[((f * kernel + ky) * kernel + kx) * in.channels + c] *
                                      in.at(n, c, iy, ix);
              }
            }
  return out;
}

void batch_norm(Maps& m, const Vec& gain, const Vec& bias) {
  const double count = static_cast<double>(m.items * m.h * m.w);
  const std::size_t pixels = m.h * m.w;
  for (std::size_t c = 0; c < m.channels; ++c) {
    double mean = 0, var = 0;
    for (std::size_t n = 0; n < m.items; ++n)
      for (std::size_t p = 0; p < pixels; ++p)
        mean += m.v[(n * m.channels + c) * pixels + p] / count;
    for (std::size_t n = 0; n < m.items; ++n)
      for (std::size_t p = 0; p < pixels; ++p)
        var += std::pow(m.v[(n * m.channels + c) * pixels + p] - mean, 2) / count;
    for (std::size_t n = 0; n < m.items; ++n)
      for (std::size_t p = 0; p < pixels; ++p) {
        double& v = m.v[(n * m.channels + c) * pixels + p];
        v = gain[c] * (v - mean) / std::sqrt(var + 1e-5) + bias[c];
      }
  }
}

void relu(Maps& m) {
  for (double& v : m.v) v = std::max(v, 0.0);
}

double resnet_twin(const Values& in, const Batch& batch, const ModelConfig& config) {
  std::size_t next = 0;
  Maps x{batch.items, config.channels, config.height, config.width, to_double(batch.inputs)};
  const auto unit = [&](Maps& from, std::size_t kernel, std::size_t stride) {
    Maps y = conv(from, in[next], kernel, stride);
    batch_norm(y, in[next + 1], in[next + 2]);
    next += 3;
    return y;
  };
  x = unit(x, 3, 1);
  relu(x);
  for (std::size_t block = 0; block < config.layers; ++block) {
    const std::size_t stride = block % 2 == 1 && x.h >= 4 && x.w >= 4 ? 2 : 1;
    Maps y = unit(x, 3, stride);
    relu(y);
    y = unit(y, 1, 1);
    const Maps shortcut = stride == 2 ? unit(x, 1, 2) : x;
    for (std::size_t i = 0; i < y.v.size(); ++i) y.v[i] += shortcut.v[i];
    relu(y);
    x = y;
  }
  double loss = 0;
  for (std::size_t n = 0; n < batch.items; ++n) {
    Vec logit = in[next + 1];
    double sum = 0;
    for (std::size_t k = 0; k < logit.size(); ++k) {
      for (std::size_t c = 0; c < x.channels; ++c) {
        double mean = 0;
        for (std::size_t p = 0; p < x.h * x.w; ++p)
          mean += x.v[(n * x.channels + c) * x.h * x.w + p];
        logit[k] += in[next][k * x.channels + c] * mean / static_cast<double>(x.h * x.w);
      }
      sum += std::exp(logit[k]);
    }
    loss += std::log(sum) - logit[static_cast<std::size_t>(batch.targets[n])];
  }
  return loss / static_cast<double>(batch.items);
}

TEST(ResnetMini, GradientsOfTheWholeModel) {
  for (const std::size_t layers : {0u, 2u}) {
    ModelConfig c = small();
    c.layers = layers;
    BuildContext build = in_fp32();
    const auto model = make_resnet_mini(c, build);
    const Batch batch = images(c, 7);
    const LossResult result = model->forward({}, batch);
    model->backward({}, 1.0f);
    TwinOptions options;
    options.checks = 16;
    options.step = 1e-7;  // a ReLU's kink within a step would show

    check_model(
        model->params(), [&](const Values& in) { return resnet_twin(in, batch, c); }, result.loss,
        options);
  }
}

TEST(ResnetMini, LayersRolesAndState) {
  BuildContext build = in_fp32();
  const auto model = make_resnet_mini(small(), build);
  const struct {
    const char* name;
    Role role;
    int block;
  } want[] = {{"stem", Role::patch_embed, -1},
              {"stem.bn", Role::norm, -1},
              {"blocks.0.conv1", Role::conv, 0},
              {"blocks.0.bn1", Role::norm, 0},
              {"blocks.0.conv2", Role::conv1x1, 0},
              {"blocks.0.bn2", Role::norm, 0},
              {"blocks.1.conv1", Role::conv, 1},
              {"blocks.1.bn1", Role::norm, 1},
              {"blocks.1.conv2", Role::conv1x1, 1},
              {"blocks.1.bn2", Role::norm, 1},
              {"blocks.1.shortcut", Role::conv1x1, 1},
              {"blocks.1.shortcut_bn", Role::norm, 1},
              {"head", Role::head, -1}};
  ASSERT_EQ(model->layers().size(), std::size(want));
  for (std::size_t i = 0; i < std::size(want); ++i) {
    EXPECT_EQ(model->layers()[i].name, want[i].name);
    EXPECT_EQ(model->layers()[i].role, want[i].role);
    EXPECT_EQ(model->layers()[i].block, want[i].block);
    EXPECT_EQ(model->layers()[i].index, i);
  }
  EXPECT_EQ(model->linears().size(), 7u);
  std::vector<std::pair<std::string, Tensor*>> state;
  model->state(state);
  ASSERT_EQ(state.size(), 12u);
  EXPECT_EQ(state[0].first, "stem.bn.running_mean");
}

TEST(ResnetMini, EvaluationUsesReestimatedStatistics) {
  const ModelConfig c = small();
  BuildContext build = in_fp32();
  const auto model = make_resnet_mini(c, build);
  const Batch batch = images(c, 40);
  const double training = model->forward({}, batch).loss;
  StepContext evaluation;
  evaluation.training = false;
  const double stale = model->forward(evaluation, batch).loss;
  model->reestimate_statistics(true);
  model->forward({}, batch);
  model->reestimate_statistics(false);
  const double fresh = model->forward(evaluation, batch).loss;
  // One batch's statistics: the same but for the unbiased variance of few hundred positions.
  EXPECT_NEAR(fresh, training, 5e-3);
  EXPECT_GT(std::fabs(stale - training), 2e-2);
}

TEST(ResnetMini, ThreadsLeaveTheBits) {
  ModelConfig c = small();
  c.dim = 16;
  c.height = c.width = 12;
  const Batch batch = images(c, 30);
  std::vector<Tensor> first;
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    BuildContext build;
    build.policy = [](const LayerInfo&) {
      LayerConfig config;
      for (std::size_t s = 0; s < kSlots; ++s) {
        config.slot[s].spec = parse_spec(s == 2 || s == 4 ? "nvfp4,round=sr:16" : "nvfp4");
        config.slot[s].source = SlotSource::master;
      }
      return config;
    };
    const auto model = make_resnet_mini(c, build);
    model->forward({}, batch);
    model->backward({}, 1.0f);
    for (std::size_t k = 0; k < model->params().size(); ++k) {
      if (threads == 1) first.push_back(model->params()[k]->grad);
      EXPECT_TRUE(same_bits(model->params()[k]->grad, first[k])) << model->params()[k]->name;
    }
  }
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace fp4lab_test
