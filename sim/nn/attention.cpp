#include "sim/nn/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sim/fma.h"
#include "sim/math.h"
#include "sim/math_array.h"
#include "sim/nn/activation.h"
#include "sim/nn/attention_kernel.h"
#include "sim/nn/elementwise.h"
#include "sim/nn/output_init.h"
#include "sim/nn/probe.h"
#include "sim/reduce.h"

namespace fp4lab::nn {

using detail::chain_product;
using detail::ChainMask;

namespace {

std::string describe(const AttentionOptions& o) {
  return "dim " + std::to_string(o.dim) + ", heads " + std::to_string(o.heads);
}

const AttentionOptions& checked(const AttentionOptions& o) {
  if (o.heads == 0 || o.dim == 0 || o.dim % o.heads != 0) {
    throw std::invalid_argument("model.heads: the width must be a multiple of the heads; found " +
                                describe(o));
  }
  if (o.rope && (o.dim / o.heads) % 2 != 0) {
    throw std::invalid_argument(
        "model.heads: rotary positions need an even width for each head; found " + describe(o));
  }
  return o;
}

}  // namespace

AttentionCore::AttentionCore(BuildContext& build, const std::string& name, int block,
                             const AttentionOptions& options)
    : options_(checked(options)),
      width_(options.dim / options.heads),
      scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(width_)))),
      qk_(build, name + ".qk", block, options.quantize_products),
      pv_(build, name + ".pv", block, options.quantize_products) {
  layer_ = qk_.layer();
  if (!options.rope) return;
  for (std::size_t j = 0; 2 * j < width_; ++j) {
    const double e = -2.0 * static_cast<double>(j) / static_cast<double>(width_);
    frequency_.push_back(math::pow(static_cast<float>(options.rope_base), static_cast<float>(e)));
  }
}

void AttentionCore::grow_angles(std::size_t length) {
  const std::size_t half = frequency_.size();
  if (half == 0 || cos_.size() >= length * half) return;
  std::vector<float> angle(length * half);
  for (std::size_t t = 0; t < length; ++t) {
    for (std::size_t j = 0; j < half; ++j) {
      angle[t * half + j] = static_cast<float>(t) * frequency_[j];
    }
  }
  cos_.resize(angle.size());
  sin_.resize(angle.size());
  math::cos(angle, cos_);
  math::sin(angle, sin_);
}

void AttentionCore::rotate(Tensor& x, float direction) const {
  const std::size_t half = frequency_.size();
  if (half == 0) return;
  const std::size_t rows = items_ * length_;
#pragma omp parallel for schedule(static)
  for (std::size_t r = 0; r < rows; ++r) {
    const float* c = cos_.data() + r % length_ * half;
    const float* s = sin_.data() + r % length_ * half;
    for (std::size_t h = 0; h < options_.heads; ++h) {
      float* a = x.data() + r * options_.dim + h * width_;
      float* b = a + half;
      for (std::size_t j = 0; j < half; ++j) {
        const float sine = direction * s[j];
        const float u = a[j] * c[j] - b[j] * sine;
        const float w = b[j] * c[j] + a[j] * sine;
        a[j] = canonical(u);
        b[j] = canonical(w);
      }
    }
  }
}

void AttentionCore::scores(std::size_t g, Scratch& s) {
  const std::size_t at = g / options_.heads * length_ * options_.dim + g % options_.heads * width_;
  s.transposed.resize(width_ * length_);
  detail::transpose(k_->data() + at, options_.dim, length_, width_, s.transposed.data());
  chain_product({q_->data() + at, options_.dim, 1, s.transposed.data(), length_,
                 p_.data() + g * length_ * length_, length_, length_, length_, width_,
                 options_.causal ? ChainMask::c_to_row : ChainMask::none});
}

void AttentionCore::outputs(std::size_t g, Scratch& s, Tensor& o) const {
  const std::size_t at = g / options_.heads * length_ * options_.dim + g % options_.heads * width_;
  const float* p = p_.data() + g * length_ * length_;
  if (pv_.compute() == Compute::bf16) {
    s.rounded.resize(length_ * length_);
    detail::round_to_bf16({p, length_ * length_}, s.rounded);
    p = s.rounded.data();
  }
  chain_product({p, length_, 1, v_->data() + at, options_.dim, o.data() + at, options_.dim, length_,
                 width_, length_, options_.causal ? ChainMask::k_to_row : ChainMask::none});
}

void AttentionCore::forward(const StepContext& ctx, Tensor& q, Tensor& k, Tensor& v, Tensor& o) {
  if (q.rank() != 3 || q.extent(2) != options_.dim || k.shape() != q.shape() ||
      v.shape() != q.shape()) {
    throw std::invalid_argument("attention: q, k, v must be [items, length, " +
                                std::to_string(options_.dim) + "]");
  }
  items_ = q.extent(0);
  length_ = q.extent(1);
  q_ = &q, k_ = &k, v_ = &v;
  grow_angles(length_);
  rotate(q, 1.0f);
  rotate(k, 1.0f);
  const std::size_t groups = items_ * options_.heads;
  const bool qk_plain = !qk_.quantizes(ctx), pv_plain = !pv_.quantizes(ctx);
  if (qk_plain && qk_.compute() == Compute::bf16) {
    round_to_bf16(q.span(), q.span());
    round_to_bf16(k.span(), k.span());
  }
  if (pv_plain && pv_.compute() == Compute::bf16) round_to_bf16(v.span(), v.span());
  p_.resize({items_, options_.heads, length_, length_});
  o.resize(q.shape());
  scratch_.resize(static_cast<std::size_t>(omp_get_max_threads()));

  if (!qk_plain) {
    gather(q, heads_q_, false);
    gather(k, heads_k_, false);
    qk_.forward(ctx, {groups, length_, length_, width_}, heads_q_, heads_k_, p_);
  }
#pragma omp parallel for schedule(static)
  for (std::size_t g = 0; g < groups; ++g) {
    Scratch& s = scratch_[static_cast<std::size_t>(omp_get_thread_num())];
    if (qk_plain) scores(g, s);
    detail::softmax_rows(p_.data() + g * length_ * length_, length_, scale_, options_.causal,
                         s.work);
    if (pv_plain) outputs(g, s, o);
  }
  if (!pv_plain) {
    gather(v, heads_v_, true);
    pv_.forward(ctx, {groups, length_, width_, length_}, p_, heads_v_, heads_o_);
    scatter(heads_o_, o, false);
  }
  if (ctx.probe != nullptr) report(ctx);
}

void AttentionCore::output_gradients(std::size_t g, Scratch& s, Tensor& dv) const {
  const std::size_t at = g / options_.heads * length_ * options_.dim + g % options_.heads * width_;
  const std::size_t square = length_ * length_;
  s.transposed.resize(width_ * length_);
  detail::transpose(v_->data() + at, options_.dim, length_, width_, s.transposed.data());
  s.scores.resize(square);
  chain_product({grad_->data() + at, options_.dim, 1, s.transposed.data(), length_, s.scores.data(),
                 length_, length_, length_, width_,
                 options_.causal ? ChainMask::c_to_row : ChainMask::none});
  const float* p = p_.data() + g * square;
  if (pv_.compute() == Compute::bf16) {
    s.rounded.resize(square);
    detail::round_to_bf16({p, square}, s.rounded);
    p = s.rounded.data();
  }
  chain_product({p, 1, length_, grad_->data() + at, options_.dim, dv.data() + at, options_.dim,
                 length_, width_, length_,
                 options_.causal ? ChainMask::k_from_row : ChainMask::none});
}

void AttentionCore::score_gradients(std::size_t g, const float* ds, Tensor& dq, Tensor& dk) const {
  const std::size_t at = g / options_.heads * length_ * options_.dim + g % options_.heads * width_;
  chain_product({ds, length_, 1, k_->data() + at, options_.dim, dq.data() + at, options_.dim,
                 length_, width_, length_,
                 options_.causal ? ChainMask::k_to_row : ChainMask::none});
  chain_product({ds, 1, length_, q_->data() + at, options_.dim, dk.data() + at, options_.dim,
                 length_, width_, length_,
                 options_.causal ? ChainMask::k_from_row : ChainMask::none});
}

void AttentionCore::backward(const StepContext& ctx, const Tensor& d_o, Tensor& dq, Tensor& dk,
                             Tensor& dv) {
  const std::size_t groups = items_ * options_.heads, square = length_ * length_;
  dq.resize(d_o.shape());
  dk.resize(d_o.shape());
  dv.resize(d_o.shape());
  scratch_.resize(static_cast<std::size_t>(omp_get_max_threads()));
  const bool qk_plain = !qk_.quantizes(ctx), pv_plain = !pv_.quantizes(ctx);
  if (pv_plain) {
    grad_ = &d_o;
    if (pv_.compute() == Compute::bf16) {
      d_o_.resize(d_o.shape());
      round_to_bf16(d_o.span(), d_o_.span());
      grad_ = &d_o_;
    }
  } else {
    gather(d_o, heads_o_, false);
    pv_.backward(ctx, heads_o_, heads_dp_, heads_v_);
    scatter(heads_v_, dv, true);
  }
  if (!qk_plain && pv_plain) heads_dp_.resize(p_.shape());
#pragma omp parallel for schedule(static)
  for (std::size_t g = 0; g < groups; ++g) {
    Scratch& s = scratch_[static_cast<std::size_t>(omp_get_thread_num())];
    if (pv_plain) output_gradients(g, s, dv);
    float* ds = pv_plain ? s.scores.data() : heads_dp_.data() + g * square;
    detail::softmax_backward_rows(p_.data() + g * square, ds, length_, scale_, options_.causal);
    if (!qk_plain) {
      if (pv_plain) std::copy_n(ds, square, heads_dp_.data() + g * square);
      continue;
    }
    if (qk_.compute() == Compute::bf16) detail::round_to_bf16({ds, square}, {ds, square});
    score_gradients(g, ds, dq, dk);
  }
  if (!qk_plain) {
    qk_.backward(ctx, heads_dp_, heads_q_, heads_k_);
    scatter(heads_q_, dq, false);
    scatter(heads_k_, dk, false);
  }
  rotate(dq, -1.0f);
  rotate(dk, -1.0f);
}

void AttentionCore::gather(const Tensor& x, Tensor& y, bool transposed) const {
  const std::size_t heads = options_.heads;
  y.resize(transposed ? Shape{items_, heads, width_, length_}
                      : Shape{items_, heads, length_, width_});
#pragma omp parallel for schedule(static)
  for (std::size_t g = 0; g < items_ * heads; ++g) {
    const float* from = x.data() + g / heads * length_ * options_.dim + g % heads * width_;
    float* to = y.data() + g * length_ * width_;
    if (transposed) {
      detail::transpose(from, options_.dim, length_, width_, to);
      continue;
    }
    for (std::size_t t = 0; t < length_; ++t) {
      std::copy_n(from + t * options_.dim, width_, to + t * width_);
    }
  }
}

void AttentionCore::scatter(const Tensor& y, Tensor& x, bool transposed) const {
  const std::size_t heads = options_.heads;
  x.resize({items_, length_, options_.dim});
#pragma omp parallel for schedule(static)
  for (std::size_t g = 0; g < items_ * heads; ++g) {
    float* to = x.data() + g / heads * length_ * options_.dim + g % heads * width_;
    const float* from = y.data() + g * length_ * width_;
    for (std::size_t t = 0; t < length_; ++t) {
      for (std::size_t j = 0; j < width_; ++j) {
        to[t * options_.dim + j] = transposed ? from[j * length_ + t] : from[t * width_ + j];
      }
    }
  }
}

void AttentionCore::report(const StepContext& ctx) const {
  const std::size_t heads = options_.heads, rows = items_ * length_;
  std::vector<double> entropy(heads);
  std::vector<double> row(rows);
  std::vector<float> log_p(length_);
  std::vector<double> terms(length_);
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t first = (r / length_ * heads + h) * length_ + r % length_;
      const float* p = p_.data() + first * length_;
      const std::size_t n = options_.causal ? r % length_ + 1 : length_;
      math::log({p, n}, log_p);
      for (std::size_t j = 0; j < n; ++j) {
        terms[j] = p[j] == 0.0f ? 0.0 : -static_cast<double>(p[j]) * static_cast<double>(log_p[j]);
      }
      row[r] = sum({terms.data(), n});
    }
    entropy[h] = rows == 0 ? 0.0 : sum(row) / static_cast<double>(rows);
  }
  ctx.probe->attention(layer_, entropy);
}

Attention::Attention(BuildContext& build, const std::string& name, int block,
                     const AttentionOptions& options)
    : q_(build, name + ".q", Role::attn_q, block, checked(options).dim, options.dim,
         {.bias = options.bias}),
      k_(build, name + ".k", Role::attn_k, block, options.dim, options.dim, {.bias = options.bias}),
      v_(build, name + ".v", Role::attn_v, block, options.dim, options.dim, {.bias = options.bias}),
      core_(build, name, block, options),
      o_(build, name + ".o", Role::attn_o, block, options.dim, options.dim,
         {.bias = options.bias, .init_std = output_std(build, options.dim)}) {}

void Attention::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  q_.forward(ctx, x, q_out_);
  k_.forward(ctx, x, k_out_);
  v_.forward(ctx, x, v_out_);
  core_.forward(ctx, q_out_, k_out_, v_out_, core_out_);
  o_.forward(ctx, core_out_, y);
}

void Attention::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  o_.backward(ctx, dy, part_);
  core_.backward(ctx, part_, dq_, dk_, dv_);
  v_.backward(ctx, dv_, part_);
  k_.backward(ctx, dk_, dv_);
  q_.backward(ctx, dq_, dx);
  add(dx.span(), dv_.span(), dx.span());
  add(dx.span(), part_.span(), dx.span());
}

void Attention::collect(std::vector<Param*>& out) {
  q_.collect(out);
  k_.collect(out);
  v_.collect(out);
  o_.collect(out);
}

void Attention::linears(std::vector<Linear*>& out) {
  for (Linear* l : {&q_, &k_, &v_, &o_}) out.push_back(l);
}

}  // namespace fp4lab::nn
