// Three experiments without training: what quantization does to tensors, what an accumulator does
// to a product, what stochastic rounding does on average.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "experiments/store/result_file.h"
#include "experiments/study/sources.h"

namespace fp4lab::study {

/// Told how far a study is; may throw to stop it.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

/// Kind `error`: one QuantSpec on every tensor of a source.
struct ErrorConfig {
  SourceConfig source;
  std::string spec = "nvfp4";
};
/// `/table` with one row a tensor and a last row `total` over all elements. Throws InputError.
store::ResultFile run_error(const ErrorConfig& config, const Progress& progress = {});

/// Kind `gemm`: the error of one accumulator against `exact`, as K grows.
struct GemmConfig {
  SourceConfig source;  ///< distribution of both operands (a draws seed, b seed + 1)
  std::string spec_a = "nvfp4", spec_b = "nvfp4";  ///< `none`: binary32 operands
  std::string accumulate = "block-exact";
  std::uint64_t m = 64, n = 64;
  std::vector<std::string> k = {"64", "256", "1024", "4096"};
};
/// `/table` with one row a K: ULP distances, relative error, SQNR; the ULP histogram in columns.
store::ResultFile run_gemm(const GemmConfig& config, const Progress& progress = {});

/// Kind `rounding`: bias and variance of a spec's rounding over repeated quantization.
struct RoundingConfig {
  SourceConfig source;
  std::string spec = "mxfp4,rule=rceil,round=sr:16";
  std::uint64_t repeats = 256;
};
/// `/table` with one row for 1, 2, 4, ... repeats: how far the mean of so many quantizations is
/// from the tensor, beside what an unbiased rounding of the same variance would reach.
store::ResultFile run_rounding(const RoundingConfig& config, const Progress& progress = {});

}  // namespace fp4lab::study
