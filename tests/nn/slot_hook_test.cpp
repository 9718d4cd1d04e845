// What a technique can do to a layer through its hook, with the techniques left out.
#include "sim/nn/slot_hook.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/nn/linear_config.h"
#include "tests/nn/slow_linear.h"

namespace fp4lab::test {
namespace {

using nn::Gemm;
using nn::Slot;
using nn::SlotCall;
using nn::StepContext;

struct Outputs {
  Tensor y, dx, dw;
};

Outputs step(nn::Linear& layer, const Tensor& x, const Tensor& dy, const StepContext& ctx = {}) {
  Outputs o;
  layer.weight().grad.fill(0.0f);
  layer.forward(ctx, x, o.y);
  layer.backward(ctx, dy, o.dx);
  o.dw = layer.weight().grad;
  return o;
}

void expect_same(const Outputs& a, const Outputs& b, const std::string& where) {
  for (const auto& [p, q] : {std::pair{&a.y, &b.y}, {&a.dx, &b.dx}, {&a.dw, &b.dw}}) {
    ASSERT_EQ(p->size(), q->size()) << where;
    EXPECT_EQ(0, std::memcmp(p->data(), q->data(), p->size() * sizeof(float))) << where;
  }
}

/// Does nothing but write down who called.
struct Listener : nn::SlotHook {
  struct Call {
    std::string what;
    Slot slot;
    std::size_t rows, cols;
    friend bool operator==(const Call&, const Call&) = default;
  };
  std::vector<Call> calls;
  std::span<const float> before(const StepContext&, const SlotCall& c,
                                std::span<const float> x) override {
    calls.push_back({"before", c.slot, c.rows, c.cols});
    EXPECT_EQ(x.size(), c.rows * c.cols);
    return x;
  }
  void after(const StepContext&, const SlotCall& c, std::span<const float> stored,
             QuantizedTensor& q) override {
    calls.push_back({"after", c.slot, c.rows, c.cols});
    EXPECT_EQ(stored.size(), q.codes.size());
  }
  void add_to_product(const StepContext&, const SlotCall& c, Gemm g, std::span<float>) override {
    constexpr const char* kNames[] = {"y", "dx", "dw"};
    calls.push_back({kNames[static_cast<std::size_t>(g)], c.slot, c.rows, c.cols});
  }
};

constexpr std::size_t kRows = 64, kIn = 96, kOut = 64;

TEST(SlotHook, OneThatDoesNothingChangesNoBit) {
  const Tensor x = test_values(kRows, kIn, 2), dy = test_values(kRows, kOut, 3);
  for (const NamedSlots& named : named_slots()) {
    const nn::LayerConfig config = layer_config(named.slots);
    auto plain = make_linear(config, kIn, kOut), hooked = make_linear(config, kIn, kOut);
    for (std::size_t i = 0; i < nn::kSlots; ++i) {
      hooked->attach(static_cast<Slot>(i), std::make_shared<nn::SlotHook>());
    }
    expect_same(step(*plain, x, dy), step(*hooked, x, dy), named.name);
  }
}

TEST(SlotHook, IsCalledOnceAtEachPlaceWithTheStoredTensorsSize) {
  nn::LayerConfig config = layer_config(named_slots()[1].slots);  // mxfp4 in all six
  const auto listener = std::make_shared<Listener>();
  auto layer = make_linear(config, kIn, kOut);
  for (std::size_t i = 0; i < nn::kSlots; ++i) layer->attach(static_cast<Slot>(i), listener);
  step(*layer, test_values(kRows, kIn, 2), test_values(kRows, kOut, 3));
  using Call = Listener::Call;
  const std::vector<Call> want = {
      {"before", Slot::q2, kOut, kIn},   {"after", Slot::q2, kOut, kIn},
      {"before", Slot::q1, kRows, kIn},  {"after", Slot::q1, kRows, kIn},
      {"y", Slot::q1, kRows, kIn},       {"y", Slot::q2, kOut, kIn},
      {"before", Slot::q6, kRows, kIn},  {"after", Slot::q6, kRows, kIn},
      {"before", Slot::q3, kRows, kOut}, {"after", Slot::q3, kRows, kOut},
      {"before", Slot::q4, kOut, kIn},   {"after", Slot::q4, kOut, kIn},
      {"dx", Slot::q3, kRows, kOut},     {"dx", Slot::q4, kOut, kIn},
      {"before", Slot::q5, kRows, kOut}, {"after", Slot::q5, kRows, kOut},
      {"dw", Slot::q5, kRows, kOut},     {"dw", Slot::q6, kRows, kIn},
  };
  EXPECT_TRUE(listener->calls == want);
  // A slot that a phase has switched off is not the technique's.
  listener->calls.clear();
  StepContext off;
  off.slots_off = 0x3F;
  step(*layer, test_values(kRows, kIn, 2), test_values(kRows, kOut, 3), off);
  EXPECT_TRUE(listener->calls.empty());
}

/// Cuts X at 1 and gives the rest back in full precision after the product, as clamping with
/// compensation does.
struct Compensation : nn::SlotHook {
  std::vector<float> clamped, rest;
  const nn::Linear* layer = nullptr;
  std::span<const float> before(const StepContext&, const SlotCall&,
                                std::span<const float> x) override {
    clamped.assign(x.begin(), x.end());
    rest.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      clamped[i] = std::clamp(x[i], -1.0f, 1.0f);
      rest[i] = x[i] - clamped[i];
    }
    return clamped;
  }
  void add_to_product(const StepContext&, const SlotCall& c, Gemm, std::span<float> y) override {
    const std::size_t n = y.size() / c.rows;
    const Tensor& w = layer->weight().value;
    for (std::size_t r = 0; r < c.rows; ++r) {
      for (std::size_t o = 0; o < n; ++o) {
        for (std::size_t k = 0; k < c.cols; ++k) y[r * n + o] += rest[r * c.cols + k] * w(o, k);
      }
    }
  }
};

TEST(SlotHook, ReplacesTheOperandAndAddsToTheProduct) {
  nn::LayerConfig config = layer_config(named_slots()[0].slots);
  config[Slot::q1] = slot_config({"master", "mxfp4"});
  config[Slot::q2] = slot_config({"master", "mxfp4"});
  auto hooked = make_linear(config, kIn, kOut), plain = make_linear(config, kIn, kOut);
  const auto hook = std::make_shared<Compensation>();
  hook->layer = hooked.get();
  hooked->attach(Slot::q1, hook);
  const Tensor x = test_values(kRows, kIn, 2), dy = test_values(kRows, kOut, 3);
  Tensor clamped = x;
  for (float& v : clamped.span()) v = std::clamp(v, -1.0f, 1.0f);
  const Outputs got = step(*hooked, x, dy);
  Outputs want = step(*plain, clamped, dy);
  hook->add_to_product({}, {3, Slot::q1, kRows, kIn}, Gemm::y, want.y.span());
  EXPECT_EQ(0, std::memcmp(got.y.data(), want.y.data(), got.y.size() * sizeof(float)));
  // q6 is another slot: it still reads X itself.
  const Outputs untouched = step(*plain, x, dy);
  EXPECT_EQ(0, std::memcmp(got.dw.data(), untouched.dw.data(), got.dw.size() * sizeof(float)));
}

struct Eraser : nn::SlotHook {
  Tensor memory{Shape{2}};
  std::uint64_t updates = 0;
  const float* seen = nullptr;
  void after(const StepContext&, const SlotCall&, std::span<const float>,
             QuantizedTensor& q) override {
    std::fill(q.codes.begin(), q.codes.end(), std::uint8_t{0});
  }
  void weight_updated(std::uint64_t n, const Tensor& weight) override {
    updates = n;
    seen = weight.data();
  }
  void state(const std::string& prefix,
             std::vector<std::pair<std::string, Tensor*>>& out) override {
    out.emplace_back(prefix + ".memory", &memory);
  }
};

TEST(SlotHook, ChangesCodesHearsOfUpdatesAndHasState) {
  auto layer = make_linear(layer_config(named_slots()[1].slots), kIn, kOut);
  const auto hook = std::make_shared<Eraser>();
  layer->attach(Slot::q2, hook);
  const Outputs o = step(*layer, test_values(kRows, kIn, 2), test_values(kRows, kOut, 3));
  for (const float v : o.y) ASSERT_EQ(v, 0.0f);
  EXPECT_NE(o.dx[0], 0.0f);  // q4 quantizes the master itself
  const nn::Linear::QuantizedWeight q = layer->quantized_weight({});
  for (const float v : q.values) ASSERT_EQ(v, 0.0f);  // instruments see what the forward sees
  layer->weight_updated(7);
  EXPECT_EQ(hook->updates, 7u);
  EXPECT_EQ(hook->seen, layer->weight().value.data());
  std::vector<std::pair<std::string, Tensor*>> state;
  layer->state(state);
  ASSERT_EQ(state.size(), 1u);
  EXPECT_EQ(state[0].first, "layer.q2.memory");
  EXPECT_EQ(state[0].second, &hook->memory);
}

}  // namespace
}  // namespace fp4lab::test
