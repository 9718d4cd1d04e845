// The two catalogues: same formats, same code tables.
#include <cmath>
#include <string>

#include "tests/property/subject.h"

namespace fp4lab_property {
namespace {

TEST(Catalog, OracleAndLibraryKnowTheSameFormats) {
  for (const auto& row : fp4lab::catalog()) {
    EXPECT_NO_THROW(oracle::format(row.id)) << row.id;
  }
  for (const oracle::Format& f : oracle::formats()) {
    bool found = false;
    for (const auto& row : fp4lab::catalog()) {
      // "sf4-5" is a second name of a row.
      const std::string names = std::string(row.id) + " " + std::string(row.aliases) + " ";
      found |= names.find(f.id + " ") != std::string::npos;
    }
    EXPECT_TRUE(found) << f.id;
  }
}

void expect_decoded(const fp4lab::ElementFormat& subject, const oracle::Format& f,
                    std::uint32_t code) {
  const oracle::CodeValue want = oracle::decode(f, code);
  if (want.meaning == oracle::CodeValue::Meaning::kUnused) return;
  const float got = fp4lab::decode(subject, code);
  switch (want.meaning) {
    case oracle::CodeValue::Meaning::kNan:
      EXPECT_TRUE(std::isnan(got)) << f.id << " " << hex(code);
      return;
    case oracle::CodeValue::Meaning::kInfinite:
      EXPECT_TRUE(std::isinf(got) && std::signbit(got) == want.negative)
          << f.id << " " << hex(code);
      return;
    default:
      EXPECT_EQ(std::bit_cast<std::uint32_t>(got),
                static_cast<std::uint32_t>(
                    oracle::encode_ieee_rne(want.value, oracle::kBinary32, want.negative)))
          << f.id << " " << hex(code) << " decodes to " << got;
  }
}

TEST(Catalog, EveryCodeDecodesToItsValue) {
  for (const auto& row : fp4lab::catalog()) {
    const oracle::Format& f = oracle::format(row.id);
    if (f.is_wide) {
      const std::uint32_t step = f.bits == 32 ? 0x1FFFu : 1u;  // every TF32 binade, odd stride
      const std::uint64_t count = std::uint64_t{1} << f.bits;
      for (std::uint64_t c = 0; c < count; c += step) {
        const std::uint32_t code = static_cast<std::uint32_t>(c) >> f.shift << f.shift;
        expect_decoded(row.format, f, code);
      }
    } else {
      for (std::uint32_t c = 0; c < f.codes.size(); ++c) expect_decoded(row.format, f, c);
    }
  }
}

TEST(Catalog, EveryFiniteCodeSurvivesDecodeAndEncode) {
  for_each_narrow([](const fp4lab::ElementFormat& subject, const oracle::Format& f) {
    for (std::uint32_t c = 0; c < f.codes.size(); ++c) {
      if (f.codes[c].meaning != oracle::CodeValue::Meaning::kFinite) continue;
      const float value = fp4lab::decode(subject, c);
      for (const oracle::Mode mode : oracle::kDeterministicModes) {
        EXPECT_EQ(fp4lab::encode(subject, value, rounding_of(mode)), c)
            << f.id << "/" << name(mode) << " " << value;
      }
    }
  });
}

}  // namespace
}  // namespace fp4lab_property
