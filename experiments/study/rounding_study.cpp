#include <array>
#include <cmath>
#include <limits>

#include "data/error.h"
#include "experiments/study/columns.h"
#include "experiments/study/study.h"
#include "formats/spec_text.h"
#include "sim/error_statistics.h"
#include "sim/quantize.h"
#include "sim/reduce.h"

namespace fp4lab::study {

store::ResultFile run_rounding(const RoundingConfig& config, const Progress& progress) {
  QuantSpec spec;
  try {
    spec = parse_spec(config.spec);
  } catch (const SpecError& e) {
    throw InputError(std::string("rounding.spec: ") + e.what());
  }
  if (config.repeats < 1 || config.repeats > 65536) {
    throw InputError("rounding.repeats is " + std::to_string(config.repeats) +
                     "; it must lie between 1 and 65536");
  }
  Tensor x;
  std::size_t tensors = 0;
  for_each_tensor(config.source, [&](const NamedTensor& t) {
    if (tensors++ == 0) x = t.values;
  });
  if (tensors != 1) {
    throw InputError("rounding.source holds " + std::to_string(tensors) +
                     " tensors; name one (x.npy, x.h5:/path, a distribution)");
  }
  const std::size_t n = x.size();
  const std::array<std::size_t, 2> shape = {x.rows(), x.cols()};
  // Sums over repeats are exact in binary64 as long as repeats < 2^20 or so; their order is fixed.
  std::vector<double> sum(n, 0.0), squares(n, 0.0);
  const double signal = sum_squares({x.data(), n});
  Columns table;
  std::uint64_t next = 1;
  for (std::uint64_t r = 0; r < config.repeats; ++r) {
    if (progress) progress(r, config.repeats);
    QuantizeOptions options;
    options.random.stream.seed = config.source.seed;
    options.random.stream.repeat = static_cast<std::uint8_t>(r % 256);
    options.random.stream.microbatch = static_cast<std::uint16_t>(r / 256);
    const std::vector<float> q = fake_quantize(spec, {x.data(), n}, shape, options);
    for (std::size_t i = 0; i < n; ++i) {
      const double v = q[i];
      sum[i] += v;
      squares[i] += v * v;
    }
    if (r + 1 != next && r + 1 != config.repeats) continue;
    const auto count = static_cast<double>(r + 1);
    next *= 2;
    const double noise = sum_terms(n, [&](std::size_t i) {
      const double d = sum[i] / count - static_cast<double>(x.data()[i]);
      return d * d;
    });
    const double bias = sum_terms(n,
                                  [&](std::size_t i) {
                                    return (sum[i] / count - static_cast<double>(x.data()[i])) *
                                           (x.data()[i] < 0 ? -1.0 : 1.0);
                                  }) /
                        static_cast<double>(n);
    // Unbiased estimate of the variance of one quantization, mean over elements.
    const double variance = count < 2 ? std::numeric_limits<double>::quiet_NaN()
                                      : sum_terms(n, [&](std::size_t i) {
                                          const double v =
                                              (squares[i] - sum[i] * sum[i] / count) / (count - 1);
                                          return v > 0 ? v : 0.0;
                                        }) / static_cast<double>(n);
    table.count("repeats", "quantizations averaged", static_cast<std::int64_t>(r + 1));
    table.text("spec", "rule", to_string(spec));
    table.count("random_bits", "random bits of the rounding; 0 = deterministic",
                spec.round.random_bits());
    table.number("rms_error", "1", "root mean square of (mean of the repeats - x)",
                 std::sqrt(noise / static_cast<double>(n)));
    table.number("relative_error", "1", "the same over the root mean square of x",
                 signal > 0 ? std::sqrt(noise / signal) : std::numeric_limits<double>::quiet_NaN());
    table.number("bias", "1", "mean of sign(x) (mean of the repeats - x)", bias);
    table.number("variance", "1", "mean variance of one quantization", variance);
    table.number("unbiased_rms", "1", "rms error an unbiased rounding of this variance would have",
                 std::sqrt(variance / count));
    table.next();
  }
  if (progress) progress(config.repeats, config.repeats);
  store::ResultFile file;
  table.store(file);
  file.attributes["kind"] = std::string("rounding");
  file.attributes["status"] = std::string("complete");
  file.attributes["title"] = to_string(spec) + " on " + config.source.name;
  return file;
}

}  // namespace fp4lab::study
