// What the comparisons with the oracle share: the library's name for each of the oracle's rules,
// and failure messages that can be read.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

#include "formats/fp4lab.h"
#include "tests/oracle/rounding.h"

namespace fp4lab_property {

namespace oracle = fp4lab_oracle;

inline fp4lab::RoundingKind kind_of(oracle::Mode mode) {
  using fp4lab::RoundingKind;
  constexpr RoundingKind kKinds[] = {
      RoundingKind::rne,      RoundingKind::rna, RoundingKind::rnz, RoundingKind::rtz,
      RoundingKind::rtp,      RoundingKind::rtn, RoundingKind::odd, RoundingKind::rn_lower,
      RoundingKind::rn_upper, RoundingKind::rdnp};
  return kKinds[static_cast<int>(mode)];
}

inline fp4lab::Rounding rounding_of(oracle::Mode mode) { return {kind_of(mode)}; }

inline fp4lab::Rounding rounding_of(oracle::Stochastic model, int n_bits) {
  using fp4lab::RoundingKind;
  constexpr RoundingKind kKinds[] = {RoundingKind::sr, RoundingKind::sr_fast, RoundingKind::sr_rne,
                                     RoundingKind::sr_rno};
  return {kKinds[static_cast<int>(model)], static_cast<std::uint8_t>(n_bits)};
}

inline float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

inline std::string hex(std::uint64_t v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "0x%llx", static_cast<unsigned long long>(v));
  return buffer;
}

inline std::string value_text(const oracle::Format& f, std::uint32_t code) {
  if (!f.is_wide && code >= f.codes.size()) return "no code";
  const oracle::CodeValue v = oracle::decode(f, code);
  switch (v.meaning) {
    case oracle::CodeValue::Meaning::kNan:
      return "nan";
    case oracle::CodeValue::Meaning::kUnused:
      return "unused";
    case oracle::CodeValue::Meaning::kInfinite:
      return v.negative ? "-inf" : "inf";
    case oracle::CodeValue::Meaning::kFinite:
      break;
  }
  std::string text = v.negative && v.value == 0 ? "-" : "";
  text += oracle::to_text(v.value);
  return text;
}

/// "e2m1/rne 0x3e800001 (0.25000003) -> got 0x0 (0) want 0x1 (0.5); neighbours 0 | 0.5"
inline std::string mismatch(const oracle::Format& f, const std::string& rule, std::uint32_t bits,
                            std::uint32_t got, std::uint32_t want) {
  char input[64];
  std::snprintf(input, sizeof input, " 0x%08x (%.9g)", bits, static_cast<double>(float_of(bits)));
  return f.id + "/" + rule + input + " -> got " + hex(got) + " (" + value_text(f, got) + ") want " +
         hex(want) + " (" + value_text(f, want) + "); neighbours " +
         oracle::neighbours_text(f, oracle::from_binary32(bits));
}

/// Reports the first few mismatches of a test in full and counts the rest. Threads may share one.
class Mismatches {
 public:
  ~Mismatches() {
    if (count_ > kShown) ADD_FAILURE() << count_ - kShown << " more mismatches";
  }
  template <class MakeText>
  void add(const MakeText& make_text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (++count_ <= kShown) ADD_FAILURE() << make_text();
  }

 private:
  static constexpr std::uint64_t kShown = 5;
  std::mutex mutex_;
  std::uint64_t count_ = 0;
};

/// Every row of the library's catalogue that has up to 8 bits.
template <class Visit>
void for_each_narrow(const Visit& visit) {
  for (const auto& row : fp4lab::catalog()) {
    if (row.format.bits <= 8) visit(row.format, oracle::format(row.id));
  }
}

}  // namespace fp4lab_property
