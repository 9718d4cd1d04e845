#include "data/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "data/error.h"

namespace fp4lab {
namespace {

std::string write(const std::string& header, const std::string& bytes) {
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("fp4lab-" + std::to_string(::getpid()) + ".safetensors"))
                               .string();
  const std::uint64_t size = header.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&size), 8);
  out << header << bytes;
  return path;
}

std::string error_of(const std::string& path) {
  std::string line = "no error";
  try {
    list_safetensors(path);
  } catch (const InputError& e) {
    line = e.what();
  }
  std::filesystem::remove(path);
  return line;
}

TEST(Safetensors, ListsByNameAndReadsEachType) {
  const float w[3] = {1.0f, -2.5f, 0.0f};
  std::string bytes(reinterpret_cast<const char*>(w), 12);
  bytes += std::string("\x80\x3f\x00\xc0", 4);  // bf16 1, -2
  bytes += '\x7e';
  const std::string path = write(
      R"({"__metadata__":{"format":"pt"},"z.w":{"dtype":"F32","shape":[3,1],"data_offsets":[0,12]},)"
      R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},)"
      R"("q":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[16,17]}})",
      bytes);
  const auto entries = list_safetensors(path);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_FALSE(entries[1].readable);
  EXPECT_EQ(entries[2].shape, (Shape{3, 1}));
  const Array z = read_safetensor(path, entries[2]);
  EXPECT_EQ(z.as<float>()[1], -2.5f);
  const Array a = to_float32(read_safetensor(path, entries[0]), Narrowing::kForbid, "a");
  EXPECT_EQ(a.as<float>()[1], -2.0f);
  EXPECT_THROW(read_safetensor(path, entries[1]), InputError);
  std::filesystem::remove(path);
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("fp4lab-w" + std::to_string(::getpid()))).string();
  const std::vector<float> w = {1.0f, -2.5f, 0.0f, 4.0f, 5.0f, -0.0f}, b = {7.0f};
  {
    AtomicFile file(path);
    write_safetensors(file, {{"w", {2, 3}, w}, {"b", {1}, b}, {"none", {0, 4}, {}}},
                      {{"run_id", "abc"}});
    file.finish();
    file.publish();
  }
  const auto entries = list_safetensors(path);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[2].name, "w");
  EXPECT_EQ(entries[2].shape, (Shape{2, 3}));
  EXPECT_EQ(entries[2].begin % 8, 0u);
  const Array read = read_safetensor(path, entries[2]);
  EXPECT_EQ(std::memcmp(read.bytes.data(), w.data(), 24), 0);
  EXPECT_EQ(read_safetensor(path, entries[0]).as<float>()[0], 7.0f);
  AtomicFile again(path);
  EXPECT_THROW(write_safetensors(again, {{"w", {1}, b}, {"w", {1}, b}}, {}), std::logic_error);
  EXPECT_THROW(write_safetensors(again, {{"w", {2}, b}}, {}), std::logic_error);
  std::filesystem::remove(path);
}

TEST(Safetensors, HostileFilesAreOneLine) {
  const auto fails = [](const std::string& header, const std::string& with) {
    const std::string line = error_of(write(header, "1234"));
    EXPECT_NE(line.find(with), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  };
  fails("[]", "no JSON header");
  fails("{", "no JSON header");
  fails(R"({"a":{"dtype":"F32","shape":[1]}})", "lacks");
  fails(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "truncated");
  fails(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "truncated");
  fails(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "4 bytes");
  fails(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "whole number");
  fails(R"({"a":{"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]}})", "4 bytes");
  fails(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "whole number");
  const std::string path = write("{}", "");
  std::filesystem::resize_file(path, 5);
  EXPECT_NE(error_of(path).find("too short"), std::string::npos);
  std::ofstream(path, std::ios::binary) << std::string(16, '\xff');
  EXPECT_NE(error_of(path).find("not a .safetensors"), std::string::npos);
}

}  // namespace
}  // namespace fp4lab
