#include "sim/nn/moe.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "sim/fma.h"
#include "sim/matmul.h"
#include "sim/nn/activation.h"
#include "sim/nn/elementwise.h"
#include "sim/nn/probe.h"
#include "sim/nn/softmax.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

const MoeOptions& checked(const MoeOptions& o) {
  if (o.experts == 0 || o.top_k == 0 || o.top_k > o.experts) {
    throw std::invalid_argument("model.top_k: must be from 1 to model.experts; found " +
                                std::to_string(o.top_k) + " of " + std::to_string(o.experts));
  }
  return o;
}

float order_key(float x) noexcept {
  return is_nan(x) ? -std::numeric_limits<float>::infinity() : x;
}

/// The top_k largest of n logits, best first, ties to the lower index.
void choose(const float* logits, std::size_t n, std::size_t top_k, std::uint32_t* chosen) {
  for (std::size_t k = 0; k < top_k; ++k) {
    std::size_t best = n;
    for (std::size_t e = 0; e < n; ++e) {
      if (std::find(chosen, chosen + k, static_cast<std::uint32_t>(e)) != chosen + k) continue;
      if (best == n || order_key(logits[e]) > order_key(logits[best])) best = e;
    }
    chosen[k] = static_cast<std::uint32_t>(best);
  }
}

}  // namespace

Routing route(const Tensor& logits, std::size_t top_k) {
  const std::size_t tokens = logits.rows(), experts = logits.cols();
  Routing r;
  r.experts = experts;
  r.top_k = top_k;
  r.chosen.resize(tokens * top_k);
  r.of.resize(experts);
  r.load.assign(experts, 0);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::uint32_t* chosen = r.chosen.data() + t * top_k;
    choose(logits.data() + t * experts, experts, top_k, chosen);
    for (std::size_t k = 0; k < top_k; ++k) {
      r.of[chosen[k]].push_back(static_cast<std::uint32_t>(t));
      ++r.load[chosen[k]];
    }
  }
  return r;
}

Moe::Moe(BuildContext& build, const std::string& name, int block, const MoeOptions& options)
    : options_(checked(options)),
      router_(build, name + ".router", Role::router, block, options.dim, options.experts,
              {.bias = false}) {
  const SwiGluRoles roles{Role::expert_gate, Role::expert_up, Role::expert_down};
  for (std::size_t e = 0; e < options.experts; ++e) {
    experts_.push_back(std::make_unique<SwiGlu>(build, name + ".expert" + std::to_string(e), block,
                                                options.dim, options.width, roles));
  }
  in_.resize(options.experts);
  out_.resize(options.experts);
  d_in_.resize(options.experts);
}

void Moe::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  const std::size_t dim = options_.dim, experts = options_.experts, top_k = options_.top_k;
  router_.forward(ctx, x, logits_);
  routing_ = route(logits_, top_k);
  const std::size_t tokens = logits_.rows();
  share_.resize({tokens, experts});
  gate_.resize({tokens, top_k});
  softmax_rows(logits_.span(), experts, share_.span());
  const Tensor& of = top_k == 1 ? share_ : logits_;
  for (std::size_t i = 0; i < tokens * top_k; ++i) {
    gate_[i] = of[i / top_k * experts + routing_.chosen[i]];
  }
  if (top_k != 1) softmax_rows(gate_.span(), top_k, gate_.span());

  place_.assign(top_k, std::vector<std::uint32_t>(tokens));
  for (std::size_t e = 0; e < experts; ++e) {
    const std::vector<std::uint32_t>& of = routing_.of[e];
    if (of.empty()) continue;
    in_[e].resize({of.size(), dim});
    for (std::size_t i = 0; i < of.size(); ++i) {
      std::copy_n(x.data() + of[i] * dim, dim, in_[e].data() + i * dim);
      for (std::size_t k = 0; k < top_k; ++k) {
        if (routing_.chosen[of[i] * top_k + k] == e)
          place_[k][of[i]] = static_cast<std::uint32_t>(i);
      }
    }
    experts_[e]->forward(ctx, in_[e], out_[e]);
  }
  y.resize(x.shape());
#pragma omp parallel for schedule(static)
  for (std::size_t t = 0; t < tokens; ++t) {
    float* to = y.data() + t * dim;
    std::fill_n(to, dim, 0.0f);
    for (std::size_t k = 0; k < top_k; ++k) {
      const float* from = out_[routing_.chosen[t * top_k + k]].data() + place_[k][t] * dim;
      const float g = gate_[t * top_k + k];
      for (std::size_t j = 0; j < dim; ++j) to[j] = fma_rn(g, from[j], to[j]);
    }
  }

  std::vector<double> mean(experts);
  column_sums(share_.span(), experts, mean);
  balance_loss_ = 0.0;
  const double assigned = static_cast<double>(tokens * top_k);
  for (std::size_t e = 0; e < experts && tokens != 0; ++e) {
    balance_loss_ +=
        static_cast<double>(routing_.load[e]) / assigned * (mean[e] / static_cast<double>(tokens));
  }
  balance_loss_ *= options_.balance * static_cast<double>(experts);
  if (ctx.probe != nullptr) report(ctx, x);
}

void Moe::report(const StepContext& ctx, const Tensor& x) const {
  // The router as it would be with empty slots.
  Tensor a = x, w = router_.weight().value;
  if (router_.config().compute == Compute::bf16) {
    round_to_bf16(a.span(), a.span());
    round_to_bf16(w.span(), w.span());
  }
  const std::size_t tokens = logits_.rows(), experts = options_.experts, top_k = options_.top_k;
  Tensor plain({tokens, experts});
  matmul(MatrixView::of(a.data(), tokens, options_.dim),
         MatrixView::of(w.data(), experts, options_.dim),
         MutableMatrixView::of(plain.data(), tokens, experts));
  const Routing other = route(plain, top_k);
  std::uint64_t flips = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto set = [&](const Routing& r) {
      const auto first = r.chosen.begin() + static_cast<std::ptrdiff_t>(t * top_k);
      std::vector<std::uint32_t> s(first, first + static_cast<std::ptrdiff_t>(top_k));
      std::sort(s.begin(), s.end());
      return s;
    };
    flips += set(routing_) != set(other) ? 1 : 0;
  }
  ctx.probe->router(router_.layer(), routing_.load, flips);
}

void Moe::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  const std::size_t dim = options_.dim, experts = options_.experts, top_k = options_.top_k;
  const std::size_t tokens = logits_.rows();
  // Gates: the gradient of gate k of a token is the product of dy and its expert's output.
  Tensor d_gate({tokens, top_k});
#pragma omp parallel for schedule(static)
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* g = dy.data() + t * dim;
    for (std::size_t k = 0; k < top_k; ++k) {
      const float* o = out_[routing_.chosen[t * top_k + k]].data() + place_[k][t] * dim;
      d_gate[t * top_k + k] = round_sum(sum_terms(dim, [&](std::size_t j) {
        return static_cast<double>(g[j]) * static_cast<double>(o[j]);
      }));
    }
  }
  for (std::size_t e = 0; e < experts; ++e) {
    const std::vector<std::uint32_t>& of = routing_.of[e];
    if (of.empty()) continue;
    d_out_.resize({of.size(), dim});
    for (std::size_t i = 0; i < of.size(); ++i) {
      const std::size_t t = of[i];
      float gate = 0.0f;
      for (std::size_t k = 0; k < top_k; ++k) {
        if (routing_.chosen[t * top_k + k] == e) gate = gate_[t * top_k + k];
      }
      for (std::size_t j = 0; j < dim; ++j) d_out_[i * dim + j] = gate * dy[t * dim + j];
    }
    experts_[e]->backward(ctx, d_out_, d_in_[e]);
  }

  // Through the softmax over all: the balance loss, and with one choice its gate.
  const double assigned = static_cast<double>(tokens * top_k);
  std::vector<float> pull(experts);
  for (std::size_t e = 0; e < experts && tokens != 0; ++e) {
    pull[e] = static_cast<float>(
        static_cast<double>(loss_scale_) * options_.balance * static_cast<double>(experts) *
        (static_cast<double>(routing_.load[e]) / assigned) / static_cast<double>(tokens));
  }
  d_logits_.resize(logits_.shape());
  for (std::size_t t = 0; t < tokens; ++t) {
    std::copy(pull.begin(), pull.end(), d_logits_.data() + t * experts);
    if (top_k == 1) d_logits_[t * experts + routing_.chosen[t]] += d_gate[t];
  }
  softmax_rows_backward(share_.span(), d_logits_.span(), experts, d_logits_.span());
  if (top_k != 1) {
    softmax_rows_backward(gate_.span(), d_gate.span(), top_k, d_gate.span());
    for (std::size_t i = 0; i < tokens * top_k; ++i) {
      d_logits_[i / top_k * experts + routing_.chosen[i]] += d_gate[i];
    }
  }
  router_.backward(ctx, d_logits_, dx);
  dx.reshape(dy.shape());
#pragma omp parallel for schedule(static)
  for (std::size_t t = 0; t < tokens; ++t) {
    float* to = dx.data() + t * dim;
    for (std::size_t k = 0; k < top_k; ++k) {
      const float* from = d_in_[routing_.chosen[t * top_k + k]].data() + place_[k][t] * dim;
      for (std::size_t j = 0; j < dim; ++j) to[j] += from[j];
    }
  }
}

void Moe::collect(std::vector<Param*>& out) {
  router_.collect(out);
  for (const auto& e : experts_) e->collect(out);
}

void Moe::linears(std::vector<Linear*>& out) {
  out.push_back(&router_);
  for (const auto& e : experts_) e->linears(out);
}

std::vector<Linear*> Moe::readers() {
  std::vector<Linear*> all{&router_};
  for (const auto& e : experts_) {
    for (Linear* l : e->readers()) all.push_back(l);
  }
  return all;
}

}  // namespace fp4lab::nn
