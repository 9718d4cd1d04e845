// Configuration: keys, errors, canonical text, recipes.
#include "experiments/config/config.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "data/error.h"
#include "formats/spec_text.h"

namespace fp4lab::config {
namespace {

Resolved resolve_text(const std::string& text) {
  Sources sources;
  sources.text = text;
  sources.file = "run.toml";
  return resolve(sources);
}

std::string error_of(const std::string& text) {
  try {
    resolve_text(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of_set(const std::string& set) {
  try {
    Sources sources;
    sources.sets = {set};
    resolve(sources);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Keys, AreSortedNamedOnceAndHoldTheirOwnDefault) {
  const train::TrainConfig defaults;
  std::string previous;
  for (const Key& key : all_keys()) {
    EXPECT_LT(previous, key.name);
    previous = key.name;
    EXPECT_FALSE(key.meaning.empty()) << key.name;
    EXPECT_FALSE(key.allowed.empty()) << key.name;
    EXPECT_EQ(key.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_."),
              std::string::npos)
        << key.name;
    train::TrainConfig copy;
    const Value value = key.get(defaults);
    EXPECT_EQ(static_cast<std::size_t>(key.type), value.index()) << key.name;
    EXPECT_NO_THROW(key.set(copy, value)) << key.name << " = " << toml_text(value);
    EXPECT_EQ(key.get(copy), value) << key.name;
    for (const std::string& choice : key.choices) {
      EXPECT_NO_THROW(key.set(copy, Value(choice))) << key.name << " = " << choice;
      EXPECT_EQ(key.get(copy), Value(choice)) << key.name;
    }
  }
}

TEST(Keys, EveryKeyReachesAMemberOfItsOwn) {
  // Setting a key to another value changes that key, and no other one but its documented company.
  const train::TrainConfig defaults;
  for (const Key& key : all_keys()) {
    if (key.name.rfind("slots.", 0) == 0) continue;  // spec and source of a slot hang together
    train::TrainConfig changed;
    Value other;
    const Value value = key.get(defaults);
    switch (key.type) {
      case KeyType::boolean:
        other = !std::get<bool>(value);
        break;
      case KeyType::integer:
        other = std::get<std::int64_t>(value) == 1 ? std::int64_t{2} : std::int64_t{1};
        break;
      case KeyType::number:
        other = std::get<double>(value) * 0.5 + 0.0625;
        break;
      case KeyType::text: {
        if (key.name == "run.executor") continue;
        other = std::string(key.name == "data.sha256"                        ? std::string(64, 'a')
                            : key.name == "accumulate"                       ? "fp32-fma"
                            : key.choices.empty()                            ? "x"
                            : key.choices[0] == std::get<std::string>(value) ? key.choices[1]
                                                                             : key.choices[0]);
        break;
      }
      case KeyType::texts:
        other = std::vector<std::string>{key.name == "phase.list" ? "0.5 -> off:all"
                                                                  : "role=head -> off"};
        break;
    }
    try {
      key.set(changed, other);
    } catch (const std::invalid_argument&) {
      ASSERT_EQ(key.type, KeyType::number) << key.name;  // half of it can leave the range
      other = std::get<double>(value) * 2 + 0.0625;
      key.set(changed, other);
    }
    for (const Key& another : all_keys()) {
      if (another.name == key.name) {
        EXPECT_NE(another.get(changed), another.get(defaults)) << key.name;
      } else {
        EXPECT_EQ(another.get(changed), another.get(defaults))
            << key.name << " changes " << another.name;
      }
    }
  }
}

void expect_has(const std::string& error, const std::string& part) {
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

TEST(ConfigErrors, NamePlaceFindingAndNearestKey) {
  EXPECT_EQ(error_of("seed = 1\n\n[train]\nstepps = 3\n"),
            "run.toml:4:1: unknown key 'train.stepps'; nearest: 'train.steps'");
  expect_has(error_of("train.steps = \"many\""),
             "run.toml:1:15: 'train.steps' is a whole number, "
             "not 'many'");
  expect_has(error_of("train.steps = 0"), "0 is outside 1 .. 1000000000");
  expect_has(error_of("optim.rule = \"adamm\""), "nearest: 'adam'");
  expect_has(error_of("optim.rule = 3"), "a text, not 3");
  expect_has(error_of("slots.q1.spec = \"mxfp5\""), "unknown");
  expect_has(error_of("slots.q1.source = \"requant\""), "only q4 and q6");
  expect_has(error_of("recipe = \"nvfp4-basic\"\nslots.q4.source = \"shared2d\""), "square blocks");
  expect_has(error_of("recipe = \"tetrajett\""), "nearest: 'tetrajet'");
  expect_has(error_of("preset = \"t9\""), "unknown preset");
  expect_has(error_of("phase.list = [\"0.5\"]"), "phase '0.5'");
  expect_has(error_of("policy_rules = [\"role=head -> recipe:none-such\"]"), "unknown recipe");
  expect_has(error_of("train.batch = 10\ntrain.microbatches = 3"), "does not divide");
  expect_has(error_of("optim.nesterov = true"), "momentum");
  expect_has(error_of("[[["), "run.toml");
  expect_has(error_of("a = "), "run.toml:1:");
  expect_has(error_of("train = 3"), "unknown key 'train'");
  expect_has(error_of_set("train.steps"), "no '='");
  expect_has(error_of_set("train.stepss=4"), "nearest: 'train.steps'");
  expect_has(error_of_set("train.steps=4.5"), "a whole number");
  expect_has(error_of_set("optim.lr=fast"), "a number, not 'fast'");
}

TEST(ConfigSources, APresetMayNameItsRecipe) {
  Sources sources;
  sources.preset = "t0";
  EXPECT_EQ(resolve(sources).config.recipe, "e2m1-weight");
  sources.recipe = "tetrajet";
  EXPECT_EQ(resolve(sources).config.recipe, "tetrajet");
}

TEST(ConfigSources, LaterOnesWin) {
  Sources sources;
  sources.text = "recipe = \"tetrajet\"\npreset = \"t5\"\ntrain.steps = 7\noptim.lr = 1";
  sources.file = "run.toml";
  EXPECT_EQ(resolve(sources).config.recipe, "tetrajet");
  EXPECT_EQ(resolve(sources).config.model.dim, 128u);
  EXPECT_EQ(resolve(sources).config.optim.lr, 1.0);
  sources.recipe = "mxfp4-baseline";
  sources.preset = "t4";
  sources.sets = {"train.steps=9", "slots.q2.spec=nvfp4,block=16x16", "policy=none"};
  const train::TrainConfig config = resolve(sources).config;
  EXPECT_EQ(config.recipe, "mxfp4-baseline");
  EXPECT_EQ(config.model.dim, 64u);
  EXPECT_EQ(config.train.steps, 9u);
  EXPECT_EQ(to_string(config.slots[1].spec), "nvfp4,block=16x16");
  EXPECT_EQ(to_string(config.slots[0].spec), "mxfp4");
  EXPECT_EQ(config.policy, train::PolicyKind::none);
  sources.sets = {"recipe=int4"};
  EXPECT_EQ(resolve(sources).config.recipe, "int4");
}

TEST(ConfigSources, NamesAreFolded) {
  EXPECT_EQ(resolve_text("recipe = \"MXFP4_Baseline\"\npolicy = \"attn_protect\"").config.policy,
            train::PolicyKind::attn_protect);
}

TEST(ConfigSources, SeedsFollowTheSeedUnlessGiven) {
  const train::TrainConfig c = resolve_text("seed = 5\nseed_sr = 6").config;
  EXPECT_EQ(c.seed_data, 5);
  EXPECT_EQ(c.seed_init, 5);
  EXPECT_EQ(c.seed_sr, 6);
}

TEST(ConfigSources, RtnEarnsAWarning) {
  const Resolved r = resolve_text("slots.q1.spec = \"mxfp4,round=rtn\"");
  ASSERT_EQ(r.notices.size(), 1u);
  EXPECT_NE(r.notices[0].find("rne"), std::string::npos);
}

TEST(CanonicalText, ResolvesToItself) {
  for (const char* text :
       {"", "recipe = \"tetrajet\"\nseed = 3\noptim.lr = 0.1", "phase.preset = \"fnt\"",
        "data.name = 'a \"b\" \\ c'", "policy_rules = ['name=a*|b -> off:q1']",
        "recipe = \"zhou-mixed\"\npreset = \"t6\"\noptim.eps = 1e-300",
        "slots.q4.source = \"dequant\"\nslots.q6.source = \"none\""}) {
    const train::TrainConfig config = resolve_text(text).config;
    const std::string canonical = canonical_text(config);
    const std::string again = canonical_text(resolve_text(canonical).config);
    EXPECT_EQ(canonical, again) << text;
    EXPECT_EQ(run_id(config).size(), 12u);
  }
}

TEST(CanonicalText, HasEveryIdentityKeyOnceAndNoRunKey) {
  const std::string text = canonical_text(resolve_text("run.threads = 3").config);
  EXPECT_EQ(text, canonical_text(resolve_text("run.threads = 4").config));
  EXPECT_EQ(text.find("run."), std::string::npos);
  std::size_t lines = 0, keys = 0;
  for (const char c : text) lines += c == '\n';
  for (const Key& key : all_keys()) keys += key.identity;
  EXPECT_EQ(lines, keys);
  EXPECT_NE(text.find("optim.clip = 1.0\n"), std::string::npos);
  EXPECT_NE(text.find("train.steps = "), std::string::npos);
}

TEST(CanonicalText, ShortestNumbersAreValidToml) {
  EXPECT_EQ(toml_text(Value(1.0)), "1.0");
  EXPECT_EQ(toml_text(Value(0.1)), "0.1");
  EXPECT_EQ(toml_text(Value(1e-8)), "1e-08");
  EXPECT_EQ(toml_text(Value(1e22)), "1e+22");
  EXPECT_EQ(toml_text(Value(std::string("a\"\\\n"))), "\"a\\\"\\\\\\u000A\"");
  EXPECT_EQ(toml_text(Value(std::vector<std::string>{"a", "b"})), "[\"a\", \"b\"]");
}

TEST(CanonicalText, AnyKeyChangesTheRunId) {
  std::set<std::string> ids{run_id(resolve_text("").config)};
  for (const char* text : {"seed = 1", "optim.lr = 0.5", "policy = \"all\"", "train.steps = 801",
                           "slots.q1.spec = \"mxfp4\"", "compute = \"fp32\""}) {
    EXPECT_TRUE(ids.insert(run_id(resolve_text(text).config)).second) << text;
  }
}

TEST(Recipes, AllParseAndSayWhatTheyAre) {
  EXPECT_GE(builtin_recipes().size(), 16u);
  for (const Fragment& recipe : builtin_recipes()) {
    SCOPED_TRACE(recipe.name);
    EXPECT_FALSE(recipe.title.empty());
    Sources sources;
    sources.recipe = recipe.name;
    Resolved resolved;
    ASSERT_NO_THROW(resolved = resolve(sources));
    EXPECT_EQ(resolved.config.recipe, recipe.name);
    EXPECT_TRUE(resolved.notices.empty());
    const std::string text = canonical_text(resolved.config);
    EXPECT_EQ(text, canonical_text(resolve_text(text).config));
  }
}

TEST(Recipes, PresetsParse) {
  EXPECT_GE(builtin_presets().size(), 7u);
  for (const Fragment& preset : builtin_presets()) {
    Sources sources;
    sources.preset = preset.name;
    EXPECT_EQ(resolve(sources).config.preset, preset.name);
  }
}

std::string slot_text(const train::TrainConfig& c, int slot) {
  const std::string prefix = "slots.q" + std::to_string(slot) + ".";
  return std::get<std::string>(find_key(prefix + "spec")->get(c)) + " " +
         std::get<std::string>(find_key(prefix + "source")->get(c));
}

TEST(Recipes, AreTheRowsOfTheTable) {
  const auto check = [](const std::string& recipe, const std::vector<std::string>& want) {
    Sources sources;
    sources.recipe = recipe;
    const train::TrainConfig c = resolve(sources).config;
    for (int slot = 1; slot <= 6; ++slot) {
      EXPECT_EQ(slot_text(c, slot), want[static_cast<std::size_t>(slot - 1)]) << recipe << slot;
    }
  };
  const std::string sr = "mxfp4,rule=rceil,round=sr:16";
  check("tetrajet", {"mxfp4,rule=rceil master", "mxfp4,rule=rceil master", sr + " master",
                     sr + " requant", sr + " master", sr + " requant"});
  check("nvfp4-nvidia",
        {"nvfp4 master", "nvfp4,block=16x16 master", "nvfp4,round=sr:16 master", "none shared2d",
         "nvfp4,round=sr:16,hadamard=16 master", "nvfp4,hadamard=16 master"});
  check("bf16", {"none none", "none none", "none none", "none none", "none none", "none none"});
  check("fp8",
        {"e4m3 master", "e4m3 master", "e5m2 master", "e4m3 master", "e5m2 master", "e4m3 master"});
}

}  // namespace
}  // namespace fp4lab::config
