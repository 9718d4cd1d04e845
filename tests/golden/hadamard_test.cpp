// Hadamard transforms: the matrix, signs, exact integer rows, and Transformer Engine's transform.
#include "formats/hadamard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "tests/golden/compare.h"
#include "tests/golden/files.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {
namespace {

std::uint64_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

HadamardSignBits sign_bits(const std::vector<double>& signs) {
  HadamardSignBits out;
  for (std::size_t i = 0; i < signs.size(); ++i) {
    if (signs[i] < 0) out.word[i / 32] |= 1U << (i % 32);
  }
  return out;
}

// Row j of the project's transform matrix: what it makes of the j-th unit vector.
std::vector<float> matrix_row(int n, int j, const HadamardSignBits& signs) {
  std::vector<float> e(static_cast<std::size_t>(n));
  e[static_cast<std::size_t>(j)] = 1.0F;
  hadamard_forward(e.data(), n, 1, signs);
  return e;
}

class Hadamard : public testing::TestWithParam<int> {
 protected:
  const File& f = file("hadamard", "hadamard");
  const int n = GetParam();
  const std::string prefix = std::string("n").append(std::to_string(n)).append(":");
};

TEST_P(Hadamard, MatrixIsSylvester) {
  if (!f.has(prefix + "H_is_minus1")) {
    // Stored up to n = 32; the transforms below cover the larger ones.
    ASSERT_GT(n, 32);
    return;
  }
  const std::vector<std::uint8_t>& want = f.at(prefix + "H_is_minus1").u8();
  Comparison comparison(f, prefix + "H_is_minus1", "hadamard_forward of unit vectors");
  for (int j = 0; j < n; ++j) {
    const std::vector<float> row = matrix_row(n, j, {});
    for (int k = 0; k < n; ++k) {
      const std::size_t i = static_cast<std::size_t>(j * n + k);
      EXPECT_EQ(std::fabs(row[static_cast<std::size_t>(k)]), hadamard_norm(n));
      comparison.check(i, i, row[static_cast<std::size_t>(k)] < 0 ? 1 : 0, want[i]);
    }
  }
}

// With the matrix taken from the project and the sums in more than binary64: the tolerance the
// vectors were published with, 1e-14 sqrt(n) of max |y|.
TEST_P(Hadamard, TransformAndSignedTransform) {
  const std::vector<double> x = f.at(prefix + "x").f64();
  const std::size_t width = static_cast<std::size_t>(n);
  for (const bool with_signs : {false, true}) {
    const HadamardSignBits signs =
        with_signs ? sign_bits(f.at(prefix + "sign").f64()) : HadamardSignBits{};
    const std::string column = prefix + (with_signs ? "y_signed" : "y");
    const std::vector<double> want = f.at(column).f64();
    ASSERT_EQ(x.size(), want.size());
    double largest = 0;
    for (const double v : want) largest = std::fmax(largest, std::fabs(v));
    const long double root = std::sqrt(static_cast<long double>(n));
    const double tolerance = 1e-14 * static_cast<double>(root) * largest;
    Comparison comparison(f, column, "matrix of hadamard_forward, within the stated tolerance");
    std::vector<std::vector<float>> rows;
    for (int j = 0; j < n; ++j) rows.push_back(matrix_row(n, j, signs));
    for (std::size_t r = 0; r < x.size() / width; ++r) {
      std::vector<float> narrow(width);
      double absolute = 0;
      for (std::size_t j = 0; j < width; ++j) {
        narrow[j] = static_cast<float>(x[r * width + j]);
        absolute += std::fabs(x[r * width + j]);
      }
      hadamard_forward(narrow.data(), n, 1, signs);
      // Binary32: one rounding of the input, one for each of log2(n) butterfly stages, two for the
      // normalisation (its constant and the product), each at most 2^-24 of the absolute row sum.
      const double stages = std::log2(static_cast<double>(n));
      const double bound = (stages + 3) * 0x1p-24 * 1.001 * absolute / static_cast<double>(root);
      for (std::size_t k = 0; k < width; ++k) {
        long double sum = 0;
        for (std::size_t j = 0; j < width; ++j) {
          sum += rows[j][k] < 0 ? -static_cast<long double>(x[r * width + j])
                                : static_cast<long double>(x[r * width + j]);
        }
        const std::size_t i = r * width + k;
        const double exact = static_cast<double>(sum / root);
        const std::uint64_t target = std::bit_cast<std::uint64_t>(want[i]);
        const std::uint64_t input = std::bit_cast<std::uint64_t>(x[i]);
        comparison.check(
            i, input,
            std::fabs(exact - want[i]) <= tolerance ? target : std::bit_cast<std::uint64_t>(exact),
            target);
        EXPECT_NEAR(narrow[k], want[i], bound) << column << " binary32 " << i;
      }
    }
  }
}

TEST_P(Hadamard, IntegerRowsAreExact) {
  const std::vector<double> x = f.at(prefix + "xint").f64();
  const std::vector<double> want = f.at(prefix + "yint_unnormalized").f64();
  const std::size_t width = static_cast<std::size_t>(n);
  ASSERT_EQ(x.size(), want.size());
  Comparison comparison(f, prefix + "yint_unnormalized", "hadamard_forward");
  for (std::size_t r = 0; r < x.size() / width; ++r) {
    std::vector<float> v(x.begin() + static_cast<std::ptrdiff_t>(r * width),
                         x.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
    hadamard_forward(v.data(), n, 1, {});
    for (std::size_t k = 0; k < width; ++k) {
      // The sums are exact; the normalisation rounds once.
      const float exact = static_cast<float>(want[r * width + k]);
      ASSERT_EQ(static_cast<double>(exact), want[r * width + k]);
      const std::size_t i = r * width + k;
      const std::uint64_t target = std::bit_cast<std::uint64_t>(want[i]);
      const bool same = v[k] == exact * hadamard_norm(n);
      comparison.check(i, std::bit_cast<std::uint64_t>(x[i]), same ? target : ~target, target);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Hadamard, testing::Values(2, 4, 8, 16, 32, 64, 128));

// Transformer Engine's sign vector and matrix, and fouroversix's copy of the latter.
TEST(HadamardTe, SignsAndMatrix) {
  const File& f = file("hadamard", "hadamard");
  const HadamardSignBits signs = hadamard_signs(HadamardSigns::fixed, 16, {});
  {
    const std::vector<float> want = f.at("te:sign_vector").f32();
    ASSERT_EQ(want.size(), 16U);
    Comparison comparison(f, "te:sign_vector", "hadamard_signs fixed 16");
    for (std::uint32_t i = 0; i < 16; ++i) {
      comparison.check(i, i, bits(signs.negative(i) ? -1.0F : 1.0F), bits(want[i]));
    }
  }
  const std::pair<const File*, std::string> copies[] = {
      {&f, "te:rht16_signed_bf16_times_quarter"},
      {&file("nvfp4_fouroversix", "stochastic_values"), "rht16_signed"}};
  for (const auto& [from, column] : copies) {
    const std::vector<std::uint32_t>& want = from->at(column).u32();
    ASSERT_EQ(want.size(), 256U);
    Comparison comparison(*from, column, "hadamard_forward of unit vectors");
    for (int j = 0; j < 16; ++j) {
      const std::vector<float> row = matrix_row(16, j, signs);
      for (std::size_t k = 0; k < 16; ++k) {
        const std::size_t i = static_cast<std::size_t>(j) * 16 + k;
        comparison.check_f32(i, i, row[k], want[i]);
      }
    }
  }
}

// The transform of the column side. It came from a matrix product, so it is compared to 1 bf16 ulp
// where it was stored as bf16 and to 2^-21 of the absolute sum of its group in binary32.
TEST(HadamardTe, TransformedInputs) {
  for (const std::string config : {"1x16_rht_sign", "1x16_rht_nosign"}) {
    const HadamardSigns kind =
        config == "1x16_rht_sign" ? HadamardSigns::fixed : HadamardSigns::none;
    const HadamardSignBits signs = hadamard_signs(kind, 16, {});
    for (const std::string dtype : {"f32", "bf16"}) {
      const bool bf16 = dtype == "bf16";
      const File& f = file("nvfp4_te_reference", config + "_" + dtype);
      const File& in = file("nvfp4_inputs", "inputs_" + dtype);
      for (const std::string& input : in.names()) {
        const std::string name = input.substr(0, input.rfind(':'));
        const Matrix x = transposed(matrix(in.at(input)));
        Matrix y = x;
        for (std::size_t i = 0; i < y.values.size(); i += 16) {
          hadamard_forward(&y.values[i], 16, 1, signs);
        }
        const std::string column = name + ":col:rht_input";
        const std::vector<float> want = f.at(column).f32();
        ASSERT_EQ(want.size(), y.values.size());
        Comparison comparison(f, column, "hadamard_forward, within the stated tolerance");
        for (std::size_t i = 0; i < want.size(); ++i) {
          if (bf16 && name == "near_f32_min") {
            comparison.exclude(Exclusion::kRhtFlushedToZero);
            continue;
          }
          double tolerance = 0;
          if (bf16) {
            int exponent = 0;
            const double scale = std::fmax(std::fabs(want[i]), std::fabs(y.values[i]));
            std::frexp(scale, &exponent);
            tolerance = std::ldexp(1.0, exponent - 8);  // ulp of 8 significant bits
          } else {
            for (std::size_t k = i / 16 * 16; k < i / 16 * 16 + 16; ++k) {
              tolerance += std::fabs(static_cast<double>(x.values[k])) * 0x1p-21;
            }
          }
          const double error =
              std::fabs(static_cast<double>(want[i]) - static_cast<double>(y.values[i]));
          const bool close = error <= tolerance;
          comparison.check(i, bits(x.values[i]), close ? bits(want[i]) : bits(y.values[i]),
                           bits(want[i]));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab::golden
