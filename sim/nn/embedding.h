// Embedding: a row of a table for each token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/nn/module.h"

namespace fp4lab::nn {

/// y[i] = table[token[i]]. The backward adds, to each row of the gradient, the sum of dy over the
/// positions of its token in ascending order: position k of them is term k of sim/reduce.h's sum,
/// rounded once.
class Embedding {
 public:
  /// Numbers itself with role `role`; the table [vocab, dim] starts at normals of deviation `std`.
  Embedding(BuildContext& build, const std::string& name, std::size_t vocab, std::size_t dim,
            double std, Role role = Role::embedding);

  /// y [tokens, dim]. Throws std::invalid_argument for a token outside of the table.
  void forward(const StepContext& ctx, std::span<const std::int32_t> tokens, Tensor& y);
  void backward(const StepContext& ctx, const Tensor& dy);
  void collect(std::vector<Param*>& out) { out.push_back(&table); }

  Param table;

 private:
  std::vector<std::int32_t> tokens_;
};

}  // namespace fp4lab::nn
