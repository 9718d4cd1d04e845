#include "sim/nn/ssm.h"

#include <algorithm>
#include <stdexcept>

#include "sim/math.h"
#include "sim/math_array.h"
#include "sim/nn/activation.h"
#include "sim/nn/elementwise.h"
#include "sim/nn/init.h"
#include "sim/nn/output_init.h"
#include "sim/reduce.h"

namespace fp4lab::nn {
namespace {

const SsmOptions& checked(const SsmOptions& o) {
  if (o.dim == 0 || o.states == 0 || o.conv == 0 || o.expand == 0) {
    throw std::invalid_argument(
        "model.ssm_state, model.ssm_conv, model.ssm_expand: each must be at least 1; found " +
        std::to_string(o.states) + ", " + std::to_string(o.conv) + ", " + std::to_string(o.expand));
  }
  return o;
}

Param make_param(const std::string& name, const LayerInfo& info, Shape shape, bool decay) {
  Param p;
  p.name = name;
  p.layer = info.index;
  p.role = info.role;
  p.value = Tensor(shape);
  p.grad = Tensor(std::move(shape));
  p.decay = decay;
  return p;
}

/// The weight's taps start as normals of variance 1 / taps.
Param make_conv_weight(BuildContext& build, const std::string& name, int block,
                       const SsmOptions& o) {
  const LayerInfo& info = build.add(name + ".conv", Role::ssm_conv, block);
  Param p = make_param(info.name + ".weight", info, {o.conv, o.inner()}, true);
  fill_normal(init_stream(build.seed_init, info.index), math::rsqrt(static_cast<float>(o.conv)),
              p.value.span());
  return p;
}

/// Adds the column sums of x [rows, gradient's size] to a gradient.
void add_columns(const Tensor& x, Tensor& gradient) {
  std::vector<double> sums(gradient.size());
  column_sums(x.span(), gradient.size(), sums);
  add_rounded(sums, gradient.span());
}

/// Columns [first, first + to.cols()) of each row, out of or into a wider matrix.
void take_columns(const Tensor& from, std::size_t first, Tensor& to) {
  const std::size_t rows = from.rows(), wide = from.cols(), n = to.cols();
#pragma omp parallel for schedule(static)
  for (std::size_t r = 0; r < rows; ++r) {
    std::copy_n(from.data() + r * wide + first, n, to.data() + r * n);
  }
}
void put_columns(const Tensor& from, std::size_t first, Tensor& to) {
  const std::size_t rows = to.rows(), wide = to.cols(), n = from.cols();
#pragma omp parallel for schedule(static)
  for (std::size_t r = 0; r < rows; ++r) {
    std::copy_n(from.data() + r * n, n, to.data() + r * wide + first);
  }
}

}  // namespace

Ssm::Ssm(BuildContext& build, const std::string& name, int block, const SsmOptions& options)
    : options_(checked(options)),
      in_(build, name + ".in", Role::ssm_in, block, options.dim, 2 * options.inner(),
          {.bias = false}),
      conv_weight_(make_conv_weight(build, name, block, options)),
      conv_bias_(make_param(name + ".conv.bias", build.layers.back(), {options.inner()}, false)),
      x_(build, name + ".x", Role::ssm_scan, block, options.inner(),
         options.rank() + 2 * options.states, {.bias = false}),
      dt_(build, name + ".dt", Role::ssm_scan, block, options.rank(), options.inner()),
      a_log_(make_param(name + ".scan.a_log", build.add(name + ".scan", Role::ssm_scan, block),
                        {options.inner(), options.states}, false)),
      d_(make_param(name + ".scan.d", build.layers.back(), {options.inner()}, false)),
      out_(build, name + ".out", Role::ssm_out, block, options.inner(), options.dim,
           {.bias = false, .init_std = output_std(build, options.inner())}) {
  const std::size_t inner = options_.inner(), states = options_.states;
  for (std::size_t i = 0; i < inner * states; ++i) {
    a_log_.value[i] = math::log(static_cast<float>(i % states + 1));
  }
  d_.value.fill(1.0f);
  Tensor& bias = dt_.bias()->value;
  for (std::size_t c = 0; c < inner; ++c) {
    // softplus(bias) = delta, so bias = log(e^delta - 1).
    const float share = inner == 1 ? 0.0f : static_cast<float>(c) / static_cast<float>(inner - 1);
    const float delta = math::exp(math::log(0.001f) + share * math::log(100.0f));
    bias[c] = math::log(math::expm1(delta));
  }
}

ScanInput Ssm::scan_input() const {
  const std::size_t rank = options_.rank();
  return {u_.data(),   delta_.data(), rbc_.data() + rank, rbc_.data() + rank + options_.states,
          rbc_.cols(), a_.data(),     d_.value.data()};
}

void Ssm::forward(const StepContext& ctx, const Tensor& x, Tensor& y) {
  if (x.rank() != 3 || x.extent(2) != options_.dim) {
    throw std::invalid_argument("a scan block reads [items, length, " +
                                std::to_string(options_.dim) + "]");
  }
  items_ = x.extent(0);
  length_ = x.extent(1);
  const std::size_t inner = options_.inner(), states = options_.states;
  const Shape wide{items_, length_, inner};
  in_.forward(ctx, x, xz_);
  conv_.resize(wide);
  u_.resize(wide);
  causal_conv(items_, length_, inner, options_.conv, xz_.data(), 2 * inner,
              conv_weight_.value.data(), conv_bias_.value.data(), conv_.data());
  activate(ctx, Activation::silu, conv_, u_);
  x_.forward(ctx, u_, rbc_);
  r_.resize({items_, length_, options_.rank()});
  take_columns(rbc_, 0, r_);
  dt_.forward(ctx, r_, pre_delta_);
  delta_.resize(wide);
  softplus(pre_delta_.span(), delta_.span());
  a_.resize({states, inner});
  math::exp(a_log_.value.span(), a_.span());
  Tensor rows = a_;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    a_[i % states * inner + i / states] = -rows[i];
  }
  s_.resize(wide);
  selective_scan({items_, length_, inner, states}, scan_input(), s_.data());
  z_.resize(wide);
  gate_.resize(wide);
  gated_.resize(wide);
  take_columns(xz_, inner, z_);
  activate(ctx, Activation::silu, z_, gate_);
  multiply(s_.span(), gate_.span(), gated_.span());
  out_.forward(ctx, gated_, y);
}

void Ssm::backward(const StepContext& ctx, const Tensor& dy, Tensor& dx) {
  const std::size_t inner = options_.inner(), states = options_.states;
  const Shape wide{items_, length_, inner};
  out_.backward(ctx, dy, d_gated_);
  d_s_.resize(wide);
  d_z_.resize(wide);
  multiply(d_gated_.span(), gate_.span(), d_s_.span());
  multiply(d_gated_.span(), s_.span(), d_z_.span());
  activate_backward(z_.span(), d_z_.span(), d_z_.span());

  d_u_.resize(wide);
  d_delta_.resize(wide);
  d_rbc_.resize(rbc_.shape());
  item_a_.resize({items_, states, inner});
  item_d_.resize({items_, inner});
  const std::size_t rank = options_.rank();
  selective_scan_backward({items_, length_, inner, states}, scan_input(), d_s_.data(),
                          {d_u_.data(), d_delta_.data(), d_rbc_.data() + rank,
                           d_rbc_.data() + rank + states, item_a_.data(), item_d_.data()});
  add_columns(item_d_, d_.grad);
  // d A_log = d A * A, A_log being stored [inner, states].
  std::vector<double> sums(states * inner);
  column_sums(item_a_.span(), sums.size(), sums);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    float& g = a_log_.grad[i % inner * states + i / inner];
    g += round_sum(sums[i]) * a_[i];
  }

  softplus_backward(pre_delta_.span(), d_delta_.span(), d_delta_.span());
  dt_.backward(ctx, d_delta_, d_r_);
  put_columns(d_r_, 0, d_rbc_);
  x_.backward(ctx, d_rbc_, part_);
  add(d_u_.span(), part_.span(), d_u_.span());
  activate_backward(conv_.span(), d_u_.span(), d_u_.span());

  d_xz_.resize(xz_.shape());
  item_w_.resize({items_, options_.conv, inner});
  item_b_.resize({items_, inner});
  causal_conv_backward(items_, length_, inner, options_.conv, xz_.data(), 2 * inner,
                       conv_weight_.value.data(), d_u_.data(), d_xz_.data(), 2 * inner,
                       item_w_.data(), item_b_.data());
  add_columns(item_w_, conv_weight_.grad);
  add_columns(item_b_, conv_bias_.grad);
  put_columns(d_z_, inner, d_xz_);
  in_.backward(ctx, d_xz_, dx);
}

void Ssm::collect(std::vector<Param*>& out) {
  in_.collect(out);
  out.push_back(&conv_weight_);
  out.push_back(&conv_bias_);
  x_.collect(out);
  dt_.collect(out);
  out.push_back(&a_log_);
  out.push_back(&d_);
  out_.collect(out);
}

void Ssm::linears(std::vector<Linear*>& out) {
  for (Linear* l : {&in_, &x_, &dt_, &out_}) out.push_back(l);
}

}  // namespace fp4lab::nn
