#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <thread>

#include "data/array_file.h"
#include "data/npy.h"
#include "temp_folder.h"

namespace fp4lab {
namespace {

using test::expect_contains;
using test::message_of;

class DataNpy : public test::TempFolder {
 protected:
  /// A whole file with any header text and version.
  static std::string file_bytes(const std::string& header, const std::string& data,
                                int version = 1) {
    std::string out("\x93NUMPY", 6);
    out += static_cast<char>(version);
    out += '\0';
    const std::size_t n = header.size();
    for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
      out += static_cast<char>((n >> (8 * i)) & 0xff);
    return out + header + data;
  }
  static std::string header(const std::string& descr, const std::string& order,
                            const std::string& shape) {
    return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  }
  std::string fails(const std::string& bytes) {
    write_bytes("x.npy", bytes);
    const std::string line = message_of<InputError>([&] { read_npy(at("x.npy")); });
    expect_contains(line, "x.npy");
    return line;
  }
  Array reads(const std::string& bytes) {
    write_bytes("x.npy", bytes);
    return read_npy(at("x.npy"));
  }
};

TEST_F(DataNpy, ReadsAllVersionsAndBothByteOrders) {
  const std::string little("\x01\x02\x03\x04", 4), big("\x02\x01\x04\x03", 4);
  for (const int version : {1, 2, 3}) {
    const Array a = reads(file_bytes(header("<u2", "False", "(2,)"), little, version));
    EXPECT_EQ(a.dtype, DType::kU16);
    EXPECT_EQ(a.shape, (Shape{2}));
    EXPECT_EQ(a.as<std::uint16_t>()[1], 0x0403);
    const Array b = reads(file_bytes(header(">u2", "False", "(2,)"), big, version));
    EXPECT_EQ(b.as<std::uint16_t>()[0], 0x0201);
  }
}

TEST_F(DataNpy, HeaderVariantsOfPython) {
  const std::string data(6, '\x07');
  EXPECT_EQ(reads(file_bytes("{\"shape\":(2L,3L),\"fortran_order\":False,\"descr\":\"|u1\"}", data))
                .shape,
            (Shape{2, 3}));
  EXPECT_EQ(reads(file_bytes(header("=i1", "False", "( 6 , )"), data)).dtype, DType::kI8);
  EXPECT_EQ(reads(file_bytes(header("<f4", "False", "()"), std::string(4, '\0'))).shape, Shape{});
}

TEST_F(DataNpy, TransposesFortranOrder) {
  // The 2 x 3 array 0..5 in column-major order.
  const Array a =
      reads(file_bytes(header("|u1", "True", "(2, 3)"), std::string("\0\3\1\4\2\5", 6)));
  for (std::uint8_t i = 0; i < 6; ++i) EXPECT_EQ(a.as<std::uint8_t>()[i], i);
  // Three axes: element (i, j, k) = 100 i + 10 j + k, written with i fastest.
  std::string data;
  for (int k = 0; k < 4; ++k) {
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) data += static_cast<char>(100 * i + 10 * j + k);
    }
  }
  const Array b = reads(file_bytes(header("|u1", "True", "(2, 3, 4)"), data));
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 4; ++k) {
        EXPECT_EQ(b.as<std::uint8_t>()[(i * 3 + j) * 4 + k], 100 * i + 10 * j + k);
      }
    }
  }
  // Big endian and Fortran order together.
  const Array c =
      reads(file_bytes(header(">u2", "True", "(2, 2)"), std::string("\0\1\0\3\0\2\0\4", 8)));
  for (std::uint16_t i = 0; i < 4; ++i) EXPECT_EQ(c.as<std::uint16_t>()[i], i + 1);
}

TEST_F(DataNpy, ZeroElementsAreAllowed) {
  const Array a = reads(file_bytes(header("<f4", "True", "(0, 5)"), ""));
  EXPECT_EQ(a.shape, (Shape{0, 5}));
  EXPECT_EQ(a.size(), 0u);
  EXPECT_EQ(reads(file_bytes(header("<f4", "False", "(0, 18446744073709551615)"), "")).size(), 0u);
}

TEST_F(DataNpy, RefusesWhatIsNoNpyFile) {
  expect_contains(fails(""), "needs 8 bytes, but only 0 follow");
  expect_contains(fails("\x93NUM"), "truncated");
  expect_contains(fails("hello, world, this is text"), "not an npy file");
  expect_contains(fails(file_bytes(header("<f4", "False", "(1,)"), "1234", 9)), "version 9");
  expect_contains(message_of<InputError>([&] { read_npy(at("none.npy")); }),
                  "No such file or directory");
  expect_contains(message_of<InputError>([&] { read_npy(folder_); }), "is a directory");
}

TEST_F(DataNpy, RefusesDtypesThatAreNoNumbers) {
  const std::string data(64, '\0');
  expect_contains(fails(file_bytes(header("|b1", "False", "(4,)"), data)), "booleans as uint8");
  expect_contains(fails(file_bytes(header("<c8", "False", "(4,)"), data)),
                  "'<c8' is not supported");
  expect_contains(fails(file_bytes(header("|V2", "False", "(4,)"), data)), "view('uint16')");
  expect_contains(fails(file_bytes(header("|V1", "False", "(4,)"), data)), "view('uint8')");
  expect_contains(fails(file_bytes(header("<U7", "False", "(4,)"), data)), "'<U7'");
  expect_contains(fails(file_bytes(header("|O", "False", "(4,)"), data)), "'|O'");
  expect_contains(
      fails(file_bytes("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", data)),
      "structured dtypes");
}

TEST_F(DataNpy, RefusesBrokenHeaders) {
  for (const char* text :
       {"", "{", "{}", "{'descr'", "{'descr': ", "{'descr': '<f4', 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} or more",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}"}) {
    expect_contains(fails(file_bytes(text, "1234")), "npy header");
  }
  std::string many = "(";
  for (int i = 0; i < 40; ++i) many += "1,";
  expect_contains(fails(file_bytes(header("<f4", "False", many + ")"), "1234")), "32 extents");
}

TEST_F(DataNpy, RefusesShapesThatTheFileDoesNotHold) {
  expect_contains(fails(file_bytes(header("<f4", "False", "(2,)"), "1234567")),
                  "needs 8 bytes, but only 7 follow");
  expect_contains(fails(file_bytes(header("<f4", "False", "(1,)"), "12345")),
                  "1 bytes follow after the array of shape 1");
  expect_contains(fails(file_bytes(header("<f8", "False", "(1099511627776, 1048576)"), "1234")),
                  "2^63 - 1 bytes");
  expect_contains(fails(file_bytes(header("<f8", "False", "(1099511627776,)"), "1234")),
                  "needs 8796093022208 bytes, but only 4 follow");
  expect_contains(fails(file_bytes(header("<f4", "False", "(99999999999999999999999,)"), "")),
                  "too large");
  // A version 2 header may claim 4 GiB for itself.
  std::string bytes = file_bytes(header("<f4", "False", "(1,)"), "1234", 2);
  bytes[8] = bytes[9] = bytes[10] = bytes[11] = '\xff';
  expect_contains(fails(bytes), "1 MiB");
}

TEST_F(DataNpy, EveryTruncationIsRefused) {
  const std::string whole = file_bytes(header("<f4", "False", "(2, 3)"), std::string(24, '\x3f'));
  ASSERT_EQ(reads(whole).size(), 6u);
  for (std::size_t cut = 0; cut < whole.size(); ++cut) fails(whole.substr(0, cut));
}

TEST_F(DataNpy, APipeWithAnAbsurdClaimEndsQuickly) {
  const std::string path = at("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const std::string bytes =
      file_bytes(header("<f8", "False", "(1099511627776,)"), std::string(100, 'x'));
  std::thread writer([&] { std::ofstream(path, std::ios::binary) << bytes; });
  const std::string line = message_of<InputError>([&] { read_npy(path); });
  writer.join();
  expect_contains(line, "only 100 follow");
}

TEST_F(DataNpy, WritesWhatItReads) {
  for (const auto& name : dtype_names()) {
    const DType dtype = *parse_dtype(name);
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{0, 3}, Shape{2, 3, 4}}) {
      Array array(dtype, shape);
      for (std::size_t i = 0; i < array.bytes.size(); ++i) array.bytes[i] = std::byte(i * 37 + 1);
      write_array(parse_array_ref(at("y.npy")), array);
      const Array back = read_npy(at("y.npy"));
      EXPECT_EQ(back.dtype, dtype == DType::kBf16 ? DType::kU16 : dtype);
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(back.bytes, array.bytes);
    }
  }
}

TEST_F(DataNpy, PreambleIsNumPys) {
  const std::string text = npy_preamble(DType::kF32, {3});
  EXPECT_EQ(text.size() % 64, 0u);
  EXPECT_EQ(text.substr(10), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }" +
                                 std::string(text.size() - 10 - 57 - 1, ' ') + "\n");
  EXPECT_EQ(npy_preamble(DType::kU8, {}).substr(10, 58),
            "{'descr': '|u1', 'fortran_order': False, 'shape': (), }   ");
}

}  // namespace
}  // namespace fp4lab
