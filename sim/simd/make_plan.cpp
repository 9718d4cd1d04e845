#include "sim/simd/make_plan.h"

#include <limits>
#include <vector>

#include "formats/block_quantize.h"
#include "formats/choose_scale.h"
#include "formats/decision_table.h"

namespace fp4lab::simd {
namespace {

/// Signed sign-magnitude floats and integers of 4 bits with a -0: the grids of magic numbers.
bool is_gradual_4bit(const ElementFormat& f) {
  return f.kind == FormatKind::minifloat && f.low_end == LowEnd::gradual && f.radix_log2 == 1 &&
         f.is_signed && f.bits == 4 && f.specials == Specials::none && f.storage_shift == 0;
}

int lowest_binade(const ElementFormat& f) { return 1 - f.bias + f.shift; }

void set_grid(Plan& p, const ElementFormat& f) {
  p.mantissa_bits = f.mantissa_bits;
  p.min_exponent = lowest_binade(f);
}

/// Far enough from both ends of binary32 for the grid's magic numbers to exist.
bool grid_in_range(const ElementFormat& f) {
  return lowest_binade(f) >= -60 && max_value(f) <= 0x1p60;
}

/// The decision table with zero split in two where the format keeps the sign of zero, and NaN at
/// its end where the format has one.
bool set_table(Plan& p, const ElementFormat& f, const Rounding& r) {
  const DecisionTable t = make_decision_table(f, r);
  int n = 0;
  const auto add = [&](double value, std::int64_t reached_at, std::uint32_t code) {
    if (n == 16) return false;
    p.value[n] = static_cast<float>(value);
    p.code[n] = code;
    p.below[n] = n == 0 ? std::numeric_limits<std::int32_t>::min()
                        : static_cast<std::int32_t>(reached_at - 1);
    ++n;
    return true;
  };
  if (t.values.count > 16) return false;
  for (int i = 0; i < t.values.count; ++i) {
    const std::int64_t at = fp4lab::detail::ordered(t.threshold[i]);
    if (t.values.value[i] == 0.0 && f.has_negative_zero()) {
      if (!add(-0.0, at, encode(f, -0.0f, r))) return false;
      if (!add(0.0, 0, encode(f, 0.0f, r))) return false;
    } else if (!add(t.values.value[i], at, t.values.code[i])) {
      return false;
    }
  }
  // The canonical NaN lies above +Inf.
  if (f.has_nan() &&
      !add(static_cast<double>(canonical_nan()), 0x7F800001, encode(f, canonical_nan(), r))) {
    return false;
  }
  p.entries = n;
  for (; n < 16; ++n) p.below[n] = std::numeric_limits<std::int32_t>::max();
  return true;
}

/// Tables cost microseconds: the last one made by this thread is kept.
bool set_table_cached(Plan& p, const ElementFormat& f, const Rounding& r) {
  thread_local bool filled = false, usable = false;
  thread_local ElementFormat format;
  thread_local Rounding rounding;
  thread_local Plan last;
  if (!filled || !(format == f) || !(rounding == r)) {
    last = Plan{};
    usable = set_table(last, f, r);
    format = f;
    rounding = r;
    filled = true;
  }
  if (!usable) return false;
  p.entries = last.entries;
  for (int i = 0; i < 16; ++i) {
    p.below[i] = last.below[i];
    p.value[i] = last.value[i];
    p.code[i] = last.code[i];
  }
  return true;
}

/// The EncodeTable of a format and the values of its codes. Tables cost a fraction of a
/// millisecond: the last few made by this thread are kept.
std::shared_ptr<const LookupTable> lookup_table(const ElementFormat& f, const Rounding& r) {
  struct Entry {
    ElementFormat format;
    Rounding rounding;
    std::shared_ptr<const LookupTable> table;
  };
  constexpr std::size_t kKept = 8;
  thread_local std::vector<Entry> kept;
  for (const Entry& e : kept) {
    if (e.format == f && e.rounding == r) return e.table;
  }
  std::shared_ptr<LookupTable> made;
  if (auto codes = EncodeTable::make(f, r)) {
    made = std::make_shared<LookupTable>(LookupTable{std::move(*codes), {}});
    for (std::uint32_t c = 0; c < 256; ++c) made->value[c] = decode(f, c);
  }
  if (kept.size() == kKept) kept.erase(kept.begin());
  kept.push_back({f, r, made});
  return made;
}

bool set_lookup(PlanForShape& p, const ElementFormat& f, const Rounding& r) {
  p.lookup = lookup_table(f, r);
  if (p.lookup == nullptr) return false;
  p.plan.element = ElementPath::lookup;
  p.plan.cells = p.lookup->codes.cells();
  p.plan.cell_shift = p.lookup->codes.shift();
  p.plan.code_value = p.lookup->value;
  return true;
}

bool set_element(PlanForShape& shape, const QuantSpec& spec, const RandomSource& random) {
  Plan& p = shape.plan;
  const ElementFormat& f = spec.element;
  if (f.bits > 8) return false;
  p.highest = static_cast<float>(max_value(f));
  p.lowest = static_cast<float>(min_value(f));
  if (f.has_nan()) p.nan_as = canonical_nan();
  const bool gradual = is_gradual_4bit(f) && grid_in_range(f);
  if (spec.round.is_stochastic()) {
    const bool model_a =
        spec.round.kind == RoundingKind::sr || spec.round.kind == RoundingKind::luq;
    const int n = spec.round.random_bits();
    if (!gradual || !model_a || n < 1 || n > 24) return false;
    p.element = ElementPath::stochastic;
    set_grid(p, f);
    p.random_bits = n;
    p.slot_width = RandomStream::slot_width(n);
    const RandomStream& s = random.stream;
    p.counter1 = s.stream;
    p.counter2 = s.step;
    p.counter3 = static_cast<std::uint32_t>(s.purpose) << 24 |
                 static_cast<std::uint32_t>(s.microbatch) << 8 | s.repeat;
    p.key0 = static_cast<std::uint32_t>(s.seed);
    p.key1 = static_cast<std::uint32_t>(s.seed >> 32);
    p.given = random.given;
    return true;
  }
  // Without a mantissa bit every normal number counts one quantum, and its parity says nothing.
  if (gradual && f.mantissa_bits > 0 && spec.round.kind == RoundingKind::rne) {
    p.element = ElementPath::magic;
    set_grid(p, f);
    return true;
  }
  if (f.bits > 4) return set_lookup(shape, f, spec.round);
  p.element = ElementPath::table;
  return set_table_cached(p, f, spec.round);
}

/// Rules whose scale follows from amax (and the global factor) alone.
bool depends_on_amax_only(const QuantSpec& spec) {
  switch (spec.rule) {
    case ScaleRule::absmax:
    case ScaleRule::clip:
    case ScaleRule::ema:
    case ScaleRule::fixed:
    case ScaleRule::pow2_floor:
    case ScaleRule::pow2_ceil:
    case ScaleRule::pow2_near:
    case ScaleRule::real_bias:
    case ScaleRule::floor:
    case ScaleRule::ceil:
    case ScaleRule::even:
    case ScaleRule::rceil:
    case ScaleRule::tseng34:
    case ScaleRule::two_level:
    case ScaleRule::static6:
    case ScaleRule::static4:
      return true;
    default:
      return false;
  }
}

/// Rules under which a format's largest magnitude depends on the signs in the block, where its ends
/// differ (int4-full).
bool maps_amax_to_block_qmax(const QuantSpec& spec) {
  switch (spec.rule) {
    case ScaleRule::absmax:
    case ScaleRule::clip:
    case ScaleRule::ema:
    case ScaleRule::pow2_floor:
    case ScaleRule::pow2_ceil:
    case ScaleRule::pow2_near:
      return spec.scheme == Scheme::plain;
    default:
      return false;
  }
}

/// Scale formats of the two-level kernel: unsigned use of a radix-2 float of up to 8 bits.
bool is_small_float_scale(const ScaleFormat& s) {
  const ElementFormat& f = s.format;
  return s.kind == ScaleFormat::Kind::coded && !s.is_e8m0() && f.kind == FormatKind::minifloat &&
         f.low_end == LowEnd::gradual && f.radix_log2 == 1 && f.bits <= 8 && f.exponent_bits > 0 &&
         f.mantissa_bits > 0 && f.storage_shift == 0 && lowest_binade(f) >= -60 &&
         max_value(f) <= 0x1p60;
}

bool set_scale(Plan& p, const QuantSpec& spec) {
  const ScaleFormat& s = spec.scale;
  const ElementFormat& f = spec.element;
  if (s.kind == ScaleFormat::Kind::none) {
    p.scale = ScalePath::constant;
    p.arithmetic = Arithmetic::cast;
    return spec.scheme == Scheme::plain && !spec.has_global();
  }
  if (!depends_on_amax_only(spec)) return false;
  if (fp4lab::detail::is_asymmetric(spec)) return false;
  const bool lopsided = f.kind == FormatKind::integer && -f.min_int != f.max_int;
  if (lopsided && maps_amax_to_block_qmax(spec)) return false;
  const bool global = spec.global != GlobalScope::none;
  const bool mx_rule = spec.rule == ScaleRule::floor || spec.rule == ScaleRule::ceil ||
                       spec.rule == ScaleRule::even || spec.rule == ScaleRule::rceil;
  switch (spec.scheme) {
    case Scheme::plain:
    case Scheme::mx:
      if (global) return false;
      if (s.is_e8m0() && (mx_rule || spec.rule == ScaleRule::tseng34)) {
        p.scale = ScalePath::mx;
        p.arithmetic =
            spec.rule == ScaleRule::tseng34 ? Arithmetic::multiply_34 : Arithmetic::multiply;
        const float q = qmax(f);
        const std::uint32_t q_mantissa = bits_as<std::uint32_t>(q) & 0x7FFFFFu;
        const int man =
            f.exponent_bits == 0 && f.mantissa_bits > 0 ? f.mantissa_bits - 1 : f.mantissa_bits;
        p.mx_offset = emax(f);
        if (spec.rule == ScaleRule::ceil) p.mx_add = 0x7FFFFFu;
        if (spec.rule == ScaleRule::even) p.mx_add = 1u << (22 - man);
        if (spec.rule == ScaleRule::rceil) {
          p.mx_add = 0x7FFFFFu - q_mantissa;
          p.mx_offset = floor_log2(q);
        }
        return true;
      }
      if (spec.rule == ScaleRule::tseng34) return false;
      if (s.kind == ScaleFormat::Kind::fp32 && spec.rule == ScaleRule::absmax) {
        p.scale = ScalePath::absmax;
        p.arithmetic = Arithmetic::divide;
        p.qmax = qmax(f);
        return p.qmax >= 1.0f;
      }
      p.scale = ScalePath::scalar;
      p.arithmetic = s.kind == ScaleFormat::Kind::pow2 || s.is_e8m0() ? Arithmetic::multiply
                                                                      : Arithmetic::divide;
      return true;
    case Scheme::nv:
      p.arithmetic = global ? Arithmetic::multiply_global : Arithmetic::multiply;
      if (spec.rule == ScaleRule::two_level && spec.zero_scale == ZeroScale::code_zero &&
          is_small_float_scale(s)) {
        p.scale = ScalePath::two_level;
        p.scale_mantissa_bits = s.format.mantissa_bits;
        p.scale_min_exponent = lowest_binade(s.format);
        p.scale_highest = static_cast<float>(max_value(s.format));
        p.never_zero = !global;
        return true;
      }
      p.scale = ScalePath::scalar;
      return true;
    default:
      return false;
  }
}

bool set_layout(PlanForShape& p, const QuantSpec& spec, std::size_t rows, std::size_t cols) {
  const BlockShape& b = spec.block;
  if (b.is_tensor() || spec.scale.kind == ScaleFormat::Kind::none) {
    p.layout = Layout::tensor;
    p.block = rows * cols;
    return spec.global != GlobalScope::row;
  }
  if (b.cols == 1) {
    p.layout = Layout::columns;
    p.block = b.rows == 0 ? rows : b.rows;
    return spec.global != GlobalScope::row;
  }
  if (b.rows == 1) {
    p.layout = Layout::rows;
    p.block = b.cols == 0 || b.cols > cols ? cols : b.cols;
    return p.block % 2 == 0 || p.block == cols;  // a byte of packed codes belongs to one block
  }
  return false;
}

}  // namespace

std::optional<PlanForShape> make_plan(const QuantSpec& spec, std::size_t rows, std::size_t cols,
                                      const QuantizeOptions& options) {
  PlanForShape p;
  if (rows == 0 || cols == 0 || options.engine == Engine::scalar) return std::nullopt;
  const bool own_rules = (spec.profile == Profile::none || spec.profile == Profile::ocp) &&
                         spec.policy == Policy::cuda && spec.amax_nan == AmaxNan::propagate;
  if (!own_rules || spec.global == GlobalScope::row_block128) return std::nullopt;
  if (!set_scale(p.plan, spec) || !set_layout(p, spec, rows, cols) ||
      !set_element(p, spec, options.random)) {
    return std::nullopt;
  }
  return p;
}

bool set_global(Plan& plan, const QuantSpec& spec, const GlobalFactor& g) {
  plan.mult = g.mult;
  plan.global = g.decode;
  if (!spec.has_global()) return is_finite(g.mult);
  return is_finite(g.encode) && is_finite(g.mult) && is_finite(g.decode) && g.decode > 0.0f;
}

bool set_constant_scale(Plan& plan, const QuantSpec& spec, const BlockScale& b) {
  if (b.poisoned || b.zero_codes || !is_finite(b.decode) || !is_finite(b.factor)) return false;
  plan.scale = ScalePath::constant;
  plan.decode = b.decode;
  plan.factor = b.factor;
  switch (b.apply) {
    case Apply::divide:
      plan.arithmetic = Arithmetic::divide;
      return !spec.has_global();
    case Apply::multiply:
      plan.arithmetic = spec.has_global() ? Arithmetic::multiply_global : Arithmetic::multiply;
      return true;
    case Apply::multiply_34:
      plan.arithmetic = Arithmetic::multiply_34;
      return true;
    case Apply::none:  // all zeros: times 1 is as good
      plan.factor = 1.0f;
      plan.arithmetic = spec.has_global() ? Arithmetic::multiply_global : Arithmetic::multiply;
      return true;
  }
  return false;
}

}  // namespace fp4lab::simd
