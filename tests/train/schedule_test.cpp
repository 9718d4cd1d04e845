// Learning rates, phases and policies.
#include "sim/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "sim/train/phase.h"
#include "sim/train/policy.h"

namespace fp4lab::train {
namespace {

using optim::learning_rate;
using optim::ScheduleConfig;
using optim::ScheduleKind;

TEST(Schedule, CosineWarmsUpAndEndsAtTheLowestRate) {
  const ScheduleConfig c{.kind = ScheduleKind::cosine, .warmup = 0.1, .min_ratio = 0.1};
  EXPECT_EQ(learning_rate(c, 2.0, 5, 100), 1.0);
  EXPECT_EQ(learning_rate(c, 2.0, 10, 100), 2.0);
  EXPECT_NEAR(learning_rate(c, 2.0, 55, 100), 2.0 * 0.55, 1e-6);
  EXPECT_NEAR(learning_rate(c, 2.0, 100, 100), 0.2, 1e-7);
  for (std::uint64_t t = 11; t <= 100; ++t) {
    EXPECT_LT(learning_rate(c, 2.0, t, 100), learning_rate(c, 2.0, t - 1, 100)) << t;
  }
}

TEST(Schedule, RatesAreBinary32) {
  const ScheduleConfig c{.kind = ScheduleKind::cosine};
  for (std::uint64_t t = 1; t <= 37; ++t) {
    const double rate = learning_rate(c, 1e-3, t, 37);
    EXPECT_EQ(rate, static_cast<double>(static_cast<float>(rate)));
  }
}

TEST(Schedule, WsdIsFlatAndThenDecaysInItsShape) {
  ScheduleConfig c{.kind = ScheduleKind::wsd, .warmup = 0.1, .decay = 0.2};
  EXPECT_EQ(learning_rate(c, 1.0, 10, 100), 1.0);
  EXPECT_EQ(learning_rate(c, 1.0, 80, 100), 1.0);
  EXPECT_NEAR(learning_rate(c, 1.0, 90, 100), 0.5, 1e-7);
  EXPECT_EQ(learning_rate(c, 1.0, 100, 100), 0.0);
  c.shape = optim::DecayShape::sqrt;
  EXPECT_NEAR(learning_rate(c, 1.0, 85, 100), 0.5, 1e-7);
  c.shape = optim::DecayShape::cosine;
  EXPECT_NEAR(learning_rate(c, 1.0, 90, 100), 0.5, 1e-6);
  c.shape = optim::DecayShape::exponential;
  c.half_life = 0.5;
  EXPECT_NEAR(learning_rate(c, 1.0, 90, 100), 0.5, 1e-7);
  EXPECT_NEAR(learning_rate(c, 1.0, 100, 100), 0.25, 1e-7);
}

TEST(Schedule, TriangleAndConstant) {
  const ScheduleConfig t{.kind = ScheduleKind::triangular};
  EXPECT_EQ(learning_rate(t, 1.0, 25, 100), 0.5);
  EXPECT_EQ(learning_rate(t, 1.0, 50, 100), 1.0);
  EXPECT_EQ(learning_rate(t, 1.0, 75, 100), 0.5);
  const ScheduleConfig c{.kind = ScheduleKind::constant, .warmup = 0.0};
  EXPECT_EQ(learning_rate(c, 0.25, 1, 100), 0.25);
  EXPECT_EQ(learning_rate(c, 0.25, 100, 100), 0.25);
}

TEST(Schedule, TheTailIsATriangleAfterAShorterSchedule) {
  const ScheduleConfig c{
      .kind = ScheduleKind::cosine, .warmup = 0.0, .tail = 0.2, .tail_ratio = 0.5};
  EXPECT_NEAR(learning_rate(c, 1.0, 80, 100), 0.0, 1e-7);
  EXPECT_NEAR(learning_rate(c, 1.0, 90, 100), 0.5, 1e-7);
  EXPECT_NEAR(learning_rate(c, 1.0, 100, 100), 0.0, 1e-7);
}

std::vector<Phase> phases_of(PhasePreset preset, double fraction = 0) {
  TrainConfig config;
  config.phase.preset = preset;
  config.phase.fraction = fraction;
  resolve_phases(config);
  std::vector<Phase> phases;
  for (const auto& text : config.phase.list) phases.push_back(parse_phase(text));
  return phases;
}

TEST(Phases, PresetsSwitchTheSlotsTheyName) {
  EXPECT_EQ(slots_off_at(phases_of(PhasePreset::qaf), 899, 1000), 0x00);
  EXPECT_EQ(slots_off_at(phases_of(PhasePreset::qaf), 900, 1000), 0x3C);
  EXPECT_EQ(slots_off_at(phases_of(PhasePreset::nv_switch), 820, 1000), 0x03);
  EXPECT_EQ(slots_off_at(phases_of(PhasePreset::tpts), 924, 1000), 0x00);
  EXPECT_EQ(slots_off_at(phases_of(PhasePreset::tpts), 925, 1000), 0x3F);
  EXPECT_EQ(slots_off_at(phases_of(PhasePreset::fnt, 0.5), 500, 1000), 0x35);
  EXPECT_TRUE(phases_of(PhasePreset::none).empty());
}

TEST(Phases, SwitchOfNvidiaFollowsTheDecayOfTheSchedule) {
  TrainConfig config;
  config.phase.preset = PhasePreset::nv_switch;
  config.schedule.kind = ScheduleKind::wsd;
  config.schedule.decay = 0.25;
  resolve_phases(config);
  EXPECT_EQ(config.phase.list, std::vector<std::string>{"0.75 -> off:q1|q2"});
  EXPECT_EQ(config.schedule.tail, 0.0);
}

TEST(Phases, FntBringsItsTriangleAndResolvingTwiceChangesNothing) {
  TrainConfig config;
  config.phase.preset = PhasePreset::fnt;
  resolve_phases(config);
  EXPECT_EQ(config.schedule.tail, 0.1);
  const TrainConfig once = config;
  resolve_phases(config);
  EXPECT_EQ(config.phase, once.phase);
  EXPECT_EQ(config.schedule, once.schedule);
}

TEST(Phases, ListsMaySwitchBackAndAreSorted) {
  TrainConfig config;
  config.phase.list = {"0.75 -> on", "0.5 -> off:backward"};
  resolve_phases(config);
  EXPECT_EQ(config.phase.list, (std::vector<std::string>{"0.5 -> off:q3|q4|q5|q6", "0.75 -> on"}));
  std::vector<Phase> phases;
  for (const auto& text : config.phase.list) phases.push_back(parse_phase(text));
  EXPECT_EQ(slots_off_at(phases, 1, 4), 0x00);
  EXPECT_EQ(slots_off_at(phases, 2, 4), 0x3C);
  EXPECT_EQ(slots_off_at(phases, 3, 4), 0x00);
}

TEST(Phases, RefusesWhatIsNoPhase) {
  for (const char* text : {"", "0.5", "1.5 -> on", "x -> on", "0.5 -> off:q7", "0.5 -> maybe"}) {
    EXPECT_THROW(parse_phase(text), std::invalid_argument) << text;
  }
}

/// Layers of a model of `blocks` blocks with one layer of each interesting role.
std::vector<nn::LayerInfo> layers_of(int blocks) {
  std::vector<nn::LayerInfo> layers;
  const auto add = [&](const std::string& name, nn::Role role, int block) {
    layers.push_back({static_cast<std::uint32_t>(layers.size()), name, role, block, blocks});
  };
  add("embed", nn::Role::embedding, -1);
  for (int b = 0; b < blocks; ++b) {
    const std::string prefix = "blocks." + std::to_string(b) + ".";
    add(prefix + "attn.q", nn::Role::attn_q, b);
    add(prefix + "attn.bmm", nn::Role::attn_bmm, b);
    add(prefix + "ffn.up", nn::Role::ffn_up, b);
    add(prefix + "ssm.out", nn::Role::ssm_out, b);
  }
  add("head", nn::Role::head, -1);
  return layers;
}

TrainConfig quantized_config(PolicyKind kind) {
  TrainConfig config;
  config.policy = kind;
  for (auto& slot : config.slots) {
    slot.source = nn::SlotSource::master;
    slot.spec = parse_spec("mxfp4");
  }
  return config;
}

/// `+` for each layer that has its q1 quantized, `8` where it has another recipe, `.` else.
std::string picture(const TrainConfig& config, int blocks) {
  const auto fp8 = [](const std::string& name) {
    if (name != "fp8") throw std::invalid_argument("unknown recipe " + name);
    Slots slots;
    for (auto& slot : slots) {
      slot.source = nn::SlotSource::master;
      slot.spec = parse_spec("e4m3");
    }
    return slots;
  };
  const LayerPolicy policy(config, fp8);
  std::string out;
  for (const auto& layer : layers_of(blocks)) {
    const nn::SlotConfig slot = policy(layer)[nn::Slot::q1];
    out += slot.source == nn::SlotSource::none ? '.' : slot.spec.element.bits == 4 ? '+' : '8';
  }
  return out;
}

TEST(Policy, NamedPoliciesProtectWhatTheySay) {
  // embed | q bmm up out | q bmm up out | head
  EXPECT_EQ(picture(quantized_config(PolicyKind::default_), 2), ".+.+++.++.");
  EXPECT_EQ(picture(quantized_config(PolicyKind::all), 2), "++++++++++");
  EXPECT_EQ(picture(quantized_config(PolicyKind::none), 2), "..........");
  EXPECT_EQ(picture(quantized_config(PolicyKind::nvidia), 2), ".+.++.....");
  EXPECT_EQ(picture(quantized_config(PolicyKind::attn_protect), 2), ".8.++8.++.");
  EXPECT_EQ(picture(quantized_config(PolicyKind::nemotron3), 2), "...+......");
}

TEST(Policy, LastFifteenPercentIsRoundedUpToWholeBlocks) {
  const auto protected_blocks = [](int blocks) {
    const std::string p = picture(quantized_config(PolicyKind::nvidia), blocks);
    int n = 0;
    for (int b = 0; b < blocks; ++b) n += p[static_cast<std::size_t>(1 + 4 * b)] == '.';
    return n;
  };
  EXPECT_EQ(protected_blocks(1), 1);
  EXPECT_EQ(protected_blocks(6), 1);
  EXPECT_EQ(protected_blocks(7), 2);
  EXPECT_EQ(protected_blocks(20), 3);
  EXPECT_EQ(protected_blocks(62), 10);
}

TEST(Policy, OwnRulesComeFirstAndTheFirstThatMatchesDecides) {
  TrainConfig config = quantized_config(PolicyKind::default_);
  config.policy_rules = {"role=head -> on", "name=blocks.0.* -> off", "block=-1 -> recipe:fp8"};
  EXPECT_EQ(picture(config, 2), ".....8888+");
  config.policy_rules = {"depth=0.5..1, role=attn-* -> off"};
  EXPECT_EQ(picture(config, 4), ".+.++..++..++..++.");
  config.policy_rules = {"first=0.3 -> off"};
  EXPECT_EQ(picture(config, 4),
            "."
            "...."
            "...."
            "+.++"
            "+.++"
            ".");
}

TEST(Policy, SingleSlotsCanBeSwitchedOff) {
  TrainConfig config = quantized_config(PolicyKind::all);
  config.policy_rules = {"role=ffn-up -> off:q3|q5"};
  const LayerPolicy policy(config, {});
  for (const auto& layer : layers_of(1)) {
    const nn::LayerConfig c = policy(layer);
    for (unsigned i = 0; i < nn::kSlots; ++i) {
      const bool off = layer.role == nn::Role::ffn_up && (i == 2 || i == 4);
      EXPECT_EQ(c.slot[i].source == nn::SlotSource::none, off) << layer.name << " q" << i + 1;
    }
  }
}

TEST(Policy, RefusesWhatIsNoRuleAndNamesTheNearest) {
  for (const char* text : {"", "role=head", "role=heads -> off", "color=red -> off", "* -> away",
                           "* -> off:q9", "block=x -> off", "last=2 -> off", "* -> recipe:"}) {
    EXPECT_THROW(parse_policy_rule(text), std::invalid_argument) << text;
  }
  try {
    parse_policy_rule("role=attn-w -> off");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("nearest: 'attn-q'"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace fp4lab::train
