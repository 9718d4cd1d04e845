// The blocks of the models in binary64, written as plain loops: what their binary32 forms are held
// against. Matrices are row-major vectors.
#pragma once

#include <cstddef>
#include <vector>

#include "tests/nn/twin.h"

namespace fp4lab_test {

/// Hands out the parameters of a module in the order of collect().
class Parameters {
 public:
  explicit Parameters(const Values& values, std::size_t first = 0) : values_(values), at_(first) {}
  const Vec& next() { return values_.at(at_++); }

 private:
  const Values& values_;
  std::size_t at_;
};

/// x [rows, in] W^T + b, W [out, in]; an empty b is none.
Vec twin_linear(const Vec& x, const Vec& w, std::size_t in, const Vec& b = {});
Vec twin_rms_norm(const Vec& x, const Vec& gain, double eps);
Vec twin_layer_norm(const Vec& x, const Vec& gain, const Vec& bias, double eps);
Vec twin_silu(Vec x);
Vec twin_gelu(Vec x);
Vec twin_add(Vec x, const Vec& y);
Vec twin_multiply(Vec x, const Vec& y);

struct AttentionSizes {
  std::size_t items = 1, length = 1, dim = 1, heads = 1;
  bool causal = true, rope = true;
  double base = 10000.0;
};
/// Between the linear layers; q, k, v [items, length, dim].
Vec twin_attention_core(const AttentionSizes& s, Vec q, Vec k, const Vec& v);
Vec twin_attention(const AttentionSizes& s, const Vec& x, Parameters& p, bool bias);
Vec twin_swiglu(const Vec& x, Parameters& p, std::size_t dim);
Vec twin_mlp(const Vec& x, Parameters& p, std::size_t dim);

struct SsmSizes {
  std::size_t items = 1, length = 1, dim = 1, states = 1, conv = 1, expand = 1;
};
/// y [items, length, channels]; a [channels, states] is A itself.
Vec twin_scan(std::size_t items, std::size_t length, std::size_t channels, std::size_t states,
              const Vec& x, const Vec& delta, const Vec& a, const Vec& b, const Vec& c,
              const Vec& d);
Vec twin_conv(std::size_t items, std::size_t length, std::size_t channels, std::size_t width,
              const Vec& x, const Vec& weight, const Vec& bias);
Vec twin_ssm(const SsmSizes& s, const Vec& x, Parameters& p);

struct MoeSizes {
  std::size_t dim = 1, experts = 1, top_k = 1;
};
/// Adds the unweighted balance loss, experts * sum of f P, to *balance.
Vec twin_moe(const MoeSizes& s, const Vec& x, Parameters& p, double* balance = nullptr);

/// Mean of -log softmax(logits)[target] over targets from 0.
double twin_cross_entropy(const Vec& logits, std::size_t classes,
                          const std::vector<std::int32_t>& targets);

}  // namespace fp4lab_test
