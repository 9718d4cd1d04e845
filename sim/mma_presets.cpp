#include "sim/mma_presets.h"

#include <algorithm>

#include "formats/names.h"
#include "formats/registry.h"

namespace fp4lab {
namespace {

constexpr auto kMeasured = Evidence::measured;
constexpr auto kPublished = Evidence::published;
constexpr auto kUnverified = Evidence::unverified;
constexpr auto kRz = OutRound::f32_rz;
constexpr auto kE8m13 = OutRound::e8m13_rz;

constexpr const char* kProbe = "H100 probe, 90,112,000 outputs";
constexpr const char* kProbeF16 = "H100 probe; exponent floor of FP16 results from arXiv:2512.07004";
constexpr const char* kChecked = "H100, fp4lab_cuda_mma_check, 4,194,304 outputs a form";
constexpr const char* kSibling = "same rule as the measured sibling forms";
constexpr const char* kSim = "MMA-Sim arXiv:2511.10909";
constexpr const char* kSimLeeds = "MMA-Sim arXiv:2511.10909; exponent floor arXiv:2512.07004";
constexpr const char* kSimFloor = "MMA-Sim arXiv:2511.10909; no source for the exponent floor";
constexpr const char* kTuring = "MMA-Sim arXiv:2511.10909; exponent floor by the pattern of its kin";
constexpr const char* kNoFp6 = "no source tested FP6; parameters of the FP8 forms";
constexpr const char* kAs100 = "taken to be as on sm100a";
constexpr const char* kNone = "no source";

/// Several presets that differ in size and types only. `types` are A.B pairs, `accs` accumulators.
struct Row {
  const char* chip;
  const char* instruction;
  const char* ks;     ///< products an instruction: one or more sizes
  const char* types;
  const char* accs;
  const char* scale;  ///< "ue8m0x32" or ""
  MmaKind kind;
  int terms, fraction;
  int floor32, floor16;
  OutRound out32;
  Evidence evidence;
  const char* source;
};

constexpr auto kFused = MmaKind::fused_sum;
/// One fused sum takes all products of the instruction.
constexpr int kAllK = 0;
constexpr const char* kFp8 = "e4m3.e4m3 e4m3.e5m2 e5m2.e4m3 e5m2.e5m2";
constexpr const char* kF8f4 =
    "e4m3.e4m3 e4m3.e5m2 e5m2.e4m3 e5m2.e5m2 e2m1.e2m1 e2m1.e4m3 e2m1.e5m2 e4m3.e2m1 e5m2.e2m1";
constexpr const char* kFp6 =
    "e2m3.e2m3 e2m3.e3m2 e3m2.e2m3 e3m2.e3m2 e2m3.e4m3 e2m3.e5m2 e2m3.e2m1 e3m2.e4m3 e3m2.e5m2 "
    "e3m2.e2m1 e4m3.e2m3 e4m3.e3m2 e5m2.e2m3 e5m2.e3m2 e2m1.e2m3 e2m1.e3m2";

// Columns: chip, instruction, k (one or more), types, accumulators, block scale, kind, terms,
// fraction bits, exponent floor (f32, f16 results), f32 rounding, evidence, source.
constexpr Row kRows[] = {
    {"sm70", "mma", "4", "f16.f16", "f32 f16", "", kFused, kAllK, 23, kNoFloor, -19, kRz, kPublished, kSimLeeds},
    {"sm75", "mma", "8", "f16.f16", "f32 f16", "", kFused, kAllK, 24, -132, -20, kRz, kPublished, kTuring},

    {"sm80", "mma", "16 8", "f16.f16", "f32 f16", "", kFused, 8, 24, -132, -20, kRz, kPublished, kSimLeeds},
    {"sm80", "mma", "16 8", "bf16.bf16", "f32", "", kFused, 8, 24, -132, -20, kRz, kPublished, kSimLeeds},
    {"sm80", "mma", "8 4", "tf32.tf32", "f32", "", kFused, 4, 24, -132, -20, kRz, kPublished, kSimLeeds},
    {"sm80", "mma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},

    {"sm89", "mma", "16 8", "f16.f16", "f32 f16", "", kFused, 8, 24, -132, -20, kRz, kPublished, kSimLeeds},
    {"sm89", "mma", "16 8", "bf16.bf16", "f32", "", kFused, 8, 24, -132, -20, kRz, kPublished, kSimLeeds},
    {"sm89", "mma", "8 4", "tf32.tf32", "f32", "", kFused, 4, 24, -132, -20, kRz, kPublished, kSimLeeds},
    {"sm89", "mma", "32 16", kFp8, "f32 f16", "", kFused, 16, 13, -132, -20, kE8m13, kPublished, kSimLeeds},
    {"sm89", "mma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},

    {"sm90a", "mma", "16", "f16.f16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "16", "f16.f16", "f16", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbeF16},
    {"sm90a", "mma", "8", "f16.f16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "8", "f16.f16", "f16", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kChecked},
    {"sm90a", "mma", "16 8", "bf16.bf16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "8 4", "tf32.tf32", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "32", "e4m3.e4m3", "f32 f16", "", MmaKind::fp8_as_f16, 16, 25, -133, -133, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "32", "e5m2.e5m2 e4m3.e5m2", "f32", "", MmaKind::fp8_as_f16, 16, 25, -133, -133, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "32", "e5m2.e4m3", "f32", "", MmaKind::fp8_as_f16, 16, 25, -133, -133, kRz, kMeasured, kChecked},
    {"sm90a", "mma", "32", "e5m2.e5m2 e4m3.e5m2 e5m2.e4m3", "f16", "", MmaKind::fp8_as_f16, 16, 25, -133, -133, kRz, kMeasured, kChecked},
    {"sm90a", "mma", "16", "e4m3.e4m3", "f32", "", MmaKind::fp8_as_f16, 8, 25, -133, -133, kRz, kMeasured, kProbe},
    {"sm90a", "mma", "16", "e5m2.e5m2 e4m3.e5m2 e5m2.e4m3", "f32", "", MmaKind::fp8_as_f16, 8, 25, -133, -133, kRz, kMeasured, kChecked},
    {"sm90a", "mma", "16", kFp8, "f16", "", MmaKind::fp8_as_f16, 8, 25, -133, -133, kRz, kMeasured, kChecked},
    {"sm90a", "mma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"sm90a", "wgmma", "16", "f16.f16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "wgmma", "16", "f16.f16", "f16", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbeF16},
    {"sm90a", "wgmma", "16", "bf16.bf16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "wgmma", "8", "tf32.tf32", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kMeasured, kProbe},
    {"sm90a", "wgmma", "32", "e4m3.e4m3", "f32 f16", "", kFused, kAllK, 13, -133, -133, kE8m13, kMeasured, kProbe},
    {"sm90a", "wgmma", "32", "e5m2.e5m2 e4m3.e5m2", "f32", "", kFused, kAllK, 13, -133, -133, kE8m13, kMeasured, kProbe},
    {"sm90a", "wgmma", "32", "e5m2.e4m3", "f32", "", kFused, kAllK, 13, -133, -133, kE8m13, kMeasured, kChecked},
    {"sm90a", "wgmma", "32", "e5m2.e5m2 e4m3.e5m2 e5m2.e4m3", "f16", "", kFused, kAllK, 13, -133, -133, kE8m13, kMeasured, kChecked},

    {"sm100a", "tcgen05", "16", "f16.f16", "f32 f16", "", kFused, kAllK, 25, -133, -21, kRz, kPublished, kSimLeeds},
    {"sm100a", "tcgen05", "16", "bf16.bf16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kPublished, kSimLeeds},
    {"sm100a", "tcgen05", "8", "tf32.tf32", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kPublished, kSimLeeds},
    {"sm100a", "tcgen05", "32", kF8f4, "f32 f16", "", kFused, kAllK, 25, -133, -133, kRz, kPublished, kSimLeeds},
    {"sm100a", "tcgen05", "32", kFp6, "f32 f16", "", kFused, kAllK, 25, -133, -133, kRz, kUnverified, kNoFp6},
    {"sm100a", "tcgen05", "32", kF8f4, "f32", "ue8m0x32", MmaKind::block_scaled, kAllK, 25, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm100a", "tcgen05", "32", kFp6, "f32", "ue8m0x32", MmaKind::block_scaled, kAllK, 25, kNoFloor, 0, kRz, kUnverified, kNoFp6},
    {"sm100a", "tcgen05", "64", "e2m1.e2m1", "f32", "ue8m0x32", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm100a", "tcgen05", "64", "e2m1.e2m1", "f32", "ue8m0x16", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm100a", "tcgen05", "64", "e2m1.e2m1", "f32", "ue4m3x16", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm100a", "mma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},

    {"sm103a", "tcgen05", "16", "f16.f16", "f32 f16", "", kFused, kAllK, 25, -133, -21, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "16", "bf16.bf16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "8", "tf32.tf32", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "32", kF8f4, "f32 f16", "", kFused, kAllK, 25, -133, -133, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "32", kF8f4, "f32", "ue8m0x32", MmaKind::block_scaled, kAllK, 25, kNoFloor, 0, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "64", "e2m1.e2m1", "f32", "ue8m0x32", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "64", "e2m1.e2m1", "f32", "ue4m3x16", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kUnverified, kAs100},
    {"sm103a", "tcgen05", "96", "e2m1.e2m1", "f32", "ue8m0x32", MmaKind::fp4_groups, 6, 35, kNoFloor, 0, kRz, kUnverified, kNone},
    {"sm103a", "tcgen05", "96", "e2m1.e2m1", "f32", "ue4m3x16", MmaKind::fp4_groups, 6, 35, kNoFloor, 0, kRz, kUnverified, kNone},

    {"sm120a", "mma", "16 8", "f16.f16", "f32 f16", "", kFused, kAllK, 25, -133, -21, kRz, kPublished, kSimLeeds},
    {"sm120a", "mma", "16 8", "bf16.bf16", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kPublished, kSimLeeds},
    {"sm120a", "mma", "8 4", "tf32.tf32", "f32", "", kFused, kAllK, 25, -133, -21, kRz, kPublished, kSimLeeds},
    {"sm120a", "mma", "32", kF8f4, "f32 f16", "", kFused, kAllK, 25, -133, -133, kRz, kPublished, kSim},
    {"sm120a", "mma", "32", kFp6, "f32 f16", "", kFused, kAllK, 25, -133, -133, kRz, kUnverified, kNoFp6},
    {"sm120a", "mma", "16", kFp8, "f32 f16", "", kFused, kAllK, 25, -133, -133, kRz, kPublished, kSim},
    {"sm120a", "mma", "32", kF8f4, "f32", "ue8m0x32", MmaKind::block_scaled, kAllK, 25, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm120a", "mma", "32", kFp6, "f32", "ue8m0x32", MmaKind::block_scaled, kAllK, 25, kNoFloor, 0, kRz, kUnverified, kNoFp6},
    {"sm120a", "mma", "64", "e2m1.e2m1", "f32", "ue8m0x32", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm120a", "mma", "64", "e2m1.e2m1", "f32", "ue4m3x16", MmaKind::fp4_groups, 4, 35, kNoFloor, 0, kRz, kPublished, kSimFloor},
    {"sm120a", "mma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},

    {"cdna1", "mfma", "4", "f32.f32", "f32", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna1", "mfma", "16", "f16.f16", "f32", "", MmaKind::amd_tree, 4, 0, 0, 0, OutRound::f32_rne, kUnverified, "MMA-Sim; arXiv:2512.07004 models an exact sum instead (@leeds)"},
    {"cdna1", "mfma", "16", "f16.f16", "f32@leeds", "", MmaKind::amd_exact_group, 4, 0, 0, 0, OutRound::f32_rne, kUnverified, "arXiv:2512.07004; MMA-Sim models a tree instead"},
    {"cdna1", "mfma", "8", "bf16.bf16", "f32", "", MmaKind::amd_tree, 2, 0, 0, 0, OutRound::f32_rne, kUnverified, "MMA-Sim; disputed for f16"},
    {"cdna2", "mfma", "4", "f32.f32", "f32", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna2", "mfma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna2", "mfma", "16", "f16.f16", "f32", "", MmaKind::amd_tree_flush, 4, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna2", "mfma", "8", "bf16.bf16", "f32", "", MmaKind::amd_tree_flush, 2, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna2", "mfma", "16", "bf16.bf16", "f32", "", MmaKind::amd_tree_flush, 4, 0, 0, 0, OutRound::f32_rne, kPublished, "MMA-Sim, the _1k forms"},
    {"cdna3", "mfma", "4", "f32.f32", "f32", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna3", "mfma", "4", "f64.f64", "f64", "", MmaKind::fma_chain, 1, 0, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna3", "mfma", "16 8", "f16.f16 bf16.bf16", "f32", "", MmaKind::amd_two_stage, 8, 24, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna3", "mfma", "8 4", "xf32.xf32", "f32", "", MmaKind::amd_two_stage, 4, 24, 0, 0, OutRound::f32_rne, kPublished, kSim},
    {"cdna3", "mfma", "32 16", "e4m3fnuz.e4m3fnuz e4m3fnuz.e5m2fnuz e5m2fnuz.e4m3fnuz e5m2fnuz.e5m2fnuz", "f32", "", MmaKind::amd_two_stage_f8, 16, 24, 0, 0, OutRound::f32_rne, kPublished, kSim},
};

std::vector<std::string> words(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::size_t n = std::min(list.find(' '), list.size());
    out.emplace_back(list.substr(0, n));
    list.remove_prefix(std::min(n + 1, list.size()));
  }
  return out;
}

MmaPreset make_preset(const Row& row, int k, const std::string& types, const std::string& acc) {
  const std::size_t dot = types.find('.');
  MmaPreset p;
  p.chip = row.chip;
  p.instruction = row.instruction;
  p.a = types.substr(0, dot);
  p.b = types.substr(dot + 1);
  p.acc = acc.substr(0, acc.find('@'));
  p.id = p.chip + "." + p.instruction + ".k" + std::to_string(k) + "." + types + "." + acc;
  const std::string scale = row.scale;
  if (!scale.empty()) {
    p.id += "." + scale;
    p.scale = scale.substr(0, scale.find('x'));
    p.params.scale_block = std::stoi(scale.substr(scale.find('x') + 1));
  }
  p.params.kind = row.kind;
  p.params.k = k;
  p.params.f16_accumulator = p.acc == "f16";
  p.params.fused.terms = row.terms == kAllK ? k : row.terms;
  p.params.fused.fraction_bits = row.fraction;
  p.params.fused.floor = p.params.f16_accumulator ? row.floor16 : row.floor32;
  p.params.fused.out = p.params.f16_accumulator ? OutRound::f16_rne : row.out32;
  if (p.chip == "cdna3") p.params.fused.zero = ZeroRule::mmasim;  // its only source
  p.evidence = row.evidence;
  p.source = row.source;
  return p;
}

/// Marks, for each chip and pair of types, the instruction its short name stands for: wgmma before
/// mma, then the largest K that other sources know (sm103a keeps K = 64).
void mark_widest(std::vector<MmaPreset>& presets) {
  for (MmaPreset& p : presets) {
    if (p.acc != "f32" || p.id.find('@') != std::string::npos) continue;
    if (p.chip == "sm90a" && p.instruction != "wgmma") continue;
    bool widest = p.params.k <= 64;
    for (const MmaPreset& q : presets) {
      const bool rival = q.chip == p.chip && q.instruction == p.instruction && q.a == p.a &&
                         q.b == p.b && q.acc == p.acc && q.scale == p.scale &&
                         q.params.scale_block == p.params.scale_block && q.params.k <= 64;
      if (rival && q.params.k > p.params.k) widest = false;
    }
    p.widest = widest;
  }
}

std::vector<MmaPreset> expand() {
  std::vector<MmaPreset> presets;
  for (const Row& row : kRows) {
    for (const std::string& k : words(row.ks)) {
      for (const std::string& types : words(row.types)) {
        for (const std::string& acc : words(row.accs)) {
          presets.push_back(make_preset(row, std::stoi(k), types, acc));
        }
      }
    }
  }
  mark_widest(presets);
  return presets;
}

/// "sm90" -> "sm90a" and the like in the first part of an id.
std::string with_full_chip(std::string id) {
  const std::size_t dot = std::min(id.find('.'), id.size());
  std::string chip = id.substr(0, dot);
  if (chip == "sm86") chip = "sm80";
  if (chip == "sm90" || chip == "sm100" || chip == "sm103" || chip == "sm120") chip += "a";
  return chip + id.substr(dot);
}

std::string short_chip(std::string chip) {
  if (chip.size() > 4 && chip.back() == 'a' && chip[0] == 's') chip.pop_back();
  return chip;
}

std::vector<std::string> collect_prefixes() {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const MmaPreset& p : mma_presets()) {
    if (p.acc != "f32") continue;
    add(short_chip(p.chip));
    add(short_chip(p.chip) + "." + p.instruction);
  }
  return names;
}

struct Type {
  std::string_view ptx;
  ElementFormat format;
};
/// PTX names and the catalogue's formats; the first name of a format is the one it is given.
const std::vector<Type>& types() {
  static const std::vector<Type> list = [] {
    const std::pair<const char*, const char*> names[] = {
        {"f16", "fp16"},  {"bf16", "bf16"}, {"tf32", "tf32"},         {"e4m3", "e4m3"},
        {"e5m2", "e5m2"}, {"e2m1", "e2m1"}, {"e3m2", "e3m2"},         {"e2m3", "e2m3"},
        {"f32", "fp32"},  {"xf32", "tf32"}, {"e4m3fnuz", "e4m3fnuz"}, {"e5m2fnuz", "e5m2fnuz"}};
    std::vector<Type> out;
    for (const auto& [ptx, format] : names) out.push_back({ptx, find_format(format)->format});
    return out;
  }();
  return list;
}

}  // namespace

std::string_view to_string(Evidence e) noexcept {
  switch (e) {
    case Evidence::measured:
      return "measured";
    case Evidence::published:
      return "published";
    case Evidence::unverified:
      break;
  }
  return "unverified";
}

const std::vector<MmaPreset>& mma_presets() {
  static const std::vector<MmaPreset> presets = expand();
  return presets;
}

const MmaPreset* find_preset(std::string_view id) {
  const std::string wanted = with_full_chip(normalize_name(id));
  for (const MmaPreset& p : mma_presets()) {
    if (p.id == wanted) return &p;
  }
  return nullptr;
}

const std::vector<std::string>& preset_prefixes() {
  static const std::vector<std::string> prefixes = collect_prefixes();
  return prefixes;
}

std::string canonical_prefix(std::string_view name) {
  const std::string full = with_full_chip(normalize_name(name));
  const std::size_t dot = std::min(full.find('.'), full.size());
  const std::string wanted = short_chip(full.substr(0, dot)) + full.substr(dot);
  for (const std::string& p : preset_prefixes()) {
    if (p == wanted) return p;
  }
  return {};
}

const MmaPreset* choose_preset(std::string_view prefix, const MmaOperandType& a,
                               const MmaOperandType& b) {
  const std::string full = with_full_chip(std::string(prefix));
  const std::size_t dot = full.find('.');
  const std::string chip = full.substr(0, dot);
  const std::string instruction = dot == std::string::npos ? "" : full.substr(dot + 1);
  const bool scaled = !a.scale.empty() || !b.scale.empty();
  const std::string scale = !a.scale.empty() ? a.scale : b.scale;
  const std::size_t block = a.scale_block == 0   ? b.scale_block
                            : b.scale_block == 0 ? a.scale_block
                                                 : std::min(a.scale_block, b.scale_block);
  const MmaPreset* best = nullptr;
  int best_rank = 0;
  for (const MmaPreset& p : mma_presets()) {
    if (p.chip != chip || p.acc != "f32" || p.id.find('@') != std::string::npos) continue;
    if (instruction.empty() ? !p.widest : p.instruction != instruction) continue;
    const auto reads = [](const std::string& type, const std::string& operand) {
      return type == operand || (type == "xf32" && operand == "tf32");
    };
    if (p.params.k > 64 || !reads(p.a, a.type) || !reads(p.b, b.type)) continue;
    const auto preset_block = static_cast<std::size_t>(p.params.scale_block);
    if (scaled && (p.scale != scale || preset_block > block || block % preset_block != 0)) continue;
    // A plain instruction for plain operands, the coarsest scales that fit, the largest K.
    const int rank = (scaled || p.scale.empty() ? 100000 : 0) + 1000 * p.params.scale_block + p.params.k;
    if (rank > best_rank) {
      best = &p;
      best_rank = rank;
    }
  }
  return best;
}

std::string ptx_type(const ElementFormat& f) {
  for (const Type& t : types()) {
    if (t.format == f) return std::string(t.ptx);
  }
  return {};
}

std::optional<ElementFormat> format_of_ptx_type(std::string_view type) {
  for (const Type& t : types()) {
    if (type == t.ptx) return t.format;
  }
  return std::nullopt;
}

}  // namespace fp4lab
