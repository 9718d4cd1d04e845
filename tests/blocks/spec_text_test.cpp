// The text form of specs: what parses prints to one canonical text that parses back to the same
// value; what does not is refused with the position and the nearest name; nothing crashes.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/blocks/compare.h"

namespace fp4lab_blocks {
namespace {

using fp4lab::parse_spec;
using fp4lab::QuantSpec;
using fp4lab::SpecError;

/// parse(print(s)) == s, and printing is a fixed point.
void expect_fixed_point(const QuantSpec& s, const std::string& from) {
  const std::string text = fp4lab::to_string(s);
  QuantSpec again;
  try {
    again = parse_spec(text);
  } catch (const SpecError& e) {
    ADD_FAILURE() << from << " prints '" << text << "', which is refused: " << e.what();
    return;
  }
  EXPECT_TRUE(again == s) << from << " -> " << text;
  EXPECT_EQ(fp4lab::to_string(again), text) << from;
}

/// The value, or nothing where the text is refused.
bool try_parse(const std::string& text, QuantSpec& s) {
  try {
    s = parse_spec(text);
    return true;
  } catch (const SpecError& e) {
    EXPECT_LE(e.position(), text.size()) << text;
    return false;
  }
}

std::string with_argument(const std::string& rule) {
  if (rule == "clip") return "clip:0.9";
  if (rule == "percentile") return "percentile:99.9";
  if (rule == "fixed") return "fixed:0.125";
  if (rule == "real-bias") return "real-bias:1.25";
  return rule;
}

const char* const kRoundings[] = {
    "rne",        "rna",       "rnz",      "rtz",      "rtp",  "rtn",
    "odd",        "rn-lower",  "rn-upper", "sr",       "sr:8", "sr:32",
    "sr-fast:3",  "sr-rne:16", "sr-rno:5", "sr-noise", "luq",  "luq-sr",
    "sr-uniform", "sr-hw",     "sr-hw:8",  "luq-su",   "rdnp", "sr-hw:16:second"};

TEST(SpecText, EveryBaseProfileRuleAndRounding_PrintsWhatItParses) {
  std::size_t parsed = 0, profiled = 0;
  std::vector<std::string> profiles = {""};
  for (const auto& p : fp4lab::kProfiles) profiles.push_back("@" + std::string(p.id));
  for (const std::string& base : fp4lab::all_base_names()) {
    for (const std::string& profile : profiles) {
      QuantSpec s;
      if (!try_parse(base + profile, s)) {
        EXPECT_FALSE(profile.empty()) << base;
        continue;
      }
      for (const auto& rule : fp4lab::kRuleNames) {
        for (const char* round : kRoundings) {
          const std::string text =
              base + profile + ",rule=" + with_argument(std::string(rule.id)) + ",round=" + round;
          if (!try_parse(text, s)) continue;
          ++parsed;
          profiled += profile.empty() ? 0 : 1;
          expect_fixed_point(s, text);
        }
      }
    }
  }
  EXPECT_GT(parsed, 5000u);
  EXPECT_GT(profiled, 500u);
}

/// One alternative value for every key.
const std::vector<std::pair<std::string, std::vector<std::string>>>& options() {
  static const std::vector<std::pair<std::string, std::vector<std::string>>> all = {
      {"scale", {"none", "fp32", "pow2", "e8m0", "ue4m3", "ue5m3", "bf16"}},
      {"round", {"rna", "sr:8", "luq"}},
      {"block", {"tensor", "row", "col", "1x32", "16x16", "7x3", "16x1"}},
      {"global", {"none", "tensor", "row", "1x128"}},
      {"headroom", {"17/16", "none"}},
      {"error", {"mae", "mse", "absmax", "mse-fp16"}},
      {"e4m3max", {"448", "256"}},
      {"clamp", {"on", "off"}},
      {"flush", {"on", "off"}},
      {"hadamard", {"16", "none", "32:none", "128:per-call", "64:per-layer-step", "16:fixed"}},
      {"clip", {"3.5", "percentile:99", "none", "1e3"}},
      {"prescale", {"0.5", "3", "1.1"}},
      {"policy", {"cuda", "cuda-nosat", "te", "ml-dtypes", "torchao", "modelopt"}},
      {"amax-nan", {"propagate", "ignore"}},
      {"zero-scale", {"zero", "one", "min-normal"}},
  };
  return all;
}

std::string upper(std::string s) {
  for (char& c : s) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == '-') c = '_';
  }
  return s;
}

TEST(SpecText, EveryOption_OnEveryBase_PrintsWhatItParses) {
  std::size_t parsed = 0;
  for (const std::string& base : fp4lab::all_base_names()) {
    for (const auto& [key, values] : options()) {
      for (const std::string& value : values) {
        QuantSpec s;
        const std::string text = base + "," + key + "=" + value;
        if (!try_parse(text, s)) continue;
        ++parsed;
        expect_fixed_point(s, text);
      }
    }
  }
  EXPECT_GT(parsed, 2000u);
}

TEST(SpecText, KeysInAnyOrderAndCase_GiveTheSameValue) {
  Generator random(1);
  int checked = 0;
  const std::vector<std::string> bases = {
      "mxfp4", "nvfp4",  "e2m1", "nvfp4@fouroversix", "nf4", "mxfp4@microxcaling",
      "if4",   "nvint4", "e3m0"};
  for (int n = 0; n < 3000; ++n) {
    const std::string base = bases[random.below(static_cast<std::uint32_t>(bases.size()))];
    std::vector<std::string> parts;
    for (const auto& [key, values] : options()) {
      if (random.below(4) != 0) continue;
      parts.push_back(key + "=" + values[random.below(static_cast<std::uint32_t>(values.size()))]);
    }
    if (random.below(2) != 0) {
      const auto& rule = fp4lab::kRuleNames[random.below(fp4lab::kRuleNames.size())];
      parts.push_back("rule=" + with_argument(std::string(rule.id)));
    }
    const auto joined = [&](bool shout) {
      std::string text = base;
      for (const std::string& p : parts) text += "," + p;
      return shout ? upper(text) : text;
    };
    QuantSpec first, second;
    if (!try_parse(joined(false), first)) continue;
    ++checked;
    expect_fixed_point(first, joined(false));
    for (std::size_t i = parts.size(); i > 1; --i) {
      std::swap(parts[i - 1], parts[random.below(static_cast<std::uint32_t>(i))]);
    }
    ASSERT_TRUE(try_parse(joined(false), second)) << joined(false);
    EXPECT_TRUE(first == second) << joined(false);
    ASSERT_TRUE(try_parse(joined(true), second)) << joined(true);
    EXPECT_TRUE(first == second) << joined(true);
  }
  EXPECT_GT(checked, 300);
}

TEST(SpecText, DefaultsPrintAsTheBareBase) {
  for (const auto& base : fp4lab::kBases) {
    EXPECT_EQ(fp4lab::to_string(parse_spec(base.id)), base.id);
  }
  for (const auto& row : fp4lab::catalog()) {
    EXPECT_EQ(fp4lab::to_string(parse_spec(row.id)), row.id);
  }
  for (const std::string& alias : fp4lab::all_base_names()) {
    expect_fixed_point(parse_spec(alias), alias);
  }
  EXPECT_EQ(fp4lab::to_string(parse_spec("mxfp4,rule=floor,block=1x32,scale=e8m0,round=rne")),
            "mxfp4");
  EXPECT_EQ(fp4lab::to_string(parse_spec("MXFP4,rule=MX_CEIL")), "mxfp4,rule=rceil");
  EXPECT_EQ(fp4lab::to_string(parse_spec("nvfp4,block=16x16,rule=nv_46,round=SR")),
            "nvfp4,rule=4over6,round=sr:16,block=16x16");
  EXPECT_EQ(fp4lab::to_string(parse_spec("E2M1,round=RTO")), "e2m1,round=odd");
  EXPECT_EQ(fp4lab::to_string(parse_spec("nvfp4,prescale=0.1")), "nvfp4,prescale=0.1");
}

struct Wrong {
  const char* text;
  std::size_t position;
  const char* mentions;
};

TEST(SpecText, AWrongSpec_IsAnsweredWithPositionAndNearestName) {
  const Wrong all[] = {
      {"", 0, "begins with"},
      {"mxfp", 0, "mxfp4"},
      {"nvpf4", 0, "nvfp4"},
      {"e2m1,rul=floor", 5, "rule"},
      {"mxfp4,rule=flor", 11, "floor"},
      {"mxfp4@tee", 6, "te"},
      {"e2m1@te", 5, "says nothing"},
      {"nvfp4@microxcaling", 6, "says nothing"},
      {"mxfp4,round=rnee", 12, "rne"},
      {"mxfp4,round=sr:33", 15, "1 to 32"},
      {"mxfp4,round=sr:0", 15, "1 to 32"},
      {"mxfp4,round=rne:4", 16, "no argument"},
      {"mxfp4,rule=two-level", 11, "valid:"},
      {"mxfp4,rule=clip", 11, "argument"},
      {"mxfp4,rule=clip:nan", 16, "number"},
      {"mxfp4,rule=floor:3", 11, "no argument"},
      {"mxfp4,block=0x32", 12, "number of rows"},
      {"mxfp4,block=1x", 14, "number of columns"},
      {"mxfp4,block=tensr", 12, "tensor"},
      {"mxfp4,hadamard=24", 15, "power of two"},
      {"mxfp4,hadamard=16:fixe", 18, "fixed"},
      {"mxfp4,scale=e8m1", 12, "e8m0"},
      {"mxfp4,scale=e2m1", 12, "cannot hold"},
      {"mxfp4,", 6, "empty"},
      {"mxfp4,rule", 6, "needs '='"},
      {"mxfp4,rule=", 6, "needs '='"},
      {"mxfp4,rule=floor,rule=ceil", 17, "twice"},
      {"mxfp4,global=tensor", 13, "two-level"},
      {"nvfp4,scale=fp32", 12, "coded"},
      {"nvfp4,e4m3max=300", 14, "448 or 256"},
      {"nvfp4,headroom=2", 15, "17/16"},
      {"nvfp4,clamp=yes", 12, "on"},
      {"nvfp4,policy=cud", 13, "cuda"},
      {"hif4,block=1x32", 11, "1x64"},
      {"mxfp4,round=tpr", 12, "radix4"},
      {"mxfp4,rule=percentile:101", 22, "0 to 100"},
      {"mxfp4,prescale=inf", 15, "factor"},
      {"mxfp4 ", 0, "mxfp4"},
      {"@te", 0, "begins with"},
  };
  for (const Wrong& w : all) {
    try {
      parse_spec(w.text);
      ADD_FAILURE() << "'" << w.text << "' was accepted";
    } catch (const SpecError& e) {
      EXPECT_EQ(e.position(), w.position) << "'" << w.text << "': " << e.what();
      EXPECT_NE(std::string(e.what()).find(w.mentions), std::string::npos)
          << "'" << w.text << "': " << e.what();
      EXPECT_NE(std::string(e.what()).find("position " + std::to_string(w.position + 1)),
                std::string::npos)
          << e.what();
    }
  }
}

TEST(SpecText, HostileText_ParsesOrIsRefused) {
  Generator random(20260101);
  int accepted = 0;
  // Random bytes.
  for (int n = 0; n < 4000; ++n) {
    std::string text;
    const std::uint32_t length = random.below(40);
    for (std::uint32_t i = 0; i < length; ++i) text += static_cast<char>(random.next() >> 56);
    QuantSpec s;
    if (try_parse(text, s)) ++accepted;
  }
  // Mutations of valid specs: bytes changed, dropped, doubled, pieces of other specs spliced in.
  const std::vector<std::string> seeds = {
      "mxfp4,rule=rceil,round=sr:16,block=1x32",
      "nvfp4@fouroversix,rule=static6,error=mse",
      "e2m1,rule=clip:0.95,block=16x16,clip=percentile:99.9",
      "nvfp4,global=1x128,headroom=17/16,hadamard=16:per-call,prescale=2.5",
      "nf4,block=1x64,scale=bf16,round=sr-hw:16:second,amax-nan=ignore",
      "mxfp4@microxcaling,flush=on,round=rtz,zero-scale=one,policy=torchao",
  };
  for (int n = 0; n < 12000; ++n) {
    std::string text = seeds[random.below(static_cast<std::uint32_t>(seeds.size()))];
    const std::uint32_t edits = 1 + random.below(3);
    for (std::uint32_t k = 0; k < edits && !text.empty(); ++k) {
      const std::size_t at = random.below(static_cast<std::uint32_t>(text.size()));
      switch (random.below(5)) {
        case 0:
          text[at] = static_cast<char>(random.next() >> 56);
          break;
        case 1:
          text.erase(at, 1 + random.below(3));
          break;
        case 2:
          text.insert(at, 1, text[random.below(static_cast<std::uint32_t>(text.size()))]);
          break;
        case 3: {
          const std::string& other = seeds[random.below(static_cast<std::uint32_t>(seeds.size()))];
          const std::size_t from = random.below(static_cast<std::uint32_t>(other.size()));
          text.insert(at, other.substr(from, random.below(20)));
          break;
        }
        default:
          text[at] = "0123456789,=:x@.-e"[random.below(18)];
      }
    }
    QuantSpec s;
    if (!try_parse(text, s)) continue;
    ++accepted;
    expect_fixed_point(s, text);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(accepted, 100) << "mutations never stay valid: the fuzzing reaches nothing";
}

TEST(SpecText, LongAndStrangeText_IsRefusedInOneShortLine) {
  for (const std::string& text :
       {std::string(100000, 'a'), std::string(100000, ','),
        std::string("mxfp4,rule=") + std::string(50000, 'f'), std::string("mxfp4\0", 6),
        std::string("mxfp4\nrule=floor"), std::string("\xff\xfe\x80")}) {
    try {
      parse_spec(text);
      ADD_FAILURE() << "accepted";
    } catch (const SpecError& e) {
      const std::string what = e.what();
      EXPECT_LT(what.size(), 2000u);
      for (const char c : what) EXPECT_TRUE(c >= ' ' && c != '\x7f') << "control byte in message";
    }
  }
}

}  // namespace
}  // namespace fp4lab_blocks
