#include "tests/mma/twin.h"

#include "formats/registry.h"
#include "tests/oracle/formats.h"

namespace fp4lab::mma_test {
namespace {

namespace oracle = fp4lab_oracle;

oracle::Number number_of(const oracle::CodeValue& c) {
  oracle::Number n;
  n.negative = c.negative;
  using Meaning = oracle::CodeValue::Meaning;
  if (c.meaning == Meaning::kNan) n.kind = oracle::Number::Kind::kNan;
  if (c.meaning == Meaning::kInfinite) n.kind = oracle::Number::Kind::kInfinite;
  if (c.meaning == Meaning::kFinite) n.value = c.value;
  return n;
}

/// Exponents of the lowest normal binade, typed from the format definitions.
int lowest_exponent(const std::string& format) {
  const std::pair<const char*, int> table[] = {
      {"e2m1", 0},   {"e2m3", 0},      {"e3m2", -2},      {"e4m3", -6},   {"e5m2", -14},
      {"fp16", -14}, {"bf16", -126},   {"tf32", -126},    {"fp32", -126}, {"e8m0", -127},
      {"ue4m3", -6}, {"e4m3fnuz", -7}, {"e5m2fnuz", -15}, {"", 0}};
  for (const auto& [name, e] : table) {
    if (format == name) return e;
  }
  return -126;  // seen through binary32
}

class Codes {
 public:
  explicit Codes(const ElementFormat& f) : f_(f) {}
  bool finite(std::uint32_t c) const { return classify(f_, c) == ValueClass::finite; }
  std::uint32_t any(std::mt19937_64& r) const {
    // The word's low bits are ignored by TF32: leave them random.
    const auto c = static_cast<std::uint32_t>(r());
    return f_.storage_shift != 0 ? c : c & f_.code_mask();
  }
  std::uint32_t any_finite(std::mt19937_64& r) const {
    for (;;) {
      const std::uint32_t c = any(r);
      if (finite(c)) return c;
    }
  }
  /// A finite code whose magnitude lies in the lowest or highest part of the range.
  std::uint32_t sized(std::mt19937_64& r, bool small) const {
    const std::uint64_t top = f_.max_magnitude_code();
    const std::uint64_t low = small ? 0 : top - top / 8;
    const std::uint64_t high =
        small ? (f_.mantissa_bits == 0 ? 2 : (2ull << f_.mantissa_bits)) : top;
    for (;;) {
      const auto m = static_cast<std::uint32_t>(low + r() % (std::min(high, top) - low + 1));
      const std::uint32_t c = (m | ((r() & 1) != 0 ? f_.sign_mask() : 0u)) << f_.storage_shift;
      if (finite(c)) return c;
    }
  }
  std::uint32_t zero(std::mt19937_64& r) const {
    return ((r() & 1) != 0 && f_.has_negative_zero() ? f_.sign_mask() : 0u) << f_.storage_shift;
  }
  std::uint32_t negated(std::uint32_t c) const {
    if (f_.kind == FormatKind::integer) {
      return (0u - c) & f_.code_mask();
    }
    const std::uint32_t n = c ^ (f_.sign_mask() << f_.storage_shift);
    return finite(n) ? n : c;
  }

 private:
  ElementFormat f_;
};

}  // namespace

TwinOperand make_operand(const OperandKind& kind, std::size_t rows, std::size_t k, Data data,
                         bool wide_scales, std::mt19937_64& random) {
  TwinOperand o;
  o.kind = kind;
  o.rows = rows;
  o.k = k;
  const ElementFormat format = find_format(kind.format)->format;
  const Codes codes(format);
  const bool sizes = format.kind == FormatKind::minifloat;
  for (std::size_t i = 0; i < rows * k; ++i) {
    std::uint32_t c = 0;
    switch (data) {
      case Data::uniform:
        c = random() % 16 == 0 ? codes.any(random) : codes.any_finite(random);
        break;
      case Data::finite_codes:
        c = codes.any_finite(random);
        break;
      case Data::cancelling:
        c = i % 2 == 1 && random() % 8 != 0 ? codes.negated(o.codes.back())
                                            : codes.any_finite(random);
        break;
      case Data::one_huge:
        c = sizes ? codes.sized(random, random() % 16 != 0) : codes.any_finite(random);
        break;
      case Data::tiny:
        c = sizes ? codes.sized(random, true) : codes.any_finite(random);
        break;
      case Data::zeros:
        c = codes.zero(random);
        break;
      case Data::mostly_zero:
        c = random() % 8 == 0 ? codes.any_finite(random) : codes.zero(random);
        break;
    }
    o.codes.push_back(c);
  }
  const std::size_t cols = kind.run == 0 ? 1 : (k + kind.run - 1) / kind.run;
  if (!kind.scale.empty()) {
    for (std::size_t i = 0; i < rows * cols; ++i) {
      if (kind.scale == "e8m0") {
        o.scales.push_back(
            static_cast<std::uint32_t>(wide_scales ? random() % 256 : 120 + random() % 14));
      } else if (kind.scale == "ue4m3") {
        o.scales.push_back(
            static_cast<std::uint32_t>(wide_scales ? random() % 128 : 0x30 + random() % 16));
      } else {
        const auto field =
            static_cast<std::uint32_t>(wide_scales ? random() % 255 : 120 + random() % 14);
        o.scales.push_back((field << 23) | static_cast<std::uint32_t>(random() & 0x7FFFFFu));
      }
    }
  }
  if (kind.global) {
    o.global.push_back(bits_as<float>(
        static_cast<std::uint32_t>(((110 + random() % 30) << 23) | (random() & 0x7FFFFFu))));
  }
  return o;
}

GemmOperand TwinOperand::engine() const {
  if (kind.format == "fp32" && kind.scale.empty() && !kind.global) {
    std::vector<float> data;
    for (const std::uint32_t c : codes) data.push_back(bits_as<float>(c));
    return GemmOperand::from_floats(data, rows, k);
  }
  RecordedOperand r;
  r.rows = rows;
  r.k = k;
  r.format = find_format(kind.format)->format;
  r.codes = codes;
  r.block = BlockShape{1, static_cast<std::uint32_t>(kind.run)};
  if (kind.scale == "fp32") {
    r.scale = ScaleFormat{ScaleFormat::Kind::fp32, {}};
  } else if (!kind.scale.empty()) {
    r.scale = ScaleFormat{ScaleFormat::Kind::coded, find_format(kind.scale)->format};
  }
  r.scale_codes = scales;
  r.global = global;
  return GemmOperand::from_codes(r);
}

fp4lab_oracle::Row TwinOperand::row(std::size_t r) const {
  const oracle::Format& f = oracle::format(kind.format);
  const std::size_t cols = kind.run == 0 ? 1 : (k + kind.run - 1) / kind.run;
  oracle::Row out;
  for (std::size_t i = 0; i < k; ++i) {
    oracle::Factor x;
    std::uint32_t c = codes[r * k + i];
    if (kind.format == "tf32") c &= 0xFFFFE000u;  // the hardware ignores the rest
    x.value = number_of(oracle::decode(f, c));
    x.value_emin = lowest_exponent(kind.format);
    x.block = kind.run == 0 ? 0 : i / kind.run;
    x.scale = oracle::finite(1);
    x.scale_emin = lowest_exponent(kind.scale);
    if (!kind.scale.empty()) {
      const std::uint32_t s = scales[r * cols + x.block];
      x.scale = kind.scale == "fp32" ? oracle::from_binary32(s)
                                     : number_of(oracle::decode(oracle::format(kind.scale), s));
    }
    out.push_back(x);
  }
  return out;
}

fp4lab_oracle::Number TwinOperand::global_factor() const {
  return global.empty() ? oracle::finite(1)
                        : oracle::from_binary32(bits_as<std::uint32_t>(global[0]));
}

float random_c(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return bits_as<float>(static_cast<std::uint32_t>(random()));
    case 1:
      return random() % 2 == 0 ? 0.0f : -0.0f;
    default:
      return bits_as<float>(
          static_cast<std::uint32_t>(((117 + random() % 20) << 23) | (random() & 0x807FFFFFu)));
  }
}

}  // namespace fp4lab::mma_test
