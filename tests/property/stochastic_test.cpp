// Stochastic rounding against the oracle's exact counts. Up is monotone in the random word, so a
// model is right for an input iff the library turns exactly the largest `count` words away from
// zero; the tests look at all 256 words, or bisect for the border among 2^32.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/property/subject.h"

namespace fp4lab_property {
namespace {

/// A BF16 input strictly inside a cell, with the number of words that go up under each model.
struct Case {
  std::uint32_t bits;
  std::uint32_t near_code, far_code;
  std::uint32_t up[4];
};

/// Splits all BF16 numbers into those that random bits move and those with one fixed answer.
void classify(const oracle::Format& f, std::vector<Case>& random,
              std::vector<std::pair<std::uint32_t, std::uint32_t>>& fixed) {
  for (std::uint32_t code = 0; code < 0x10000; ++code) {
    const std::uint32_t bits = code << 16;
    const oracle::Placement p = oracle::locate(f, oracle::from_binary32(bits));
    if (!oracle::is_random(p)) {
      fixed.emplace_back(bits, p.decided ? p.code : p.near_code);
      continue;
    }
    Case c{bits, p.near_code, p.far_code, {}};
    for (std::size_t m = 0; m < 4; ++m) {
      c.up[m] =
          static_cast<std::uint32_t>(oracle::round_up_count(p, oracle::kStochasticModels[m], 8));
    }
    random.push_back(c);
  }
}

std::string rule_text(oracle::Stochastic model, int n_bits, std::uint64_t r) {
  return std::string(name(model)) + ":" + std::to_string(n_bits) + " r=" + hex(r);
}

/// All BF16 inputs, the words of `words_for(up)`, all four models with 8 bits.
template <class WordsFor>
void compare_bf16(const fp4lab::ElementFormat& subject, const oracle::Format& f,
                  const WordsFor& words_for, Mismatches& mismatches) {
  std::vector<Case> random;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> fixed;
  classify(f, random, fixed);
  for (std::size_t m = 0; m < 4; ++m) {
    const oracle::Stochastic model = oracle::kStochasticModels[m];
    const fp4lab::Rounding rounding = rounding_of(model, 8);
    const auto check = [&](std::uint32_t bits, std::uint32_t r, std::uint32_t want) {
      const std::uint32_t got =
          fp4lab::encode(subject, float_of(bits), rounding, fp4lab::Policy::cuda, r);
      if (got != want) {
        mismatches.add([&] { return mismatch(f, rule_text(model, 8, r), bits, got, want); });
      }
    };
    for (const Case& c : random) {
      for (const std::uint32_t r : words_for(c.up[m])) {
        check(c.bits, r, (r & 0xFF) + c.up[m] >= 256 ? c.far_code : c.near_code);
      }
    }
    for (const auto& [bits, code] : fixed) {
      for (const std::uint32_t r : {0u, 128u, 255u}) check(bits, r, code);
    }
  }
}

TEST(StochasticSlow, Bf16InputsAtTheBorderWord) {
  Mismatches mismatches;
  for (const char* id : {"e2m1", "e3m0-nz", "radix4-odd", "int4-full", "nf4", "bnb-fp4"}) {
    const oracle::Format& f = oracle::format(id);
    for (const auto& row : fp4lab::catalog()) {
      if (row.id != id) continue;
      // The first word that goes up, the one before it, the ends; and a word with bits above N.
      const auto words = [](std::uint32_t up) {
        return std::array<std::uint32_t, 5>{(256 - up) & 0xFF, (255 - up) & 0xFF, 0, 255,
                                            0xABCDEF00u | ((256 - up) & 0xFF)};
      };
      compare_bf16(row.format, f, words, mismatches);
    }
  }
}

/// All words for all BF16 inputs of the formats that `wanted` picks, formats side by side.
template <class Wanted>
void compare_all_words(const Wanted& wanted) {
  std::array<std::uint32_t, 256> all_words{};
  for (std::uint32_t r = 0; r < 256; ++r) all_words[r] = r;
  std::vector<const fp4lab::FormatInfo*> rows;
  for (const auto& row : fp4lab::catalog()) {
    if (row.format.bits <= 4 && wanted(row.id)) rows.push_back(&row);
  }
  ASSERT_FALSE(rows.empty());
  Mismatches mismatches;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < rows.size(); ++i) {
    compare_bf16(
        rows[i]->format,
        oracle::format(rows[i]->id), [&](std::uint32_t) -> const auto& { return all_words; },
        mismatches);
  }
}

TEST(StochasticSlow, AllBf16InputsAndAllWordsOfOneFormatAFamily) {
  compare_all_words([](std::string_view id) {
    return id == "e2m1" || id == "e1m2-nosub" || id == "e3m0-nz" || id == "radix4-even" ||
           id == "int4" || id == "uint4-asym" || id == "nf4" || id == "p3109-k4p2se";
  });
}

TEST(StochasticExhaustive, AllBf16InputsAndAllWordsOfEvery4BitFormat) {
  compare_all_words([](std::string_view) { return true; });
}

/// The number of words in [0, 2^bits) that go up, found by bisection; `up(r)` rises with r.
template <class Up>
std::uint64_t count_by_bisection(int bits, const Up& up) {
  std::uint64_t first_up = 0, end = std::uint64_t{1} << bits;
  while (first_up < end) {
    const std::uint64_t middle = first_up + (end - first_up) / 2;
    if (up(static_cast<std::uint32_t>(middle))) {
      end = middle;
    } else {
      first_up = middle + 1;
    }
  }
  return (std::uint64_t{1} << bits) - first_up;
}

/// Inputs inside the cells of a format: every cell at fixed and at odd distances, and numbers near
/// the ends of the cell where the counts become 0 or 2^N.
std::vector<std::uint32_t> inputs_in_cells(const oracle::Format& f) {
  std::vector<std::uint32_t> all;
  for (std::size_t i = 0; i + 1 < f.levels.size(); ++i) {
    const oracle::Rational lower = f.levels[i].value, width = f.levels[i + 1].value - lower;
    for (const int part : {1, 1000, 65535, 123457, 262144, 333333, 524287, 524288, 524289, 700001,
                           999999, 1048575}) {
      all.push_back(oracle::to_binary32(lower + width * oracle::Rational(part, 1048576)));
    }
  }
  for (const std::uint32_t sign : {0u, 0x80000000u}) {
    for (const std::uint32_t tiny : {1u, 0x00400000u, 0x0DA24260u, 0x2F000001u, 0x37800003u}) {
      all.push_back(sign | tiny);
    }
  }
  return all;
}

TEST(Stochastic, CountOfRoundUpsAmongAllWords) {
  Mismatches mismatches;
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    if (f.levels.size() > 16) return;
    for (const std::uint32_t bits : inputs_in_cells(f)) {
      const oracle::Placement p = oracle::locate(f, oracle::from_binary32(bits));
      if (!oracle::is_random(p)) continue;
      for (const oracle::Stochastic model : oracle::kStochasticModels) {
        for (const int n : {1, 13, 16, 32}) {
          const std::uint64_t want = oracle::round_up_count(p, model, n);
          const std::uint64_t got = count_by_bisection(n, [&](std::uint32_t r) {
            return fp4lab::encode(subject, float_of(bits), rounding_of(model, n),
                                  fp4lab::Policy::cuda, r) == p.far_code;
          });
          if (got == want) continue;
          mismatches.add([&] {
            return f.id + "/" + std::string(name(model)) + ":" + std::to_string(n) + " " +
                   hex(bits) + " (" + std::to_string(float_of(bits)) + ") goes up for " +
                   std::to_string(got) + " words, want " + std::to_string(want);
          });
        }
      }
    }
  });
}

TEST(Stochastic, UniformCountOfRoundUps) {
  Mismatches mismatches;
  const fp4lab::Rounding rounding{fp4lab::RoundingKind::sr_uniform};
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    if (f.levels.size() > 16) return;
    for (const std::uint32_t bits : inputs_in_cells(f)) {
      const oracle::Placement p = oracle::locate(f, oracle::from_binary32(bits));
      if (!oracle::is_random(p)) continue;
      const std::uint64_t want = oracle::round_up_count_uniform(p);
      // u < d: the small words go up, so count the words that do not.
      const std::uint64_t got =
          (1u << 24) - count_by_bisection(24, [&](std::uint32_t k) {
            return fp4lab::encode(subject, float_of(bits), rounding, fp4lab::Policy::cuda,
                                  (k << 8) | 0x5A) == p.near_code;
          });
      if (got == want) continue;
      mismatches.add([&] {
        return f.id + "/sr-uniform " + hex(bits) + " goes up for " + std::to_string(got) +
               " of 2^24 words, want " + std::to_string(want);
      });
    }
  });
}

TEST(Stochastic, BeyondTheMaximumStaysThere) {
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    for (const float scale : {1.0f, 1.0000001f, 1.25f, 2.0f, 1e30f}) {
      for (const float sign : {1.0f, -1.0f}) {
        const float x = sign * scale * static_cast<float>(f.levels.back().value);
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
        const oracle::Placement p = oracle::locate(f, oracle::from_binary32(bits));
        if (oracle::is_random(p)) continue;
        for (const oracle::Stochastic model : oracle::kStochasticModels) {
          for (const std::uint32_t r : {0u, 0x8000u, 0xFFFFu}) {
            EXPECT_EQ(fp4lab::encode(subject, x, rounding_of(model, 16), fp4lab::Policy::cuda, r),
                      p.code)
                << f.id << " " << x;
          }
        }
      }
    }
  });
}

/// Formats of more than 8 bits: cells at both ends of the range and beyond it, where the library
/// overflows under deterministic roundings and must not under random ones.
TEST(Stochastic, WideFormats_StayAtTheMaximumAndMatchElsewhere) {
  Mismatches mismatches;
  for (const auto& row : fp4lab::catalog()) {
    if (row.format.bits <= 8) continue;
    const oracle::Format& f = oracle::format(row.id);
    const std::uint32_t max =
        std::bit_cast<std::uint32_t>(static_cast<float>(fp4lab::max_value(row.format)));
    std::vector<std::uint32_t> inputs = {0, 1, 0x00400001, 0x00800001, 0x7F7FFFFF, 0x7F800000};
    for (std::uint32_t k = 0; k < 64; ++k) {
      // Around the maximum at all distances; then anywhere.
      const std::uint32_t step = 1u << (k % 24);
      if (max + step < 0x7F800000u) inputs.push_back(max + step);
      inputs.push_back(max - step);
      inputs.push_back((0x9E3779B9u * (k + 1)) & 0x7F7FFFFFu);
    }
    for (const std::uint32_t magnitude : inputs) {
      for (const std::uint32_t bits : {magnitude, magnitude | 0x80000000u}) {
        const oracle::Number x = oracle::from_binary32(bits);
        for (const oracle::Stochastic model : oracle::kStochasticModels) {
          for (const int n : {1, 8, 16, 32}) {
            for (const std::uint32_t r : {0u, 1u, 0x80u, 0xFFu, 0x7FFFu, 0x8000u, 0xFFFFFFFFu}) {
              const std::uint32_t want = oracle::encode(f, x, model, n, r);
              const fp4lab::Rounding rounding = rounding_of(model, n);
              const std::uint32_t got =
                  fp4lab::encode(row.format, float_of(bits), rounding, fp4lab::Policy::cuda, r);
              const std::uint32_t from_double =
                  fp4lab::encode(row.format, static_cast<double>(float_of(bits)), rounding,
                                 fp4lab::Policy::cuda, r);
              for (const std::uint32_t code : {got, from_double}) {
                if (code == want) continue;
                mismatches.add(
                    [&] { return mismatch(f, rule_text(model, n, r), bits, code, want); });
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab_property
