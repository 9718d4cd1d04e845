// Tensor-core presets: one record an instruction form, with the evidence for it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/element_format.h"
#include "formats/quant_spec.h"
#include "sim/mma_model.h"

namespace fp4lab {

/// What a preset rests on.
enum class Evidence : std::uint8_t {
  measured,    ///< equal to real hardware in every probed output (tests/golden/h100_mma)
  published,   ///< somebody else's published model; not measured here
  unverified,  ///< believed, or a sibling of a known form
};
/// "measured", "published", "unverified".
std::string_view to_string(Evidence e) noexcept;

/// One instruction form of one chip. Its id is chip.instruction.kK.A.B.acc[.scale], for example
/// sm90a.wgmma.k16.f16.f16.f32 or sm100a.tcgen05.k64.e2m1.e2m1.f32.ue4m3x16.
struct MmaPreset {
  std::string id;
  std::string chip;         ///< sm70 ... sm120a, cdna1 ... cdna3
  std::string instruction;  ///< mma, wgmma, tcgen05, mfma
  std::string a, b, acc;    ///< PTX type names: f16, bf16, tf32, e4m3, ..., f32, f64
  std::string scale;        ///< ue8m0, ue4m3 or empty
  MmaParams params{};
  bool widest = false;  ///< what the chip's short name stands for
  Evidence evidence = Evidence::unverified;
  std::string source;
};

/// Every preset, oldest chip first.
const std::vector<MmaPreset>& mma_presets();

/// The preset of that id; sm86 reads as sm80, sm90 as sm90a, sm100, sm103, sm120 likewise. nullptr
/// when there is none.
const MmaPreset* find_preset(std::string_view id);

/// Chip names and chip.instruction prefixes that stand for "the widest instruction that takes the
/// operands' formats": sm70 sm75 sm80 sm89 sm90 ... cdna3.
const std::vector<std::string>& preset_prefixes();
/// The prefix as it is printed, or empty: sm90a -> sm90, SM90.wgmma -> sm90.wgmma.
std::string canonical_prefix(std::string_view name);

/// What an operand brings to the choice of an instruction.
struct MmaOperandType {
  std::string type;   ///< PTX name; empty for a format that no tensor core reads
  std::string scale;  ///< ue8m0, ue4m3, or empty when there are no block scales along k
  std::size_t scale_block = 0;
};

/// The instruction with binary32 accumulator that `prefix` (canonical_prefix) stands for with these
/// operand types; nullptr when the chip has none. Operands without block scales can feed a
/// block-scaled instruction (scales of 1) where there is no other.
const MmaPreset* choose_preset(std::string_view prefix, const MmaOperandType& a,
                               const MmaOperandType& b);

/// PTX name of a format (fp16 -> f16); empty for formats that no instruction reads.
std::string ptx_type(const ElementFormat& f);
/// The element format of a PTX type name; f64 has none.
std::optional<ElementFormat> format_of_ptx_type(std::string_view type);

}  // namespace fp4lab
