// Every format of up to 8 bits under every deterministic mode against the oracle: around each
// breakpoint, on all BF16 and all FP16 numbers, and for binary64 inputs.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/oracle/breakpoints.h"
#include "tests/property/subject.h"

namespace fp4lab_property {
namespace {

/// Compares the library with the oracle's intervals at ascending patterns.
void compare(const fp4lab::ElementFormat& subject, const oracle::Format& f, oracle::Mode mode,
             const std::vector<oracle::Interval>& intervals,
             const std::vector<std::uint32_t>& ascending_patterns, Mismatches& mismatches) {
  const fp4lab::Rounding rounding = rounding_of(mode);
  std::size_t at = 0;
  for (const std::uint32_t bits : ascending_patterns) {
    while (intervals[at].last < bits) ++at;
    const std::uint32_t got = fp4lab::encode(subject, float_of(bits), rounding);
    if (got != intervals[at].code) {
      mismatches.add(
          [&] { return mismatch(f, std::string(name(mode)), bits, got, intervals[at].code); });
    }
  }
}

std::vector<std::uint32_t> all_short_inputs() {
  std::vector<std::uint32_t> all;
  for (std::uint32_t code = 0; code < 0x10000; ++code) {
    all.push_back(code << 16);  // bfloat16
    const oracle::Number half = oracle::decode_ieee(code, oracle::kBinary16);
    if (half.kind == oracle::Number::Kind::kFinite) {
      all.push_back(static_cast<std::uint32_t>(
          oracle::encode_ieee_rne(half.value, oracle::kBinary32, half.negative)));
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

TEST(Rounding, NarrowFormats_AroundEveryBreakpoint) {
  Mismatches mismatches;
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    const std::vector<std::uint32_t> patterns = oracle::critical_patterns(f, 3);
    for (const oracle::Mode mode : oracle::kDeterministicModes) {
      compare(subject, f, mode, oracle::intervals(f, mode), patterns, mismatches);
    }
  });
}

TEST(RoundingSlow, NarrowFormats_AllBf16AndFp16Inputs) {
  const std::vector<std::uint32_t> patterns = all_short_inputs();
  Mismatches mismatches;
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    for (const oracle::Mode mode : oracle::kDeterministicModes) {
      compare(subject, f, mode, oracle::intervals(f, mode), patterns, mismatches);
    }
  });
}

TEST(Rounding, NarrowFormats_WithoutSaturation) {
  Mismatches mismatches;
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    const std::vector<std::uint32_t> patterns = oracle::critical_patterns(f, 2);
    for (const oracle::Mode mode : oracle::kDeterministicModes) {
      const auto intervals = oracle::intervals(f, mode, oracle::Policy::kCudaNoSat);
      std::size_t at = 0;
      for (const std::uint32_t bits : patterns) {
        while (intervals[at].last < bits) ++at;
        const std::uint32_t got =
            fp4lab::encode(subject, float_of(bits), rounding_of(mode), fp4lab::Policy::cuda_nosat);
        if (got != intervals[at].code) {
          mismatches.add([&] {
            return mismatch(f, std::string(name(mode)) + "/nosat", bits, got, intervals[at].code);
          });
        }
      }
    }
  });
}

// A binary64 input must be rounded once: the pattern next to a breakpoint in binary64 would be
// lost if the conversion passed through binary32.
TEST(Rounding, NarrowFormats_Binary64InputsBesideEveryBreakpoint) {
  Mismatches mismatches;
  for_each_narrow([&](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    for (const std::uint32_t pattern : oracle::critical_patterns(f, 0)) {
      const double centre = float_of(pattern);
      if (std::isnan(centre)) continue;
      for (const double x : {std::nextafter(centre, -HUGE_VAL), std::nextafter(centre, HUGE_VAL)}) {
        const oracle::Number exact =
            oracle::decode_ieee(std::bit_cast<std::uint64_t>(x), oracle::kBinary64);
        const oracle::Placement placement = oracle::locate(f, exact);
        for (const oracle::Mode mode : oracle::kDeterministicModes) {
          const std::uint32_t want = oracle::resolve(f, placement, mode);
          const std::uint32_t got = fp4lab::encode(subject, x, rounding_of(mode));
          if (got == want) continue;
          mismatches.add([&] {
            char text[64];
            std::snprintf(text, sizeof text, " binary64 %a -> got ", x);
            return f.id + "/" + std::string(name(mode)) + text + hex(got) + " want " + hex(want);
          });
        }
      }
    }
  });
}

// ---- wide formats ------------------------------------------------------------------------------

class WideFormats : public testing::TestWithParam<const char*> {
 protected:
  void compare_at(std::uint32_t bits) {
    const oracle::Placement placement = oracle::locate(oracle_, oracle::from_binary32(bits));
    for (const oracle::Mode mode : oracle::kDeterministicModes) {
      if (mode == oracle::Mode::kRdnp) continue;  // defined on grids of up to 8 bits
      const std::uint32_t want = oracle::resolve(oracle_, placement, mode);
      const std::uint32_t got = fp4lab::encode(subject_, float_of(bits), rounding_of(mode));
      if (got != want) {
        mismatches_.add(
            [&] { return mismatch(oracle_, std::string(name(mode)), bits, got, want); });
      }
    }
  }

  static const fp4lab::ElementFormat& find(std::string_view id) {
    for (const auto& row : fp4lab::catalog()) {
      if (row.id == id) return row.format;
    }
    throw std::out_of_range(std::string(id));
  }

  const oracle::Format& oracle_ = oracle::format(GetParam());
  const fp4lab::ElementFormat& subject_ = find(GetParam());
  Mismatches mismatches_;
};

TEST_P(WideFormats, CodesAndTiesAndTheirNeighbours) {
  const int dropped = 23 - oracle_.layout.mantissa_bits;
  if (oracle_.layout.exponent_bits == 8) {
    // Codes are the upper bits of the binary32 pattern; a tie has just the highest dropped bit.
    const std::uint32_t codes = dropped > 0 ? 1u << (32 - dropped) : 0;
    const std::uint32_t step = dropped == 16 ? 1 : 61;  // 61 is odd: meets even and odd codes
    for (std::uint32_t c = 0; c < codes; c += step) {
      const std::uint32_t first = c << dropped;
      const std::uint32_t tie = first | (1u << (dropped - 1));
      for (const std::uint32_t bits : {first, first + 1, tie - 1, tie, tie + 1}) compare_at(bits);
    }
  } else {
    for (std::uint32_t c = 0; c < 0x10000; ++c) {
      const oracle::Number n = oracle::decode_ieee(c, oracle_.layout);
      if (n.kind != oracle::Number::Kind::kFinite) continue;
      const oracle::Number next = oracle::decode_ieee(c + 1, oracle_.layout);
      const std::uint32_t sign = n.negative ? 0x80000000u : 0;
      const std::uint32_t first = oracle::binary32_floor(abs(n.value)) | sign;
      compare_at(first);
      compare_at(first + 1);
      if (next.kind != oracle::Number::Kind::kFinite) continue;
      const std::uint32_t tie = oracle::binary32_floor(abs((n.value + next.value) / 2)) | sign;
      for (const std::uint32_t bits : {tie - 1, tie, tie + 1}) compare_at(bits);
    }
  }
}

TEST_P(WideFormats, DenseSampleAndTheEnds) {
  // A full-period walk over the patterns; the increment is odd, so no bit position is stuck.
  std::uint32_t bits = 0;
  for (int i = 0; i < 100000; ++i, bits += 0x9E3779B1u) compare_at(bits);
  for (const std::uint32_t sign : {0u, 0x80000000u}) {
    for (std::uint32_t k = 0; k < 70; ++k) {
      compare_at(sign | k);                       // smallest subnormals
      compare_at(sign | (0x7F800000u + 35 - k));  // largest numbers, Inf, NaN
      compare_at(sign | (0x477FF000u - 35 + k));  // where binary16 overflows (65520)
      compare_at(sign | (0x33000000u - 35 + k));  // half its smallest subnormal
      compare_at(sign | (0x7F7F8000u - 35 + k));  // where bfloat16 overflows
      compare_at(sign | (0x7F7FF000u - 35 + k));  // where TF32 overflows
      compare_at(sign | (0x00800000u - 35 + k));  // the border of binary32's subnormals
    }
    compare_at(sign | 0x7FFFFFFFu);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WideFormats, testing::Values("bf16", "fp16", "tf32", "fp32"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace fp4lab_property
