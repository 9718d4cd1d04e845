// The catalogue of element formats: one row a format. Adding a format is adding a row here (or a
// TOML file at run time); the command line, the tests, the docs table and the plots iterate it.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "formats/element_format.h"

namespace fp4lab {

/// Families, for grouping in tables.
enum class Family : std::uint8_t {
  fp4,
  log4,
  int4,
  codebook4,
  p3109,
  fp6,
  fp8,
  scale,
  wide,
  other
};

/// A catalogue row.
struct FormatInfo {
  std::string_view id;       ///< the one spelling used in output
  std::string_view aliases;  ///< accepted on input, separated by spaces
  std::string_view title;    ///< one line for people
  std::string_view source;   ///< where the definition comes from
  Family family;
  ElementFormat format;
};

namespace detail {

FP4LAB_HD constexpr ElementFormat minifloat(int exponent_bits, int mantissa_bits, int bias,
                                            Specials specials = Specials::none,
                                            LowEnd low_end = LowEnd::gradual) {
  ElementFormat f;
  f.exponent_bits = static_cast<std::uint8_t>(exponent_bits);
  f.mantissa_bits = static_cast<std::uint8_t>(mantissa_bits);
  f.bits = static_cast<std::uint8_t>(1 + exponent_bits + mantissa_bits);
  f.bias = static_cast<std::int16_t>(bias);
  f.specials = specials;
  f.low_end = low_end;
  return f;
}
FP4LAB_HD constexpr ElementFormat unsigned_minifloat(int exponent_bits, int mantissa_bits, int bias,
                                                     Specials specials = Specials::none,
                                                     LowEnd low_end = LowEnd::gradual) {
  ElementFormat f = minifloat(exponent_bits, mantissa_bits, bias, specials, low_end);
  f.is_signed = false;
  f.bits = static_cast<std::uint8_t>(exponent_bits + mantissa_bits);
  return f;
}
/// Radix-4 FP4 [1,3,0]: 4^(c-4), multiplied by 2^shift.
constexpr ElementFormat radix4(int shift) {
  ElementFormat f = minifloat(3, 0, 4);
  f.radix_log2 = 2;
  f.shift = static_cast<std::int16_t>(shift);
  return f;
}
/// Sign-magnitude integers m * 2^shift, |m| < 2^magnitude_bits.
FP4LAB_HD constexpr ElementFormat sign_magnitude(int magnitude_bits, int shift) {
  ElementFormat f = minifloat(0, magnitude_bits, 1 - magnitude_bits);
  f.shift = static_cast<std::int16_t>(shift);
  return f;
}
FP4LAB_HD constexpr ElementFormat twos_complement(int bits, int min_int, int max_int,
                                                  int shift = 0) {
  ElementFormat f;
  f.kind = FormatKind::integer;
  f.bits = static_cast<std::uint8_t>(bits);
  f.exponent_bits = f.mantissa_bits = 0;
  f.bias = 0;
  f.min_int = static_cast<std::int16_t>(min_int);
  f.max_int = static_cast<std::int16_t>(max_int);
  f.shift = static_cast<std::int16_t>(shift);
  return f;
}
/// Unsigned integers 0 .. 2^bits - 1.
constexpr ElementFormat unsigned_integer(int bits) { return unsigned_minifloat(0, bits, 1 - bits); }
/// A table of values in code order; each is rounded once to binary32.
constexpr ElementFormat codebook(std::initializer_list<double> values) {
  ElementFormat f;
  f.kind = FormatKind::codebook;
  f.exponent_bits = f.mantissa_bits = 0;
  f.bias = 0;
  f.is_signed = false;
  for (const double v : values) {
    f.table.set(f.count++, bits_as<std::uint32_t>(static_cast<float>(v)));
    if (v < 0.0) f.is_signed = true;
  }
  f.bits = 1;
  while ((1 << f.bits) < f.count) ++f.bits;
  return f;
}
/// Sign bit 3, table of eight magnitudes; code 8 is -0 (or whatever `code8` says).
constexpr ElementFormat mirrored(const std::array<double, 8>& m, double code8 = -0.0) {
  return codebook({m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], code8, -m[1], -m[2], -m[3],
                   -m[4], -m[5], -m[6], -m[7]});
}
constexpr ElementFormat e2m1_with(double code8) {
  return mirrored({0, 0.5, 1, 1.5, 2, 3, 4, 6}, code8);
}
/// DialectFP4: magnitudes in half-units.
constexpr ElementFormat dialect(const std::array<int, 8>& half_units) {
  std::array<double, 8> m{};
  for (int i = 0; i < 8; ++i) m[i] = 0.5 * half_units[i];
  return mirrored(m);
}
/// Student-t codebook: 8 codes up to zero (-1 first), then 8 above (1 last).
constexpr ElementFormat student(const std::array<double, 7>& positive,
                                const std::array<double, 6>& negative) {
  return codebook({-1.0, -negative[5], -negative[4], -negative[3], -negative[2], -negative[1],
                   -negative[0], 0.0, positive[0], positive[1], positive[2], positive[3],
                   positive[4], positive[5], positive[6], 1.0});
}
/// IEEE P3109 binary format of width k and precision p (interim report, as in gfloat).
constexpr ElementFormat p3109(int k, int p, bool is_signed, bool extended) {
  if (is_signed) {
    const int shift = k - p - 1;
    const int bias = shift >= 0 ? (1 << shift) : 0;
    return minifloat(k - p, p - 1, bias,
                     extended ? Specials::nan_neg_zero_inf : Specials::nan_neg_zero);
  }
  return unsigned_minifloat(k - p + 1, p - 1, 1 << (k - p),
                            extended ? Specials::nan_top_inf : Specials::nan_top);
}
constexpr ElementFormat tf32() {
  ElementFormat f = minifloat(8, 10, 127, Specials::ieee);
  f.storage_shift = 13;
  return f;
}

inline constexpr std::string_view kOcp = "OCP Microscaling Formats v1.0; cuda_fp4.hpp";
inline constexpr std::string_view kOcp8 = "OCP 8-bit Floating Point v1.0; cuda_fp8.hpp";
inline constexpr std::string_view kMlDtypes = "ml_dtypes";
inline constexpr std::string_view kLlm = "arXiv:2405.03103; llm-datatypes weight_only.py";
inline constexpr std::string_view kDialect =
    "arXiv:2501.01144, table from a third-party transcription (unverified)";
inline constexpr std::string_view kP3109 = "IEEE P3109 interim report v3, rule as in gfloat";

}  // namespace detail

#define FP4LAB_P3109(NAME, P, SIGNED, EXTENDED)                                        \
  FormatInfo {                                                                         \
    "p3109-k4p" NAME, "k4p" NAME, "IEEE P3109, 4 bits, precision " #P, detail::kP3109, \
        Family::p3109, detail::p3109(4, P, SIGNED, EXTENDED)                           \
  }
#define FP4LAB_DIALECT(N, ...)                                                                     \
  FormatInfo {                                                                                     \
    "dialect-" #N, "dialect" #N, "DialectFP4 formatbook entry " #N, detail::kDialect, Family::fp4, \
        detail::dialect({__VA_ARGS__})                                                             \
  }

/// Every format the house knows, grouped as `fp4lab formats` prints them.
inline constexpr auto kCatalog = std::to_array<FormatInfo>({
    // --- floating-point, 4 bits -----------------------------------------------------------------
    {"e2m1", "fp4 fp4-e2m1 float4-e2m1fn e2m1fn", "FP4 proper: element of MXFP4 and NVFP4",
     detail::kOcp, Family::fp4, detail::minifloat(2, 1, 1)},
    {"e1m2", "fp4-e1m2", "uniform grid k/2, bias 0 (TetraJet, UFP4)",
     "arXiv:2502.20853 code; arXiv:2606.20381", Family::fp4, detail::minifloat(1, 2, 0)},
    {"e1m2-b1", "", "uniform grid k/4, bias 1", "arXiv:2602.11287 (HiFloat4 element)", Family::fp4,
     detail::minifloat(1, 2, 1)},
    {"e1m2-nosub", "", "no subnormals: 1.25 is the smallest magnitude", detail::kLlm, Family::fp4,
     detail::minifloat(1, 2, 0, Specials::none, LowEnd::zero_only)},
    {"e2m1-nosub", "fp4-no-sub", "E2M1 with 0.75 in place of 0.5", detail::kLlm, Family::fp4,
     detail::minifloat(2, 1, 1, Specials::none, LowEnd::zero_only)},
    {"e2m1-range", "fp4-range super-range", "E2M1 with -0 re-used as +8", detail::kLlm, Family::fp4,
     detail::e2m1_with(8.0)},
    {"e2m1-prec1", "fp4-prec1 prec1", "E2M1 with -0 re-used as +2.5", detail::kLlm, Family::fp4,
     detail::e2m1_with(2.5)},
    {"e2m1-prec2", "fp4-prec2 prec2 super-precision", "E2M1 with -0 re-used as +5", detail::kLlm,
     Family::fp4, detail::e2m1_with(5.0)},
    {"e2m1-razer", "razer-elem", "RaZeR element, -0 re-used as +5", "arXiv:2501.04052", Family::fp4,
     detail::e2m1_with(5.0)},
    {"e2m1-razer-m5", "", "RaZeR element, -0 re-used as -5", "arXiv:2501.04052", Family::fp4,
     detail::e2m1_with(-5.0)},
    {"e2m1-razer-p8", "", "RaZeR element, -0 re-used as +8", "arXiv:2501.04052", Family::fp4,
     detail::e2m1_with(8.0)},
    {"e2m1-razer-m8", "", "RaZeR element, -0 re-used as -8", "arXiv:2501.04052", Family::fp4,
     detail::e2m1_with(-8.0)},
    {"hif4-elem", "", "HiF4 element: sign and k/4, k <= 7", "arXiv:2602.11287", Family::fp4,
     detail::sign_magnitude(3, -2)},
    FP4LAB_DIALECT(0, 0, 1, 2, 3, 4, 6, 11, 15),
    FP4LAB_DIALECT(1, 0, 1, 2, 3, 4, 6, 9, 15),
    FP4LAB_DIALECT(2, 0, 1, 2, 3, 4, 6, 11, 14),
    FP4LAB_DIALECT(3, 0, 1, 2, 3, 4, 6, 9, 14),
    FP4LAB_DIALECT(4, 0, 1, 2, 3, 4, 6, 10, 13),
    FP4LAB_DIALECT(5, 0, 1, 2, 3, 4, 6, 8, 13),
    FP4LAB_DIALECT(6, 0, 1, 2, 3, 4, 6, 10, 12),
    FP4LAB_DIALECT(7, 0, 1, 2, 3, 4, 6, 8, 12),
    FP4LAB_DIALECT(8, 0, 1, 2, 3, 4, 6, 9, 11),
    FP4LAB_DIALECT(9, 0, 1, 2, 3, 4, 6, 7, 11),
    FP4LAB_DIALECT(10, 0, 1, 2, 3, 4, 6, 9, 10),
    FP4LAB_DIALECT(11, 0, 1, 2, 3, 4, 6, 7, 10),
    FP4LAB_DIALECT(12, 0, 1, 2, 3, 4, 6, 8, 9),
    FP4LAB_DIALECT(13, 0, 1, 2, 3, 4, 6, 7, 9),
    FP4LAB_DIALECT(14, 0, 1, 2, 3, 4, 6, 7, 8),
    FP4LAB_DIALECT(15, 0, 1, 2, 3, 4, 5, 6, 8),
    // --- logarithmic, 4 bits --------------------------------------------------------------------
    {"e3m0", "fp4-e3m0 fp4-log", "powers of two and zero (LUQ's grid)",
     "llm-datatypes FP4_LOG; arXiv:2112.10769", Family::log4, detail::minifloat(3, 0, 3)},
    {"e3m0-nz", "e3m0-nozero", "powers of two, no zero at all",
     "gfloat, precision 1 without subnormals", Family::log4,
     detail::minifloat(3, 0, 3, Specials::none, LowEnd::no_zero)},
    {"radix4-even", "r4-even", "radix-4 [1,3,0], even phase 4^(c-4)",
     "Sun et al., NeurIPS 2020 (offsets chosen here)", Family::log4, detail::radix4(0)},
    {"radix4-odd", "r4-odd", "radix-4 [1,3,0], odd phase 2 * 4^(c-4)",
     "Sun et al., NeurIPS 2020 (offsets chosen here)", Family::log4, detail::radix4(1)},
    // --- integers -------------------------------------------------------------------------------
    {"int4", "int4-sym", "two's complement, -7..7", "llm-datatypes qdq_weight_sym; fouroversix",
     Family::int4, detail::twos_complement(4, -7, 7)},
    {"int4-full", "", "two's complement, -8..7", "llm-datatypes", Family::int4,
     detail::twos_complement(4, -8, 7)},
    {"uint4-asym", "uint4", "unsigned 0..15, with a zero point", "llm-datatypes qdq_weight_asym",
     Family::int4, detail::unsigned_integer(4)},
    {"mxint4-elem", "", "element of MXINT4: sign and k/4, k <= 7", "microxcaling formats.py",
     Family::int4, detail::sign_magnitude(3, -2)},
    {"int2", "", "two's complement, -1..1", "symmetric restricted, as int4", Family::int4,
     detail::twos_complement(2, -1, 1)},
    {"ternary", "", "-1, 0, 1", "two's complement codes 3, 0, 1", Family::int4,
     detail::twos_complement(2, -1, 1)},
    {"mxint2-elem", "", "element of MXINT2: sign and k, k <= 1", "microxcaling formats.py",
     Family::int4, detail::sign_magnitude(1, 0)},
    {"mxint8-elem", "", "element of MXINT8: sign and k/64, k <= 127", "microxcaling formats.py",
     Family::other, detail::sign_magnitude(7, -6)},
    {"int8", "", "two's complement, -127..127", "symmetric restricted, as int4", Family::other,
     detail::twos_complement(8, -127, 127)},
    {"ocp-int8", "", "two's complement k/64, -128..127", "OCP MX v1.0; gfloat ocp_int8",
     Family::other, detail::twos_complement(8, -128, 127, -6)},
    // --- codebooks ------------------------------------------------------------------------------
    {"nf4", "normal-float4", "quantiles of a Gaussian", "arXiv:2305.14314 (bitsandbytes)",
     Family::codebook4,
     detail::codebook({-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
                       -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
                       0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
                       0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                       0.7229568362236023, 1.0})},
    {"sf4", "sf4-5 student-float4", "quantiles of Student's t, 5 degrees of freedom", detail::kLlm,
     Family::codebook4,
     detail::student({0.065513, 0.132965, 0.204661, 0.283835, 0.375805, 0.491076, 0.656781},
                     {0.074982, 0.152899, 0.237434, 0.334331, 0.454736, 0.627781})},
    {"sf4-3", "", "Student's t, 3 degrees of freedom", detail::kLlm, Family::codebook4,
     detail::student({0.055934, 0.113835, 0.176078, 0.246078, 0.329642, 0.438727, 0.60598},
                     {0.064036, 0.131054, 0.204868, 0.29162, 0.403755, 0.575725})},
    {"sf4-4", "", "Student's t, 4 degrees of freedom", detail::kLlm, Family::codebook4,
     detail::student({0.061908, 0.125773, 0.193936, 0.269711, 0.358617, 0.471724, 0.638231},
                     {0.070863, 0.144689, 0.225229, 0.318393, 0.435845, 0.608729})},
    {"sf4-6", "", "Student's t, 6 degrees of freedom", detail::kLlm, Family::codebook4,
     detail::student({0.067911, 0.137742, 0.211771, 0.293169, 0.387111, 0.503714, 0.66875},
                     {0.077722, 0.15835, 0.245517, 0.344838, 0.467104, 0.640101})},
    {"sf4-7", "", "Student's t, 7 degrees of freedom", detail::kLlm, Family::codebook4,
     detail::student(
         {0.06961628484673037, 0.1411376777420972, 0.21681690757912492, 0.2997785136806453,
          0.39509153065438735, 0.5125912352606964, 0.6770872505232854},
         {0.07967003587244491, 0.16222176644114206, 0.25124728719118344, 0.35226650560941064,
          0.4758049192191136, 0.648695668605137})},
    {"bnb-fp4", "fp4-bnb", "bitsandbytes FP4", "bitsandbytes, via llm-datatypes FP4_BNB",
     Family::codebook4,
     detail::mirrored(
         {0.0, 0.0625 / 12, 8.0 / 12, 12.0 / 12, 4.0 / 12, 6.0 / 12, 2.0 / 12, 3.0 / 12})},
    {"apot4", "", "additive powers of two", "llm-datatypes APOT4", Family::codebook4,
     detail::mirrored({0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0})},
    {"apot4-sp", "", "additive powers of two, -0 re-used as +0.5", "llm-datatypes APOT4_SP",
     Family::codebook4, detail::mirrored({0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0}, 0.5)},
    {"mokey", "", "0 1 2 3 4 6 8 16", "llm-datatypes MOKEY", Family::codebook4,
     detail::mirrored({0, 1, 2, 3, 4, 6, 8, 16})},
    {"denorm4", "", "-7..-1, -0.5, 0, 0.5, 1..6", "llm-datatypes DENORM4", Family::codebook4,
     detail::codebook({-7, -6, -5, -4, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 5, 6})},
    // --- IEEE P3109, 4 bits ---------------------------------------------------------------------
    FP4LAB_P3109("1sf", 1, true, false),
    FP4LAB_P3109("1se", 1, true, true),
    FP4LAB_P3109("1uf", 1, false, false),
    FP4LAB_P3109("1ue", 1, false, true),
    FP4LAB_P3109("2sf", 2, true, false),
    FP4LAB_P3109("2se", 2, true, true),
    FP4LAB_P3109("2uf", 2, false, false),
    FP4LAB_P3109("2ue", 2, false, true),
    FP4LAB_P3109("3sf", 3, true, false),
    FP4LAB_P3109("3se", 3, true, true),
    FP4LAB_P3109("3uf", 3, false, false),
    FP4LAB_P3109("3ue", 3, false, true),
    FP4LAB_P3109("4sf", 4, true, false),
    FP4LAB_P3109("4se", 4, true, true),
    FP4LAB_P3109("4uf", 4, false, false),
    FP4LAB_P3109("4ue", 4, false, true),
    // --- six and eight bits ---------------------------------------------------------------------
    {"e2m3", "fp6-e2m3 float6-e2m3fn", "FP6, finer", "OCP MX v1.0; cuda_fp6.hpp", Family::fp6,
     detail::minifloat(2, 3, 1)},
    {"e3m2", "fp6-e3m2 float6-e3m2fn", "FP6, wider", "OCP MX v1.0; cuda_fp6.hpp", Family::fp6,
     detail::minifloat(3, 2, 3)},
    {"e4m3", "e4m3fn fp8-e4m3 float8-e4m3fn", "FP8, finite, NaN 7F", detail::kOcp8, Family::fp8,
     detail::minifloat(4, 3, 7, Specials::nan_top)},
    {"e5m2", "fp8-e5m2 float8-e5m2", "FP8, IEEE-like", detail::kOcp8, Family::fp8,
     detail::minifloat(5, 2, 15, Specials::ieee)},
    {"e4m3-ieee", "float8-e4m3", "FP8 with infinities, bias 7", detail::kMlDtypes, Family::fp8,
     detail::minifloat(4, 3, 7, Specials::ieee)},
    {"e3m4", "float8-e3m4", "FP8 with infinities, bias 3", detail::kMlDtypes, Family::fp8,
     detail::minifloat(3, 4, 3, Specials::ieee)},
    {"e4m3fnuz", "float8-e4m3fnuz", "bias 8, NaN in place of -0", detail::kMlDtypes, Family::fp8,
     detail::minifloat(4, 3, 8, Specials::nan_neg_zero)},
    {"e5m2fnuz", "float8-e5m2fnuz", "bias 16, NaN in place of -0", detail::kMlDtypes, Family::fp8,
     detail::minifloat(5, 2, 16, Specials::nan_neg_zero)},
    {"e4m3b11fnuz", "float8-e4m3b11fnuz", "bias 11, NaN in place of -0", detail::kMlDtypes,
     Family::fp8, detail::minifloat(4, 3, 11, Specials::nan_neg_zero)},
    // --- scale formats --------------------------------------------------------------------------
    {"e8m0", "ue8m0 float8-e8m0fnu", "powers of two 2^-127..2^127, no zero, NaN FF",
     "OCP MX v1.0; cuda_fp8.hpp", Family::scale,
     detail::unsigned_minifloat(8, 0, 127, Specials::nan_top, LowEnd::no_zero)},
    {"ue4m3", "", "E4M3 without sign: NVFP4 block scale, codes 00..7F", "nvmath; TE nvfp4.rst",
     Family::scale, detail::unsigned_minifloat(4, 3, 7, Specials::nan_top)},
    {"ue5m3", "", "block scale with wider range", "arXiv:2509.17791 (special codes chosen here)",
     Family::scale, detail::unsigned_minifloat(5, 3, 15, Specials::nan_top)},
    {"e6m2", "ue6m2", "HiF4 scale, 2^-48..1.5 * 2^15", "arXiv:2602.11287", Family::scale,
     detail::unsigned_minifloat(6, 2, 48, Specials::nan_top, LowEnd::no_zero)},
    {"ue3m3", "", "RaZeR weight scale (6 bits, two selector bits above)",
     "NVFP4-RaZeR code comments (bias chosen here)", Family::scale,
     detail::unsigned_minifloat(3, 3, 3)},
    // --- wide -----------------------------------------------------------------------------------
    {"bf16", "bfloat16 e8m7", "BF16", "gfloat formats.py", Family::wide,
     detail::minifloat(8, 7, 127, Specials::ieee)},
    {"fp16", "half float16 f16 e5m10", "FP16", "IEEE 754 binary16", Family::wide,
     detail::minifloat(5, 10, 15, Specials::ieee)},
    {"tf32", "e8m10", "TF32, 19 bits in a 32-bit word", "PTX ISA, cvt.rna.tf32", Family::wide,
     detail::tf32()},
    {"fp32", "float32 f32 single e8m23", "FP32", "IEEE 754 binary32", Family::wide,
     detail::minifloat(8, 23, 127, Specials::ieee)},
});

#undef FP4LAB_P3109
#undef FP4LAB_DIALECT

/// The built-in rows.
constexpr const auto& catalog() noexcept { return kCatalog; }

}  // namespace fp4lab
