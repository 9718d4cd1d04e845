#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "data/error.h"
#include "experiments/store/result_file.h"

namespace fp4lab::store {
namespace {

namespace fs = std::filesystem;

std::string temporary(const std::string& name) {
  return (fs::temp_directory_path() / ("fp4lab-store-" + std::to_string(::getpid()) + "-" + name))
      .string();
}

/// One value for each row of the schema, with NaN, -1 and text in it.
ResultFile every_row() {
  ResultFile file;
  const std::vector<std::int64_t> numbers = {0, 50, 100};
  const std::vector<std::string> names = {"blocks.0.attn.q", "größe", ""};
  for (const Row& row : schema()) {
    const std::string path = row.path;
    if (!row.is_scale) continue;
    if (row.type == Type::text) {
      file.scale(path, std::span<const std::string>(names));
    } else {
      file.scale(path, std::span<const std::int64_t>(numbers));
    }
  }
  for (const Row& row : schema()) {
    std::string path = row.path;
    if (row.is_scale) continue;
    if (path.back() == '*') path.back() = 'x';
    std::size_t n = 1;
    for (const char* p = row.axes; *p != '\0'; ++p) n *= p == row.axes || p[-1] == ' ' ? 3 : 1;
    const auto fill = [&](auto value) {
      std::vector<decltype(value)> values(n, value);
      for (std::size_t i = 0; i < n; ++i) {
        values[i] = static_cast<decltype(value)>(static_cast<double>(i) * 1.25);
      }
      return values;
    };
    switch (row.type) {
      case Type::f64: {
        auto v = fill(double{});
        v[0] = std::numeric_limits<double>::quiet_NaN();
        file.put(path, std::span<const double>(v));
        break;
      }
      case Type::f32:
        file.put(path, std::span<const float>(fill(float{})));
        break;
      case Type::i64: {
        auto v = fill(std::int64_t{});
        v[0] = -1;
        file.put(path, std::span<const std::int64_t>(v));
        break;
      }
      case Type::i32:
        file.put(path, std::span<const std::int32_t>(fill(std::int32_t{})));
        break;
      case Type::i8:
        file.put(path, std::span<const std::int8_t>(fill(std::int8_t{})));
        break;
      case Type::u8:
        file.put(path, std::span<const std::uint8_t>(fill(std::uint8_t{})));
        break;
      case Type::text: {
        std::vector<std::string> v(n);
        for (std::size_t i = 0; i < n; ++i) v[i] = "nvfp4,round=sr:" + std::to_string(i);
        file.put(path, std::span<const std::string>(v));
        break;
      }
    }
  }
  file.bin_edges("/oscillation/ratio_histogram", {0.0, 1.0, 16.0, INFINITY});
  file.attributes["status"] = std::string("complete");
  file.attributes["kind"] = std::string("run");
  file.attributes["seed"] = std::int64_t{7};
  file.attributes["wall_s"] = 1.5;
  return file;
}

std::string error_of(const std::string& path) {
  try {
    ResultFile::read(path);
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Store, EveryRowOfTheSchemaComesBack) {
  const std::string path = temporary("all.h5");
  ResultFile written = every_row();
  written.write(path);
  const ResultFile read = ResultFile::read(path);
  fs::remove(path);
  EXPECT_EQ(read.text_attribute("content_sha256"), written.content_sha256());
  EXPECT_EQ(std::get<std::int64_t>(read.attributes.at("seed")), 7);
  EXPECT_EQ(std::get<double>(read.attributes.at("wall_s")), 1.5);
  ASSERT_EQ(read.datasets().size(), written.datasets().size());
  for (const auto& [name, d] : written.datasets()) {
    const Dataset& r = read.at(name);
    EXPECT_EQ(r.type, d.type) << name;
    EXPECT_EQ(r.axes, d.axes) << name;
    EXPECT_EQ(r.shape, d.shape) << name;
    EXPECT_EQ(r.bytes, d.bytes) << name;
    EXPECT_EQ(r.texts, d.texts) << name;
    EXPECT_EQ(r.is_scale, d.is_scale) << name;
    EXPECT_EQ(r.units, d.units) << name;
    EXPECT_EQ(r.long_name, d.long_name) << name;
    EXPECT_EQ(r.bin_edges, d.bin_edges) << name;
  }
}

// Left for readers.py, which opens it with other people's programs.
TEST(Store, WritesAFileForOtherReaders) {
  const char* const path = std::getenv("FP4LAB_STORE_OUT");
  if (path == nullptr) GTEST_SKIP() << "FP4LAB_STORE_OUT names no file";
  every_row().write(path);
  EXPECT_EQ(error_of(path), "no error");
}

TEST(Store, EqualContentGivesEqualBytes) {
  const ResultFile a = every_row(), b = every_row();
  EXPECT_EQ(a.image("a"), b.image("b"));
}

TEST(Store, TheHashLeavesOutWhatChangesFromMachineToMachine) {
  ResultFile a = every_row(), b = every_row();
  const std::vector<double> times = {9, 9, 9};
  b.put("/series/step_time", std::span<const double>(times));
  b.attributes["host"] = std::string("elsewhere");
  EXPECT_EQ(a.content_sha256(), b.content_sha256());
  b.put("/series/loss", std::span<const double>(times));
  EXPECT_NE(a.content_sha256(), b.content_sha256());
}

TEST(Store, WhatTheSchemaDoesNotHaveIsAProgrammingError) {
  ResultFile file;
  const std::vector<double> one = {1.0};
  const std::vector<std::int64_t> step = {0};
  EXPECT_THROW(file.put("/series/loss", std::span<const double>(one)), std::logic_error);
  file.scale("/series/step", std::span<const std::int64_t>(step));
  EXPECT_THROW(file.put("/series/lose", std::span<const double>(one)), std::logic_error);
  EXPECT_THROW(file.put("/series/loss", std::span<const std::int64_t>(step)), std::logic_error);
  const std::vector<double> two = {1.0, 2.0};
  EXPECT_THROW(file.put("/series/loss", std::span<const double>(two)), std::logic_error);
  file.put("/series/loss", std::span<const double>(one));
}

TEST(Store, AFileCutAnywhereIsOneLineAtOnce) {
  const std::string path = temporary("cut.h5");
  every_row().write(path);
  const std::string whole = bytes_of(path);
  ASSERT_GT(whole.size(), 20000u);
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size < whole.size(); size += 512) sizes.push_back(size);
  // Behind the HDF5 part lies the seal; without all of it a file is not finished.
  for (std::size_t left = 1; left < 100; ++left) sizes.push_back(whole.size() - left);
  for (const std::size_t size : sizes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    const auto start = std::chrono::steady_clock::now();
    const std::string line = error_of(path);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_NE(line, "no error") << size;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    EXPECT_NE(line.find("cut.h5"), std::string::npos) << line;
    EXPECT_LT(took.count(), 2.0) << size;
  }
  fs::remove(path);
}

TEST(Store, AnyChangedByteIsSeen) {
  const std::string path = temporary("flip.h5");
  every_row().write(path);
  const std::string whole = bytes_of(path);
  for (std::size_t at = 0; at + 90 < whole.size(); at += whole.size() / 400) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << changed;
    // The first eight bytes say what the file is.
    EXPECT_NE(error_of(path).find(at < 8 ? "not an HDF5 file" : "checksum"), std::string::npos)
        << at;
  }
  fs::remove(path);
}

TEST(Store, ForeignFilesAreSaidToBeForeign) {
  const std::string path = temporary("foreign.h5");
  std::ofstream(path) << "PK not hdf5 at all";
  EXPECT_NE(error_of(path).find("not an HDF5 file"), std::string::npos);
  std::ofstream(path, std::ios::trunc) << "";
  EXPECT_NE(error_of(path).find("empty"), std::string::npos);
  ResultFile unfinished = every_row();
  unfinished.attributes.erase("status");
  unfinished.write(path);
  EXPECT_NE(error_of(path).find("unfinished"), std::string::npos);
  fs::remove(path);
  EXPECT_NE(error_of(path).find("cannot"), std::string::npos);
}

TEST(Store, TheSchemaPageIsWhatTheProgramPrints) {
  const std::string page = std::string(FP4LAB_SOURCE_DIR) + "/experiments/SCHEMA.md";
  if (std::getenv("FP4LAB_UPDATE_DOCS") != nullptr) std::ofstream(page) << schema_markdown();
  EXPECT_EQ(bytes_of(page), schema_markdown())
      << "run this test once with FP4LAB_UPDATE_DOCS=1 to print the page again";
}

TEST(Store, RowsAreUniqueAndTheirAxesExist) {
  for (const Row& row : schema()) {
    int same = 0;
    for (const Row& other : schema()) same += std::string_view(row.path) == other.path;
    EXPECT_EQ(same, 1) << row.path;
    std::istringstream axes(row.axes);
    std::string axis;
    const std::string path = row.path;
    while (axes >> axis) {
      const Row* const scale = find_row(path.substr(0, path.rfind('/') + 1) + axis);
      ASSERT_NE(scale, nullptr) << row.path;
      EXPECT_TRUE(scale->is_scale) << row.path << " " << axis;
    }
  }
}

}  // namespace
}  // namespace fp4lab::store
