#include "sim/nn/embedding.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "sim/reduce.h"
#include "tests/nn/twin.h"

namespace fp4lab_test {
namespace {

using namespace fp4lab;
using namespace fp4lab::nn;

TEST(Embedding, GathersAndScatters) {
  BuildContext build;
  build.seed_init = 5;
  Embedding embedding(build, "embedding", 11, 6, 0.02);
  const auto tokens = random_labels(50, 10, 41);  // token 10 does not occur
  Tensor y;
  embedding.forward({}, tokens, y);
  ASSERT_EQ(y.shape(), (Shape{50, 6}));
  const Tensor dy = random_tensor({50, 6}, 42);
  embedding.backward({}, dy);
  const Twin twin = [&](const Values& in) {
    Vec out;
    for (const std::int32_t t : tokens) {
      for (std::size_t c = 0; c < 6; ++c) out.push_back(in[0][static_cast<std::size_t>(t) * 6 + c]);
    }
    return out;
  };
  const Values in = {to_double(embedding.table.value)};
  check_forward(y.span(), twin(in));
  check_gradients(twin, in, dy, {embedding.table.grad.span()});
  for (std::size_t c = 0; c < 6; ++c) EXPECT_EQ(embedding.table.grad(10, c), 0.0f);
  EXPECT_EQ(embedding.table.role, Role::embedding);
  EXPECT_FALSE(embedding.table.quantized);
}

/// Every position is a term in ascending order, and nothing depends on threads.
TEST(Embedding, GradientHasTheShapeOfSums) {
  const std::size_t positions = 5000, dim = 19;
  auto tokens = random_labels(positions, 3, 43);
  const Tensor dy = random_tensor({positions, dim}, 44, 100.0);
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 5}) {
    omp_set_num_threads(threads);
    BuildContext build;
    Embedding embedding(build, "embedding", 3, dim, 0.02);
    Tensor y;
    embedding.forward({}, tokens, y);
    embedding.backward({}, dy);
    for (std::int32_t v = 0; v < 3; ++v) {
      std::vector<std::size_t> at;
      for (std::size_t i = 0; i < positions; ++i) {
        if (tokens[i] == v) at.push_back(i);
      }
      for (std::size_t c = 0; c < dim; ++c) {
        const double s = sum_terms(at.size(), [&](std::size_t k) { return double{dy(at[k], c)}; });
        ASSERT_EQ(embedding.table.grad(static_cast<std::size_t>(v), c), static_cast<float>(s));
      }
    }
  }
  omp_set_num_threads(before);
}

TEST(Embedding, StartsAtNormalsAndChecksTokens) {
  BuildContext build;
  build.seed_init = 9;
  Embedding embedding(build, "embedding", 400, 32, 0.5);
  const double n = static_cast<double>(embedding.table.value.size());
  double square = 0;
  for (const float v : embedding.table.value) square += double{v} * v / n;
  EXPECT_NEAR(std::sqrt(square), 0.5, 0.02);
  Tensor y;
  EXPECT_THROW(embedding.forward({}, std::vector<std::int32_t>{400}, y), std::invalid_argument);
  EXPECT_THROW(embedding.forward({}, std::vector<std::int32_t>{-1}, y), std::invalid_argument);
  embedding.forward({}, std::vector<std::int32_t>{}, y);
  EXPECT_EQ(y.shape(), (Shape{0, 32}));
  embedding.backward({}, Tensor({0, 32}));
  EXPECT_THROW(embedding.backward({}, Tensor({1, 32})), std::invalid_argument);
}

}  // namespace
}  // namespace fp4lab_test
