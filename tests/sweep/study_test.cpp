#include "experiments/study/study.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "data/array_file.h"
#include "data/error.h"

namespace fp4lab::study {
namespace {

namespace fs = std::filesystem;

std::vector<double> column(const store::ResultFile& file, const std::string& name) {
  return file.at("/table/" + name).numbers();
}

Tensor draw(const std::string& name, std::uint64_t seed = 0) {
  SourceConfig source;
  source.name = name;
  source.seed = seed;
  Tensor x;
  for_each_tensor(source, [&](const NamedTensor& t) { x = t.values; });
  return x;
}

struct Moments {
  double mean = 0, variance = 0, kurtosis = 0, mean_abs = 0;
};
Moments moments(const Tensor& x) {
  Moments m;
  const auto n = static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = x.data()[i];
    m.mean += v / n;
    m.variance += v * v / n;
    m.kurtosis += v * v * v * v / n;
    m.mean_abs += std::fabs(v) / n;
  }
  m.kurtosis /= m.variance * m.variance;
  return m;
}

TEST(StudySources, DistributionsHaveTheirMoments) {
  Moments m = moments(draw("normal"));
  EXPECT_NEAR(m.mean, 0, 0.01);
  EXPECT_NEAR(m.variance, 1, 0.01);
  EXPECT_NEAR(m.kurtosis, 3, 0.05);
  m = moments(draw("laplace"));
  EXPECT_NEAR(m.mean, 0, 0.02);
  EXPECT_NEAR(m.variance, 2, 0.03);
  EXPECT_NEAR(m.kurtosis, 6, 0.3);
  m = moments(draw("uniform"));
  EXPECT_NEAR(m.mean, 0, 0.01);
  EXPECT_NEAR(m.variance, 1.0 / 3, 0.005);
  EXPECT_NEAR(m.kurtosis, 1.8, 0.02);
  m = moments(draw("student-t:8"));  // variance nu / (nu - 2), kurtosis 3 + 6 / (nu - 4)
  EXPECT_NEAR(m.variance, 8.0 / 6, 0.02);
  EXPECT_NEAR(m.kurtosis, 4.5, 0.3);
  m = moments(draw("lognormal:0.5"));  // E|x| = exp(sigma^2 / 2), E x^2 = exp(2 sigma^2)
  EXPECT_NEAR(m.mean, 0, 0.01);
  EXPECT_NEAR(m.mean_abs, std::exp(0.125), 0.01);
  EXPECT_NEAR(m.variance, std::exp(0.5), 0.02);
}

TEST(StudySources, OutlierColumnsAreLargeAndEvenlySpread) {
  const Tensor x = draw("outliers");
  std::size_t large = 0;
  for (std::size_t c = 0; c < x.cols(); ++c) {
    double square = 0;
    for (std::size_t r = 0; r < x.rows(); ++r) {
      const double v = x.data()[r * x.cols() + c];
      square += v * v;
    }
    large += square / static_cast<double>(x.rows()) > 100;
  }
  EXPECT_EQ(large, 16u);  // one in 64
}

TEST(StudySources, SameSeedSameBitsOtherSeedOthers) {
  const Tensor a = draw("student-t"), b = draw("student-t"), c = draw("student-t", 1);
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * 4), 0);
  EXPECT_NE(std::memcmp(a.data(), c.data(), a.size() * 4), 0);
}

TEST(StudySources, NamesAreCheckedWithTheNearest) {
  EXPECT_EQ(canonical_source("Student_T"), "student-t:5");
  EXPECT_EQ(canonical_source("lognormal:3"), "lognormal:3");
  const auto message = [](const std::string& name) {
    try {
      canonical_source(name);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message("normla").find("normal"), std::string::npos);
  EXPECT_NE(message("student-t:2.5").find("whole"), std::string::npos);
  EXPECT_NE(message("normal:2").find("no argument"), std::string::npos);
  EXPECT_NE(message("lognormal:nan").find("0.1 to 8"), std::string::npos);
  EXPECT_NE(message("sample:gauss").find("gaussian"), std::string::npos);
}

TEST(ErrorStudy, TensorsOfACheckpointAndTheirTotal) {
  const std::string path =
      (fs::temp_directory_path() / ("fp4lab-study-" + std::to_string(::getpid()) + ".safetensors"))
          .string();
  const float values[8] = {6.0f, 0.5f, -1.5f, 3.0f, 2.5f, 6.0f, 0.1f, -6.0f};
  {
    const std::string header = R"({"b":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]},)"
                               R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]},)"
                               R"("bias":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";
    const std::uint64_t size = header.size();
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&size), 8);
    out << header;
    out.write(reinterpret_cast<const char*>(values), sizeof(values));
  }
  ErrorConfig config;
  config.source.name = path;
  config.spec = "e2m1";  // scale 1 for amax 6: only 2.5 (to 2) and 0.1 (to 0) change
  const store::ResultFile file = run_error(config);
  fs::remove(path);
  EXPECT_EQ(file.at("/table/tensor").texts, (std::vector<std::string>{"a", "b", "total"}));
  EXPECT_EQ(column(file, "elements"), (std::vector<double>{4, 4, 8}));
  const double small = 0.1f, noise = 0.25 + small * small;
  EXPECT_DOUBLE_EQ(column(file, "mse")[0], noise / 4);
  EXPECT_EQ(column(file, "mse")[1], 0.0);
  EXPECT_DOUBLE_EQ(column(file, "mse")[2], noise / 8);
  EXPECT_EQ(column(file, "underflow_fraction")[2], 1.0 / 8);
  EXPECT_EQ(column(file, "max_abs_error")[2], 0.5);
  EXPECT_EQ(column(file, "bits_per_value")[0], 4 + 32.0 / 4);
  EXPECT_TRUE(std::isinf(column(file, "sqnr_db")[1]));
}

TEST(ErrorStudy, BitsOfBlockScalesAndWrongSpecs) {
  ErrorConfig config;
  config.source.rows = 64;
  config.source.columns = 256;
  config.spec = "mxfp4";
  EXPECT_EQ(column(run_error(config), "bits_per_value")[0], 4.25);
  config.spec = "nvfp4";
  EXPECT_DOUBLE_EQ(column(run_error(config), "bits_per_value")[0], 4.5 + 32.0 / (64 * 256));
  config.spec = "mxpf4";
  EXPECT_THROW(run_error(config), InputError);
}

TEST(GemmStudy, ExactIsExactAndSequentialSumsGrow) {
  GemmConfig config;
  config.m = config.n = 16;
  config.k = {"64", "4096"};
  config.accumulate = "exact";
  store::ResultFile file = run_gemm(config);
  EXPECT_EQ(column(file, "max_ulp"), (std::vector<double>{0, 0}));
  EXPECT_EQ(column(file, "ulp_0"), (std::vector<double>{256, 256}));
  config.accumulate = "acc:bf16";
  file = run_gemm(config);
  EXPECT_GT(column(file, "relative_error")[1], column(file, "relative_error")[0]);
  double all = 0;
  for (const char* bin : {"ulp_0", "ulp_1", "ulp_2_3", "ulp_4_15", "ulp_16_255", "ulp_256_up"}) {
    all += column(file, bin)[1];
  }
  EXPECT_EQ(all, 256);
  config.k = {"0"};
  EXPECT_THROW(run_gemm(config), InputError);
}

TEST(RoundingStudy, StochasticRoundingAveragesOutNearestDoesNot) {
  RoundingConfig config;
  config.source.rows = 64;
  config.source.columns = 256;
  config.repeats = 64;
  store::ResultFile file = run_rounding(config);  // mxfp4, rceil, sr:16: no clipping
  EXPECT_EQ(column(file, "repeats"), (std::vector<double>{1, 2, 4, 8, 16, 32, 64}));
  const std::vector<double> rms = column(file, "rms_error"), law = column(file, "unbiased_rms");
  for (std::size_t i = 2; i < rms.size(); ++i) EXPECT_NEAR(rms[i] / law[i], 1.0, 0.1) << i;
  config.spec = "mxfp4,rule=rceil";
  file = run_rounding(config);
  EXPECT_EQ(column(file, "rms_error")[0], column(file, "rms_error")[6]);
  EXPECT_EQ(column(file, "variance")[6], 0.0);
  // Few random bits leave a bias towards zero (formats.md 2.3: r < d cut to N bits).
  config.spec = "mxfp4,rule=rceil,round=sr:2";
  EXPECT_LT(column(run_rounding(config), "bias")[6], -0.01);
}

}  // namespace
}  // namespace fp4lab::study
