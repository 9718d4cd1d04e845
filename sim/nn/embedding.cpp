#include "sim/nn/embedding.h"

#include <algorithm>
#include <stdexcept>

#include "sim/nn/init.h"
#include "sim/nn/row_tiles.h"
#include "sim/reduce.h"

namespace fp4lab::nn {

Embedding::Embedding(BuildContext& build, const std::string& name, std::size_t vocab,
                     std::size_t dim, double std, Role role) {
  const LayerInfo& info = build.add(name, role);
  table.name = name + ".table";
  table.layer = info.index;
  table.role = role;
  table.value = Tensor({vocab, dim});
  table.grad = Tensor({vocab, dim});
  table.decay = false;
  fill_normal(init_stream(build.seed_init, info.index), static_cast<float>(std),
              table.value.span());
}

void Embedding::forward(const StepContext& ctx, std::span<const std::int32_t> tokens, Tensor& y) {
  const std::size_t vocab = table.value.rows(), dim = table.value.cols();
  for (const std::int32_t t : tokens) {
    if (t < 0 || static_cast<std::size_t>(t) >= vocab) {
      throw std::invalid_argument(table.name + ": token " + std::to_string(t) + "; the table has " +
                                  std::to_string(vocab));
    }
  }
  if (ctx.training) tokens_.assign(tokens.begin(), tokens.end());
  y.resize({tokens.size(), dim});
  in_row_tiles(tokens.size(), dim, [&](std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      std::copy_n(table.value.data() + static_cast<std::size_t>(tokens[i]) * dim, dim,
                  y.data() + i * dim);
    }
  });
}

void Embedding::backward(const StepContext&, const Tensor& dy) {
  const std::size_t vocab = table.value.rows(), dim = table.value.cols();
  if (dy.rows() != tokens_.size() || dy.cols() != dim) {
    throw std::invalid_argument(table.name + ": a gradient of " + std::to_string(dy.size()) +
                                " numbers for " + std::to_string(tokens_.size()) + " tokens");
  }
  // Positions sorted by token, ascending within a token.
  std::vector<std::uint32_t> start(vocab + 1, 0), position(tokens_.size());
  for (const std::int32_t t : tokens_) ++start[static_cast<std::size_t>(t) + 1];
  for (std::size_t v = 0; v < vocab; ++v) start[v + 1] += start[v];
  std::vector<std::uint32_t> next(start.begin(), start.end() - 1);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    position[next[static_cast<std::size_t>(tokens_[i])]++] = static_cast<std::uint32_t>(i);
  }
#pragma omp parallel for schedule(dynamic, 1) if (dy.size() >= kParallelElements)
  for (std::ptrdiff_t v = 0; v < static_cast<std::ptrdiff_t>(vocab); ++v) {
    const std::size_t row = static_cast<std::size_t>(v);
    if (start[row] == start[row + 1]) continue;
    std::vector<double> sums(dim);
    column_sums_of_rows(dy.span(), dim,
                        {position.data() + start[row], position.data() + start[row + 1]}, sums);
    add_rounded(sums, table.grad.row(row));
  }
}

}  // namespace fp4lab::nn
