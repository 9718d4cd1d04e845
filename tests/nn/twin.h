// How layers are checked: a test writes the operation a second time, as plain loops over doubles
// with the functions of <cmath>. That twin is compared with the layer's forward, and its central
// differences with the layer's hand-written backward.
//
//   const Twin twin = [](const Values& in) { ... return y; };   // in[0] = x, then the parameters
//   check_module(layer, twin, random_tensor({5, 7}, 1));
//
// or, for what is no Module, check_forward and check_gradients. Inputs are fixed by their seeds.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sim/nn/module.h"
#include "sim/tensor.h"

namespace fp4lab_test {

using Vec = std::vector<double>;
/// The inputs of a twin: one flat, row-major vector each.
using Values = std::vector<Vec>;
/// An operation in binary64, from all of its inputs to its flat output.
using Twin = std::function<Vec(const Values&)>;
/// The same with a scalar result, a loss.
using ScalarTwin = std::function<double(const Values&)>;

/// Normal numbers with the given deviation and mean, from Philox: the same on every machine.
fp4lab::Tensor random_tensor(const fp4lab::Shape& shape, std::uint64_t seed, double deviation = 1,
                             double mean = 0);
/// Integers 0 ... below - 1, from Philox.
std::vector<std::int32_t> random_labels(std::size_t n, std::int32_t below, std::uint64_t seed);

Vec to_double(std::span<const float> x);
inline Vec to_double(const fp4lab::Tensor& x) { return to_double(x.span()); }

struct TwinOptions {
  double forward = 1e-5;  ///< |y - twin| <= forward * max(largest |twin|, forward_floor)
  double forward_floor = 1e-30;
  double gradient = 1e-4;  ///< the same for gradients, against the largest of the same input
  /// Relative size of a gradient below which it counts as 0 (a layer may have inputs that the loss
  /// does not depend on).
  double gradient_floor = 1e-7;
  std::size_t checks = 64;  ///< elements of each input that are moved one by one
  double step = 1e-5;       ///< of central differences, times max(1, |x|)
  fp4lab::nn::StepContext context{};
};

/// The forward against the twin.
void check_forward(std::span<const float> y, const Vec& twin, const TwinOptions& options = {},
                   const std::string& what = "y");

/// Gradients of a scalar twin against `gradients`, one for each input (an empty span: not checked).
/// Up to options.checks elements of each input are moved one by one, and all of them at once along
/// a random direction.
void check_gradients(const ScalarTwin& twin, const Values& inputs,
                     const std::vector<std::span<const float>>& gradients,
                     const TwinOptions& options = {}, const std::vector<std::string>& names = {});

/// The same for an operation with the output gradient `dy`: the loss is sum of dy[i] y[i].
void check_gradients(const Twin& twin, const Values& inputs, const fp4lab::Tensor& dy,
                     const std::vector<std::span<const float>>& gradients,
                     const TwinOptions& options = {}, const std::vector<std::string>& names = {});

/// A layer in training mode: forward, dx and the gradient of each of its parameters (the twin's
/// inputs 1, 2, ... in the order of collect()), and that a second backward adds to the gradients.
void check_module(fp4lab::nn::Module& layer, const Twin& twin, const fp4lab::Tensor& x,
                  const TwinOptions& options = {});

/// A model's scalar twin over its parameters in construction order. `loss` is what its forward
/// reported; backward(1) has run on zeroed gradients.
void check_model(const std::vector<fp4lab::nn::Param*>& params, const ScalarTwin& twin, double loss,
                 const TwinOptions& options = {});

}  // namespace fp4lab_test
