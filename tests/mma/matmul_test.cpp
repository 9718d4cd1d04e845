// matmul() against the definitions: scalar chains for floats, gemm() for quantized operands; every
// orientation, ragged shapes, all instruction sets and numbers of threads.
#include "sim/matmul.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "sim/fma.h"
#include "sim/gemm.h"
#include "tests/math/targets.h"
#include "tests/mma/threads.h"

namespace fp4lab::mma_test {
namespace {

enum class Kind { normal, cancelling, wide, special };

std::vector<float> numbers(std::size_t n, Kind kind, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const float v = normal(random);
    switch (kind) {
      case Kind::normal:
        x[i] = v;
        break;
      case Kind::cancelling:  // neighbours that nearly cancel: what is left is all rounding
        x[i] = i % 2 == 0 ? v : -x[i - 1] * (1.0f + 0x1p-22f);
        break;
      case Kind::wide:  // any finite pattern: subnormals, overflow on the way
        do {
          x[i] = bits_as<float>(static_cast<std::uint32_t>(random()));
        } while (!is_finite(x[i]));
        break;
      case Kind::special:
        x[i] = random() % 61 == 0   ? std::numeric_limits<float>::infinity()
               : random() % 67 == 0 ? -std::numeric_limits<float>::quiet_NaN()
               : random() % 5 == 0  ? -0.0f
                                    : v;
        break;
    }
  }
  return x;
}

std::vector<std::uint32_t> bits_of(const std::vector<float>& x) {
  std::vector<std::uint32_t> bits(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) bits[i] = bits_as<std::uint32_t>(x[i]);
  return bits;
}

/// A matrix in a larger buffer, either way round.
struct Stored {
  std::vector<float> data;
  MatrixView view;
};
Stored stored(std::size_t rows, std::size_t cols, bool transposed, Kind kind, std::uint64_t seed) {
  Stored s;
  const std::size_t r = transposed ? cols : rows, c = transposed ? rows : cols, gap = seed % 7;
  s.data = numbers(r * (c + gap), kind, seed);
  s.view = MatrixView::of(s.data.data(), r, c, c + gap);
  if (transposed) s.view = s.view.transposed();
  return s;
}

std::vector<std::uint32_t> chains(const MatrixView& a, const MatrixView& b) {
  std::vector<float> y(a.rows * b.rows);
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < b.rows; ++j) {
      float s = 0.0f;
      for (std::size_t k = 0; k < a.cols; ++k) {
        s = fma_rn(a.data[i * a.row_stride + k * a.col_stride],
                   b.data[j * b.row_stride + k * b.col_stride], s);
      }
      y[i * b.rows + j] = canonical(s);
    }
  }
  return bits_of(y);
}

/// The product into a buffer with gaps, which must stay as they were.
template <class A, class B>
std::vector<std::uint32_t> product(const A& a, const B& b, std::size_t m, std::size_t n) {
  const std::size_t stride = n + 3;
  std::vector<float> memory(m * stride, 7.0f), y;
  matmul(a, b, MutableMatrixView::of(memory.data(), m, n, stride));
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < stride; ++j) {
      if (j < n) {
        y.push_back(memory[i * stride + j]);
      } else {
        EXPECT_EQ(memory[i * stride + j], 7.0f) << "written beyond a row, at " << i << " " << j;
      }
    }
  }
  return bits_of(y);
}

TEST(MatmulFloat, IsTheScalarChain) {
  const Threads one(1);
  const std::size_t shapes[][3] = {{1, 1, 1},     {1, 1, 600},   {1, 40, 3},   {40, 1, 3},
                                   {12, 32, 256}, {13, 33, 257}, {25, 95, 64}, {6, 16, 5},
                                   {4, 8, 513},   {130, 7, 31},  {7, 130, 31}, {64, 64, 64}};
  std::uint64_t seed = 1;
  for (const auto& [m, n, k] : shapes) {
    for (const Kind kind : {Kind::normal, Kind::cancelling, Kind::wide, Kind::special}) {
      for (int orientation = 0; orientation < 4; ++orientation) {
        const Stored a = stored(m, k, (orientation & 1) != 0, kind, ++seed);
        const Stored b = stored(n, k, (orientation & 2) != 0, kind, ++seed);
        const auto want = chains(a.view, b.view);
        for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
          const fp4lab_test::InForce in_force(bit);
          EXPECT_EQ(product(a.view, b.view, m, n), want)
              << m << "x" << n << "x" << k << " kind " << static_cast<int>(kind) << " orientation "
              << orientation << " " << name;
        }
      }
    }
  }
}

TEST(MatmulFloat, AnyNumberOfThreads) {
  for (const auto& [m, n, k] :
       {std::array<std::size_t, 3>{300, 70, 300}, {20, 500, 300}, {121, 33, 1000}, {5, 31, 9000}}) {
    const Stored a = stored(m, k, false, Kind::cancelling, m),
                 b = stored(n, k, true, Kind::normal, n);
    const auto want = chains(a.view, b.view);
    for (const int threads : {1, 2, 3, 8}) {
      const Threads some(threads);
      EXPECT_EQ(product(a.view, b.view, m, n), want) << m << " " << threads << " threads";
    }
    const Threads four(4);
    std::vector<std::vector<std::uint32_t>> nested(8);
#pragma omp parallel for
    for (std::size_t i = 0; i < nested.size(); ++i) nested[i] = product(a.view, b.view, m, n);
    for (const auto& got : nested) EXPECT_EQ(got, want) << "inside a parallel region";
  }
}

TEST(MatmulFloat, StridesBothLong) {
  const std::vector<float> x = numbers(4000, Kind::normal, 3);
  const MatrixView a{x.data(), 14, 9, 200, 3}, b{x.data() + 1, 35, 9, 2, 90};
  EXPECT_EQ(product(a, b, 14, 35), chains(a, b));
}

TEST(Matmul, EmptyAndWrongShapes) {
  const std::vector<float> x = numbers(64, Kind::normal, 3);
  EXPECT_EQ(product(MatrixView::of(x.data(), 3, 0), MatrixView::of(x.data(), 5, 0), 3, 5),
            std::vector<std::uint32_t>(15, 0u));
  float y[4] = {1.0f, 2.0f, 3.0f, 4.0f};
  matmul(MatrixView::of(x.data(), 0, 4), MatrixView::of(x.data(), 2, 4),
         MutableMatrixView::of(y, 0, 2));
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_THROW(matmul(MatrixView::of(x.data(), 2, 4), MatrixView::of(x.data(), 2, 5),
                      MutableMatrixView::of(y, 2, 2)),
               std::invalid_argument);
  EXPECT_THROW(matmul(MatrixView::of(x.data(), 2, 4), MatrixView::of(x.data(), 2, 4),
                      MutableMatrixView::of(y, 1, 4)),
               std::invalid_argument);
}

QuantizedTensor quantized(const char* spec, std::size_t rows, std::size_t cols, Kind kind,
                          std::uint64_t seed) {
  const std::size_t shape[] = {rows, cols};
  return quantize(parse_spec(spec), numbers(rows * cols, kind, seed), shape);
}

/// The stored matrix transposed by hand: what a transposed view has to mean.
GemmOperand operand_of(const QuantizedView& v) {
  return v.is_transposed ? GemmOperand::from_quantized_transposed(*v.tensor)
                         : GemmOperand::from_quantized(*v.tensor);
}

const char* const kSpecs[] = {"mxfp4",
                              "nvfp4",
                              "nvfp4,block=16x16",
                              "nvfp4,global=row",
                              "nvfp4,global=1x128",
                              "nvfp4@te-4over6",
                              "mxfp4,block=32x32",
                              "mxfp4,block=32x1",
                              "mxfp4,rule=tseng34",
                              "e2m1",
                              "e2m1,block=row",
                              "e2m1,block=col",
                              "int4,block=1x15",
                              "int8",
                              "int8,block=1x32",
                              "e3m0",
                              "e2m3,block=1x32",
                              "e4m3,block=1x128",
                              "nf4,block=1x64",
                              "uint4-asym,block=row",
                              "if4",
                              "razer",
                              "hif4",
                              "bf16"};

TEST(MatmulQuantized, IsBlockExactOfGemm) {
  std::uint64_t seed = 100;
  const Threads one(1);
  const Accumulator block_exact = parse_accumulator("block-exact");
  for (const char* sa : kSpecs) {
    for (const char* sb : {sa, "mxfp4", "nvfp4,block=16x16"}) {
      const std::size_t m = 29, n = 67, k = 150;
      const QuantizedTensor a = quantized(sa, m, k, Kind::normal, ++seed);
      const QuantizedTensor b = quantized(sb, n, k, Kind::normal, ++seed);
      const QuantizedTensor at = quantized(sa, k, m, Kind::normal, ++seed);
      const QuantizedTensor bt = quantized(sb, k, n, Kind::normal, ++seed);
      for (const QuantizedView& va : {QuantizedView(a), QuantizedView(at, true)}) {
        for (const QuantizedView& vb : {QuantizedView(b), QuantizedView(bt).transposed()}) {
          const auto want = gemm(operand_of(va), operand_of(vb), block_exact).bits;
          for (const auto& [bit, name] : fp4lab_test::instruction_sets()) {
            const fp4lab_test::InForce in_force(bit);
            EXPECT_EQ(product(va, vb, m, n), want)
                << sa << (va.is_transposed ? "^T" : "") << " x " << sb
                << (vb.is_transposed ? "^T " : " ") << name;
          }
        }
      }
    }
  }
}

TEST(MatmulQuantized, TransposedOperandIsTheTransposedMatrix) {
  for (const char* spec : kSpecs) {
    const QuantizedTensor q = quantized(spec, 70, 90, Kind::normal, 5);
    const GemmOperand o = GemmOperand::from_quantized(q);
    const GemmOperand t = GemmOperand::from_quantized_transposed(q);
    ASSERT_EQ(t.rows(), o.k());
    ASSERT_EQ(t.k(), o.rows());
    for (std::size_t r = 0; r < o.rows(); ++r) {
      for (std::size_t c = 0; c < o.k(); ++c) {
        ASSERT_EQ(t.row_values(c)[r], o.row_values(r)[c]) << spec;
        // A global factor a row turns into part of the scale.
        const bool joined = o.has_global() && !t.has_global();
        const float scale = joined ? mul_rn(o.scale(r, c), o.global(r)) : o.scale(r, c);
        ASSERT_EQ(t.scale(c, r), scale) << spec;
        if (!joined) {
          ASSERT_EQ(t.global(c), o.global(r)) << spec;
        }
      }
    }
  }
}

TEST(MatmulMixed, IsTheChainOfScaledValues) {
  const Threads one(1);
  for (const char* spec : kSpecs) {
    const std::size_t m = 21, n = 37, k = 130;
    for (const bool transposed : {false, true}) {
      const QuantizedTensor q = transposed ? quantized(spec, k, m, Kind::normal, 9)
                                           : quantized(spec, m, k, Kind::normal, 9);
      const QuantizedView view(q, transposed);
      const Stored x = stored(n, k, false, Kind::normal, 10),
                   y = stored(n, k, true, Kind::normal, 11);
      const GemmOperand o = operand_of(view);
      std::vector<float> scaled(m * k);
      for (std::size_t r = 0; r < m; ++r) {
        for (std::size_t c = 0; c < k; ++c)
          scaled[r * k + c] = mul_rn(o.row_values(r)[c], o.scale(r, c));
      }
      const MatrixView v = MatrixView::of(scaled.data(), m, k);
      for (const Stored* s : {&x, &y}) {
        std::vector<std::uint32_t> left = chains(v, s->view), right = chains(s->view, v);
        for (std::size_t i = 0; i < m && o.has_global(); ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            for (std::uint32_t* e : {&left[i * n + j], &right[j * m + i]}) {
              *e = bits_as<std::uint32_t>(mul_rn(mul_rn(o.global(i), 1.0f), bits_as<float>(*e)));
            }
          }
        }
        EXPECT_EQ(product(view, s->view, m, n), left) << spec << transposed;
        EXPECT_EQ(product(s->view, view, n, m), right) << spec << transposed;
      }
    }
  }
}

}  // namespace
}  // namespace fp4lab::mma_test
