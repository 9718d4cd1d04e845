#include "tests/golden/exclusions.h"

#include <array>

namespace fp4lab::golden {
namespace {

constexpr std::array<ExclusionRow, 6> kRows{{
    {Exclusion::kMicroxcalingCppNan, "scalar_convert",
     "NaN inputs of the microxcaling_cpp_value columns",
     "its element step rounds the payload as if it were a mantissa, so that a NaN may become "
     "another NaN, an infinity that saturates, or -0. The block quantizer never gets there: its "
     "scale is NaN already."},
    {Exclusion::kGfloatUnsignedNegative, "gfloat_round", "negative inputs of the unsigned formats",
     "gfloat rounds the negative significand with floor and keeps the negative value, which the "
     "format cannot hold; its scalar and its array function disagree. A gap of gfloat, not a "
     "rule."},
    {Exclusion::kGfloatNoSubnormals, "gfloat_round",
     "the code and value columns of e2m1_nosub and e3m0_nozero below the smallest normal number",
     "gfloat rounds formats without subnormals as if the exponent were unbounded below, and its "
     "encoder then leaves the code range. A gap of gfloat, not a rule."},
    {Exclusion::kTorchaoPoisonedBlock, "mx_torchao",
     "element codes and values of blocks whose scale code is 255 (NaN)",
     "what torchao leaves there is meaningless: its CPU and its CUDA path give different codes."},
    {Exclusion::kTorchaoNanElement, "nvfp4_torchao",
     "codes of elements that became NaN on the way (0/0 in all_zero, 0*Inf in near_f32_min)",
     "the code is the NaN payload pushed through the arithmetic of the cast."},
    {Exclusion::kRhtFlushedToZero, "nvfp4_te_reference",
     "the transform itself of near_f32_min in bf16",
     "the CPU matrix product that made it flushes everything below about 2^-124 to zero."},
}};

}  // namespace

const ExclusionRow& exclusion(Exclusion id) { return kRows[static_cast<std::size_t>(id)]; }

}  // namespace fp4lab::golden
