#include "sim/models/toy1d.h"

#include <stdexcept>
#include <string>

#include "formats/convert.h"
#include "formats/decision_table.h"
#include "formats/philox.h"
#include "sim/nn/init.h"

namespace fp4lab::nn {

Toy1dResult run_toy1d(const Toy1dConfig& config) {
  if (config.element.bits > 8) {
    throw std::invalid_argument("toy1d: a format of " + std::to_string(config.element.bits) +
                                " bits; it takes formats of at most 8");
  }
  if (config.round.is_stochastic()) {
    throw std::invalid_argument("toy1d: a stochastic rounding has no threshold to oscillate at");
  }
  const DecisionTable table = make_decision_table(config.element, config.round);
  const ValueTable& values = table.values;
  const double target = config.target;
  if (!(target >= values.value[0] && target <= values.value[values.count - 1])) {
    throw std::invalid_argument("toy1d: the target must lie between " +
                                std::to_string(values.value[0]) + " and " +
                                std::to_string(values.value[values.count - 1]));
  }
  int up = 0;
  while (values.value[up] < target) ++up;
  const int low = values.value[up] == target ? up : up - 1;

  Toy1dResult r;
  r.lower = static_cast<float>(values.value[low]);
  r.upper = static_cast<float>(values.value[up]);
  r.threshold = table.threshold[up];
  r.expected_upper =
      low == up ? 1.0 : (target - values.value[low]) / (values.value[up] - values.value[low]);
  std::vector<float> x(config.steps, 1.0f);
  if (config.noisy) {
    fill_normal({config.seed, 0, 0, RandomPurpose::noise, 0, 0}, 1.0f, x);
  }
  r.latent.resize(config.steps);
  r.value.resize(config.steps);
  float w = config.start;
  std::uint64_t at_upper = 0, at_lower = 0, counted = 0;
  for (std::size_t t = 0; t < config.steps; ++t) {
    const float q = static_cast<float>(values.value[table.index_of(w)]);
    r.latent[t] = w;
    r.value[t] = q;
    if (t >= config.skip) {
      ++counted;
      at_upper += q == r.upper ? 1 : 0;
      at_lower += q == r.lower ? 1 : 0;
      r.crossings += t > 0 && q != r.value[t - 1] ? 1 : 0;
    }
    const float gradient = mul_rn(mul_rn(x[t], x[t]), sub_rn(q, config.target));
    w = sub_rn(w, mul_rn(config.lr, gradient));
  }
  if (counted != 0) {
    r.upper_share = static_cast<double>(at_upper) / static_cast<double>(counted);
    r.lower_share = static_cast<double>(at_lower) / static_cast<double>(counted);
  }
  return r;
}

}  // namespace fp4lab::nn
