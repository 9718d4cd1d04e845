#include "tests/oracle/blocks.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "tests/oracle/blocks_scheme.h"

namespace fp4lab_oracle {
namespace {

bool along_rows(const BlockSpec& s) { return s.block_cols == 1 && s.block_rows != 1; }

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

F32 canonical(F32 v) { return is_nan(v) ? kNan32 : v; }

// The stored matrix before the transform: prescaled, padded with +0.
std::vector<F32> prepare(const BlockSpec& s, const std::vector<F32>& data, std::size_t rows,
                         std::size_t cols, std::size_t stored_rows, std::size_t stored_cols) {
  std::vector<F32> m(stored_rows * stored_cols, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const F32 x = data[r * cols + c];
      m[r * stored_cols + c] = s.prescale == 1 ? x : mul(x, constant(s.prescale));
    }
  }
  return m;
}

// Applies the transform (or its inverse) to every group of the stored matrix.
void transform(const BlockSpec& s, std::vector<F32>& m, std::size_t rows, std::size_t cols,
               const RandomBits& random, bool inverse) {
  if (s.hadamard == 0) return;
  const std::vector<bool> negative = hadamard_signs(s.signs, s.hadamard, random);
  const std::size_t lines = along_rows(s) ? cols : rows;
  const std::size_t length = along_rows(s) ? rows : cols;
  for (std::size_t line = 0; line < lines; ++line) {
    for (std::size_t start = 0; start < length; start += s.hadamard) {
      const auto at = [&](std::size_t i) {
        return along_rows(s) ? (start + i) * cols + line : line * cols + start + i;
      };
      std::vector<F32> group;
      for (std::size_t i = 0; i < s.hadamard; ++i) group.push_back(m[at(i)]);
      hadamard_group(group, negative, inverse);
      for (std::size_t i = 0; i < s.hadamard; ++i) m[at(i)] = group[i];
    }
  }
}

// RN32(n^-1/2): a guess by way of binary64, its last bit settled exactly.
F32 hadamard_norm(std::size_t n) {
  static std::map<std::size_t, F32> cache;
  F32& norm = cache[n];
  if (norm != 0) return norm;
  const F64 root = sqrt64(to_binary64(Rational(static_cast<long>(n))));
  norm = narrow(div64(to_binary64(1), root));
  const Rational size(static_cast<long>(n));
  const auto middle_square = [&](F32 lo) {
    const Rational m = (from_binary32(lo).value + from_binary32(lo + 1).value) / 2;
    return Rational(m * m * size);
  };
  if (middle_square(norm) < 1)
    ++norm;
  else if (middle_square(norm - 1) > 1)
    --norm;
  return norm;
}

bool finite_only(const BlockSpec& s) {
  return !s.ignore_nan && s.profile != Profile::kTe && s.profile != Profile::kTe4over6;
}

F32 scope_amax(const BlockSpec& s, const std::vector<F32>& x) {
  if (!finite_only(s)) return largest_magnitude(x, s.ignore_nan);
  std::vector<F32> finite;
  for (const F32 v : x) {
    if (is_finite(v)) finite.push_back(v);
  }
  return largest_magnitude(finite);
}

}  // namespace

void hadamard_group(std::vector<F32>& group, const std::vector<bool>& negative, bool inverse) {
  const auto apply_signs = [&] {
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (negative[i] && !is_nan(group[i])) group[i] = negate(group[i]);
    }
  };
  if (!inverse) apply_signs();
  for (std::size_t stride = 1; stride < group.size(); stride *= 2) {
    for (std::size_t lower = 0; lower < group.size(); ++lower) {
      if ((lower & stride) != 0) continue;
      const F32 a = group[lower], b = group[lower + stride];
      group[lower] = add(a, b);
      group[lower + stride] = sub(a, b);
    }
  }
  const F32 norm = hadamard_norm(group.size());
  for (F32& v : group) v = mul(v, norm);
  if (inverse) apply_signs();
}

std::vector<bool> hadamard_signs(Signs kind, std::size_t size, RandomBits random) {
  std::vector<bool> negative(size, false);
  if (kind == Signs::kNone) return negative;
  if (kind == Signs::kFixed && size == 16) {
    const std::string_view te = "+++-+------+-+--";
    for (std::size_t i = 0; i < 16; ++i) negative[i] = te[i] == '-';
    return negative;
  }
  random.given.clear();
  random.purpose = 2;
  if (kind == Signs::kFixed) random.step = random.stream = random.microbatch = 0;
  if (kind == Signs::kPerLayerStep) {
    random.stream = random.stream / 8 * 8;
    random.microbatch = 0;
  }
  for (std::size_t i = 0; i < size; ++i) {
    negative[i] = (random.slot(i / 32, 32) >> (i % 32) & 1u) != 0;
  }
  return negative;
}

ModelTensor quantize(const BlockSpec& s, const std::vector<F32>& data, std::size_t rows,
                     std::size_t cols, const RandomBits& random) {
  if (data.size() != rows * cols) throw std::invalid_argument("shape");
  ModelTensor t;
  t.rows = s.hadamard != 0 && along_rows(s) ? round_up(rows, s.hadamard) : rows;
  t.cols = s.hadamard != 0 && !along_rows(s) ? round_up(cols, s.hadamard) : cols;
  std::vector<F32> m = prepare(s, data, rows, cols, t.rows, t.cols);
  transform(s, m, t.rows, t.cols, random, false);
  if (s.clip != 0) {
    const F32 bound = constant(s.clip);
    for (F32& v : m) {
      if (less(bound, v)) v = bound;
      if (less(v, negate(bound))) v = negate(bound);
    }
  }

  const bool two_level =
      s.family == Family::kNv || s.family == Family::kIf4 || s.family == Family::kRazer;
  std::vector<Global> globals;
  const std::size_t spans = s.global == Scope::kRow128 ? (t.cols + 127) / 128 : 1;
  if (two_level) {
    switch (s.global) {
      case Scope::kNone:
        globals.push_back(global_factor(s, 0));
        break;
      case Scope::kTensor:
        globals.push_back(global_factor(s, scope_amax(s, m)));
        break;
      default:
        for (std::size_t r = 0; r < t.rows; ++r) {
          for (std::size_t k = 0; k < spans; ++k) {
            const std::size_t first = s.global == Scope::kRow ? 0 : 128 * k;
            const std::size_t last =
                s.global == Scope::kRow ? t.cols : std::min(t.cols, first + 128);
            globals.push_back(global_factor(
                s, scope_amax(s, {m.begin() + static_cast<long>(r * t.cols + first),
                                  m.begin() + static_cast<long>(r * t.cols + last)})));
          }
        }
    }
    if (s.global != Scope::kNone) {
      for (const Global& g : globals) t.global.push_back(canonical(g.decode));
    }
  } else if (s.rule == Rule::kTseng34) {
    t.global.push_back(constant(Rational(4, 3)));
  }

  const std::size_t height = s.block_rows == 0 ? std::max<std::size_t>(t.rows, 1) : s.block_rows;
  const std::size_t width = s.block_cols == 0 ? std::max<std::size_t>(t.cols, 1) : s.block_cols;
  const bool empty = t.rows * t.cols == 0;
  t.grid_rows = empty ? 0 : (t.rows + height - 1) / height;
  t.grid_cols = empty ? 0 : (t.cols + width - 1) / width;
  t.codes.resize(m.size());
  t.open.resize(m.size(), false);
  std::vector<F32> stored(m.size());
  for (std::size_t i = 0; i < t.grid_rows; ++i) {
    for (std::size_t j = 0; j < t.grid_cols; ++j) {
      Block b;
      b.rows = std::min(height, t.rows - i * height);
      b.cols = std::min(width, t.cols - j * width);
      for (std::size_t r = 0; r < b.rows; ++r) {
        for (std::size_t c = 0; c < b.cols; ++c) {
          const std::size_t at = (i * height + r) * t.cols + j * width + c;
          b.x.push_back(m[at]);
          b.index.push_back(at);
        }
      }
      BlockResult out;
      if (two_level) {
        const std::size_t scope = s.global == Scope::kRow ? i * height
                                  : s.global == Scope::kRow128
                                      ? i * height * spans + j * width / 128
                                      : 0;
        out = two_level_block(s, b, globals[scope], random);
      } else if (s.family == Family::kHif4) {
        out = hif4_block(s, b, random);
      } else {
        out = plain_block(s, b, t.global.empty() ? kOne32 : t.global[0], random);
      }
      t.scales.push_back(out.scale);
      for (std::size_t k = 0; k < b.x.size(); ++k) {
        const auto at = static_cast<std::size_t>(b.index[k]);
        t.codes[at] = out.codes[k];
        if (!out.open.empty()) t.open[at] = out.open[k];
        stored[at] = canonical(out.values[k]);
      }
    }
  }

  transform(s, stored, t.rows, t.cols, random, true);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const F32 y = stored[r * t.cols + c];
      t.values.push_back(s.prescale == 1 ? y : div(y, constant(s.prescale)));
    }
  }
  return t;
}

}  // namespace fp4lab_oracle
