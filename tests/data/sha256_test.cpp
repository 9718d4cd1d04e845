#include "data/sha256.h"

#include <gtest/gtest.h>

namespace fp4lab {
namespace {

// Examples of FIPS 180-4 and of NIST's long message file.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesOfAnySizeGiveTheSameHash) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += static_cast<char>('a' + i % 26);
  for (std::size_t length : {std::size_t{55}, std::size_t{56}, std::size_t{63}, std::size_t{64},
                             std::size_t{65}, std::size_t{119}, std::size_t{120}, text.size()}) {
    const std::string message = text.substr(0, length);
    const std::string whole = sha256_hex(message);
    for (std::size_t step : {1, 3, 63, 64, 65}) {
      Sha256 hash;
      for (std::size_t i = 0; i < length; i += step) hash.update(message.substr(i, step));
      EXPECT_EQ(hash.hex(), whole) << length << " in pieces of " << step;
    }
  }
}

}  // namespace
}  // namespace fp4lab
