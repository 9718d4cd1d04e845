#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "data/array.h"
#include "formats/names.h"
#include "temp_folder.h"

namespace fp4lab {
namespace {

using test::expect_contains;
using test::message_of;

TEST(DataArray, IsAlignedAndZeroFilled) {
  const Array array(DType::kF32, {3, 5});
  EXPECT_EQ(array.size(), 15u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.bytes.data()) % 64, 0u);
  for (const float x : array.as<float>()) EXPECT_EQ(std::bit_cast<std::uint32_t>(x), 0u);
  EXPECT_THROW(array.as<double>(), std::logic_error);
}

TEST(DataArray, FoldsLeadingAxesIntoRows) {
  EXPECT_EQ(Array(DType::kU8, {2, 3, 4}).rows(), 6u);
  EXPECT_EQ(Array(DType::kU8, {2, 3, 4}).columns(), 4u);
  EXPECT_EQ(Array(DType::kU8, {7}).rows(), 1u);
  EXPECT_EQ(Array(DType::kU8, Shape{}).rows(), 1u);
  EXPECT_EQ(Array(DType::kU8, Shape{}).columns(), 1u);
  EXPECT_EQ(Array(DType::kU8, {3, 0}).rows(), 0u);
  EXPECT_EQ(Array(DType::kU8, {0, 3}).rows(), 0u);
}

TEST(DataArray, ElementCount_RefusesOverflow) {
  EXPECT_EQ(element_count({}), 1u);
  EXPECT_EQ(element_count({4, 0, SIZE_MAX}), 0u);
  EXPECT_EQ(element_count({SIZE_MAX, SIZE_MAX, 0}), 0u);
  EXPECT_EQ(element_count({SIZE_MAX}), std::nullopt);
  EXPECT_EQ(element_count({std::size_t{1} << 32, std::size_t{1} << 31}), std::nullopt);
  EXPECT_EQ(element_count({std::size_t{1} << 32, (std::size_t{1} << 31) - 1}),
            ((std::size_t{1} << 31) - 1) << 32);
  EXPECT_THROW(Array(DType::kF64, {std::size_t{1} << 62}), InputError);
}

TEST(DataArray, ParsesShapes) {
  EXPECT_EQ(parse_shape("256x512"), (Shape{256, 512}));
  EXPECT_EQ(parse_shape("1,2,0"), (Shape{1, 2, 0}));
  EXPECT_EQ(parse_shape("7"), (Shape{7}));
  for (const char* text : {"", "x", "3x", "-1", "3 4", "1.5", "18446744073709551616",
                           "4294967296x4294967296", "99999999999999999999999"}) {
    expect_contains(message_of<InputError>([&] { parse_shape(text); }), "shape '");
  }
}

TEST(DataArray, HalfWidensEveryPattern) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = half_to_float(static_cast<std::uint16_t>(bits));
    const int exponent = static_cast<int>((bits >> 10) & 31);
    const int mantissa = static_cast<int>(bits & 1023);
    ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << bits;
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(got), mantissa != 0) << bits;
      ASSERT_EQ(std::isinf(got), mantissa == 0) << bits;
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    ASSERT_EQ(std::fabs(static_cast<double>(got)), magnitude) << bits;
  }
}

TEST(DataArray, Bfloat16IsTheUpperHalf) {
  EXPECT_EQ(bfloat16_to_float(0x3fc0), 1.5f);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(bfloat16_to_float(0x8001)), 0x80010000u);
}

TEST(DataArray, ToFloat32_NeedsConsentToRound) {
  Array array(DType::kF64, {3});
  auto x = array.as<double>();
  x[0] = 1.5;
  x[1] = std::nan("");
  x[2] = 0.1;
  const std::string line =
      message_of<InputError>([&] { to_float32(array, Narrowing::kForbid, "w.npy"); });
  expect_contains(line, "w.npy: element 2 is 0.1");
  expect_contains(line, "--narrow");
  const Array rounded = to_float32(array, Narrowing::kRound, "w.npy");
  EXPECT_EQ(rounded.as<float>()[2], 0.1f);
  EXPECT_TRUE(std::isnan(rounded.as<float>()[1]));
  x[2] = 1e300;
  EXPECT_THROW(to_float32(array, Narrowing::kForbid, "w"), InputError);
  EXPECT_EQ(to_float32(array, Narrowing::kRound, "w").as<float>()[2],
            std::numeric_limits<float>::infinity());
  x[2] = 0.25;
  EXPECT_EQ(to_float32(array, Narrowing::kForbid, "w").as<float>()[2], 0.25f);
}

TEST(DataArray, ToFloat32_IntegersThatFitPassAndOthersDoNot) {
  Array array(DType::kI64, {2});
  auto x = array.as<std::int64_t>();
  x[0] = -(std::int64_t{1} << 24);
  x[1] = (std::int64_t{1} << 24) + 1;
  EXPECT_THROW(to_float32(array, Narrowing::kForbid, "i"), InputError);
  EXPECT_EQ(to_float64(array, "i").as<double>()[1], 16777217.0);
  x[1] = std::numeric_limits<std::int64_t>::max();
  EXPECT_THROW(to_float64(array, "i"), InputError);
  x[1] = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(to_float64(array, "i").as<double>()[1], -0x1p63);
  Array big(DType::kU64, {1});
  big.as<std::uint64_t>()[0] = UINT64_MAX;
  EXPECT_THROW(to_float64(big, "u"), InputError);
  big.as<std::uint64_t>()[0] = std::uint64_t{1} << 63;
  EXPECT_EQ(to_float32(big, Narrowing::kForbid, "u").as<float>()[0], 0x1p63f);
}

TEST(DataArray, ToFloat64_WidensHalves) {
  Array array(DType::kF16, {2});
  array.as<std::uint16_t>()[0] = 0x0001;
  array.as<std::uint16_t>()[1] = 0xc000;
  EXPECT_EQ(to_float64(array, "h").as<double>()[0], 0x1p-24);
  EXPECT_EQ(to_float32(array, Narrowing::kForbid, "h").as<float>()[1], -2.0f);
}

TEST(DataSuggest, EditDistance) {
  EXPECT_EQ(edit_distance("e2m1", "e2m1"), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("e2m1", "E2_M1"), 1u);
  EXPECT_EQ(edit_distance("ml_dtypes", "ML-DTYPES"), 0u);
  EXPECT_EQ(edit_distance("quantise", "quantize"), 1u);
  EXPECT_EQ(edit_distance("ofrmats", "formats"), 1u);  // a swap of neighbours is one edit
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(DataSuggest, NearestName) {
  const std::vector<std::string> names{"formats", "cast", "decode", "quantize"};
  EXPECT_EQ(nearest_name("quantise", names), "quantize");
  EXPECT_EQ(nearest_name("dec", names), "decode");
  EXPECT_EQ(nearest_name("x", std::vector<std::string>{}), "");
  EXPECT_EQ(nearest_hint("fromats", names), "; nearest: 'formats'");
}

TEST(DataSuggest, PrintableStaysOnOneLine) {
  EXPECT_EQ(printable("a\nb\x1b[31m"), "a?b?[31m");
  EXPECT_EQ(printable(std::string(10, 'x'), 4), "xxxx...");
}

}  // namespace
}  // namespace fp4lab
