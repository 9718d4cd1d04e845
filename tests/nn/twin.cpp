#include "tests/nn/twin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "formats/philox.h"

namespace fp4lab_test {
namespace {

using fp4lab::RandomPurpose;
using fp4lab::RandomStream;
using fp4lab::Tensor;

double uniform(const RandomStream& stream, std::size_t i) {
  return (static_cast<double>(stream.slot(i, 32)) + 0.5) * 0x1p-32;
}

double largest(const Vec& x) {
  double m = 0;
  for (const double v : x) m = std::max(m, std::fabs(v));
  return m;
}

/// Which elements of n are moved: all, or evenly spread with the first and the last.
std::vector<std::size_t> picks(std::size_t n, std::size_t checks) {
  std::vector<std::size_t> p;
  const std::size_t count = std::min(n, checks);
  for (std::size_t i = 0; i < count; ++i) {
    p.push_back(count == 1 ? 0 : i * (n - 1) / (count - 1));
  }
  return p;
}

}  // namespace

Tensor random_tensor(const fp4lab::Shape& shape, std::uint64_t seed, double deviation,
                     double mean) {
  const RandomStream stream{seed, 0, 0, RandomPurpose::synthetic_data, 0, 0};
  Tensor x(shape);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform(stream, 2 * i)));
    const double angle = 6.283185307179586 * uniform(stream, 2 * i + 1);
    x[i] = static_cast<float>(mean + deviation * radius * std::cos(angle));
  }
  return x;
}

std::vector<std::int32_t> random_labels(std::size_t n, std::int32_t below, std::uint64_t seed) {
  const RandomStream stream{seed, 1, 0, RandomPurpose::synthetic_data, 0, 0};
  std::vector<std::int32_t> labels(n);
  for (std::size_t i = 0; i < n; ++i) {
    labels[i] = static_cast<std::int32_t>(uniform(stream, i) * below);
  }
  return labels;
}

Vec to_double(std::span<const float> x) { return Vec(x.begin(), x.end()); }

void check_forward(std::span<const float> y, const Vec& twin, const TwinOptions& options,
                   const std::string& what) {
  ASSERT_EQ(y.size(), twin.size()) << what;
  const double scale = std::max(largest(twin), options.forward_floor);
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_LE(std::fabs(static_cast<double>(y[i]) - twin[i]), options.forward * scale)
        << what << '[' << i << "] = " << y[i] << ", the twin says " << twin[i];
  }
}

void check_gradients(const ScalarTwin& twin, const Values& inputs,
                     const std::vector<std::span<const float>>& gradients,
                     const TwinOptions& options, const std::vector<std::string>& names) {
  ASSERT_EQ(inputs.size(), gradients.size());
  Values moved = inputs;
  std::vector<Vec> difference(inputs.size());
  std::vector<std::vector<std::size_t>> where(inputs.size());
  double overall = 0;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (gradients[k].empty()) continue;
    ASSERT_EQ(inputs[k].size(), gradients[k].size());
    where[k] = picks(inputs[k].size(), options.checks);
    for (const std::size_t i : where[k]) {
      const double x = inputs[k][i], h = options.step * std::max(1.0, std::fabs(x));
      moved[k][i] = x + h;
      const double up = twin(moved);
      moved[k][i] = x - h;
      const double down = twin(moved);
      moved[k][i] = x;
      difference[k].push_back((up - down) / (2 * h));
    }
    overall = std::max(overall, largest(difference[k]));
  }
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (gradients[k].empty()) continue;
    const std::string name = k < names.size() ? names[k] : "input " + std::to_string(k);
    const double scale =
        std::max(largest(difference[k]), options.gradient_floor * overall / options.gradient);
    for (std::size_t c = 0; c < where[k].size(); ++c) {
      const std::size_t i = where[k][c];
      ASSERT_LE(std::fabs(static_cast<double>(gradients[k][i]) - difference[k][c]),
                options.gradient * scale)
          << "d(loss)/d(" << name << ")[" << i << "] = " << gradients[k][i]
          << ", central difference " << difference[k][c];
    }
    // All elements at once: what the picks leave out shows here.
    const RandomStream stream{k + 1, 2, 0, RandomPurpose::synthetic_data, 0, 0};
    double want = 0, norm = 0;
    const double h = options.step;
    Vec direction(inputs[k].size());
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = uniform(stream, i) < 0.5 ? -1 : 1;
      want += direction[i] * static_cast<double>(gradients[k][i]);
      norm += static_cast<double>(gradients[k][i]) * static_cast<double>(gradients[k][i]);
    }
    for (std::size_t i = 0; i < direction.size(); ++i) moved[k][i] += h * direction[i];
    const double up = twin(moved);
    for (std::size_t i = 0; i < direction.size(); ++i)
      moved[k][i] = inputs[k][i] - h * direction[i];
    const double down = twin(moved);
    moved[k] = inputs[k];
    ASSERT_LE(std::fabs((up - down) / (2 * h) - want),
              options.gradient * std::max(std::sqrt(norm),
                                          scale * std::sqrt(static_cast<double>(direction.size()))))
        << "derivative of the loss along a random direction of " << name << ": gradient gives "
        << want << ", central difference " << (up - down) / (2 * h);
  }
}

void check_gradients(const Twin& twin, const Values& inputs, const Tensor& dy,
                     const std::vector<std::span<const float>>& gradients,
                     const TwinOptions& options, const std::vector<std::string>& names) {
  const ScalarTwin loss = [&](const Values& in) {
    const Vec y = twin(in);
    double s = 0;
    for (std::size_t i = 0; i < y.size(); ++i) s += y[i] * static_cast<double>(dy[i]);
    return s;
  };
  check_gradients(loss, inputs, gradients, options, names);
}

void check_module(fp4lab::nn::Module& layer, const Twin& twin, const Tensor& x,
                  const TwinOptions& options) {
  std::vector<fp4lab::nn::Param*> params;
  layer.collect(params);
  Values inputs = {to_double(x)};
  std::vector<std::string> names = {"x"};
  for (fp4lab::nn::Param* p : params) {
    inputs.push_back(to_double(p->value));
    names.push_back(p->name);
    p->grad = Tensor(p->value.shape());
  }
  Tensor y, dx;
  layer.forward(options.context, x, y);
  check_forward(y.span(), twin(inputs), options);
  const Tensor dy = random_tensor(y.shape(), 77);
  layer.backward(options.context, dy, dx);
  ASSERT_EQ(dx.shape(), x.shape());
  std::vector<std::span<const float>> gradients = {dx.span()};
  for (fp4lab::nn::Param* p : params) gradients.push_back(p->grad.span());
  check_gradients(twin, inputs, dy, gradients, options, names);

  // Gradients are added to, and a step depends on nothing but its inputs: twice is the double.
  std::vector<Tensor> once;
  for (fp4lab::nn::Param* p : params) once.push_back(p->grad);
  const Tensor y_once = y, dx_once = dx;
  layer.forward(options.context, x, y);
  layer.backward(options.context, dy, dx);
  EXPECT_TRUE(same_bits(y, y_once));
  EXPECT_TRUE(same_bits(dx, dx_once));
  for (std::size_t k = 0; k < params.size(); ++k) {
    for (std::size_t i = 0; i < once[k].size(); ++i) {
      ASSERT_EQ(params[k]->grad[i], 2 * once[k][i]) << params[k]->name << '[' << i << ']';
    }
  }
}

void check_model(const std::vector<fp4lab::nn::Param*>& params, const ScalarTwin& twin, double loss,
                 const TwinOptions& options) {
  Values inputs;
  std::vector<std::span<const float>> gradients;
  std::vector<std::string> names;
  for (const fp4lab::nn::Param* p : params) {
    inputs.push_back(to_double(p->value));
    gradients.push_back(p->grad.span());
    names.push_back(p->name);
  }
  const double want = twin(inputs);
  EXPECT_LE(std::fabs(loss - want), options.forward * std::max(1.0, std::fabs(want)))
      << "loss " << loss << ", the twin says " << want;
  check_gradients(twin, inputs, gradients, options, names);
}

}  // namespace fp4lab_test
