#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <utility>

#include "sim/tensor.h"

namespace fp4lab {
namespace {

template <class T>
bool aligned(const BasicTensor<T>& t) {
  return reinterpret_cast<std::uintptr_t>(t.data()) % kTensorAlignment == 0;
}

TEST(SimTensor, New_IsZeroAndAligned) {
  const Tensor t{3, 5, 7};
  EXPECT_EQ(t.shape(), (Shape{3, 5, 7}));
  EXPECT_EQ(t.size(), 105u);
  EXPECT_EQ(t.rows(), 15u);
  EXPECT_EQ(t.cols(), 7u);
  EXPECT_EQ(t.extent(-1), 7u);
  EXPECT_EQ(t.extent(0), 3u);
  EXPECT_THROW(t.extent(3), std::out_of_range);
  EXPECT_THROW(t.extent(-4), std::out_of_range);
  EXPECT_TRUE(aligned(t));
  for (const float x : t) EXPECT_EQ(x, 0.0f);
  EXPECT_TRUE(aligned(DoubleTensor{1}));
  EXPECT_TRUE(aligned(ByteTensor{1}));
  EXPECT_EQ(IntTensor({2, 2})[3], 0);
}

TEST(SimTensor, EdgeShapes) {
  EXPECT_EQ(Tensor().shape(), (Shape{0}));
  EXPECT_TRUE(Tensor().empty());
  const Tensor scalar{Shape{}};
  EXPECT_EQ(scalar.size(), 1u);
  EXPECT_EQ(scalar.rows(), 1u);
  EXPECT_EQ(scalar.cols(), 1u);
  const Tensor none{std::size_t{1} << 60, 0};  // no element, however many rows
  EXPECT_EQ(none.size(), 0u);
  EXPECT_EQ(none.rows(), std::size_t{1} << 60);
  EXPECT_THROW((Tensor{std::size_t{1} << 40, std::size_t{1} << 40}), std::length_error);
  EXPECT_THROW((DoubleTensor{std::size_t{1} << 61}), std::bad_alloc);
  EXPECT_EQ(Tensor({5}).rows(), 1u);
}

TEST(SimTensor, Elements_AreRowMajor) {
  Tensor t{2, 3, 4};
  std::iota(t.begin(), t.end(), 0.0f);
  EXPECT_EQ(t(4, 1), 17.0f);
  EXPECT_EQ(t.row(5)[3], 23.0f);
  EXPECT_EQ(t.matrix()(4, 1), 17.0f);
  EXPECT_EQ(t.vector()(17), 17.0f);
  t.matrix().row(0).setConstant(-1.0f);
  EXPECT_EQ(t[3], -1.0f);
  EXPECT_EQ(t[4], 4.0f);
  const Tensor& c = t;
  EXPECT_EQ(c.matrix().rows(), 6);
  EXPECT_EQ(c.matrix().cols(), 4);
  EXPECT_EQ(c.vector().size(), 24);
}

TEST(SimTensor, CopiesAreDeepAndMovesLeaveNothing) {
  Tensor a{2, 2};
  a.fill(1.5f);
  Tensor b = a;
  b[0] = 2.0f;
  EXPECT_EQ(a[0], 1.5f);
  const float* memory = a.data();
  Tensor c = std::move(a);
  EXPECT_EQ(c.data(), memory);
  EXPECT_TRUE(a.empty());  // NOLINT: the state after a move is part of the contract
  a = c;
  EXPECT_TRUE(same_bits(a, c));
  a = std::move(b);
  EXPECT_EQ(a[0], 2.0f);
  Tensor& self = a;
  a = self;
  EXPECT_EQ(a[0], 2.0f);
}

TEST(SimTensor, ReshapeAndResize) {
  Tensor t{4, 6};
  t[23] = 3.0f;
  const float* memory = t.data();
  t.reshape({2, 12});
  EXPECT_EQ(t(1, 11), 3.0f);
  EXPECT_THROW(t.reshape({5, 5}), std::invalid_argument);
  t.resize({3, 3});
  EXPECT_EQ(t.size(), 9u);
  EXPECT_EQ(t.data(), memory);
  t.resize({100});
  EXPECT_EQ(t.size(), 100u);
  EXPECT_TRUE(aligned(t));
}

TEST(SimTensor, FromValues_NeedsTheirNumber) {
  const std::vector<float> v{1, 2, 3, 4, 5, 6};
  const Tensor t({2, 3}, v);
  EXPECT_EQ(t(1, 0), 4.0f);
  EXPECT_THROW(Tensor({2, 2}, v), std::invalid_argument);
}

TEST(SimTensor, SameBits_TellsSignsOfZeroAndPayloads) {
  Tensor a{1}, b{1};
  b[0] = -0.0f;
  EXPECT_FALSE(same_bits(a, b));
  a[0] = b[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(same_bits(a, b));
  EXPECT_FALSE(same_bits(Tensor{2, 1}, Tensor{1, 2}));
}

}  // namespace
}  // namespace fp4lab
