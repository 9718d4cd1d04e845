// The transformers and the hybrid as a whole.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "sim/models/model_config.h"
#include "sim/nn/linear.h"
#include "sim/nn/probe.h"
#include "tests/nn/twin_blocks.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

using Policy = std::function<LayerConfig(const LayerInfo&)>;

LayerConfig fp32(const LayerInfo&) {
  LayerConfig c;
  c.compute = Compute::fp32;
  return c;
}

/// A small recipe: forward MXFP4, backward with stochastic rounding.
LayerConfig mxfp4(const LayerInfo& info) {
  LayerConfig c;
  if (info.role == Role::head || info.role == Role::router) return c;
  for (std::size_t i = 0; i < kSlots; ++i) {
    c.slot[i].source = i == 3 || i == 5 ? SlotSource::requant : SlotSource::master;
    c.slot[i].spec = parse_spec(i < 2 ? "mxfp4,rule=rceil" : "mxfp4,rule=rceil,round=sr");
  }
  return c;
}

ModelConfig small(const std::string& kind) {
  ModelConfig c;
  c.kind = kind;
  c.dim = 12;
  c.layers = 2;
  c.heads = 2;
  c.length = 9;
  c.ffn_ratio = 0.5;
  c.vocab = 7;
  c.experts = 3;
  c.ssm_state = 4;
  c.router_balance = 0;
  if (kind == "vit-mini") {
    c.classes = 5;
    c.channels = 2;
    c.height = 4;
    c.width = 6;
    c.patch = 2;
  }
  return c;
}

ModelConfig medium(const std::string& kind) {
  ModelConfig c = small(kind);
  c.dim = 64;
  c.length = 40;
  c.ffn_ratio = 1.0;
  c.vocab = 50;
  c.router_balance = 0.01;
  if (kind == "vit-mini") c.height = c.width = 16;
  return c;
}

Batch make_batch(const ModelConfig& c, std::size_t items, std::uint64_t seed) {
  Batch b;
  b.items = items;
  if (c.classes != 0) {
    b.inputs = random_tensor({items, c.channels, c.height, c.width}, seed);
    b.targets = random_labels(items, static_cast<std::int32_t>(c.classes), seed);
    return b;
  }
  b.length = c.length;
  b.tokens = random_labels(items * c.length, static_cast<std::int32_t>(c.vocab), seed);
  b.targets = random_labels(items * c.length, static_cast<std::int32_t>(c.vocab), seed + 1);
  b.targets[1] = -1;
  return b;
}

struct Made {
  BuildContext build;
  std::unique_ptr<Model> model;
};
Made make(const ModelConfig& c, const Policy& policy) {
  Made m;
  m.build.seed_init = 9;
  m.build.policy = policy;
  m.model = make_model(c, m.build);
  return m;
}

double twin_loss(const ModelConfig& c, const Batch& b, const Values& in) {
  Parameters p(in);
  Vec x;
  const std::size_t length = c.classes != 0 ? c.height / c.patch * (c.width / c.patch) : b.length;
  AttentionSizes attention{b.items, length, c.dim, c.heads};
  if (c.classes != 0) {
    Vec patches;
    for (std::size_t i = 0; i < b.items; ++i) {
      for (std::size_t y = 0; y < c.height; y += c.patch) {
        for (std::size_t x0 = 0; x0 < c.width; x0 += c.patch) {
          for (std::size_t ch = 0; ch < c.channels; ++ch) {
            for (std::size_t v = y; v < y + c.patch; ++v) {
              for (std::size_t u = x0; u < x0 + c.patch; ++u) {
                patches.push_back(static_cast<double>(
                    b.inputs[((i * c.channels + ch) * c.height + v) * c.width + u]));
              }
            }
          }
        }
      }
    }
    const Vec& w = p.next();
    x = twin_linear(patches, w, c.channels * c.patch * c.patch, p.next());
    const Vec& positions = p.next();
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += positions[i % positions.size()];
    attention.causal = attention.rope = false;
  } else {
    const Vec& table = p.next();
    for (const std::int32_t t : b.tokens) {
      for (std::size_t j = 0; j < c.dim; ++j) {
        x.push_back(table[static_cast<std::size_t>(t) * c.dim + j]);
      }
    }
  }
  const auto norm = [&](const Vec& v) {
    const Vec& gain = p.next();
    return c.classes != 0 ? twin_layer_norm(v, gain, p.next(), c.norm_eps)
                          : twin_rms_norm(v, gain, c.norm_eps);
  };
  for (std::size_t block = 0; block < c.layers; ++block) {
    if (c.kind == "hybrid-mini") {
      const Vec n = norm(x);
      x = twin_add(x,
                   twin_ssm({b.items, length, c.dim, c.ssm_state, c.ssm_conv, c.ssm_expand}, n, p));
    }
    Vec n = norm(x);
    x = twin_add(x, twin_attention(attention, n, p, c.classes != 0));
    n = norm(x);
    x = twin_add(x, c.kind == "hybrid-mini" ? twin_moe({c.dim, c.experts, c.top_k}, n, p)
                    : c.classes != 0        ? twin_mlp(n, p, c.dim)
                                            : twin_swiglu(n, p, c.dim));
  }
  x = norm(x);
  if (c.classes != 0) {
    Vec mean(b.items * c.dim, 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      mean[i / (length * c.dim) * c.dim + i % c.dim] += x[i] / static_cast<double>(length);
    }
    const Vec& w = p.next();
    return twin_cross_entropy(twin_linear(mean, w, c.dim, p.next()), c.classes, b.targets);
  }
  return twin_cross_entropy(twin_linear(x, p.next(), c.dim), c.vocab, b.targets);
}

class Kinds : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Kinds, testing::Values("gpt-mini", "vit-mini", "hybrid-mini"),
                         [](const auto& info) { return std::string(info.param).substr(0, 3); });

TEST_P(Kinds, TwinOfTheWholeModel) {
  const ModelConfig c = small(GetParam());
  Made m = make(c, fp32);
  const Batch b = make_batch(c, 2, 31);
  const LossResult r = m.model->forward({}, b);
  m.model->backward({}, 1.0f);
  TwinOptions o;
  o.checks = 6;
  // Gradients of the first layers pass through many roundings and cancel.
  o.gradient = 5e-4;
  o.gradient_floor = 1e-6;
  check_model(
      m.model->params(), [&](const Values& in) { return twin_loss(c, b, in); }, r.loss, o);
}

std::vector<Tensor> step(const ModelConfig& c, const Policy& policy, const Batch& b,
                         double* loss = nullptr, float scale = 1.0f) {
  Made m = make(c, policy);
  const LossResult r = m.model->forward({}, b);
  m.model->backward({}, scale);
  if (loss != nullptr) *loss = r.loss;
  std::vector<Tensor> g;
  for (const Param* p : m.model->params()) g.push_back(p->grad);
  return g;
}

TEST_P(Kinds, BitsDoNotDependOnThreads) {
  const ModelConfig c = medium(GetParam());
  const Batch b = make_batch(c, 3, 32);
  const int before = omp_get_max_threads();
  for (const Policy& policy : {Policy(fp32), Policy(mxfp4)}) {
    omp_set_num_threads(1);
    double loss = 0, other = 0;
    const std::vector<Tensor> want = step(c, policy, b, &loss);
    for (const int threads : {2, 5}) {
      omp_set_num_threads(threads);
      const std::vector<Tensor> got = step(c, policy, b, &other);
      EXPECT_EQ(loss, other);
      for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(same_bits(got[i], want[i])) << threads << " threads, parameter " << i;
      }
    }
  }
  omp_set_num_threads(before);
}

TEST_P(Kinds, APowerOfTwoInTheLossScaleMovesNoBit) {
  const ModelConfig c = medium(GetParam());
  const Batch b = make_batch(c, 3, 32);
  const std::vector<Tensor> one = step(c, mxfp4, b), scaled = step(c, mxfp4, b, nullptr, 0x1p12f);
  for (std::size_t i = 0; i < one.size(); ++i) {
    for (std::size_t k = 0; k < one[i].size(); ++k) {
      ASSERT_EQ(one[i][k] * 0x1p12f, scaled[i][k]) << "parameter " << i << '[' << k << ']';
    }
  }
}

TEST_P(Kinds, LayersAreNumberedInConstructionOrder) {
  const ModelConfig c = medium(GetParam());
  Made m = make(c, mxfp4);
  const std::vector<LayerInfo>& layers = m.model->layers();
  ASSERT_EQ(layers.size(), m.model->configs().size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(layers[i].index, i);
    EXPECT_EQ(layers[i].blocks, 2) << layers[i].name;
    EXPECT_EQ(layers[i].block >= 0, layers[i].name.rfind("blocks.", 0) == 0) << layers[i].name;
  }
  EXPECT_EQ(layers.back().role, Role::head);
  std::uint32_t last = 0;
  for (const Linear* l : m.model->linears()) {
    EXPECT_TRUE(l->layer() > last || l->layer() == 0);
    last = l->layer();
  }
  for (const Param* p : m.model->params()) {
    EXPECT_EQ(p->name.rfind(layers[p->layer].name + ".", 0), 0u) << p->name;
    EXPECT_EQ(p->role, layers[p->layer].role) << p->name;
    EXPECT_EQ(p->grad.shape(), p->value.shape()) << p->name;
  }
}

TEST_P(Kinds, OutlierChannelsKeepTheFunction) {
  ModelConfig c = medium(GetParam());
  const Batch b = make_batch(c, 3, 33);
  double plain = 0, outliers = 0, quantized = 0, quantized_outliers = 0;
  step(c, fp32, b, &plain);
  step(c, mxfp4, b, &quantized);
  c.outlier_channels = 2;
  step(c, fp32, b, &outliers);
  EXPECT_NEAR(plain, outliers, 1e-5 * plain);
  // Powers of two leave every product as it was.
  ModelConfig exact = c;
  exact.outlier_gain = 32;
  step(exact, fp32, b, &outliers);
  EXPECT_EQ(plain, outliers);
  // But they do what they are for: quantized products see them.
  step(c, mxfp4, b, &quantized_outliers);
  EXPECT_NE(quantized, quantized_outliers);
}

TEST(Models, ALaterTokenMovesNoEarlierLoss) {
  for (const char* kind : {"gpt-mini", "hybrid-mini"}) {
    const ModelConfig c = medium(kind);
    const Batch b = make_batch(c, 2, 34);
    const std::size_t at = 17;
    for (const std::size_t t : {std::size_t{0}, at - 1, at, at + 9}) {
      // The loss of one position of the second item at a time.
      Batch one = b, changed = b;
      for (std::size_t i = 0; i < b.targets.size(); ++i) {
        if (i != c.length + t) one.targets[i] = -1;
      }
      changed.targets = one.targets;
      changed.tokens[c.length + at] = (b.tokens[c.length + at] + 1) % 50;
      Made m = make(c, fp32);
      StepContext evaluate;
      evaluate.training = false;
      const double before = m.model->forward(evaluate, one).loss;
      const double after = m.model->forward(evaluate, changed).loss;
      if (t < at) {
        EXPECT_EQ(before, after) << kind << ", position " << t;
      } else {
        EXPECT_NE(before, after) << kind << ", position " << t;
      }
    }
  }
}

TEST(Models, MicrobatchesAddUpToTheBatch) {
  // Without quantization only the order of the sums differs: the products of a batch are chains
  // over all of its rows, those of two halves are two chains that are added.
  const ModelConfig c = medium("gpt-mini");
  Batch whole = make_batch(c, 4, 35);
  whole.targets[1] = 0;
  const std::vector<Tensor> want = step(c, fp32, whole);
  Made m = make(c, fp32);
  double loss = 0;
  for (std::uint16_t half = 0; half < 2; ++half) {
    Batch part;
    part.items = 2;
    part.length = whole.length;
    const auto first = static_cast<std::ptrdiff_t>(half * 2 * whole.length);
    const auto last = first + static_cast<std::ptrdiff_t>(2 * whole.length);
    part.tokens.assign(whole.tokens.begin() + first, whole.tokens.begin() + last);
    part.targets.assign(whole.targets.begin() + first, whole.targets.begin() + last);
    StepContext ctx;
    ctx.microbatch = half;
    loss += m.model->forward(ctx, part).loss / 2;
    m.model->backward(ctx, 0.5f);
  }
  double whole_loss = 0;
  step(c, fp32, whole, &whole_loss);
  EXPECT_NEAR(loss, whole_loss, 1e-7);
  for (std::size_t i = 0; i < want.size(); ++i) {
    double error = 0, norm = 0;
    const Tensor& got = m.model->params()[i]->grad;
    for (std::size_t k = 0; k < got.size(); ++k) {
      const double d = static_cast<double>(got[k]) - static_cast<double>(want[i][k]);
      error += d * d;
      norm += static_cast<double>(want[i][k]) * static_cast<double>(want[i][k]);
    }
    EXPECT_LE(std::sqrt(error), 1e-5 * std::sqrt(norm)) << m.model->params()[i]->name;
  }
}

TEST(Models, TheFirstLossIsThatOfAGuess) {
  for (const char* kind : {"gpt-mini", "hybrid-mini", "vit-mini"}) {
    const ModelConfig c = medium(kind);
    double loss = 0;
    step(c, fp32, make_batch(c, 8, 36), &loss);
    EXPECT_NEAR(loss, std::log(static_cast<double>(c.classes != 0 ? c.classes : c.vocab)), 0.2)
        << kind;
  }
}

TEST(Models, RefuseWhatDoesNotFit) {
  const auto message = [](const ModelConfig& c) -> std::string {
    BuildContext build;
    try {
      make_model(c, build);
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  const auto names = [&](const ModelConfig& c, const char* key) {
    EXPECT_EQ(message(c).rfind(key, 0), 0u) << "said: " << message(c);
  };
  EXPECT_EQ(message(small("vit-mini")), "");
  ModelConfig c = small("gpt-mini");
  EXPECT_EQ(message(c), "");
  c.kind = "GPT_mini";
  EXPECT_EQ(message(c), "");
  c.kind = "gpt";
  EXPECT_NE(message(c).find("there are toy1d, mlp, resnet-mini, vit-mini, gpt-mini, hybrid-mini"),
            std::string::npos);
  const auto with = [&](const char* kind, auto&& change) {
    ModelConfig changed = small(kind);
    change(changed);
    return changed;
  };
  names(with("gpt-mini", [](ModelConfig& m) { m.dim = 0; }), "model.dim");
  names(with("gpt-mini", [](ModelConfig& m) { m.layers = 0; }), "model.layers");
  names(with("gpt-mini", [](ModelConfig& m) { m.heads = 5; }), "model.heads");
  names(with("gpt-mini", [](ModelConfig& m) { m.heads = 4; }), "model.heads");  // width 3 is odd
  names(with("gpt-mini", [](ModelConfig& m) { m.vocab = 0; }), "model.kind");
  names(with("gpt-mini", [](ModelConfig& m) { m.length = 0; }), "model.length");
  names(with("gpt-mini", [](ModelConfig& m) { m.ffn_ratio = -1; }), "model.ffn_ratio");
  names(with("gpt-mini", [](ModelConfig& m) { m.norm_eps = -1; }), "model.norm_eps");
  names(with("gpt-mini", [](ModelConfig& m) { m.outlier_channels = 13; }),
        "model.outlier_channels");
  names(with("hybrid-mini", [](ModelConfig& m) { m.top_k = 4; }), "model.top_k");
  names(with("hybrid-mini", [](ModelConfig& m) { m.ssm_state = 0; }), "model.ssm_state");
  names(with("vit-mini", [](ModelConfig& m) { m.patch = 4; }), "model.patch");
  names(with("vit-mini", [](ModelConfig& m) { m.classes = 0; }), "model.kind");

  Made m = make(small("gpt-mini"), fp32);
  Batch b = make_batch(small("gpt-mini"), 2, 37);
  b.tokens.pop_back();
  EXPECT_THROW(m.model->forward({}, b), std::invalid_argument);
}

TEST(Models, ShorterTextAndOddImagesFit) {
  ModelConfig c = medium("gpt-mini");
  Made m = make(c, mxfp4);
  Batch b = make_batch(c, 1, 38);
  b.length = 13;
  b.tokens.resize(13);
  b.targets.resize(13);
  EXPECT_TRUE(std::isfinite(m.model->forward({}, b).loss));
  m.model->backward({}, 1.0f);
  ModelConfig v = medium("vit-mini");
  v.height = 10;
  v.width = 14;
  v.dim = 36;
  v.heads = 3;
  Made i = make(v, mxfp4);
  EXPECT_TRUE(std::isfinite(i.model->forward({}, make_batch(v, 2, 39)).loss));
  i.model->backward({}, 1.0f);
}

}  // namespace
}  // namespace fp4lab_test
