// The array forms: the scalar functions' bits on every instruction set, for any size and in place.
#include <gtest/gtest.h>

#include "tests/math/samples.h"
#include "tests/math/targets.h"

namespace fp4lab_test {
namespace {

class ArrayForm : public testing::TestWithParam<Function> {};
INSTANTIATE_TEST_SUITE_P(Math, ArrayForm, testing::ValuesIn(all_functions()),
                         [](const auto& info) { return name_of(info.param); });

std::vector<std::uint32_t> bits_of(const std::vector<float>& x) {
  std::vector<std::uint32_t> b(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) b[i] = std::bit_cast<std::uint32_t>(x[i]);
  return b;
}

TEST_P(ArrayForm, SameBitsOnEveryInstructionSet) {
  const Function f = GetParam();
  std::vector<float> x = sample(f, 200'000);
  for (const std::uint32_t special : {0u, 0x80000000u, 0x7F800000u, 0xFF800000u, 0x7F800001u,
                                      0xFFFFFFFFu, 1u, 0x80000001u, 0x7F7FFFFFu, 0xFF7FFFFFu}) {
    x.push_back(std::bit_cast<float>(special));
  }
  std::vector<float> scalar(x.size()), array(x.size());
  scalar_values(f, x.data(), scalar.data(), x.size());
  const auto want = bits_of(scalar);
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    array_values(f, x.data(), array.data(), x.size());
    EXPECT_EQ(bits_of(array), want) << name_of(f) << " on " << name;
  }
}

TEST_P(ArrayForm, AnySizeInPlaceAndNothingBeyond) {
  const Function f = GetParam();
  const std::vector<float> x = sample(f, 1100);
  for (const std::size_t n : {0, 1, 2, 3, 7, 15, 16, 17, 255, 256, 257, 511, 513, 1023}) {
    for (const std::size_t offset : {0, 1}) {
      std::vector<float> want(x.begin(), x.end()), got(x.begin(), x.end());
      scalar_values(f, x.data() + offset, want.data() + offset, n);
      array_values(f, got.data() + offset, got.data() + offset, n);
      ASSERT_EQ(bits_of(got), bits_of(want)) << name_of(f) << " n " << n << " offset " << offset;
    }
  }
}

}  // namespace
}  // namespace fp4lab_test
