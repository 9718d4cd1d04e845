#include <gtest/gtest.h>

#include "data/error.h"
#include "data/user_format.h"
#include "temp_folder.h"

namespace fp4lab {
namespace {

using test::expect_contains;
using test::message_of;

UserFormatSpec one(const std::string& body) {
  const auto specs = parse_user_formats("[[format]]\n" + body, "f.toml");
  EXPECT_EQ(specs.size(), 1u);
  return specs.at(0);
}

std::string fails(const std::string& body) {
  return message_of<InputError>([&] { parse_user_formats("[[format]]\n" + body, "f.toml"); });
}

TEST(DataUserFormat, ReadsAFloatRecord) {
  const UserFormatSpec spec =
      one("name = \"My_E3M2\"\naliases = [\"m32\"]\ntitle = \"mine\"\nsource = \"a paper\"\n"
          "exponent_bits = 3\nmantissa_bits = 2\nbias = 4\nsigned = false\nspecials = \"nan-top\"\n"
          "subnormals = false\n");
  EXPECT_EQ(spec.name, "my-e3m2");
  EXPECT_EQ(spec.aliases, std::vector<std::string>{"m32"});
  EXPECT_EQ(spec.kind, UserFormatSpec::Kind::kFloat);
  EXPECT_EQ(spec.exponent_bits, 3);
  EXPECT_EQ(spec.mantissa_bits, 2);
  EXPECT_EQ(spec.bias, 4);
  EXPECT_FALSE(spec.is_signed);
  EXPECT_FALSE(spec.subnormals);
  EXPECT_EQ(spec.specials, UserSpecials::kNanTop);
  EXPECT_EQ(spec.place, "f.toml:1:1");
}

TEST(DataUserFormat, FillsInTheUsualBias) {
  EXPECT_EQ(one("name = 'a'\nexponent_bits = 4\nmantissa_bits = 3\n").bias, 7);
  EXPECT_EQ(one("name = 'a'\nexponent_bits = 0\nmantissa_bits = 3\n").bias, 0);
  EXPECT_EQ(one("name = 'a'\nexponent_bits = 3\nmantissa_bits = 0\nradix = 4\n").radix, 4);
}

TEST(DataUserFormat, PutsValuesIntoCodeOrder) {
  const UserFormatSpec plain = one("name = 'v'\nvalues = [-1.0, 0, 0.1, 1]\n");
  EXPECT_EQ(plain.values, (std::vector<float>{-1.0f, 0.0f, 0.1f, 1.0f}));
  const UserFormatSpec coded = one("name = 'v'\nvalues = [-1, 0, 0.5, 1]\ncodes = [3, 0, 1, 2]\n");
  EXPECT_EQ(coded.values, (std::vector<float>{0.0f, 0.5f, 1.0f, -1.0f}));
  EXPECT_EQ(one("name = 'v'\nvalues = [0.0, -0.0, 1]\n").values.size(), 3u);  // -0 is a code apart
}

TEST(DataUserFormat, ErrorsCarryPlaceAndNearestName) {
  expect_contains(fails("name = 'a'\nexponent_bit = 3\n"),
                  "f.toml:3:1: unknown key 'exponent_bit'; nearest: 'exponent_bits'");
  expect_contains(fails("name = 'a'\nexponent_bits = 3\nmantissa_bits = 2\nspecials = 'iee'\n"),
                  "f.toml:5:12: unknown specials 'iee'; nearest: 'ieee'");
  expect_contains(fails("name = 'a'\nvalues = [1, 2\n"), "f.toml:");
  expect_contains(message_of<InputError>([] { parse_user_formats("[[formats]]\n", "f.toml"); }),
                  "nearest: 'format'");
  expect_contains(message_of<InputError>([] { parse_user_formats("", "f.toml"); }),
                  "no [[format]]");
  expect_contains(message_of<InputError>([] { parse_user_formats("[format]\n", "f.toml"); }),
                  "[[format]]");
}

TEST(DataUserFormat, RefusesRecordsThatAreNoFormat) {
  const std::string head = "name = 'a'\nexponent_bits = 3\nmantissa_bits = 2\n";
  expect_contains(fails("exponent_bits = 3\nmantissa_bits = 2\n"), "needs the key 'name'");
  expect_contains(fails("name = 'a b'\nvalues = [0, 1]\n"), "is no name");
  expect_contains(fails("name = 'a,b'\nvalues = [0, 1]\n"), "is no name");
  expect_contains(fails("name = 3\nvalues = [0, 1]\n"), "text in quotes");
  expect_contains(fails("name = 'a'\n"), "needs 'values', or");
  expect_contains(fails("name = 'a'\nexponent_bits = 8\nmantissa_bits = 12\n"), "at most 16");
  expect_contains(fails("name = 'a'\nexponent_bits = 9\nmantissa_bits = 1\n"), "from 0 to 8");
  expect_contains(fails("name = 'a'\nexponent_bits = 3.0\nmantissa_bits = 1\n"), "whole number");
  expect_contains(fails("name = 'a'\nexponent_bits = 0\nmantissa_bits = 0\n"), "at least one bit");
  expect_contains(fails(head + "radix = 4\n"), "radix 4 needs");
  expect_contains(fails(head + "radix = 3\n"), "must be 2 or 4");
  expect_contains(fails(head + "signed = false\nspecials = 'fnuz'\n"), "needs a sign");
  expect_contains(fails(head + "bias = 160\n"), "do not fit binary32");
  expect_contains(fails(head + "bias = -130\n"), "do not fit binary32");
  expect_contains(fails(head + "codes = [1]\n"), "goes with 'values'");
  expect_contains(fails(head + "values = [0, 1]\n"), "does not go with 'values'");
}

TEST(DataUserFormat, RefusesListsThatAreNoFormat) {
  expect_contains(fails("name = 'a'\nvalues = [1]\n"), "2 to 16");
  expect_contains(fails("name = 'a'\nvalues = [1, 1]\n"), "twice");
  expect_contains(fails("name = 'a'\nvalues = [1, 1.00000000001]\n"), "twice");
  expect_contains(fails("name = 'a'\nvalues = [1, nan]\n"), "finite");
  expect_contains(fails("name = 'a'\nvalues = [1, -inf]\n"), "finite");
  expect_contains(fails("name = 'a'\nvalues = [1, 1e39]\n"), "binary32");
  expect_contains(fails("name = 'a'\nvalues = [0, -0.0]\n"), "nothing but zero");
  expect_contains(fails("name = 'a'\nvalues = [1, 'x']\n"), "finite numbers");
  expect_contains(fails("name = 'a'\nvalues = [1, 2]\ncodes = [0]\n"), "as long as");
  expect_contains(fails("name = 'a'\nvalues = [1, 2]\ncodes = [0, 2]\n"), "each of 0 to 1 once");
  expect_contains(fails("name = 'a'\nvalues = [1, 2]\ncodes = [1, 1]\n"), "each of 0 to 1 once");
}

TEST(DataUserFormat, NamesAreUniqueInAFile) {
  const std::string text =
      "[[format]]\nname='a'\nvalues=[0,1]\n[[format]]\nname='b'\naliases=['A']\nvalues=[0,1]\n";
  expect_contains(message_of<InputError>([&] { parse_user_formats(text, "f.toml"); }),
                  "f.toml:4:1: the name 'a' is already taken");
}

TEST(DataUserFormat, HostileTextIsOneLine) {
  for (const std::string& text :
       {std::string(5000, '['), std::string("a = \"\\u0000\n"), std::string("\xff\xfe\x00", 3),
        "x = " + std::string(4000, '{'), std::string("[[format]]\n\"na\\nme\" = 1\n")}) {
    message_of<InputError>([&] { parse_user_formats(text, "f.toml"); });
  }
}

}  // namespace
}  // namespace fp4lab
