// A synthetic language with something to learn at every distance: spelling inside words, word
// frequencies, agreement of subject and verb across a relative clause, brackets that close in
// order, sums that are right, and sentences that are repeated word for word.
#include <array>

#include "data/dataset_internal.h"

namespace fp4lab::data::detail {
namespace {

constexpr std::array<const char*, 12> kOnsets = {"b", "d", "f", "g", "k", "l",
                                                 "m", "n", "p", "r", "s", "tr"};
constexpr std::array<const char*, 5> kVowels = {"a", "e", "i", "o", "u"};
constexpr std::array<const char*, 6> kCodas = {"", "n", "l", "r", "st", "m"};

/// Sentences one after the other; each takes random numbers from a counter that only grows.
class Writer {
 public:
  Writer(std::uint64_t seed, std::size_t characters) : random_(seed, 0x6A77u), wanted_(characters) {
    for (auto& noun : nouns_) noun = word(2);
    for (auto& verb : verbs_) verb = word(2);
    for (auto& adjective : adjectives_) adjective = word(1) + "y";
    text_.reserve(characters + 256);
  }

  std::string write() {
    while (text_.size() < wanted_) {
      const std::uint32_t kind = pick(10);
      if (kind < 6) {
        text_ += sentence() + ". ";
      } else if (kind == 6) {
        const std::string repeated = sentence();
        text_ += "say: " + repeated + "; again: " + repeated + ". ";
      } else if (kind == 7) {
        const std::uint32_t a = pick(50), b = pick(50);
        text_ +=
            std::to_string(a) + " + " + std::to_string(b) + " = " + std::to_string(a + b) + ". ";
      } else if (kind == 8) {
        brackets(1 + pick(4));
        text_ += ". ";
      } else {
        text_ += '\n';
      }
    }
    return text_;
  }

 private:
  std::uint32_t pick(std::uint32_t n) { return random_.below(next_++, n); }
  /// Small numbers are likelier, roughly as Zipf's law has it.
  std::uint32_t skewed(std::uint32_t n) {
    const std::uint32_t a = pick(n), b = pick(n), c = pick(n);
    const std::uint32_t ab = a < b ? a : b;
    return ab < c ? ab : c;
  }

  std::string word(std::uint32_t syllables) {
    std::string w;
    for (std::uint32_t i = 0; i < syllables; ++i) {
      w += kOnsets[pick(kOnsets.size())];
      w += kVowels[pick(kVowels.size())];
    }
    return w + kCodas[pick(kCodas.size())];
  }

  std::string noun_phrase(bool plural) {
    std::string phrase = plural ? "the " : pick(2) == 0 ? "a " : "the ";
    if (pick(3) == 0) phrase += adjectives_[skewed(kWords / 2)] + " ";
    return phrase + nouns_[skewed(kWords)] + (plural ? "s" : "");
  }
  std::string verb(bool plural) { return verbs_[skewed(kWords / 2)] + (plural ? "" : "es"); }

  std::string sentence() {
    const bool plural = pick(2) == 0;
    std::string s = noun_phrase(plural);
    if (pick(3) == 0) {  // the verb below agrees with the subject in front of this clause
      const bool inner = pick(2) == 0;
      s += " that " + noun_phrase(inner) + " " + verb(inner);
    }
    s += " " + verb(plural);
    if (pick(2) == 0) s += " " + noun_phrase(pick(2) == 0);
    return s;
  }

  void brackets(std::uint32_t depth) {
    constexpr const char* kPairs[3] = {"()", "[]", "{}"};
    const char* pair = kPairs[pick(3)];
    text_ += pair[0];
    text_ += nouns_[skewed(kWords)];
    if (depth > 1) {
      text_ += ' ';
      brackets(depth - 1);
    }
    text_ += pair[1];
  }

  static constexpr std::uint32_t kWords = 64;
  Uniforms random_;
  std::uint64_t next_ = 0;
  std::size_t wanted_;
  std::string text_;
  std::array<std::string, kWords> nouns_;
  std::array<std::string, kWords / 2> verbs_, adjectives_;
};

}  // namespace

std::string grammar_text(std::uint64_t seed, std::size_t characters) {
  return Writer(seed, characters).write();
}

}  // namespace fp4lab::data::detail
