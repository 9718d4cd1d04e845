// Operands that reach every rule of a tensor core: uniform bits do not, because products of random
// exponents rarely meet. Each kind aims at one rule; exponents are chosen per k, so that a product
// has the exponent that was aimed at for every row and column.
#include <algorithm>
#include <cstring>

#include "cuda/mma_check.h"
#include "formats/philox.h"

namespace fp4lab::cuda {
namespace {

/// Philox words in order.
class Words {
 public:
  Words(std::uint64_t seed, std::uint32_t stream, std::uint64_t tile)
      : seed_(seed), stream_(stream), tile_(tile) {}
  std::uint32_t next() noexcept {
    if (at_ == 4) {
      draw_ =
          philox4x32({n_++, stream_, static_cast<std::uint32_t>(tile_),
                      kPurpose | static_cast<std::uint32_t>(tile_ >> 32)},
                     static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32));
      at_ = 0;
    }
    return draw_[at_++];
  }
  /// Uniform in [low, high]; the bias of the multiplication does not matter here.
  int between(int low, int high) noexcept {
    const auto span = static_cast<std::uint64_t>(high - low + 1);
    return low + static_cast<int>((next() * span) >> 32);
  }
  bool one_in(std::uint32_t n) noexcept { return next() % n == 0; }

 private:
  static constexpr std::uint32_t kPurpose =
      static_cast<std::uint32_t>(RandomPurpose::synthetic_data) << 24;

  std::uint64_t seed_;
  std::uint32_t stream_;
  std::uint64_t tile_;
  std::uint32_t n_ = 0;
  PhiloxDraw draw_{};
  unsigned at_ = 4;
};

/// A binary format by its fields; binary64 too.
struct Fields {
  int exponent_bits = 8, mantissa_bits = 23, bias = 127, storage_shift = 0;
  bool ieee = true;  ///< top exponent is Inf and NaN; else only the largest magnitude is NaN
  int width() const noexcept { return 1 + exponent_bits + mantissa_bits; }
  int top() const noexcept { return (1 << exponent_bits) - (ieee ? 2 : 1); }
  int lowest() const noexcept { return 1 - bias; }  ///< of normal numbers
  int highest() const noexcept { return top() - bias; }
  int smallest() const noexcept { return lowest() - mantissa_bits; }  ///< of subnormals
};

Fields fields_of(const std::string& type) {
  if (type == "f64") return {11, 52, 1023, 0, true};
  const ElementFormat f = *format_of_ptx_type(type);
  return {f.exponent_bits, f.mantissa_bits, f.bias, f.storage_shift, f.specials == Specials::ieee};
}

std::uint64_t random_bits(Words& w, int bits) {
  const std::uint64_t v = (static_cast<std::uint64_t>(w.next()) << 32) | w.next();
  return bits == 0 ? 0 : v >> (64 - bits);
}

/// Code with sign, leading exponent (below the normal range: subnormal) and `mantissa` below the
/// leading bit. Exponents are clamped to the format.
std::uint64_t code(const Fields& f, bool negative, int exponent, std::uint64_t mantissa) {
  exponent = std::clamp(exponent, f.smallest(), f.highest());
  std::uint64_t magnitude = 0;
  if (exponent >= f.lowest()) {
    magnitude = (static_cast<std::uint64_t>(exponent + f.bias) << f.mantissa_bits) | mantissa;
    // E4M3's largest magnitude is its NaN.
    if (!f.ieee && magnitude == (std::uint64_t{1} << (f.width() - 1)) - 1) --magnitude;
  } else {
    const int down = f.lowest() - exponent;
    magnitude = ((std::uint64_t{1} << f.mantissa_bits) | mantissa) >> down;
  }
  return (static_cast<std::uint64_t>(negative) << (f.width() - 1)) | magnitude;
}

std::uint64_t number(Words& w, const Fields& f, int exponent, int sign = -1) {
  const bool negative = sign < 0 ? (w.next() & 1) != 0 : sign != 0;
  return code(f, negative, exponent, random_bits(w, f.mantissa_bits));
}

std::uint64_t zero(Words& w, const Fields& f) {
  return static_cast<std::uint64_t>(w.next() & 1) << (f.width() - 1);
}

/// Uniform over all finite codes.
std::uint64_t finite(Words& w, const Fields& f) {
  const std::uint64_t bits = random_bits(w, f.width());
  const int field = static_cast<int>((bits >> f.mantissa_bits) & ((1u << f.exponent_bits) - 1u));
  const std::uint64_t mantissa = bits & ((std::uint64_t{1} << f.mantissa_bits) - 1);
  const bool negative = (bits >> (f.width() - 1)) != 0;
  if (field == 0) return bits;
  return code(f, negative, std::min(field, f.top()) - f.bias, mantissa);
}

/// NaN, an infinity (where there is one), a zero.
std::uint64_t special(Words& w, const Fields& f) {
  const std::uint64_t sign = zero(w, f);
  const std::uint64_t top = ((std::uint64_t{1} << f.exponent_bits) - 1) << f.mantissa_bits;
  switch (w.next() % 4) {
    case 0:
      return sign;
    case 1:
      if (!f.ieee) return sign | ((std::uint64_t{1} << (f.width() - 1)) - 1);
      return sign | top | (random_bits(w, f.mantissa_bits) | 1);
    default:
      return f.ieee ? sign | top : finite(w, f);
  }
}

/// Random low bits of a stored word that the type does not use (TF32).
std::uint64_t stored(Words& w, const Fields& f, std::uint64_t bits) {
  if (f.storage_shift == 0) return bits;
  return (bits << f.storage_shift) | (w.next() & ((1u << f.storage_shift) - 1u));
}

/// The tile that is being filled.
struct Tile {
  Words& w;
  const Fields &a, &b, &c;
  int rows, cols, k;
  std::vector<std::uint64_t>&va, &vb, &vc;  ///< codes, row-major

  std::uint64_t& at_a(int i, int kk) { return va[static_cast<std::size_t>(i * k + kk)]; }
  std::uint64_t& at_b(int j, int kk) { return vb[static_cast<std::size_t>(j * k + kk)]; }

  template <class F>
  void each_c(F&& f) {
    for (auto& x : vc) x = f();
  }
  /// Products of exponent `exponent` at kk in every row and column, as far as the types reach.
  void product(int kk, int exponent, int sign_a = -1, int sign_b = -1) {
    const int low = std::max(a.smallest(), exponent - b.highest());
    const int high = std::min(a.highest(), exponent - b.smallest());
    const int ea =
        low <= high ? w.between(low, high) : std::clamp(exponent / 2, a.smallest(), a.highest());
    for (int i = 0; i < rows; ++i) at_a(i, kk) = number(w, a, ea, sign_a);
    for (int j = 0; j < cols; ++j) at_b(j, kk) = number(w, b, exponent - ea, sign_b);
  }
  void zeros(int kk) {
    for (int i = 0; i < rows; ++i) at_a(i, kk) = zero(w, a);
    for (int j = 0; j < cols; ++j) at_b(j, kk) = w.one_in(2) ? zero(w, b) : finite(w, b);
  }
  /// k1 takes the negated products of k0.
  void cancel(int k0, int k1) {
    const std::uint64_t sign = std::uint64_t{1} << (a.width() - 1);
    for (int i = 0; i < rows; ++i) at_a(i, k1) = at_a(i, k0) ^ sign;
    for (int j = 0; j < cols; ++j) at_b(j, k1) = at_b(j, k0);
  }
  /// Exponents that products can have.
  int lowest_product() const { return a.smallest() + b.smallest(); }
  int highest_product() const { return a.highest() + b.highest(); }
  int reach(int exponent) const {
    return std::clamp(exponent, lowest_product(), highest_product());
  }
};

void uniform(Tile& t) {
  for (auto& x : t.va) x = finite(t.w, t.a);
  for (auto& x : t.vb) x = finite(t.w, t.b);
  t.each_c([&] { return finite(t.w, t.c); });
}

void with_specials(Tile& t) {
  uniform(t);
  const auto spoil = [&](std::vector<std::uint64_t>& v, const Fields& f) {
    for (auto& x : v) {
      if (t.w.one_in(48)) x = special(t.w, f);
    }
  };
  spoil(t.va, t.a);
  spoil(t.vb, t.b);
  spoil(t.vc, t.c);
}

void near_one(Tile& t) {
  for (auto& x : t.va) x = number(t.w, t.a, t.w.between(-2, 2));
  for (auto& x : t.vb) x = number(t.w, t.b, t.w.between(-2, 2));
  t.each_c([&] { return number(t.w, t.c, t.w.between(-3, 6)); });
}

void subnormals(Tile& t) {
  const bool both = t.w.one_in(2);
  for (auto& x : t.va) x = number(t.w, t.a, t.w.between(t.a.smallest(), t.a.lowest()));
  for (auto& x : t.vb) {
    x = number(t.w, t.b, both ? t.w.between(t.b.smallest(), t.b.lowest()) : t.w.between(-1, 3));
  }
  const int at = both ? t.reach(t.a.lowest() + t.b.lowest()) : t.a.lowest();
  t.each_c([&] { return number(t.w, t.c, at + t.w.between(-12, 4)); });
}

void cancellation(Tile& t, int lowest, int highest) {
  for (int kk = 0; kk + 1 < t.k; kk += 2) {
    t.product(kk, t.reach(t.w.between(lowest, highest)));
    t.cancel(kk, kk + 1);
  }
  // What is left over: a small product in one place, and a small or cancelling c.
  const int residue = t.reach(t.w.between(lowest - 30, highest - 10));
  if (!t.w.one_in(4)) t.product(t.w.between(0, t.k - 1), residue);
  t.each_c([&] {
    return t.w.one_in(3) ? zero(t.w, t.c) : number(t.w, t.c, residue + t.w.between(-3, 3));
  });
}

void mostly_zeros(Tile& t) {
  const auto sparse = [&](std::vector<std::uint64_t>& v, const Fields& f) {
    for (auto& x : v) x = t.w.one_in(6) ? finite(t.w, f) : zero(t.w, f);
  };
  sparse(t.va, t.a);
  sparse(t.vb, t.b);
  sparse(t.vc, t.c);
}

void near_overflow(Tile& t) {
  for (int kk = 0; kk < t.k; ++kk) {
    t.product(kk, t.reach(t.c.highest() + t.w.between(-6, 2)));
  }
  t.each_c([&] { return number(t.w, t.c, t.c.highest() - t.w.between(0, 3)); });
}

void graded(Tile& t) {
  const int step = t.w.between(0, 4),
            top = t.w.between(t.lowest_product() / 2, t.highest_product());
  for (int kk = 0; kk < t.k; ++kk) t.product(kk, t.reach(top - step * kk));
  t.each_c([&] { return number(t.w, t.c, top - t.w.between(0, 40)); });
}

void zero_times_huge(Tile& t) {
  const int small = t.reach(t.w.between(t.lowest_product(), 0));
  for (int kk = 0; kk < t.k; ++kk) t.product(kk, t.reach(small - t.w.between(0, 20)));
  for (int n = t.w.between(1, 3); n > 0; --n) {
    const int kk = t.w.between(0, t.k - 1);
    for (int i = 0; i < t.rows; ++i) t.at_a(i, kk) = zero(t.w, t.a);
    for (int j = 0; j < t.cols; ++j) t.at_b(j, kk) = number(t.w, t.b, t.b.highest());
  }
  t.each_c([&] {
    return t.w.one_in(2) ? zero(t.w, t.c) : number(t.w, t.c, small - t.w.between(0, 30));
  });
}

/// Products and c between `low` and `high` binades.
void in_window(Tile& t, int low, int high) {
  for (int kk = 0; kk < t.k; ++kk) {
    if (t.w.one_in(8)) {
      t.zeros(kk);
    } else {
      t.product(kk, t.reach(t.w.between(low, high)));
    }
  }
  t.each_c([&] { return number(t.w, t.c, t.w.between(low, high)); });
}

void one_sign(Tile& t) {
  const int width = t.w.between(0, 40),
            top = t.w.between(t.lowest_product() / 2, t.highest_product());
  const int sign = t.w.one_in(2) ? 1 : 0;
  for (int kk = 0; kk < t.k; ++kk) t.product(kk, t.reach(top - t.w.between(0, width)), sign, 0);
  t.each_c([&] { return number(t.w, t.c, top - t.w.between(0, width), sign); });
}

void signed_zeros(Tile& t) {
  for (int kk = 0; kk < t.k; ++kk) t.zeros(kk);
  if (t.w.one_in(2)) t.product(t.w.between(0, t.k - 1), t.lowest_product());
  t.each_c([&] { return t.w.one_in(8) ? number(t.w, t.c, t.c.smallest()) : zero(t.w, t.c); });
}

/// One big term and others around the last bit that alignment keeps.
void at_quantum(Tile& t, int fraction_bits) {
  const int big = t.w.between(t.lowest_product() + fraction_bits, t.highest_product());
  const bool big_c = t.w.one_in(4);
  for (int kk = 0; kk < t.k; ++kk) t.product(kk, t.reach(big - fraction_bits + t.w.between(-3, 4)));
  if (!big_c) t.product(t.w.between(0, t.k - 1), t.reach(big));
  t.each_c(
      [&] { return number(t.w, t.c, big_c ? big : big - fraction_bits + t.w.between(-3, 26)); });
}

/// Exact subnormal results beside products around the last bit above a floor of the exponent: one
/// that is cut decides whether a sum stays on its side of a binary32 (a tie of binary16). A c that
/// is not zero would lift the exponent, subnormals included.
void below_floor(Tile& t, bool half) {
  for (int kk = 0; kk < t.k; ++kk) {
    if (t.w.one_in(2)) {
      t.zeros(kk);
    } else {
      t.product(kk, t.reach(half ? t.w.between(-48, -43) : t.w.between(-163, -154)));
    }
  }
  const auto exactly = [&](int kk, int exponent) {
    const int low = std::max(t.a.lowest(), exponent - t.b.highest());
    const int high = std::min(t.a.highest(), exponent - t.b.lowest());
    const int ea = t.w.between(low, std::max(low, high));
    for (int i = 0; i < t.rows; ++i) t.at_a(i, kk) = code(t.a, t.w.one_in(2), ea, 0);
    for (int j = 0; j < t.cols; ++j) t.at_b(j, kk) = code(t.b, false, exponent - ea, 0);
  };
  const int at = t.w.between(0, t.k - 2);
  exactly(at, half ? -25 : t.w.between(-149, -134));
  if (t.w.one_in(2)) exactly(at + 1, half ? -23 : t.w.between(-149, -134));
  t.each_c([&] { return t.w.one_in(8) ? number(t.w, t.c, t.c.smallest()) : zero(t.w, t.c); });
}

void fill_tile(Tile& t, int generator, const MmaPreset& preset) {
  const bool half = preset.acc == "f16";
  const int fraction = preset.params.fused.fraction_bits;
  switch (generator) {
    case 0:
      return uniform(t);
    case 1:
      return with_specials(t);
    case 2:
      return near_one(t);
    case 3:
      return subnormals(t);
    case 4:
      return cancellation(t, -8, 8);
    case 5:
      return mostly_zeros(t);
    case 6:
      return near_overflow(t);
    case 7:
      return graded(t);
    case 8:
      return zero_times_huge(t);
    case 9:
      return half ? in_window(t, -26, -12) : in_window(t, -151, -120);
    case 10:
      return one_sign(t);
    case 11:
      return signed_zeros(t);
    case 12:
      return cancellation(t, t.highest_product() - 6, t.highest_product());
    case 13:
      if (t.w.one_in(2)) return below_floor(t, half);
      return half ? in_window(t, -50, -20) : in_window(t, -165, -120);
    case 14:
      return half ? in_window(t, 10, 15) : in_window(t, 120, 127);
    default:
      return at_quantum(t, fraction == 0 ? 52 : fraction);
  }
}

void store(Words& w, const Fields& f, const std::vector<std::uint64_t>& codes, int bytes,
           std::uint8_t* out) {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::uint64_t bits = stored(w, f, codes[i]);
    std::memcpy(out + i * static_cast<std::size_t>(bytes), &bits, static_cast<std::size_t>(bytes));
  }
}

}  // namespace

const char* mma_generator_name(int generator) {
  static const char* const names[kMmaGenerators] = {
      "uniform bits",          "sparse NaN, Inf, zeros", "near one",        "subnormals",
      "cancellation, residue", "mostly zeros",           "near overflow",   "graded exponents",
      "zero times huge",       "subnormal results",      "one sign",        "signed zeros",
      "huge cancelling pairs", "tiny products",          "overflow border", "alignment quantum"};
  return names[generator];
}

MmaTileShape tile_shape(const MmaPreset& preset) {
  MmaTileShape s;
  s.k = preset.params.k;
  const bool f64 = preset.a == "f64";
  s.rows = f64 ? 8 : preset.instruction == "wgmma" ? 64 : 16;
  const Fields f = fields_of(preset.a);
  s.element_bytes = (f.width() + f.storage_shift) / 8;
  s.accumulator_bytes = f64 ? 8 : preset.acc == "f16" ? 2 : 4;
  return s;
}

void fill_mma_batch(const MmaPreset& preset, std::uint64_t seed, std::uint32_t stream,
                    std::uint64_t first_tile, std::size_t tiles, MmaBatch& batch) {
  const MmaTileShape s = tile_shape(preset);
  const Fields fa = fields_of(preset.a), fb = fields_of(preset.b), fc = fields_of(preset.acc);
  const auto a_bytes = static_cast<std::size_t>(s.rows * s.row_bytes());
  const auto b_bytes = static_cast<std::size_t>(s.cols * s.row_bytes());
  const auto c_bytes = static_cast<std::size_t>(s.rows * s.cols * s.accumulator_bytes);
  batch.tiles = tiles;
  batch.a.resize(tiles * a_bytes);
  batch.b.resize(tiles * b_bytes);
  batch.c.resize(tiles * c_bytes);
  batch.d.resize(tiles * c_bytes);
#pragma omp parallel
  {
    std::vector<std::uint64_t> va(static_cast<std::size_t>(s.rows * s.k));
    std::vector<std::uint64_t> vb(static_cast<std::size_t>(s.cols * s.k));
    std::vector<std::uint64_t> vc(static_cast<std::size_t>(s.rows * s.cols));
#pragma omp for schedule(dynamic, 16)
    for (std::size_t n = 0; n < tiles; ++n) {
      Words w(seed, stream, first_tile + n);
      Tile t{w, fa, fb, fc, s.rows, s.cols, s.k, va, vb, vc};
      fill_tile(t, static_cast<int>((first_tile + n) % kMmaGenerators), preset);
      store(w, fa, va, s.element_bytes, batch.a.data() + n * a_bytes);
      store(w, fb, vb, s.element_bytes, batch.b.data() + n * b_bytes);
      store(w, fc, vc, s.accumulator_bytes, batch.c.data() + n * c_bytes);
    }
  }
}

}  // namespace fp4lab::cuda
