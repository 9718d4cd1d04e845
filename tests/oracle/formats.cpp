#include "tests/oracle/formats.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace fp4lab_oracle {
namespace {

CodeValue finite(const Rational& value, bool negative_zero = false) {
  return {CodeValue::Meaning::kFinite, value < 0 || (value == 0 && negative_zero), value};
}

CodeValue parse_token(const std::string& token) {
  if (token == "nan") return {CodeValue::Meaning::kNan, false, 0};
  if (token == "inf") return {CodeValue::Meaning::kInfinite, false, 0};
  if (token == "-inf") return {CodeValue::Meaning::kInfinite, true, 0};
  if (token == "unused") return {};
  const Rational exact = parse_rational(token);
  return finite(from_binary32(to_binary32(exact)).value, token[0] == '-');
}

// Fills everything that follows from the code table: sorted distinct values, the code of -0, the
// largest value as the stand-in for NaN (formats with a NaN overwrite it).
void finish(Format& f) {
  for (std::uint32_t c = 0; c < f.codes.size(); ++c) {
    const CodeValue& v = f.codes[c];
    if (v.meaning != CodeValue::Meaning::kFinite) continue;
    if (v.value == 0 && v.negative) {
      f.has_negative_zero = true;
      f.negative_zero_code = c;
      continue;
    }
    f.levels.push_back({v.value, c});
  }
  std::sort(f.levels.begin(), f.levels.end(),
            [](const Level& a, const Level& b) { return a.value < b.value; });
  for (std::size_t i = 1; i < f.levels.size(); ++i) {
    if (f.levels[i].value == f.levels[i - 1].value) {
      throw std::logic_error(f.id + ": two codes share a value");
    }
  }
  f.nan_code = f.levels.back().code;
}

struct Overflow {
  const char* magnitude;
  std::uint32_t positive;
  std::uint32_t negative;
};

Format with_specials(Format f, std::uint32_t nan_code, const Rational& overflow_magnitude,
                     std::uint32_t positive, std::uint32_t negative) {
  f.nan_code = nan_code;
  f.can_overflow = true;
  f.overflow_magnitude = overflow_magnitude;
  f.overflow_code[0] = positive;
  f.overflow_code[1] = negative;
  return f;
}

Format unsigned_format(Format f, Negatives negatives = Negatives::kToCode0) {
  f.negatives = negatives;
  return f;
}

Format p3109_signed(std::string id, std::string_view tokens, Overflow o) {
  return with_specials(format_from_table(std::move(id), 4, tokens), 8, parse_rational(o.magnitude),
                       o.positive, o.negative);
}

Format p3109_unsigned(std::string id, std::string_view tokens, Overflow o) {
  return unsigned_format(with_specials(format_from_table(std::move(id), 4, tokens), 15,
                                       parse_rational(o.magnitude), o.positive, o.negative));
}

// (-1)^s * m * 2^(1-bias-mantissa_bits) for exponent field 0, (2^mantissa_bits + m) *
// 2^(e-bias-mantissa_bits) otherwise.
Rational minifloat_magnitude(std::uint32_t code, int mantissa_bits, int bias) {
  const std::uint32_t mantissa = code & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>(code >> mantissa_bits);
  const std::uint32_t significand = exponent == 0 ? mantissa : mantissa + (1u << mantissa_bits);
  return Rational(significand) * pow2((exponent == 0 ? 1 : exponent) - bias - mantissa_bits);
}

struct Minifloat {
  int bits;  // including the sign, if any
  int mantissa_bits;
  int bias;
  bool is_signed;
  std::uint32_t last_finite;          // largest finite magnitude code
  std::uint32_t infinity = 0;         // magnitude code of Inf; 0 = none
  bool nan_is_negative_zero = false;  // fnuz: the only special is the code of -0
};

Format minifloat(std::string id, const Minifloat& m) {
  Format f;
  f.id = std::move(id);
  f.bits = m.bits;
  f.codes.resize(std::size_t{1} << m.bits);
  const std::uint32_t sign_bit = m.is_signed ? 1u << (m.bits - 1) : 0;
  const std::uint32_t magnitudes = m.is_signed ? sign_bit : 1u << m.bits;
  for (std::uint32_t c = 0; c < magnitudes; ++c) {
    for (int s = 0; s <= (m.is_signed ? 1 : 0); ++s) {
      CodeValue& v = f.codes[c | (s != 0 ? sign_bit : 0)];
      v.negative = s != 0;
      if (c <= m.last_finite) {
        v.meaning = CodeValue::Meaning::kFinite;
        v.value = minifloat_magnitude(c, m.mantissa_bits, m.bias);
        if (s != 0) v.value = -v.value;
      } else {
        v.meaning = m.infinity != 0 && c == m.infinity ? CodeValue::Meaning::kInfinite
                                                       : CodeValue::Meaning::kNan;
      }
    }
  }
  if (m.nan_is_negative_zero) f.codes[sign_bit] = {CodeValue::Meaning::kNan, false, 0};
  finish(f);
  f.negatives = m.is_signed ? Negatives::kKept : Negatives::kToCode0;
  return f;
}

// The magnitude that follows the largest finite one.
Rational after_last(const Minifloat& m) {
  return minifloat_magnitude(m.last_finite + 1, m.mantissa_bits, m.bias);
}

Format minifloat_with_specials(std::string id, const Minifloat& m, std::uint32_t nan_code,
                               std::uint32_t positive, std::uint32_t negative) {
  return with_specials(minifloat(std::move(id), m), nan_code, after_last(m), positive, negative);
}

// Powers of two, or a mantissa without zero and subnormals: value(code) for code < count, NaN
// above.
Format exponent_scale(std::string id, int mantissa_bits, int lowest_exponent, Negatives negatives) {
  Format f;
  f.id = std::move(id);
  f.bits = 8;
  f.codes.resize(256);
  const auto value = [&](std::uint32_t c) {
    const int exponent = lowest_exponent + static_cast<int>(c >> mantissa_bits);
    const std::uint32_t significand = (1u << mantissa_bits) + (c & ((1u << mantissa_bits) - 1));
    return Rational(significand) * pow2(exponent - mantissa_bits);
  };
  for (std::uint32_t c = 0; c < 255; ++c) f.codes[c] = finite(value(c));
  f.codes[255] = {CodeValue::Meaning::kNan, false, 0};
  finish(f);
  return unsigned_format(with_specials(std::move(f), 255, value(255), 255, 255), negatives);
}

Format sign_magnitude_integers(std::string id, int bits, int denominator) {
  Format f;
  f.id = std::move(id);
  f.bits = bits;
  const int half = 1 << (bits - 1);
  for (int s = 0; s < 2; ++s) {
    for (int k = 0; k < half; ++k) {
      f.codes.push_back(finite(Rational(s != 0 ? -k : k, denominator), s != 0));
    }
  }
  finish(f);
  return f;
}

Format twos_complement(std::string id, int bits, int lowest, int denominator) {
  Format f;
  f.id = std::move(id);
  f.bits = bits;
  f.codes.resize(std::size_t{1} << bits);
  const int half = 1 << (bits - 1);
  for (int k = lowest; k < half; ++k) {
    f.codes[static_cast<std::size_t>(k < 0 ? k + 2 * half : k)] = finite(Rational(k, denominator));
  }
  finish(f);
  return f;
}

Format wide(std::string id, IeeeLayout layout, int shift, std::uint32_t nan_code) {
  Format f;
  f.id = std::move(id);
  f.bits = layout.width() + shift;
  f.nan_code = nan_code;
  f.is_wide = true;
  f.layout = layout;
  f.shift = shift;
  f.has_negative_zero = true;
  f.negative_zero_code = 1u << (f.bits - 1);
  return f;
}

// Positive half, sign bit above it: the negatives repeat the magnitudes and code 8 is -0.
std::string mirrored(const std::string& positive) {
  std::istringstream in(positive);
  std::string all = positive;
  for (std::string token; in >> token;) all += " -" + token;
  return all;
}

void add_four_bit(std::vector<Format>& all) {
  const auto table = [&all](const char* id, const std::string& tokens) {
    all.push_back(format_from_table(id, 4, tokens));
  };
  table("e2m1", "0 0.5 1 1.5 2 3 4 6 -0 -0.5 -1 -1.5 -2 -3 -4 -6");
  table("e1m2", "0 .5 1 1.5 2 2.5 3 3.5 -0 -.5 -1 -1.5 -2 -2.5 -3 -3.5");
  table("e1m2-b1", "0 .25 .5 .75 1 1.25 1.5 1.75 -0 -.25 -.5 -.75 -1 -1.25 -1.5 -1.75");
  table("e1m2-nosub", "0 1.25 1.5 1.75 2 2.5 3 3.5 -0 -1.25 -1.5 -1.75 -2 -2.5 -3 -3.5");
  table("e3m0", "0 .25 .5 1 2 4 8 16 -0 -.25 -.5 -1 -2 -4 -8 -16");
  table("e3m0-nz", ".125 .25 .5 1 2 4 8 16 -.125 -.25 -.5 -1 -2 -4 -8 -16");
  table("radix4-even", mirrored("0 1/64 1/16 1/4 1 4 16 64"));
  table("radix4-odd", mirrored("0 1/32 1/8 1/2 2 8 32 128"));
  table("int4", "0 1 2 3 4 5 6 7 unused -7 -6 -5 -4 -3 -2 -1");
  table("int4-full", "0 1 2 3 4 5 6 7 -8 -7 -6 -5 -4 -3 -2 -1");
  all.push_back(
      unsigned_format(format_from_table("uint4-asym", 4, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15")));
  table("mxint4-elem", mirrored("0 1/4 2/4 3/4 4/4 5/4 6/4 7/4"));
  table("hif4-elem", mirrored("0 1/4 2/4 3/4 4/4 5/4 6/4 7/4"));
  table("nf4",
        "-1.0 -0.6961928009986877 -0.5250730514526367 -0.39491748809814453 -0.28444138169288635 "
        "-0.18477343022823334 -0.09105003625154495 0 0.07958029955625534 0.16093020141124725 "
        "0.24611230194568634 0.33791524171829224 0.44070982933044434 0.5626170039176941 "
        "0.7229568362236023 1.0");
  const char* const sf4_5 =
      "-1.0 -0.627781 -0.454736 -0.334331 -0.237434 -0.152899 -0.074982 0 0.065513 0.132965 "
      "0.204661 0.283835 0.375805 0.491076 0.656781 1.0";
  table("sf4", sf4_5);
  table("sf4-3",
        "-1 -.575725 -.403755 -.29162 -.204868 -.131054 -.064036 0 .055934 .113835 .176078 "
        ".246078 .329642 .438727 .60598 1");
  table("sf4-4",
        "-1 -.608729 -.435845 -.318393 -.225229 -.144689 -.070863 0 .061908 .125773 .193936 "
        ".269711 .358617 .471724 .638231 1");
  table("sf4-5", sf4_5);
  table("sf4-6",
        "-1 -.640101 -.467104 -.344838 -.245517 -.15835 -.077722 0 .067911 .137742 .211771 "
        ".293169 .387111 .503714 .66875 1");
  table("sf4-7",
        "-1 -.648695668605137 -.4758049192191136 -.35226650560941064 -.25124728719118344 "
        "-.16222176644114206 -.07967003587244491 0 .06961628484673037 .1411376777420972 "
        ".21681690757912492 .2997785136806453 .39509153065438735 .5125912352606964 "
        ".6770872505232854 1");
  const std::string e2m1_positive = "0 0.5 1 1.5 2 3 4 6 ";
  const std::string e2m1_negative = " -0.5 -1 -1.5 -2 -3 -4 -6";
  table("e2m1-range", e2m1_positive + "8" + e2m1_negative);
  table("e2m1-prec1", e2m1_positive + "2.5" + e2m1_negative);
  table("e2m1-prec2", e2m1_positive + "5" + e2m1_negative);
  table("e2m1-nosub", mirrored("0 0.75 1 1.5 2 3 4 6"));
  table("e2m1-razer", e2m1_positive + "5" + e2m1_negative);
  table("e2m1-razer-m5", e2m1_positive + "-5" + e2m1_negative);
  table("e2m1-razer-p8", e2m1_positive + "8" + e2m1_negative);
  table("e2m1-razer-m8", e2m1_positive + "-8" + e2m1_negative);
  table("bnb-fp4", mirrored("0 0.0625/12 8/12 12/12 4/12 6/12 2/12 3/12"));
  table("apot4", mirrored("0 .1 .2 .3 .4 .6 .8 1"));
  table("apot4-sp", "0 .1 .2 .3 .4 .6 .8 1 .5 -.1 -.2 -.3 -.4 -.6 -.8 -1");
  table("mokey", mirrored("0 1 2 3 4 6 8 16"));
  table("denorm4", "-7 -6 -5 -4 -3 -2 -1 -.5 0 .5 1 2 3 4 5 6");
}

void add_dialects(std::vector<Format>& all) {
  const char* const half_units[16] = {
      "0 1 2 3 4 6 11 15", "0 1 2 3 4 6 9 15", "0 1 2 3 4 6 11 14", "0 1 2 3 4 6 9 14",
      "0 1 2 3 4 6 10 13", "0 1 2 3 4 6 8 13", "0 1 2 3 4 6 10 12", "0 1 2 3 4 6 8 12",
      "0 1 2 3 4 6 9 11",  "0 1 2 3 4 6 7 11", "0 1 2 3 4 6 9 10",  "0 1 2 3 4 6 7 10",
      "0 1 2 3 4 6 8 9",   "0 1 2 3 4 6 7 9",  "0 1 2 3 4 6 7 8",   "0 1 2 3 4 5 6 8"};
  for (int i = 0; i < 16; ++i) {
    std::istringstream in(half_units[i]);
    std::string positive;
    for (std::string token; in >> token;) positive += token + "/2 ";
    all.push_back(format_from_table("dialect-" + std::to_string(i), 4, mirrored(positive)));
  }
}

void add_p3109(std::vector<Format>& all) {
  all.push_back(p3109_signed("p3109-k4p1sf", "0 .125 .25 .5 1 2 4 8 nan -.125 -.25 -.5 -1 -2 -4 -8",
                             {"16", 8, 8}));
  all.push_back(p3109_signed(
      "p3109-k4p1se", "0 .125 .25 .5 1 2 4 inf nan -.125 -.25 -.5 -1 -2 -4 -inf", {"8", 7, 15}));
  all.push_back(p3109_signed(
      "p3109-k4p2sf", "0 .25 .5 .75 1 1.5 2 3 nan -.25 -.5 -.75 -1 -1.5 -2 -3", {"4", 8, 8}));
  all.push_back(p3109_signed(
      "p3109-k4p2se", "0 .25 .5 .75 1 1.5 2 inf nan -.25 -.5 -.75 -1 -1.5 -2 -inf", {"3", 7, 15}));
  for (const char* p : {"3", "4"}) {
    const std::string id = std::string("p3109-k4p") + p;
    all.push_back(p3109_signed(id + "sf",
                               "0 .25 .5 .75 1 1.25 1.5 1.75 nan -.25 -.5 -.75 -1 -1.25 -1.5 -1.75",
                               {"2", 8, 8}));
    all.push_back(p3109_signed(id + "se",
                               "0 .25 .5 .75 1 1.25 1.5 inf nan -.25 -.5 -.75 -1 -1.25 -1.5 -inf",
                               {"1.75", 7, 15}));
  }
  all.push_back(p3109_unsigned(
      "p3109-k4p1uf", "0 1/128 1/64 1/32 1/16 1/8 1/4 1/2 1 2 4 8 16 32 64 nan", {"128", 15, 15}));
  all.push_back(p3109_unsigned(
      "p3109-k4p1ue", "0 1/128 1/64 1/32 1/16 1/8 1/4 1/2 1 2 4 8 16 32 inf nan", {"64", 14, 14}));
  all.push_back(p3109_unsigned(
      "p3109-k4p2uf", "0 .0625 .125 .1875 .25 .375 .5 .75 1 1.5 2 3 4 6 8 nan", {"12", 15, 15}));
  all.push_back(p3109_unsigned(
      "p3109-k4p2ue", "0 .0625 .125 .1875 .25 .375 .5 .75 1 1.5 2 3 4 6 inf nan", {"8", 14, 14}));
  all.push_back(p3109_unsigned("p3109-k4p3uf",
                               "0 .125 .25 .375 .5 .625 .75 .875 1 1.25 1.5 1.75 2 2.5 3 nan",
                               {"3.5", 15, 15}));
  all.push_back(p3109_unsigned("p3109-k4p3ue",
                               "0 .125 .25 .375 .5 .625 .75 .875 1 1.25 1.5 1.75 2 2.5 inf nan",
                               {"3", 14, 14}));
  all.push_back(p3109_unsigned(
      "p3109-k4p4uf", "0 .125 .25 .375 .5 .625 .75 .875 1 1.125 1.25 1.375 1.5 1.625 1.75 nan",
      {"1.875", 15, 15}));
  all.push_back(p3109_unsigned(
      "p3109-k4p4ue", "0 .125 .25 .375 .5 .625 .75 .875 1 1.125 1.25 1.375 1.5 1.625 inf nan",
      {"1.75", 14, 14}));
}

void add_narrow(std::vector<Format>& all) {
  all.push_back(format_from_table("mxint2-elem", 2, "0 1 -0 -1"));
  all.push_back(format_from_table("ternary", 2, "0 1 unused -1"));
  all.push_back(format_from_table("int2", 2, "0 1 unused -1"));
  all.push_back(sign_magnitude_integers("mxint8-elem", 8, 64));
  all.push_back(twos_complement("int8", 8, -127, 1));
  all.push_back(twos_complement("ocp-int8", 8, -128, 64));

  all.push_back(minifloat("e2m3", {6, 3, 1, true, 0x1F}));
  all.push_back(minifloat("e3m2", {6, 2, 3, true, 0x1F}));
  all.push_back(minifloat_with_specials("e4m3", {8, 3, 7, true, 0x7E}, 0x7F, 0x7F, 0xFF));
  all.push_back(minifloat_with_specials("e5m2", {8, 2, 15, true, 0x7B, 0x7C}, 0x7F, 0x7C, 0xFC));
  all.push_back(
      minifloat_with_specials("e4m3-ieee", {8, 3, 7, true, 0x77, 0x78}, 0x7C, 0x78, 0xF8));
  all.push_back(minifloat_with_specials("e3m4", {8, 4, 3, true, 0x6F, 0x70}, 0x78, 0x70, 0xF0));
  all.push_back(
      minifloat_with_specials("e4m3fnuz", {8, 3, 8, true, 0x7F, 0, true}, 0x80, 0x80, 0x80));
  all.push_back(
      minifloat_with_specials("e5m2fnuz", {8, 2, 16, true, 0x7F, 0, true}, 0x80, 0x80, 0x80));
  all.push_back(
      minifloat_with_specials("e4m3b11fnuz", {8, 3, 11, true, 0x7F, 0, true}, 0x80, 0x80, 0x80));
  all.push_back(minifloat_with_specials("ue4m3", {7, 3, 7, false, 0x7E}, 0x7F, 0x7F, 0x7F));
  all.push_back(minifloat_with_specials("ue5m3", {8, 3, 15, false, 0xFE}, 0xFF, 0xFF, 0xFF));
  all.push_back(minifloat("ue3m3", {6, 3, 3, false, 0x3F}));
  all.push_back(exponent_scale("e8m0", 0, -127, Negatives::kMagnitude));
  all.push_back(exponent_scale("e6m2", 2, -48, Negatives::kToCode0));
}

std::vector<Format> build() {
  std::vector<Format> all;
  add_four_bit(all);
  add_dialects(all);
  add_p3109(all);
  add_narrow(all);
  all.push_back(wide("bf16", kBfloat16, 0, 0x7FFF));
  all.push_back(wide("fp16", kBinary16, 0, 0x7FFF));
  all.push_back(wide("tf32", kTf32, 13, 0x7FC00000));
  all.push_back(wide("fp32", kBinary32, 0, 0x7FC00000));
  return all;
}

}  // namespace

Format format_from_table(std::string id, int bits, std::string_view tokens) {
  Format f;
  f.id = std::move(id);
  f.bits = bits;
  std::istringstream in{std::string(tokens)};
  for (std::string token; in >> token;) f.codes.push_back(parse_token(token));
  if (f.codes.size() != std::size_t{1} << bits) {
    throw std::logic_error(f.id + ": the table does not have 2^bits entries");
  }
  finish(f);
  return f;
}

const std::vector<Format>& formats() {
  static const std::vector<Format> all = build();
  return all;
}

const Format& format(std::string_view id) {
  for (const Format& f : formats()) {
    if (f.id == id) return f;
  }
  throw std::out_of_range("the oracle knows no format " + std::string(id));
}

CodeValue decode(const Format& format, std::uint32_t code) {
  if (!format.is_wide) return format.codes.at(code);
  const Number n = decode_ieee(code >> format.shift, format.layout);
  switch (n.kind) {
    case Number::Kind::kNan:
      return {CodeValue::Meaning::kNan, n.negative, 0};
    case Number::Kind::kInfinite:
      return {CodeValue::Meaning::kInfinite, n.negative, 0};
    default:
      return {CodeValue::Meaning::kFinite, n.negative, n.value};
  }
}

}  // namespace fp4lab_oracle
