// The reader itself: what it accepts, and that everything else is refused with a message.
#include "tests/golden/gv1.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <string>

#include "tests/golden/files.h"

namespace fp4lab::golden {
namespace {

std::string gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(Gv1, ReadsHeadersTensorsAndAliases) {
  const File f = File::parse(
      "GV1\n# kind: a b: c\n# same: c = b\n@ a u8 2 2 2\n00 7f\n80 ff\n@ b f32 1 1\n3f800000\n"
      "@ e f64 0\nbff0000000000000\n@ z u16 1 0\n@ i i32 1 1\n80000000\n",
      "text");
  EXPECT_EQ(f.header("kind"), "a b: c");
  EXPECT_EQ(f.header("absent"), "");
  EXPECT_EQ(f.at("a").u8(), (std::vector<std::uint8_t>{0x00, 0x7f, 0x80, 0xff}));
  EXPECT_EQ(f.at("a").shape(), (std::vector<std::size_t>{2, 2}));
  EXPECT_EQ(f.at("c").f32(), std::vector<float>{1.0F});
  EXPECT_EQ(f.stored_name("c"), "b");
  EXPECT_EQ(f.at("e").f64(), std::vector<double>{-1.0});
  EXPECT_EQ(f.at("z").size(), 0U);
  EXPECT_EQ(f.at("i").bits(0), 0x80000000U);
  EXPECT_EQ(f.names(), (std::vector<std::string>{"a", "b", "e", "z", "i", "c"}));
  EXPECT_FALSE(f.has("d"));
  EXPECT_THROW(f.at("d"), Gv1Error);
  EXPECT_THROW(f.at("a").f32(), Gv1Error);
  EXPECT_THROW(f.at("i").f32(), Gv1Error);
  EXPECT_THROW(f.at("a").u16(), Gv1Error);
}

TEST(Gv1, RefusesEverythingElseWithAMessage) {
  struct Case {
    const char* text;
    const char* complaint;
  };
  const Case cases[] = {
      Case{"", "expected 'GV1'"},
      Case{"GV2\n", "expected 'GV1'"},
      Case{"GV1", "no line feed"},
      Case{"GV1\n00\n", "numbers before"},
      Case{"GV1\n@ a u8 1 2\n00\n", "has 1 numbers"},
      Case{"GV1\n@ a u8 1 1\n00 00\n", "more than 1"},
      Case{"GV1\n@ a u8 1 1\n000\n", "2 digits"},
      Case{"GV1\n@ a u8 1 1\n0A\n", "lower-case"},
      Case{"GV1\n@ a u8 1 1\n0x\n", "lower-case"},
      Case{"GV1\n@ a u8 1 1\n00  \n", "2 digits"},
      Case{"GV1\n@ a f8 1 1\n00\n", "unknown dtype"},
      Case{"GV1\n@ a u8\n", "expected '@ name"},
      Case{"GV1\n@a u8 0\n", "expected '@ name"},
      Case{"GV1\n@  u8 0\n", "expected '@ name"},
      Case{"GV1\n@ a u8 x\n", "expected a count"},
      Case{"GV1\n@ a u8 -1\n", "expected a count"},
      Case{"GV1\n@ a u8 1\n", "dimensions"},
      Case{"GV1\n@ a u8 1 1 1\n", "dimensions"},
      Case{"GV1\n@ a u8 9 1 1 1 1 1 1 1 1 1\n", "dimensions"},
      Case{"GV1\n@ a u8 1 99999999999999999999\n", "expected a count"},
      Case{"GV1\n@ a u8 2 4294967296 4294967296\n", "more elements"},
      Case{"GV1\n@ a u8 1 67108865\n", "more elements"},
      Case{"GV1\n@ a u8 1 0\n@ a u8 1 0\n", "appears twice"},
      Case{"GV1\n#x\n", "'# key: value'"},
      Case{"GV1\n# x\n", "'# key: value'"},
      Case{"GV1\n# same: a\n", "'# same: name = name'"},
      Case{"GV1\n# same: a = b\n", "names no stored tensor"},
      Case{"GV1\n# same: a = b\n# same: b = c\n@ c u8 1 0\n", "names no stored tensor"},
      Case{"GV1\n# same: c = c\n@ c u8 1 0\n", "appears twice"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    try {
      File::parse(c.text, "text");
      ADD_FAILURE() << "accepted";
    } catch (const Gv1Error& e) {
      EXPECT_NE(std::string(e.what()).find(c.complaint), std::string::npos) << e.what();
    }
  }
}

TEST(Gunzip, ReadsBackAndRefusesDamage) {
  const std::string text(100000, 'x');
  const std::string packed = gzip(text);
  EXPECT_EQ(gunzip(packed, "p", text.size()), text);
  EXPECT_THROW(gunzip(packed, "p", text.size() - 1), Gv1Error);
  EXPECT_THROW(gunzip(packed + "x", "p", text.size()), Gv1Error);
  EXPECT_THROW(gunzip("", "p", 10), Gv1Error);
  EXPECT_THROW(gunzip("GV1\n", "p", 10), Gv1Error);
  for (std::size_t n = 0; n < packed.size(); ++n) {
    EXPECT_THROW(gunzip(packed.substr(0, n), "p", text.size()), Gv1Error) << n;
  }
  std::string damaged = packed;
  damaged[packed.size() - 5] ^= 1;  // last byte of the check sum
  EXPECT_THROW(gunzip(damaged, "p", text.size()), Gv1Error);
}

TEST(Gv1, EveryStoredFileReads) {
  std::size_t files = 0;
  std::size_t tensors = 0;
  for (const std::string& path : stored_files()) {
    const File f = File::load(path);
    ++files;
    tensors += f.names().size();
  }
  if (std::getenv("FP4LAB_GOLDEN_DIR") != nullptr) GTEST_SKIP() << "another sample, not counted";
  // What thin.py --check counts against the originals: nothing may get lost on the way.
  EXPECT_EQ(files, 141U);
  EXPECT_EQ(tensors, 4839U);
}

TEST(Gv1, AbsentFileIsRefused) { EXPECT_THROW(File::load("/nonexistent/x.gv.gz"), Gv1Error); }

}  // namespace
}  // namespace fp4lab::golden
