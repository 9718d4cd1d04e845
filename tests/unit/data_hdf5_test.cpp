#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "data/array_file.h"
#include "data/hdf5_file.h"
#include "temp_folder.h"

namespace fp4lab {
namespace {

using test::expect_contains;
using test::message_of;

class DataHdf5 : public test::TempFolder {
 protected:
  ArrayRef ref(const std::string& text) const { return parse_array_ref(at(text)); }

  static Array numbered(DType dtype, const Shape& shape) {
    Array array(dtype, shape);
    for (std::size_t i = 0; i < array.bytes.size(); ++i) array.bytes[i] = std::byte(i * 31 + 7);
    return array;
  }
};

TEST_F(DataHdf5, ReadsWhatItWrites) {
  for (const auto& name : dtype_names()) {
    const DType dtype = *parse_dtype(name);
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{0, 3}, Shape{2, 3, 4}, Shape{130, 700}}) {
      Array array = numbered(dtype, shape);
      if (is_floating(dtype)) {  // no NaN: HDF5 may quieten signalling ones
        for (auto& byte : array.bytes) byte &= std::byte{0x3b};
      }
      write_array(ref("x.h5:/a/b"), array);
      const Array back = read_array(ref("x.h5:/a/b"));
      EXPECT_EQ(back.dtype, dtype) << name;
      EXPECT_EQ(back.shape, shape) << name;
      EXPECT_EQ(back.bytes, array.bytes) << name << " " << shape_text(shape);
    }
  }
}

TEST_F(DataHdf5, AFileCutAtEvery512BytesIsOneLine) {
  write_array(ref("whole.h5:/a/b"), numbered(DType::kU8, {130, 700}));
  write_array(ref("whole.h5:/small"), numbered(DType::kI32, {7}));
  std::ifstream in(at("whole.h5"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_GT(whole.size(), 5000u);
  for (std::size_t size = 0; size < whole.size(); size += 512) {
    std::ofstream(at("cut.h5"), std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    const auto refuses = [&](auto&& body) {
      const std::string line = message_of<InputError>(body);
      expect_contains(line, "cut.h5");
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    };
    refuses([&] { read_array(ref("cut.h5:/a/b")); });
    refuses([&] { list_hdf5(at("cut.h5")); });
    refuses([&] { read_hdf5_attributes(at("cut.h5"), "/a/b"); });
    if (size != 0) {  // an empty file gets its first data set
      refuses([&] { write_array(ref("cut.h5:/more"), numbered(DType::kU8, {3})); });
    }
  }
}

TEST_F(DataHdf5, SeveralOutputsShareAFileAndOldOnesStay) {
  const Array first = numbered(DType::kU8, {4}), second = numbered(DType::kF32, {2, 2});
  write_array(ref("x.h5:/keep/me"), first);
  ArrayWriter writer;
  for (const char* path : {"x.h5:/codes", "x.h5:/deep/er/scales"}) {
    writer.reserve(ref(path));
    writer.put(ref(path), second, {{"format", std::string("e2m1")}, {"n", std::int64_t{3}}});
  }
  writer.commit();
  EXPECT_EQ(list_hdf5(at("x.h5")),
            (std::vector<std::string>{"/codes", "/deep/er/scales", "/keep/me"}));
  EXPECT_EQ(read_array(ref("x.h5:/keep/me")).bytes, first.bytes);
  EXPECT_EQ(read_array(ref("x.h5:/codes")).bytes, second.bytes);
  // The same name again replaces it, whatever its type was.
  write_array(ref("x.h5:/codes"), first);
  EXPECT_EQ(read_array(ref("x.h5:/codes")).dtype, DType::kU8);
  EXPECT_EQ(listing(), std::vector<std::string>{"x.h5"});
}

TEST_F(DataHdf5, EqualInputGivesEqualBytes) {
  const Array array = numbered(DType::kI16, {100, 100});
  write_array(ref("a.h5:/x"), array, {{"spec", std::string("mxfp4")}, {"step", 0.5}});
  write_array(ref("b.h5:/x"), array, {{"spec", std::string("mxfp4")}, {"step", 0.5}});
  EXPECT_EQ(read_bytes("a.h5"), read_bytes("b.h5"));
}

TEST_F(DataHdf5, RefusesCollisionsAndForeignFiles) {
  write_array(ref("x.h5:/a/b"), numbered(DType::kU8, {4}));
  const std::string before = read_bytes("x.h5");
  const Array array = numbered(DType::kU8, {1});
  expect_contains(message_of<InputError>([&] { write_array(ref("x.h5:/a"), array); }),
                  "is a group");
  expect_contains(message_of<InputError>([&] { write_array(ref("x.h5:/a/b/c"), array); }),
                  "is not a group");
  EXPECT_EQ(read_bytes("x.h5"), before);
  write_bytes("text.h5", "this is no HDF5 file");
  expect_contains(message_of<InputError>([&] { write_array(ref("text.h5:/a"), array); }),
                  "not a sound HDF5 file");
  EXPECT_EQ(read_bytes("text.h5"), "this is no HDF5 file");
  EXPECT_EQ(listing().size(), 2u);
}

TEST_F(DataHdf5, ReadErrorsNameTheNearestDataSet) {
  write_array(ref("x.h5:/weights/layer0"), numbered(DType::kU8, {4}));
  expect_contains(message_of<InputError>([&] { read_array(ref("x.h5:/weights/layer1")); }),
                  "no such data set; nearest: '/weights/layer0'");
  expect_contains(message_of<InputError>([&] { read_array(ref("x.h5:/weights")); }), "a group");
  expect_contains(message_of<InputError>([&] { read_array(ref("none.h5:/x")); }), "No such file");
  write_bytes("bad.h5", "no HDF5");
  expect_contains(message_of<InputError>([&] { read_array(ref("bad.h5:/x")); }),
                  "not an HDF5 file");
}

TEST_F(DataHdf5, EveryTruncationIsRefused) {
  write_array(ref("x.h5:/a"), numbered(DType::kU16, {64, 300}));
  const std::string whole = read_bytes("x.h5");
  ASSERT_GT(whole.size(), 4096u);
  for (std::size_t cut = 0; cut < whole.size(); cut += 512) {
    write_bytes("cut.h5", whole.substr(0, cut));
    message_of<InputError>([&] { read_array(ref("cut.h5:/a")); });
  }
}

TEST_F(DataHdf5, DamagedDataIsFoundByTheCheckSum) {
  write_array(ref("x.h5:/a"), numbered(DType::kU16, {64, 300}));
  std::string bytes = read_bytes("x.h5");
  // The deflated chunk is the last thing in the file.
  bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 0x10);
  write_bytes("x.h5", bytes);
  expect_contains(message_of<InputError>([&] { read_array(ref("x.h5:/a")); }), "x.h5:/a");
}

}  // namespace
}  // namespace fp4lab
