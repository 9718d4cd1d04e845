// Batch normalization of channels, the last axis: images are [items, height, width, channels].
//
// n = rows of the matrix [items * height * width, channels]. Sums down columns have the shape of
// sim/reduce.h, / n is a binary64 division before the rounding, all else binary32 as written:
//
//   training    mean = fl(sum x / n)   d = fl(x - mean)   v = fl(sum d^2 / n)
//   evaluation  mean, v = running statistics
//   r = rsqrt(fl(v + eps))   h = fl(d r)   y = fl(fl(h gain) + bias)
//   running = fl(fl((1 - m) running) + fl(m batch)), m the momentum; the batch's variance enters as
//   fl(sum d^2 / (n - 1)), unbiased, as PyTorch keeps it
//
//   backward: a = fl(sum dy / n)   b = fl(sum dy h / n)   k = fl(gain r)
//   dx = fl(k fl(fl(dy - a) - fl(h b)))   gain += fl(sum dy h)   bias += fl(sum dy)
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/nn/module.h"

namespace fp4lab::nn {

class BatchNorm final : public Module {
 public:
  /// Numbers itself with role `norm`. Gain starts at 1, bias at 0, running mean 0, variance 1.
  BatchNorm(BuildContext& build, const std::string& name, int block, std::size_t channels,
            double eps = 1e-5, double momentum = 0.1);
  /// A training forward uses and records the batch's statistics, any other the running ones.
  void forward(const StepContext& ctx, const Tensor& x, Tensor& y) override;
  void backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) override;
  void collect(std::vector<Param*>& out) override {
    out.push_back(&gain);
    out.push_back(&bias);
  }
  /// Appends the running statistics, by name.
  void state(std::vector<std::pair<std::string, Tensor*>>& out);

  /// Re-estimation after training, when weights that oscillate have spoiled the running averages
  /// (arXiv:2203.11086). While on, the first training forward replaces the statistics and the k-th
  /// one moves each by fl(fl(batch - running) / k): they become plain means over those batches.
  void reestimate(bool on) {
    reestimating_ = on;
    batches_ = 0;
  }

  Param gain, bias;                  ///< [channels]
  Tensor running_mean, running_var;  ///< [channels]

 private:
  void record(Tensor& running, const Tensor& batch);

  std::string name_;
  float eps_, momentum_;
  bool reestimating_ = false;
  std::uint64_t batches_ = 0;
  Tensor h_, r_;
};

}  // namespace fp4lab::nn
