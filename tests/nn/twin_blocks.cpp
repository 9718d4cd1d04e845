#include "tests/nn/twin_blocks.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace fp4lab_test {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

Vec columns(const Vec& x, std::size_t wide, std::size_t first, std::size_t n) {
  Vec y;
  for (std::size_t at = 0; at < x.size(); at += wide) {
    for (std::size_t j = 0; j < n; ++j) y.push_back(x[at + first + j]);
  }
  return y;
}

Vec softmax(const Vec& x) {
  Vec p(x.size());
  double sum = 0;
  const double most = *std::max_element(x.begin(), x.end());
  for (std::size_t i = 0; i < x.size(); ++i) sum += p[i] = std::exp(x[i] - most);
  for (double& v : p) v /= sum;
  return p;
}

void rotate(const AttentionSizes& s, Vec& x) {
  const std::size_t width = s.dim / s.heads, half = width / 2;
  for (std::size_t r = 0; r < s.items * s.length; ++r) {
    for (std::size_t h = 0; h < s.heads; ++h) {
      for (std::size_t j = 0; j < half; ++j) {
        const double angle =
            static_cast<double>(r % s.length) *
            std::pow(s.base, -2.0 * static_cast<double>(j) / static_cast<double>(width));
        double& a = x[r * s.dim + h * width + j];
        double& b = x[r * s.dim + h * width + j + half];
        const double u = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = u;
      }
    }
  }
}

}  // namespace

Vec twin_linear(const Vec& x, const Vec& w, std::size_t in, const Vec& b) {
  const std::size_t rows = x.size() / in, out = w.size() / in;
  Vec y(rows * out);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < out; ++c) {
      double s = b.empty() ? 0 : b[c];
      for (std::size_t k = 0; k < in; ++k) s += x[r * in + k] * w[c * in + k];
      y[r * out + c] = s;
    }
  }
  return y;
}

Vec twin_rms_norm(const Vec& x, const Vec& gain, double eps) {
  const std::size_t n = gain.size();
  Vec y(x.size());
  for (std::size_t at = 0; at < x.size(); at += n) {
    double square = 0;
    for (std::size_t i = 0; i < n; ++i) square += x[at + i] * x[at + i] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) y[at + i] = gain[i] * x[at + i] / std::sqrt(square + eps);
  }
  return y;
}

Vec twin_layer_norm(const Vec& x, const Vec& gain, const Vec& bias, double eps) {
  const std::size_t n = gain.size();
  Vec y(x.size());
  for (std::size_t at = 0; at < x.size(); at += n) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < n; ++i) mean += x[at + i] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      square += (x[at + i] - mean) * (x[at + i] - mean) / static_cast<double>(n);
    }
    for (std::size_t i = 0; i < n; ++i) {
      y[at + i] = gain[i] * (x[at + i] - mean) / std::sqrt(square + eps) + bias[i];
    }
  }
  return y;
}

Vec twin_silu(Vec x) {
  for (double& v : x) v *= sigmoid(v);
  return x;
}

Vec twin_gelu(Vec x) {
  for (double& v : x) v = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
  return x;
}

Vec twin_add(Vec x, const Vec& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  return x;
}

Vec twin_multiply(Vec x, const Vec& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= y[i];
  return x;
}

Vec twin_attention_core(const AttentionSizes& s, Vec q, Vec k, const Vec& v) {
  if (s.rope) {
    rotate(s, q);
    rotate(s, k);
  }
  const std::size_t width = s.dim / s.heads;
  Vec o(q.size(), 0.0);
  for (std::size_t i = 0; i < s.items; ++i) {
    for (std::size_t h = 0; h < s.heads; ++h) {
      const auto at = [&](std::size_t t, std::size_t j) {
        return (i * s.length + t) * s.dim + h * width + j;
      };
      for (std::size_t t = 0; t < s.length; ++t) {
        Vec score;
        for (std::size_t u = 0; u < (s.causal ? t + 1 : s.length); ++u) {
          double dot = 0;
          for (std::size_t j = 0; j < width; ++j) dot += q[at(t, j)] * k[at(u, j)];
          score.push_back(dot / std::sqrt(static_cast<double>(width)));
        }
        const Vec p = softmax(score);
        for (std::size_t u = 0; u < p.size(); ++u) {
          for (std::size_t j = 0; j < width; ++j) o[at(t, j)] += p[u] * v[at(u, j)];
        }
      }
    }
  }
  return o;
}

Vec twin_attention(const AttentionSizes& s, const Vec& x, Parameters& p, bool bias) {
  const auto linear = [&](const Vec& in) {
    const Vec& w = p.next();
    return twin_linear(in, w, s.dim, bias ? p.next() : Vec{});
  };
  const Vec q = linear(x), k = linear(x), v = linear(x);
  return linear(twin_attention_core(s, q, k, v));
}

Vec twin_swiglu(const Vec& x, Parameters& p, std::size_t dim) {
  const Vec gate = twin_linear(x, p.next(), dim), up = twin_linear(x, p.next(), dim);
  const Vec& down = p.next();
  return twin_linear(twin_multiply(twin_silu(gate), up), down, down.size() / dim);
}

Vec twin_mlp(const Vec& x, Parameters& p, std::size_t dim) {
  const Vec& up = p.next();
  const Vec h = twin_gelu(twin_linear(x, up, dim, p.next()));
  const Vec& down = p.next();
  return twin_linear(h, down, down.size() / dim, p.next());
}

Vec twin_scan(std::size_t items, std::size_t length, std::size_t channels, std::size_t states,
              const Vec& x, const Vec& delta, const Vec& a, const Vec& b, const Vec& c,
              const Vec& d) {
  Vec y(items * length * channels);
  for (std::size_t i = 0; i < items; ++i) {
    for (std::size_t ch = 0; ch < channels; ++ch) {
      Vec h(states, 0.0);
      for (std::size_t t = 0; t < length; ++t) {
        const std::size_t row = i * length + t, at = row * channels + ch;
        double out = d[ch] * x[at];
        for (std::size_t n = 0; n < states; ++n) {
          h[n] = std::exp(delta[at] * a[ch * states + n]) * h[n] +
                 delta[at] * x[at] * b[row * states + n];
          out += c[row * states + n] * h[n];
        }
        y[at] = out;
      }
    }
  }
  return y;
}

Vec twin_conv(std::size_t items, std::size_t length, std::size_t channels, std::size_t width,
              const Vec& x, const Vec& weight, const Vec& bias) {
  Vec y(x.size());
  for (std::size_t i = 0; i < items; ++i) {
    for (std::size_t t = 0; t < length; ++t) {
      for (std::size_t c = 0; c < channels; ++c) {
        double s = bias[c];
        for (std::size_t back = 0; back < width && back <= t; ++back) {
          s +=
              weight[(width - 1 - back) * channels + c] * x[(i * length + t - back) * channels + c];
        }
        y[(i * length + t) * channels + c] = s;
      }
    }
  }
  return y;
}

Vec twin_ssm(const SsmSizes& s, const Vec& x, Parameters& p) {
  const std::size_t inner = s.dim * s.expand;
  const Vec xz = twin_linear(x, p.next(), s.dim);
  const Vec &conv_w = p.next(), &conv_b = p.next();
  const Vec u = twin_silu(twin_conv(s.items, s.length, inner, s.conv,
                                    columns(xz, 2 * inner, 0, inner), conv_w, conv_b));
  const Vec rbc = twin_linear(u, p.next(), inner);
  const std::size_t wide = rbc.size() / (s.items * s.length), rank = wide - 2 * s.states;
  const Vec& dt_w = p.next();
  Vec delta = twin_linear(columns(rbc, wide, 0, rank), dt_w, rank, p.next());
  for (double& v : delta) v = std::log1p(std::exp(v));
  Vec a = p.next();
  for (double& v : a) v = -std::exp(v);
  const Vec y =
      twin_scan(s.items, s.length, inner, s.states, u, delta, a, columns(rbc, wide, rank, s.states),
                columns(rbc, wide, rank + s.states, s.states), p.next());
  return twin_linear(twin_multiply(y, twin_silu(columns(xz, 2 * inner, inner, inner))), p.next(),
                     inner);
}

Vec twin_moe(const MoeSizes& s, const Vec& x, Parameters& p, double* balance) {
  const std::size_t tokens = x.size() / s.dim;
  const Vec logits = twin_linear(x, p.next(), s.dim);
  std::vector<Vec> out;  // each expert on all tokens
  for (std::size_t e = 0; e < s.experts; ++e) out.push_back(twin_swiglu(x, p, s.dim));
  Vec y(x.size(), 0.0), load(s.experts, 0.0), mean(s.experts, 0.0);
  for (std::size_t t = 0; t < tokens; ++t) {
    const Vec row(logits.begin() + static_cast<std::ptrdiff_t>(t * s.experts),
                  logits.begin() + static_cast<std::ptrdiff_t>((t + 1) * s.experts));
    std::vector<std::size_t> order(s.experts);
    for (std::size_t e = 0; e < s.experts; ++e) order[e] = e;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return row[a] > row[b]; });
    const Vec share = softmax(row);
    Vec best;
    for (std::size_t k = 0; k < s.top_k; ++k) best.push_back(row[order[k]]);
    const Vec gate = s.top_k == 1 ? Vec{share[order[0]]} : softmax(best);
    for (std::size_t k = 0; k < s.top_k; ++k) {
      load[order[k]] += 1.0 / static_cast<double>(tokens * s.top_k);
      for (std::size_t j = 0; j < s.dim; ++j) {
        y[t * s.dim + j] += gate[k] * out[order[k]][t * s.dim + j];
      }
    }
    for (std::size_t e = 0; e < s.experts; ++e) mean[e] += share[e] / static_cast<double>(tokens);
  }
  for (std::size_t e = 0; balance != nullptr && e < s.experts; ++e) {
    *balance += static_cast<double>(s.experts) * load[e] * mean[e];
  }
  return y;
}

double twin_cross_entropy(const Vec& logits, std::size_t classes,
                          const std::vector<std::int32_t>& targets) {
  double loss = 0, counted = 0;
  for (std::size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] < 0) continue;
    const Vec row(logits.begin() + static_cast<std::ptrdiff_t>(r * classes),
                  logits.begin() + static_cast<std::ptrdiff_t>((r + 1) * classes));
    const double most = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const double v : row) sum += std::exp(v - most);
    loss += most + std::log(sum) - row[static_cast<std::size_t>(targets[r])];
    counted += 1;
  }
  return counted == 0 ? 0 : loss / counted;
}

}  // namespace fp4lab_test
