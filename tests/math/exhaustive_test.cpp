// All 2^32 inputs of each function of one argument.
#include <gtest/gtest.h>
#include <omp.h>

#include <chrono>
#include <cstdio>

#include "tests/math/result_hashes.h"
#include "tests/math/samples.h"
#include "tests/math/targets.h"

namespace fp4lab_test {
namespace {

constexpr std::uint64_t kAll = std::uint64_t{1} << 32;

class AllInputs : public testing::TestWithParam<Function> {};
INSTANTIATE_TEST_SUITE_P(Math, AllInputs, testing::ValuesIn(all_functions()),
                         [](const auto& info) { return name_of(info.param); });

std::uint64_t hash(Function f, Evaluator evaluate) {
  std::uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum) schedule(dynamic)
  for (unsigned byte = 0; byte < 256; ++byte) sum += leading_byte_hash(f, evaluate, byte);
  return sum;
}

/// The proof: the array form on the widest instruction set against the reference.
TEST_P(AllInputs, AreCorrectlyRounded) {
  const Function f = GetParam();
  const auto start = std::chrono::steady_clock::now();
  const Walk walk = compare_with_reference(f, array_values, 0, kAll, omp_get_max_threads());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%s: 4294967296 inputs, %llu mismatches, %llu decided by MPFR, %.0f s\n",
              name_of(f).c_str(), static_cast<unsigned long long>(walk.mismatches),
              static_cast<unsigned long long>(walk.by_mpfr), took.count());
  EXPECT_EQ(walk.mismatches, 0u);
  EXPECT_GT(walk.by_mpfr, 1000u);
  for (const Mismatch& w : walk.first) ADD_FAILURE() << describe(f, w);
}

/// And what was proven once can be found again without a reference: the scalar form and every
/// instruction set give the results whose hash is on record.
TEST_P(AllInputs, ScalarFormGivesTheProvenResults) {
  EXPECT_EQ(hash(GetParam(), scalar_values), kResultHashes[static_cast<int>(GetParam())]);
}
TEST_P(AllInputs, EveryInstructionSetGivesTheProvenResults) {
  for (const auto& [set, name] : instruction_sets()) {
    const InForce in_force(set);
    EXPECT_EQ(hash(GetParam(), array_values), kResultHashes[static_cast<int>(GetParam())]) << name;
  }
}

}  // namespace
}  // namespace fp4lab_test
