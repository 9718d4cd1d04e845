// Normalization of rows: LayerNorm and RMSNorm.
//
// Sums have the shape of sim/reduce.h, / n is a binary64 division before the rounding to binary32,
// everything else is binary32 in the order written:
//
//   LayerNorm  mean = fl(sum x / n)   d = fl(x - mean)   v = fl(sum d^2 / n)
//   RMSNorm                           d = x              v = fl(sum x^2 / n)
//   r = rsqrt(fl(v + eps))   h = fl(d r)   y = fl(h gain), LayerNorm: fl(fl(h gain) + bias)
//
//   backward: u = fl(dy gain)   b = fl(sum u h / n)   a = fl(sum u / n), RMSNorm: no a
//   dx = fl(r fl(fl(u - a) - fl(h b)))
//   gain += fl(column sum of dy h)   bias += fl(column sum of dy)
#pragma once

#include <string>

#include "sim/nn/module.h"

namespace fp4lab::nn {

/// y = gain x / sqrt(mean x^2 + eps) for each row of `dim` numbers. The gain starts at 1.
class RmsNorm final : public Module {
 public:
  /// Numbers itself with role `norm`. `dim` > 0, else std::invalid_argument.
  RmsNorm(BuildContext& build, const std::string& name, int block, std::size_t dim, double eps);
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override { out.push_back(&gain); }

  Param gain;  ///< [dim]

 private:
  float eps_;
  Tensor h_, r_;
};

/// y = gain (x - mean) / sqrt(variance + eps) + bias for each row. Gain starts at 1, bias at 0.
class LayerNorm final : public Module {
 public:
  /// Numbers itself with role `norm`. `dim` > 0, else std::invalid_argument.
  LayerNorm(BuildContext& build, const std::string& name, int block, std::size_t dim, double eps);
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override {
    out.push_back(&gain);
    out.push_back(&bias);
  }

  Param gain, bias;  ///< [dim]

 private:
  float eps_;
  Tensor h_, r_;
};

/// A parameter vector of a layer that is not decayed: gains, biases.
Param vector_param(const LayerInfo& info, const char* name, std::size_t n, float value);

}  // namespace fp4lab::nn
