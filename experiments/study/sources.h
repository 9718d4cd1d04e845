// Where the tensors of an error study come from: distributions, sample tensors, files of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/tensor.h"

namespace fp4lab::study {

/// A source of tensors.
struct SourceConfig {
  /// A distribution (source_names()), `sample:NAME`, or a file: `.safetensors` (every 2-D tensor of
  /// a floating type), `.npy`, `x.h5` (every 2-D data set) or `x.h5:/path`.
  std::string name = "normal";
  std::uint64_t rows = 512, columns = 1024;  ///< of distributions
  std::uint64_t seed = 0;
  double outlier_fraction = 1.0 / 64;  ///< `outliers`: share of columns that are large
  double outlier_gain = 30.0;          ///< and how large
  std::uint64_t max_tensors = 0;       ///< of a file, in name order; 0 = all
};

/// A tensor and what it is called: its name in a file, else the source's own.
struct NamedTensor {
  std::string name;
  std::uint32_t stream = 0;  ///< number of the tensor in its source, for random words
  Tensor values;             ///< [rows, columns]
};

/// Distributions with one line each: normal laplace student-t:NU lognormal:SIGMA uniform outliers.
struct SourceInfo {
  std::string name, meaning;
};
const std::vector<SourceInfo>& source_list();

/// Checks the name and returns it in canonical form ("student-t:5"). Throws std::invalid_argument
/// with the nearest name. Files are not opened.
std::string canonical_source(const std::string& name);
/// Whether the source is a file.
bool is_file_source(const std::string& name);

/// Calls `use` for each tensor, one in memory at a time. `total` of `progress` is the number of
/// tensors. Throws InputError for files that cannot be used.
void for_each_tensor(const SourceConfig& source, const std::function<void(const NamedTensor&)>& use,
                     const std::function<void(std::size_t done, std::size_t total)>& progress = {});

/// SHA-256 of a file source's bytes (64 hexadecimal digits); empty for distributions and samples.
std::string source_sha256(const std::string& name);

}  // namespace fp4lab::study
