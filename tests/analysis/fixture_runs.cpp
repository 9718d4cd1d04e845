#include "tests/analysis/fixture_runs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "data/sha256.h"
#include "formats/philox.h"

namespace fp4lab::fixture {
namespace {

using store::ResultFile;
using Numbers = std::vector<double>;
using Counts = std::vector<std::int64_t>;
using Texts = std::vector<std::string>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const Texts kLayers = {"block0.attn-qkv", "block0.ffn-up", "block1.attn-qkv", "block1.ffn-up"};
const Texts kSlots = {"q1", "q2", "q3", "q4", "q5", "q6"};
constexpr std::array<double, 14> kThresholds = {-5,   -3.5, -2.5, -1.75, -1.25, -0.75, -0.25,
                                                0.25, 0.75, 1.25, 1.75,  2.5,   3.5,   5};

/// Uniform in (-1, 1) for (seed, purpose, i, j).
double noise(std::int64_t seed, std::uint32_t what, std::uint32_t i, std::uint32_t j = 0) {
  const PhiloxDraw draw = philox4x32({i, j, what, 0}, static_cast<std::uint32_t>(seed), 77u);
  return static_cast<double>(draw[0]) / 2147483648.0 - 1.0;
}

/// Numbers of a run's own: other recipes have others.
std::int64_t stream_of(const RunShape& r) {
  return r.seed + 16 * static_cast<std::int64_t>(r.recipe.size());
}

Counts every(std::int64_t stride, std::int64_t steps, std::int64_t from = 0) {
  Counts list;
  for (std::int64_t s = from; s < steps; s += stride) list.push_back(s);
  if (list.empty() || list.back() != steps) list.push_back(steps);
  return list;
}

/// A value for each point of a grid of the given extents.
template <class T, class F>
std::vector<T> grid(std::array<std::size_t, 3> n, F value) {
  std::vector<T> out;
  for (std::size_t i = 0; i < n[0]; ++i) {
    for (std::size_t j = 0; j < n[1]; ++j) {
      for (std::size_t k = 0; k < n[2]; ++k) out.push_back(static_cast<T>(value(i, j, k)));
    }
  }
  return out;
}

template <class T>
void put(ResultFile& file, const std::string& path, const std::vector<T>& values) {
  file.put(path, std::span<const T>(values));
}
template <class T>
void scale(ResultFile& file, const std::string& path, const std::vector<T>& values) {
  file.scale(path, std::span<const T>(values));
}

void put_series(ResultFile& file, const RunShape& r) {
  Counts steps;
  Numbers loss, grad, rate, factor, time;
  std::vector<std::int8_t> skipped;
  const auto recipe_number = static_cast<std::uint32_t>(r.recipe.size());
  for (std::int64_t s = 0; s < r.steps; ++s) {
    const auto i = static_cast<std::uint32_t>(s);
    const double t = static_cast<double>(s) / static_cast<double>(r.steps);
    const bool lost = r.diverges_at >= 0 && s >= r.diverges_at;
    steps.push_back(s);
    loss.push_back(lost ? kNan
                        : 1.6 + r.gap * t + 2.5 * std::exp(-6 * t) + 0.04 * noise(r.seed, 1, i) +
                              0.01 * noise(r.seed, 2, 0));
    const double spike = s % (45 + recipe_number % 7) == 30 + r.seed % 5 ? 6.0 : 1.0;
    grad.push_back(lost ? kNan
                        : spike * (0.5 + 1.5 * std::exp(-4 * t)) *
                              (1 + 0.1 * noise(r.seed, 3, i, recipe_number)));
    rate.push_back(r.lr * 0.5 * (1 + std::cos(3.14159265358979 * t)));
    factor.push_back(1024);
    skipped.push_back(lost ? 1 : 0);
    time.push_back(0.01);
  }
  scale(file, "/series/step", steps);
  put(file, "/series/loss", loss);
  put(file, "/series/grad_norm", grad);
  put(file, "/series/learning_rate", rate);
  put(file, "/series/loss_scale", factor);
  put(file, "/series/skipped", skipped);
  put(file, "/series/step_time", time);
}

void put_eval(ResultFile& file, const RunShape& r) {
  const Counts steps = every(30, r.steps, 30);
  Numbers loss, accuracy, perplexity;
  for (const std::int64_t s : steps) {
    const double t = static_cast<double>(s) / static_cast<double>(r.steps);
    const bool lost = r.diverges_at >= 0 && s >= r.diverges_at;
    const double l = 1.7 + r.gap * t + 2.5 * std::exp(-6 * t) + 0.02 * noise(r.seed, 2, 0) +
                     0.002 * noise(r.seed, 4, static_cast<std::uint32_t>(s + r.gap * 1000));
    loss.push_back(lost ? kNan : l);
    accuracy.push_back(lost ? kNan : std::exp(-0.4 * l));
    perplexity.push_back(lost ? kNan : std::exp(l));
  }
  scale(file, "/eval/step", steps);
  put(file, "/eval/loss", loss);
  put(file, "/eval/accuracy", accuracy);
  put(file, "/eval/perplexity", perplexity);
}

void put_layers(ResultFile& file, const RunShape& r) {
  const Counts steps = every(20, r.steps);
  Counts codes, bins;
  for (std::int64_t i = 0; i < 16; ++i) codes.push_back(i);
  for (std::int64_t i = 0; i < 256; ++i) bins.push_back(i);
  scale(file, "/layers/step", steps);
  scale(file, "/layers/layer", kLayers);
  scale(file, "/layers/slot", kSlots);
  scale(file, "/layers/code", codes);
  scale(file, "/layers/bin", bins);
  const std::array<std::size_t, 3> n = {steps.size(), kLayers.size(), kSlots.size()};
  const auto statistic = [&](std::uint32_t what, double base, double slot, double step) {
    return grid<double>(n, [&](std::size_t i, std::size_t j, std::size_t k) {
      if (!r.only_slot.empty() && kSlots[k] != r.only_slot) return kNan;
      if (r.diverges_at >= 0 && steps[i] > r.diverges_at) return kNan;
      const auto at = static_cast<std::uint32_t>(i * 100 + j * 10 + k);
      return base * (1 + slot * static_cast<double>(k) / 6 + step * static_cast<double>(i) / 7 +
                     0.1 * static_cast<double>(j) / 4 + 0.02 * noise(stream_of(r), what, at));
    });
  };
  put(file, "/layers/sqnr_db", statistic(10, 20.0, -0.2, -0.1));
  put(file, "/layers/mse", statistic(11, 1e-3, 1, 0.5));
  put(file, "/layers/cosine", statistic(12, 0.99, -0.02, 0.0));
  put(file, "/layers/norm_ratio", statistic(13, 0.985, 0.01, 0.0));
  put(file, "/layers/bias", statistic(14, 1e-4, -1.5, 0.2));
  put(file, "/layers/amax", statistic(15, 4.0, 1, 1));
  put(file, "/layers/zero_fraction", statistic(16, 0.12, 0.5, 0.2));
  put(file, "/layers/underflow_fraction", statistic(17, 0.02, 4, 1));
  put(file, "/layers/saturation_fraction", statistic(18, 0.004, 1, 0.3));
  put(file, "/layers/requant_exact_fraction", statistic(19, 0.9, 0.02, 0));
  put(file, "/layers/choose4_fraction", Numbers(n[0] * n[1] * n[2], kNan));
  std::vector<std::int64_t> histogram, scales;
  for (std::size_t i = 0; i < n[0]; ++i) {
    for (std::size_t j = 0; j < n[1]; ++j) {
      for (std::size_t k = 0; k < n[2]; ++k) {
        const bool off = !r.only_slot.empty() && kSlots[k] != r.only_slot;
        for (int c = 0; c < 16; ++c) {
          const double m = c % 8;  // magnitude index; code 8 is -0, rare
          const double w = c == 8 ? 0.02 : std::exp(-m * m / (6.0 + static_cast<double>(i)));
          histogram.push_back(off ? -1 : static_cast<std::int64_t>(10000 * w));
        }
        for (int b = 0; b < 256; ++b) {
          const double d = b - 118.0 - static_cast<double>(k) - 0.5 * static_cast<double>(i);
          scales.push_back(off ? -1 : static_cast<std::int64_t>(800 * std::exp(-d * d / 4)));
        }
      }
    }
  }
  put(file, "/layers/code_histogram", histogram);
  put(file, "/layers/scale_histogram", scales);
  scale(file, "/gemms/step", steps);
  scale(file, "/gemms/layer", kLayers);
  scale(file, "/gemms/gemm", Texts{"y", "dx", "dw"});
  const std::array<std::size_t, 3> g = {steps.size(), kLayers.size(), 3};
  const auto product = [&](double base, double drop) {
    return grid<double>(g, [&](std::size_t i, std::size_t j, std::size_t k) {
      return base - drop * static_cast<double>(k + 1) * (1 + 0.2 * static_cast<double>(j)) +
             0.002 * noise(stream_of(r), 20, static_cast<std::uint32_t>(i * 10 + k));
    });
  };
  put(file, "/gemms/cosine", product(1.0, 0.01));
  put(file, "/gemms/rel_error", product(0.05, -0.02));
  put(file, "/gemms/pma", product(1.0, 0.005));
  put(file, "/gemms/rho", product(12.0, 1.0));
}

void put_oscillation(ResultFile& file, const RunShape& r) {
  const Counts steps = every(30, r.steps, 30);
  Counts bins;
  for (std::int64_t i = 0; i < 20; ++i) bins.push_back(i);
  scale(file, "/oscillation/step", steps);
  scale(file, "/oscillation/layer", kLayers);
  scale(file, "/oscillation/bin", bins);
  const std::array<std::size_t, 3> n = {steps.size(), kLayers.size(), 1};
  const auto statistic = [&](std::uint32_t what, double base, double growth) {
    return grid<double>(n, [&](std::size_t i, std::size_t j, std::size_t) {
      return base * (1 + 10 * r.gap) * (1 + growth * static_cast<double>(i)) *
             (1 + 0.1 * static_cast<double>(j)) *
             (1 + 0.05 * noise(stream_of(r), what, static_cast<std::uint32_t>(i * 10 + j)));
    });
  };
  put(file, "/oscillation/ratio_mean", statistic(30, 2.0, 1.2));
  put(file, "/oscillation/fraction_above_16", statistic(31, 0.01, 1.5));
  put(file, "/oscillation/confidence_mean", statistic(32, 0.6, -0.08));
  put(file, "/oscillation/r_w", statistic(33, 0.004, -0.2));
  put(file, "/oscillation/r_wq", statistic(34, 0.02, -0.03));
  put(file, "/oscillation/r_y", statistic(35, 0.015, -0.03));
  put(file, "/oscillation/frozen_fraction", Numbers(n[0] * n[1], kNan));
  put(file, "/oscillation/reset_fraction", Numbers(n[0] * n[1], kNan));
  const auto count = [&](double base, double growth) {
    return grid<std::int64_t>(n, [&](std::size_t i, std::size_t j, std::size_t) {
      return base * (1 + growth * static_cast<double>(i)) * (1 + static_cast<double>(j));
    });
  };
  put(file, "/oscillation/flips", count(400, 0.5));
  put(file, "/oscillation/reversals", count(150, 0.9));
  put(file, "/oscillation/scale_flips", count(12, 0.1));
  const std::array<std::size_t, 3> h = {steps.size(), kLayers.size(), bins.size()};
  const auto histogram = [&](double rate) {
    return grid<std::int64_t>(h, [&](std::size_t i, std::size_t j, std::size_t k) {
      return 1000 * std::exp(-static_cast<double>(k) * rate * (1 + 0.3 * static_cast<double>(i))) +
             static_cast<double>(j);
    });
  };
  const auto edges = [&](const char* path, double top) {
    Numbers list;
    for (int i = 0; i <= 20; ++i) list.push_back(top * i / 20.0);
    file.bin_edges(path, list);
  };
  for (const char* name : {"ratio", "confidence", "frequency", "period"}) {
    const std::string path = std::string("/oscillation/") + name + "_histogram";
    put(file, path, histogram(name[0] == 'c' ? 0.08 : 0.4));
    edges(path.c_str(), name[0] == 'r' ? 64 : name[0] == 'p' ? 20 : 1);
  }
}

void put_traces(ResultFile& file, const RunShape& r) {
  Counts steps, elements, thresholds, flat;
  for (std::int64_t s = r.steps - 60; s < r.steps; ++s) steps.push_back(s);
  for (std::int64_t i = 0; i < 8; ++i) elements.push_back(i), flat.push_back(i * 37);
  for (std::size_t i = 0; i < kThresholds.size(); ++i) {
    thresholds.push_back(static_cast<std::int64_t>(i));
  }
  scale(file, "/traces/step", steps);
  scale(file, "/traces/element", elements);
  scale(file, "/traces/threshold", thresholds);
  std::vector<float> latent, scales;
  std::vector<std::uint8_t> codes;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (std::size_t j = 0; j < elements.size(); ++j) {
      const double centre = kThresholds[5 + j % 6] + 0.03 * static_cast<double>(j % 3);
      const double v = centre + 0.12 * std::sin(0.7 * static_cast<double>(i * (1 + j % 4))) +
                       0.02 * noise(stream_of(r), 40, static_cast<std::uint32_t>(i * 100 + j));
      latent.push_back(static_cast<float>(v));
      const double m = std::fabs(v);
      std::uint8_t code = 0;
      for (std::size_t t = 7; t < kThresholds.size(); ++t) code += m > kThresholds[t];
      codes.push_back(static_cast<std::uint8_t>(code | (v < 0 ? 8 : 0)));
      scales.push_back(0.0625f);
    }
  }
  put(file, "/traces/latent", latent);
  put(file, "/traces/code", codes);
  put(file, "/traces/scale", scales);
  put(file, "/traces/layer_index", std::vector<std::int32_t>(elements.size(), 1));
  put(file, "/traces/flat_index", flat);
  put(file, "/traces/thresholds", Numbers(kThresholds.begin(), kThresholds.end()));
}

void put_rest(ResultFile& file, const RunShape& r) {
  const Counts steps = every(20, r.steps);
  scale(file, "/norms/step", steps);
  scale(file, "/norms/layer", kLayers);
  const auto value = [&](std::uint32_t what, double base) {
    return [&r, what, base](std::size_t i, std::size_t j, std::size_t k) {
      return base * (1 - r.gap) * (1 + 0.2 * static_cast<double>(j)) *
             (1 +
              0.1 * noise(stream_of(r), what, static_cast<std::uint32_t>(i * 100 + j * 10 + k)));
    };
  };
  put(file, "/norms/grad_norm", grid<double>({steps.size(), kLayers.size(), 1}, value(50, 0.3)));
  const Texts attention = {"block0.attn", "block1.attn"}, routers = {"block1.moe"};
  scale(file, "/attention/step", steps);
  scale(file, "/attention/layer", attention);
  scale(file, "/attention/head", Counts{0, 1, 2, 3});
  put(file, "/attention/entropy", grid<double>({steps.size(), 2, 4}, value(51, 2.5)));
  scale(file, "/router/step", steps);
  scale(file, "/router/layer", routers);
  scale(file, "/router/expert", Counts{0, 1, 2, 3});
  put(file, "/router/load", grid<std::int64_t>({steps.size(), 1, 4}, value(52, 500)));
  put(file, "/router/flips", grid<std::int64_t>({steps.size(), 1, 1}, value(53, 20)));
  scale(file, "/policy/layer", kLayers);
  scale(file, "/policy/slot", kSlots);
  Texts specs, compute;
  for (std::size_t i = 0; i < kLayers.size(); ++i) {
    compute.push_back("bf16");
    for (const std::string& slot : kSlots) {
      const bool on = r.recipe != "bf16" && (r.only_slot.empty() || slot == r.only_slot);
      specs.push_back(on ? (slot < "q3" ? "mxfp4,rule=rceil" : "mxfp4,rule=rceil,round=sr:16")
                         : "none");
    }
  }
  put(file, "/policy/spec", specs);
  put(file, "/policy/compute", compute);
}

}  // namespace

std::string set_identity(ResultFile& file, const std::string& config) {
  const std::string hash = sha256_hex(config);
  file.attributes["config"] = config;
  file.attributes["config_sha256"] = hash;
  file.attributes["run_id"] = hash.substr(0, 12);
  file.attributes["software"] = std::string("fp4lab");
  file.attributes["software_version"] = std::string("0.1.0");
  file.attributes["git_commit"] = std::string("0123456789abcdef0123456789abcdef01234567");
  file.attributes["git_dirty"] = std::int64_t{0};
  file.attributes["compiler"] = std::string("GCC 12.2.0");
  file.attributes["host"] = std::string("bench");
  file.attributes["cpu"] = std::string("a processor");
  file.attributes["threads"] = std::int64_t{2};
  file.attributes["wall_s"] = 12.5;
  return hash.substr(0, 12);
}

ResultFile make_run(const RunShape& r) {
  ResultFile file;
  put_series(file, r);
  put_eval(file, r);
  if (r.instruments) {
    put_layers(file, r);
    put_oscillation(file, r);
    put_traces(file, r);
    put_rest(file, r);
  }
  file.attributes["kind"] = std::string("run");
  file.attributes["status"] = std::string(r.diverges_at >= 0 ? "diverged" : "complete");
  file.attributes["title"] = r.recipe + " on text";
  file.attributes["seed"] = r.seed;
  char lr[32];
  std::snprintf(lr, sizeof(lr), "%g", r.lr);
  std::string config =
      "data.name = \"text\"\nmodel.name = \"gpt-mini\"\noptim.lr = " + std::string(lr) +
      "\nrecipe = \"" + r.recipe + "\"\nseed = " + std::to_string(r.seed) + "\n";
  for (const std::string& slot : kSlots) {
    const bool on = r.recipe != "bf16" && (r.only_slot.empty() || slot == r.only_slot);
    config += "slots." + slot + ".spec = \"" + (on ? "mxfp4,rule=rceil" : "none") + "\"\n";
  }
  config += "train.steps = " + std::to_string(r.steps) + "\n";
  set_identity(file, config);
  return file;
}

}  // namespace fp4lab::fixture
