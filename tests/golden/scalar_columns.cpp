#include "tests/golden/scalar_columns.h"

#include <array>
#include <string_view>

#include "formats/spec_text.h"
#include "tests/golden/gv1.h"

namespace fp4lab::golden {
namespace {

// The conversions of the CUDA headers, by the name a column carries after `cuda_host:`.
struct CudaOp {
  std::string_view op;
  std::string_view format;
  Rounding rounding;
  Policy policy;
};
constexpr std::array<CudaOp, 22> kCudaOps{{
    {"e2m1_rn", "e2m1", kRne, Policy::cuda},
    {"e2m1_rz", "e2m1", kRtz, Policy::cuda},
    {"e2m3_rn", "e2m3", kRne, Policy::cuda},
    {"e2m3_rz", "e2m3", kRtz, Policy::cuda},
    {"e3m2_rn", "e3m2", kRne, Policy::cuda},
    {"e3m2_rz", "e3m2", kRtz, Policy::cuda},
    {"e4m3_sat", "e4m3", kRne, Policy::cuda},
    {"e4m3_nosat", "e4m3", kRne, Policy::cuda_nosat},
    {"e5m2_sat", "e5m2", kRne, Policy::cuda},
    {"e5m2_nosat", "e5m2", kRne, Policy::cuda_nosat},
    {"e8m0_rz_sat", "e8m0", kRtz, Policy::cuda},
    {"e8m0_rz_nosat", "e8m0", kRtz, Policy::cuda_nosat},
    {"e8m0_rp_sat", "e8m0", kRtp, Policy::cuda},
    {"e8m0_rp_nosat", "e8m0", kRtp, Policy::cuda_nosat},
    {"bf16_rn", "bf16", kRne, Policy::cuda},
    {"bf16_rz", "bf16", kRtz, Policy::cuda},
    {"bf16_ru", "bf16", kRtp, Policy::cuda},
    {"bf16_rd", "bf16", kRtn, Policy::cuda},
    {"f16_rn", "fp16", kRne, Policy::cuda},
    {"f16_rz", "fp16", kRtz, Policy::cuda},
    {"f16_ru", "fp16", kRtp, Policy::cuda},
    {"f16_rd", "fp16", kRtn, Policy::cuda},
}};

struct Mode {
  std::string_view name;
  Rounding rounding;
};
constexpr std::array<Mode, 6> kGfloatModes{{{"TowardZero", kRtz},
                                            {"TowardPositive", kRtp},
                                            {"TowardNegative", kRtn},
                                            {"TiesToEven", kRne},
                                            {"TiesToAway", kRna},
                                            {"ToOdd", kOdd}}};

// Everything else: a source converts every format in one way, but for the exceptions named first.
struct Source {
  std::string_view source;
  std::string_view formats;  // space-separated ids; empty = all
  Policy policy;
  bool through_f32;  // how the source treats binary64 input
};
constexpr std::array<Source, 9> kSources{{
    {"ml_dtypes", "", Policy::ml_dtypes, true},
    {"jax_cpu", "", Policy::jax, true},
    // XLA on the GPU uses the chip's own conversions where there are any.
    {"jax_gpu", "e4m3 e5m2 bf16 fp16", Policy::cuda_nosat, true},
    {"jax_gpu", "", Policy::jax, true},
    {"torch_cpu", "", Policy::torch, true},
    {"torch_cuda", "bf16 fp16", Policy::cuda, true},
    {"torch_cuda", "", Policy::torch, true},
    {"triton_sm90", "", Policy::cuda, true},
    {"torchao", "", Policy::torchao, true},
}};

// True when `words`, separated by spaces, is empty or contains `word`.
bool listed(std::string_view words, std::string_view word) {
  if (words.empty()) return true;
  while (true) {
    const std::size_t end = words.find(' ');
    if (words.substr(0, end) == word) return true;
    if (end == std::string_view::npos) return false;
    words.remove_prefix(end + 1);
  }
}

}  // namespace

std::string format_id(const std::string& name) {
  if (name == "e4m3fn") return "e4m3";
  if (name == "e4m3") return "e4m3-ieee";
  if (name == "f16") return "fp16";
  return name;
}

std::optional<ScalarRule> scalar_rule(const std::string& column, const std::string& file_format,
                                      bool f64) {
  const std::size_t colon = column.find(':');
  const std::string source = column.substr(0, colon);
  const std::string rest = colon == std::string::npos ? std::string() : column.substr(colon + 1);
  if (source == "cuda_host" || source == "cuda_dev") {
    for (const CudaOp& op : kCudaOps) {
      if (op.op == rest) {
        return ScalarRule{std::string(op.format), op.rounding, op.policy, false};
      }
    }
    throw Gv1Error("unknown conversion '" + column + "'");
  }
  if (source == "gfloat") {
    const std::size_t second = rest.find(':');
    for (const Mode& mode : kGfloatModes) {
      if (mode.name != rest.substr(0, second)) continue;
      const bool sat = rest.substr(second + 1) == "sat";
      return ScalarRule{format_id(file_format), mode.rounding,
                        sat ? Policy::gfloat_sat : Policy::gfloat_nosat, false};
    }
    throw Gv1Error("unknown mode '" + column + "'");
  }
  if (column == "te_ref:cast_to_fp4x2") return ScalarRule{"e2m1", kRne, Policy::te, false};
  if (column == "fouroversix:fake_e2m1+pack") {
    return ScalarRule{"e2m1", kRne, Policy::fouroversix, false};
  }
  if (column.find("_value") != std::string::npos) return std::nullopt;
  const std::string format = format_id(file_format.empty() ? rest : file_format);
  for (const Source& s : kSources) {
    if (s.source != source || !listed(s.formats, format)) continue;
    // PyTorch, ml_dtypes and JAX round powers of two to the nearest, midpoints up.
    return ScalarRule{format, format == "e8m0" ? kRna : kRne, s.policy, f64 && s.through_f32};
  }
  throw Gv1Error("no rule for column '" + column + "'");
}

std::string ScalarRule::name() const {
  return format + " " + to_string(rounding) + " " + to_string(policy) +
         (through_f32 ? " through binary32" : "");
}

}  // namespace fp4lab::golden
