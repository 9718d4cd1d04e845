#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "data/error.h"
#include "experiments/study/columns.h"
#include "experiments/study/study.h"
#include "formats/spec_text.h"
#include "sim/error_statistics.h"
#include "sim/gemm.h"
#include "sim/quantize.h"
#include "sim/reduce.h"

namespace fp4lab::study {
namespace {

/// Distance in units of the last place: the number of binary32 values between two.
std::uint64_t ulp_distance(float a, float b) {
  const auto ordered = [](float v) {
    const auto bits = std::bit_cast<std::int32_t>(v);
    return bits < 0 ? -static_cast<std::int64_t>(bits & 0x7FFFFFFF) : std::int64_t{bits};
  };
  return static_cast<std::uint64_t>(std::llabs(ordered(a) - ordered(b)));
}

GemmOperand operand(const std::string& spec_text, const char* key, const Tensor& x,
                    std::uint64_t seed, std::uint32_t stream) {
  if (normalize_name(spec_text) == "none") {
    return GemmOperand::from_floats({x.data(), x.size()}, x.rows(), x.cols());
  }
  try {
    const std::array<std::size_t, 2> shape = {x.rows(), x.cols()};
    QuantizeOptions options;
    options.random.stream.seed = seed;
    options.random.stream.stream = stream;
    return GemmOperand::from_quantized(
        quantize(parse_spec(spec_text), {x.data(), x.size()}, shape, options));
  } catch (const std::invalid_argument& e) {
    throw InputError(std::string(key) + ": " + e.what());
  }
}

}  // namespace

store::ResultFile run_gemm(const GemmConfig& config, const Progress& progress) {
  Accumulator accumulator;
  try {
    accumulator = parse_accumulator(config.accumulate);
  } catch (const std::invalid_argument& e) {
    throw InputError(std::string("gemm.accumulate: ") + e.what());
  }
  if (is_file_source(config.source.name)) {
    throw InputError("gemm.source is '" + config.source.name + "'; it must be a distribution");
  }
  Columns table;
  std::size_t done = 0;
  for (const std::string& text : config.k) {
    if (progress) progress(done++, config.k.size());
    std::uint64_t k = 0;
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), k);
    if (error != std::errc() || at != text.data() + text.size() || k == 0 || k > (1u << 24)) {
      throw InputError("gemm.k: '" + text + "' is no length from 1 to 16777216");
    }
    SourceConfig source = config.source;
    source.columns = k;
    Tensor x, w;
    source.rows = config.m;
    for_each_tensor(source, [&](const NamedTensor& t) { x = t.values; });
    source.rows = config.n;
    source.seed += 1;
    for_each_tensor(source, [&](const NamedTensor& t) { w = t.values; });
    const GemmOperand a = operand(config.spec_a, "gemm.spec_a", x, config.source.seed, 0);
    const GemmOperand b = operand(config.spec_b, "gemm.spec_b", w, config.source.seed, 1);
    GemmOptions options;
    options.random.seed = config.source.seed;
    GemmResult result, exact;
    try {
      result = gemm(a, b, accumulator, options);
      exact = gemm(a, b, parse_accumulator("exact"));
    } catch (const std::invalid_argument& e) {
      throw InputError(std::string("gemm.accumulate: ") + e.what());
    }
    const std::vector<float> y = result.values(), reference = exact.values();
    std::array<std::int64_t, 6> histogram{};  // 0, 1, 2-3, 4-15, 16-255, more
    std::uint64_t largest = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::uint64_t d = ulp_distance(y[i], reference[i]);
      largest = std::max(largest, d);
      ++histogram[d == 0 ? 0 : d == 1 ? 1 : d < 4 ? 2 : d < 16 ? 3 : d < 256 ? 4 : 5];
    }
    const double mean_ulp =
        sum_terms(
            y.size(),
            [&](std::size_t i) { return static_cast<double>(ulp_distance(y[i], reference[i])); }) /
        static_cast<double>(y.size());
    const ErrorStatistics e = error_statistics(reference, y);
    table.count("k", "length of the dot products", static_cast<std::int64_t>(k));
    table.text("accumulate", "accumulator", to_string(accumulator));
    table.text("spec_a", "rule of A", config.spec_a);
    table.text("spec_b", "rule of B", config.spec_b);
    table.text("instruction", "preset that the accumulator came down to", result.instruction);
    table.text("evidence", "what the model rests on", evidence_text(accumulator));
    table.count("outputs", "output elements", static_cast<std::int64_t>(y.size()));
    table.number(
        "relative_error", "1", "norm of the error over the norm of the exact product",
        e.signal > 0 ? std::sqrt(e.noise / e.signal) : std::numeric_limits<double>::quiet_NaN());
    table.number("sqnr_db", "dB", "exact product over error", e.sqnr_db);
    table.number("mean_ulp", "1", "mean distance in binary32 ULP", mean_ulp);
    table.number("max_ulp", "1", "largest distance in binary32 ULP", static_cast<double>(largest));
    constexpr std::array<const char*, 6> kBins = {"ulp_0",    "ulp_1",      "ulp_2_3",
                                                  "ulp_4_15", "ulp_16_255", "ulp_256_up"};
    for (std::size_t i = 0; i < kBins.size(); ++i) {
      table.count(kBins[i], "outputs at this ULP distance", histogram[i]);
    }
    table.next();
  }
  if (progress) progress(config.k.size(), config.k.size());
  store::ResultFile file;
  table.store(file);
  file.attributes["kind"] = std::string("gemm");
  file.attributes["status"] = std::string("complete");
  file.attributes["title"] = config.accumulate + " on " + config.spec_a + " x " + config.spec_b;
  return file;
}

}  // namespace fp4lab::study
