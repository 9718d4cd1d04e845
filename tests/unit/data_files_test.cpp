// Array arguments, raw files, atomic output and sample tensors.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "data/array_file.h"
#include "data/atomic_file.h"
#include "data/samples.h"
#include "temp_folder.h"

namespace fp4lab {
namespace {

using test::expect_contains;
using test::message_of;

class DataFiles : public test::TempFolder {};

Array bytes_array(std::size_t n) {
  Array array(DType::kU8, {n});
  for (std::size_t i = 0; i < n; ++i) array.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(i);
  return array;
}

TEST_F(DataFiles, ParsesArguments) {
  EXPECT_EQ(parse_array_ref("-").kind, FileKind::kStream);
  EXPECT_EQ(parse_array_ref("a/b.npy").kind, FileKind::kNpy);
  const ArrayRef h5 = parse_array_ref("dir.h5x/a.h5:w//codes/");
  EXPECT_EQ(h5.kind, FileKind::kHdf5);
  EXPECT_EQ(h5.path, "dir.h5x/a.h5");
  EXPECT_EQ(h5.name, "/w/codes");
  EXPECT_EQ(parse_array_ref("a.hdf5:/x").path, "a.hdf5");
  EXPECT_EQ(parse_array_ref("x.f32").dtype, DType::kF32);
  EXPECT_EQ(parse_array_ref("x.bf16").dtype, DType::kBf16);
  EXPECT_EQ(parse_array_ref("x.raw").dtype, std::nullopt);
  EXPECT_EQ(parse_array_ref("sample:ties").name, "ties");
  EXPECT_EQ(parse_array_ref("/dev/null").kind, FileKind::kRaw);
}

TEST_F(DataFiles, RefusesArgumentsThatSayNothing) {
  expect_contains(message_of<InputError>([] { parse_array_ref("x.h5"); }), "x.h5:/path");
  expect_contains(message_of<InputError>([] { parse_array_ref("x.h5:"); }), "name the data set");
  expect_contains(message_of<InputError>([] { parse_array_ref("x.h5:/a/../b"); }), "'..'");
  expect_contains(message_of<InputError>([] { parse_array_ref("x.f23"); }), "nearest: 'f32'");
  expect_contains(message_of<InputError>([] { parse_array_ref("weights"); }), "no file ending");
  expect_contains(message_of<InputError>([] { parse_array_ref("a.d/weights"); }), "no file ending");
  expect_contains(message_of<InputError>([] { parse_array_ref(""); }), "empty");
  expect_contains(message_of<InputError>([] { read_array(parse_array_ref("sample:gausian")); }),
                  "nearest: 'gaussian'");
}

TEST_F(DataFiles, ReadsRawByEndingShapeAndDtype) {
  write_bytes("x.u16", std::string("\1\0\2\0\3\0\4\0", 8));
  EXPECT_EQ(read_array(parse_array_ref(at("x.u16"))).shape, (Shape{4}));
  ReadOptions options;
  options.shape = Shape{2, 2};
  const Array a = read_array(parse_array_ref(at("x.u16")), options);
  EXPECT_EQ(a.shape, (Shape{2, 2}));
  EXPECT_EQ(a.as<std::uint16_t>()[3], 4);

  write_bytes("x.raw", std::string(8, '\0'));
  EXPECT_EQ(read_array(parse_array_ref(at("x.raw"))).dtype, DType::kF32);
  options.dtype = DType::kU32;
  options.shape = Shape{2};
  EXPECT_EQ(read_array(parse_array_ref(at("x.raw")), options).dtype, DType::kU32);
}

TEST_F(DataFiles, RefusesRawThatDoesNotFit) {
  write_bytes("x.f32", "1234567");
  const ArrayRef ref = parse_array_ref(at("x.f32"));
  expect_contains(message_of<InputError>([&] { read_array(ref); }), "7 bytes are no whole number");
  ReadOptions options;
  options.shape = Shape{1};
  expect_contains(message_of<InputError>([&] { read_array(ref, options); }), "3 bytes follow");
  options.shape = Shape{1u << 31, 1u << 31};
  expect_contains(message_of<InputError>([&] { read_array(ref, options); }), "2^63 - 1");
  options.shape = Shape{1u << 31, 1u << 20};
  expect_contains(message_of<InputError>([&] { read_array(ref, options); }), "only 7 follow");
  options.shape.reset();
  options.dtype = DType::kU8;
  expect_contains(message_of<InputError>([&] { read_array(ref, options); }), "--dtype");
  options = {};
  options.shape = Shape{1};
  expect_contains(
      message_of<InputError>([&] { read_array(parse_array_ref("sample:ramp"), options); }),
      "--shape describes raw input");
}

TEST_F(DataFiles, EmptyRawHasZeroElements) {
  write_bytes("x.f32", "");
  EXPECT_EQ(read_array(parse_array_ref(at("x.f32"))).shape, (Shape{0}));
  ReadOptions options;
  options.shape = Shape{0, 4};
  EXPECT_EQ(read_array(parse_array_ref(at("x.f32")), options).shape, (Shape{0, 4}));
}

TEST_F(DataFiles, OutputAppearsOnlyAtCommit) {
  write_bytes("a.u8", "old");
  {
    ArrayWriter writer;
    writer.reserve(parse_array_ref(at("a.u8")));
    writer.reserve(parse_array_ref(at("b.npy")));
    writer.put(parse_array_ref(at("a.u8")), bytes_array(3));
    EXPECT_EQ(listing().size(), 3u);  // the old file and two hidden temporaries
    EXPECT_EQ(read_bytes("a.u8"), "old");
  }
  EXPECT_EQ(listing(), std::vector<std::string>{"a.u8"});
  EXPECT_EQ(read_bytes("a.u8"), "old");
  ArrayWriter writer;
  for (const char* name : {"a.u8", "b.npy"}) {
    writer.reserve(parse_array_ref(at(name)));
    writer.put(parse_array_ref(at(name)), bytes_array(3));
  }
  writer.commit();
  EXPECT_EQ(read_bytes("a.u8"), std::string("\0\1\2", 3));
  EXPECT_EQ(listing(), (std::vector<std::string>{"a.u8", "b.npy"}));
}

TEST_F(DataFiles, KeepsTheModeOfAReplacedFileAndFollowsLinks) {
  write_bytes("real.u8", "old");
  ASSERT_EQ(::chmod(at("real.u8").c_str(), 0640), 0);
  ASSERT_EQ(::symlink("real.u8", at("link.u8").c_str()), 0);
  write_array(parse_array_ref(at("link.u8")), bytes_array(2));
  struct stat info {};
  ASSERT_EQ(::lstat(at("link.u8").c_str(), &info), 0);
  EXPECT_TRUE(S_ISLNK(info.st_mode));
  ASSERT_EQ(::stat(at("real.u8").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_EQ(read_bytes("real.u8"), std::string("\0\1", 2));
}

TEST_F(DataFiles, UnwritablePlacesAreTheEnvironmentsFault) {
  for (const std::string& path : {at("none/x.u8"), std::string("/proc/x.u8")}) {
    const std::string line =
        message_of<EnvironmentError>([&] { write_array(parse_array_ref(path), bytes_array(1)); });
    expect_contains(line, path);
  }
  ASSERT_EQ(::mkdir(at("dir.u8").c_str(), 0700), 0);
  expect_contains(message_of<EnvironmentError>(
                      [&] { write_array(parse_array_ref(at("dir.u8")), bytes_array(1)); }),
                  "Is a directory");
  expect_contains(message_of<EnvironmentError>(
                      [&] { write_array(parse_array_ref("/dev/full"), bytes_array(1)); }),
                  "No space left");
  EXPECT_EQ(listing(), std::vector<std::string>{"dir.u8"});
}

TEST_F(DataFiles, DevicesAreWrittenAndStayDevices) {
  write_array(parse_array_ref("/dev/null"), bytes_array(10));
  struct stat info {};
  ASSERT_EQ(::stat("/dev/null", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
}

TEST_F(DataFiles, RefusesCollidingOutputs) {
  ArrayWriter writer;
  writer.reserve(parse_array_ref(at("a.npy")));
  expect_contains(message_of<InputError>([&] { writer.reserve(parse_array_ref(at("./a.npy"))); }),
                  "two outputs");
  writer.reserve(parse_array_ref(at("a.h5:/x")));
  writer.reserve(parse_array_ref(at("a.h5:/y")));
  EXPECT_THROW(writer.reserve(parse_array_ref(at("a.h5:x"))), InputError);
  EXPECT_THROW(writer.reserve(parse_array_ref("sample:ramp")), InputError);
}

TEST_F(DataFiles, RawEndingMustMatchTheArray) {
  ArrayWriter writer;
  const ArrayRef ref = parse_array_ref(at("x.f32"));
  writer.reserve(ref);
  expect_contains(message_of<InputError>([&] { writer.put(ref, bytes_array(1)); }), "use .u8");
}

TEST_F(DataFiles, InterruptRemovesTemporaries) {
  AtomicFile file(at("x.u8"));
  file.write("abc", 3);
  ASSERT_EQ(listing().size(), 1u);
  remove_pending_files();
  EXPECT_TRUE(listing().empty());
}

TEST_F(DataFiles, LongNamesStillGetATemporary) {
  const std::string name = std::string(240, 'n') + ".u8";
  write_array(parse_array_ref(at(name)), bytes_array(1));
  EXPECT_EQ(listing(), std::vector<std::string>{name});
}

// Samples: FNV-1a fingerprints of the bytes, so that no compiler, flag or machine may change a bit.
// The values agree with a second implementation of the rules in samples.h (Python integers).

std::uint64_t fingerprint(const Array& array) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const std::byte b : array.bytes)
    h = (h ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3ull;
  return h;
}

TEST(DataSamples, BitsAreFixed) {
  const std::map<std::string, std::uint64_t> expected{{"gaussian", 0x5847e3a183802e57},
                                                      {"outliers", 0xb12495a2598bebff},
                                                      {"laplace", 0x8a2dd09415dde81e},
                                                      {"ties", 0xab96f95ea7536f91},
                                                      {"ramp", 0xea602bf9582e7222}};
  ASSERT_EQ(expected.size(), sample_list().size());
  for (const auto& [name, value] : expected) {
    const Array array = sample_tensor(name);
    EXPECT_EQ(array.shape, (Shape{256, 512}));
    EXPECT_EQ(fingerprint(array), value) << name << " 0x" << std::hex << fingerprint(array);
  }
}

struct Moments {
  double mean = 0, variance = 0, kurtosis = 0;
};

Moments moments_of(const Array& array) {
  const auto x = array.as<float>();
  Moments m;
  m.mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  double fourth = 0;
  for (const float v : x) {
    const double d = v - m.mean;
    m.variance += d * d;
    fourth += d * d * d * d;
  }
  m.variance /= static_cast<double>(x.size());
  m.kurtosis = fourth / static_cast<double>(x.size()) / (m.variance * m.variance);
  return m;
}

TEST(DataSamples, DistributionsAreWhatTheySay) {
  // Four standard errors over 131072 elements. Irwin-Hall of 12 has kurtosis 3 - 1.2/12 = 2.9.
  const Moments g = moments_of(sample_tensor("gaussian"));
  EXPECT_NEAR(g.mean, 0, 4 / std::sqrt(131072.0));
  EXPECT_NEAR(g.variance, 1, 4 * std::sqrt(1.9 / 131072.0));
  EXPECT_NEAR(g.kurtosis, 2.9, 0.06);
  // Laplace of scale 1: variance 2, kurtosis 6.
  const Moments l = moments_of(sample_tensor("laplace"));
  EXPECT_NEAR(l.mean, 0, 4 * std::sqrt(2 / 131072.0));
  EXPECT_NEAR(l.variance, 2, 4 * std::sqrt(20 / 131072.0));
  EXPECT_NEAR(l.kurtosis, 6, 0.6);
  EXPECT_GT(moments_of(sample_tensor("outliers")).kurtosis, 20);
}

TEST(DataSamples, RampIsEvenAndTiesAreScaledGridPoints) {
  const Array ramp = sample_tensor("ramp");
  const auto r = ramp.as<float>();
  EXPECT_EQ(r[0], -8.0f);
  for (std::size_t i = 1; i < r.size(); ++i) ASSERT_EQ(r[i] - r[i - 1], 0x1p-13f);

  const Array ties = sample_tensor("ties");
  const auto t = ties.as<float>();
  std::size_t exact = 0;
  for (std::size_t run = 0; run < t.size(); run += 32) {
    const float scale = t[run] / 6.0f;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(scale) & 0x7fffffu, 0u);
    for (std::size_t i = 1; i < 32; ++i) {
      const float v = std::fabs(t[run + i]) / scale;
      ASSERT_LE(v, 6.0f);
      ASSERT_EQ(std::round(v * 8) / 8, std::round(v * 4) / 4) << v;
      exact += v * 4 == std::round(v * 4);
    }
  }
  EXPECT_NEAR(static_cast<double>(exact) / (t.size() * 31.0 / 32), 1 / 3.0 + 1 / 42.0, 0.01);
}

}  // namespace
}  // namespace fp4lab
