#include "experiments/store/schema.h"

#include <array>
#include <string>

namespace fp4lab::store {
namespace {

constexpr Row scale(const char* path, Type type, const char* units, const char* long_name) {
  return {path, type, "", units, long_name, true, false};
}
constexpr Row data(const char* path, Type type, const char* axes, const char* units,
                   const char* long_name) {
  return {path, type, axes, units, long_name, false, false};
}
constexpr Row changing(const char* path, Type type, const char* axes, const char* units,
                       const char* long_name) {
  return {path, type, axes, units, long_name, false, true};
}

constexpr const char* kSlotAxes = "step layer slot";

constexpr auto kRows = std::to_array<Row>({
    scale("/series/step", Type::i64, "1", "optimizer updates finished before this row"),
    data("/series/loss", Type::f64, "step", "nat", "training loss, mean over the step's targets"),
    data("/series/grad_norm", Type::f64, "step", "1", "global gradient norm before clipping"),
    data("/series/learning_rate", Type::f64, "step", "1", "learning rate of the update"),
    data("/series/loss_scale", Type::f64, "step", "1", "factor on the loss in the backward pass"),
    data("/series/skipped", Type::i8, "step", "1", "1 where the update was skipped (not finite)"),
    data("/series/stalled_fraction", Type::f64, "step", "1",
         "share of weights that a change in binary32 left unchanged in bf16 storage"),
    changing("/series/step_time", Type::f64, "step", "s", "wall-clock time of the step"),

    scale("/eval/step", Type::i64, "1", "optimizer updates finished before the evaluation"),
    data("/eval/loss", Type::f64, "step", "nat", "held-out loss"),
    data("/eval/accuracy", Type::f64, "step", "1", "share of held-out targets hit"),
    data("/eval/perplexity", Type::f64, "step", "1", "exp of the held-out loss"),

    scale("/layers/step", Type::i64, "1", "optimizer updates finished before the sample"),
    scale("/layers/layer", Type::text, "", "name of the layer"),
    scale("/layers/slot", Type::text, "",
          "quantizer: X and W forward, dY and W, dY and X backward"),
    scale("/layers/code", Type::i64, "1", "code of the element format"),
    scale("/layers/bin", Type::i64, "1", "scale code; exponent field for binary32 scales"),
    data("/layers/sqnr_db", Type::f64, kSlotAxes, "dB",
         "signal to quantization noise, 10 log10(sum x^2 / sum (x - q)^2)"),
    data("/layers/mse", Type::f64, kSlotAxes, "1", "mean squared error"),
    data("/layers/cosine", Type::f64, kSlotAxes, "1", "cosine between input and output"),
    data("/layers/norm_ratio", Type::f64, kSlotAxes, "1",
         "norm of the output over that of the input"),
    data("/layers/bias", Type::f64, kSlotAxes, "1", "mean of output - input"),
    data("/layers/amax", Type::f64, kSlotAxes, "1", "largest magnitude of the input"),
    data("/layers/zero_fraction", Type::f64, kSlotAxes, "1", "share of zeros in the output"),
    data("/layers/underflow_fraction", Type::f64, kSlotAxes, "1",
         "share of the non-zero inputs that became zero"),
    data("/layers/saturation_fraction", Type::f64, kSlotAxes, "1",
         "share scaled beyond the largest value, before clamping"),
    data("/layers/requant_exact_fraction", Type::f64, kSlotAxes, "1",
         "share that a second quantization left alone"),
    data("/layers/choose4_fraction", Type::f64, kSlotAxes, "1",
         "share of blocks whose largest value maps to 4 (Four Over Six)"),
    data("/layers/code_histogram", Type::i64, "step layer slot code", "1", "elements of each code"),
    data("/layers/scale_histogram", Type::i64, "step layer slot bin", "1", "blocks of each scale"),

    scale("/gemms/step", Type::i64, "1", "optimizer updates finished before the sample"),
    scale("/gemms/layer", Type::text, "", "name of the layer"),
    scale("/gemms/gemm", Type::text, "", "product: y forward, dx and dw backward"),
    data("/gemms/cosine", Type::f64, "step layer gemm", "1", "cosine with the binary32 product"),
    data("/gemms/rel_error", Type::f64, "step layer gemm", "1",
         "norm of the error over the norm of the binary32 product"),
    data("/gemms/pma", Type::f64, "step layer gemm", "1",
         "projection magnitude alignment <r, q> / <r, r>"),
    data("/gemms/rho", Type::f64, "step layer gemm", "1",
         "norm of the binary32 product over the norm of the error"),
    data("/gemms/ste_cosine", Type::f64, "step layer gemm", "1",
         "dx, dw: cosine with dY Wq, dY^T Xq of what the forward quantized"),
    data("/gemms/ste_norm_ratio", Type::f64, "step layer gemm", "1",
         "dx, dw: norm over the norm of dY Wq, dY^T Xq"),
    data("/gemms/ste_rel_error", Type::f64, "step layer gemm", "1",
         "dx, dw: norm of the error over the norm of dY Wq, dY^T Xq"),

    scale("/oscillation/step", Type::i64, "1",
          "optimizer updates finished at the end of the window"),
    scale("/oscillation/layer", Type::text, "", "name of the layer"),
    scale("/oscillation/bin", Type::i64, "1", "bin of a histogram; see its bin_edges"),
    data("/oscillation/ratio_mean", Type::f64, "step layer", "1",
         "mean oscillation ratio sum|dWq| / sum|dW| over the window"),
    data("/oscillation/fraction_above_16", Type::f64, "step layer", "1",
         "share of weights with a ratio above 16"),
    data("/oscillation/ratio_histogram", Type::i64, "step layer bin", "1", "weights of each ratio"),
    data("/oscillation/code_ratio_mean", Type::f64, "step layer", "1",
         "the same ratio with block scales frozen at the window's start"),
    data("/oscillation/code_fraction_above_16", Type::f64, "step layer", "1",
         "share of weights with such a ratio above 16"),
    data("/oscillation/confidence_mean", Type::f64, "step layer", "1",
         "mean quantization confidence (distance to the nearest threshold)"),
    data("/oscillation/confidence_histogram", Type::i64, "step layer bin", "1",
         "weights of each confidence"),
    data("/oscillation/r_w", Type::f64, "step layer", "1", "mean relative change of W a step"),
    data("/oscillation/r_wq", Type::f64, "step layer", "1",
         "mean relative change of the quantized W a step"),
    data("/oscillation/r_y", Type::f64, "step layer", "1",
         "mean relative change of the layer's output on a fixed batch a step"),
    data("/oscillation/flips", Type::i64, "step layer", "1", "code changes in the window"),
    data("/oscillation/reversals", Type::i64, "step layer", "1",
         "code changes against the direction of the one before"),
    data("/oscillation/sign_flips", Type::i64, "step layer", "1",
         "code changes that changed the sign of the value or took it to or from zero"),
    data("/oscillation/scale_flips", Type::i64, "step layer", "1", "changes of block scales"),
    data("/oscillation/frequency_histogram", Type::i64, "step layer bin", "1",
         "weights of each oscillation frequency (running mean, Nagel et al. 2022)"),
    data("/oscillation/frozen_fraction", Type::f64, "step layer", "1", "share of frozen weights"),
    data("/oscillation/reset_fraction", Type::f64, "step layer", "1", "share of weights reset"),
    data("/oscillation/period_histogram", Type::i64, "step layer bin", "1",
         "weights of each update period (Q-Ramping)"),

    scale("/traces/step", Type::i64, "1", "optimizer updates finished"),
    scale("/traces/element", Type::i64, "1", "number of the traced weight"),
    scale("/traces/threshold", Type::i64, "1", "number of the decision threshold"),
    data("/traces/latent", Type::f32, "step element", "1", "master weight over its block scale"),
    data("/traces/code", Type::u8, "step element", "1", "code of the quantized weight"),
    data("/traces/scale", Type::f32, "step element", "1", "block scale"),
    data("/traces/layer_index", Type::i32, "element", "1",
         "layer of the weight, construction order"),
    data("/traces/flat_index", Type::i64, "element", "1", "row-major position in its matrix"),
    data("/traces/thresholds", Type::f64, "threshold", "1",
         "decision thresholds of the element format, ascending"),

    scale("/norms/step", Type::i64, "1", "optimizer updates finished before the sample"),
    scale("/norms/layer", Type::text, "", "name of the layer"),
    data("/norms/grad_norm", Type::f64, "step layer", "1", "norm of the layer's weight gradient"),

    scale("/attention/step", Type::i64, "1", "optimizer updates finished before the sample"),
    scale("/attention/layer", Type::text, "", "name of the layer"),
    scale("/attention/head", Type::i64, "1", "attention head"),
    data("/attention/entropy", Type::f64, "step layer head", "nat",
         "mean entropy of the attention rows"),

    scale("/router/step", Type::i64, "1", "optimizer updates finished before the sample"),
    scale("/router/layer", Type::text, "", "name of the layer"),
    scale("/router/expert", Type::i64, "1", "expert"),
    data("/router/load", Type::i64, "step layer expert", "1", "tokens routed to the expert"),
    data("/router/flips", Type::i64, "step layer", "1",
         "tokens whose experts differ from those of unquantized router arithmetic"),

    scale("/policy/layer", Type::text, "", "name of the layer"),
    scale("/policy/slot", Type::text, "", "quantizer"),
    data("/policy/spec", Type::text, "layer slot", "",
         "rule of the slot; `none` when not quantized"),
    data("/policy/compute", Type::text, "layer", "", "type of unquantized operands"),

    scale("/table/row", Type::i64, "1", "row of the table"),
    data("/table/*", Type::f64, "row", "1", "a column of the table (number or text)"),

    scale("/run", Type::text, "", "run id: the first 12 hexadecimal digits of config_sha256"),
    data("/*", Type::f64, "run", "1", "sweep.h5: a varied key or a final metric of every run"),
});

constexpr auto kRootAttributes = std::to_array<RootAttribute>({
    {"fp4lab_schema", "version of this layout, a 32-bit integer"},
    {"kind", "run, sweep, error, gemm, rounding, format or estimator"},
    {"status", "complete or diverged; a file without it is not finished"},
    {"run_id", "first 12 hexadecimal digits of config_sha256"},
    {"title", "what was run, for people"},
    {"config", "resolved configuration, canonical text (valid TOML)"},
    {"config_sha256", "its hash"},
    {"content_sha256",
     "hash over path, type, shape and bytes of every data set that is not volatile"},
    {"weights_sha256", "hash of the final master weights"},
    {"seed", "the run's seed"},
    {"software", "fp4lab"},
    {"software_version", "version of the program"},
    {"git_commit", "commit it was built from"},
    {"git_dirty", "1 when the tree had changes"},
    {"compiler", "compiler of the program"},
    {"flags", "flags that bear on numerics"},
    {"command_line", "as typed", true},
    {"host", "machine", true},
    {"cpu", "processor", true},
    {"isa", "vector instructions in use", true},
    {"threads", "threads in use", true},
    {"executor", "cpu or cuda", true},
    {"code_path", "engine of the products", true},
    {"gpu", "device, when one was used", true},
    {"driver", "its driver", true},
    {"started", "UTC", true},
    {"finished", "UTC", true},
    {"wall_s", "seconds", true},
});

}  // namespace

const char* type_name(Type type) noexcept {
  switch (type) {
    case Type::f64:
      return "f64";
    case Type::f32:
      return "f32";
    case Type::i64:
      return "i64";
    case Type::i32:
      return "i32";
    case Type::i8:
      return "i8";
    case Type::u8:
      return "u8";
    case Type::text:
      return "text";
  }
  return "";
}

std::size_t type_size(Type type) noexcept {
  switch (type) {
    case Type::f64:
    case Type::i64:
      return 8;
    case Type::f32:
    case Type::i32:
      return 4;
    case Type::i8:
    case Type::u8:
      return 1;
    case Type::text:
      return 0;
  }
  return 0;
}

std::span<const Row> schema() { return kRows; }
std::span<const RootAttribute> root_attributes() { return kRootAttributes; }

const Row* find_row(std::string_view path) {
  for (const Row& row : kRows) {
    if (path == row.path) return &row;
  }
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == path.size()) return nullptr;
  const std::string any = std::string(path.substr(0, slash + 1)) + "*";
  for (const Row& row : kRows) {
    if (any == row.path) return &row;
  }
  return nullptr;
}

bool is_volatile_attribute(std::string_view name) {
  for (const RootAttribute& a : kRootAttributes) {
    if (name == a.name) return a.is_volatile;
  }
  return false;
}

std::string schema_markdown() {
  std::string text =
      "# Result files, schema " + std::to_string(kSchemaVersion) +
      "\n\nPrinted by the program from the table that it writes files with; do not edit.\n\n"
      "HDF5, one file a run. Every axis has a dimension scale in the group of the data that use "
      "it,\n"
      "every data set the attributes `units` and `long_name`. Missing values are NaN (floats) or "
      "-1\n"
      "(integers). Chunked, shuffled, deflated, with checksums; no boolean, complex or reference "
      "types.\nRows marked *volatile* differ between machines and are outside of "
      "`content_sha256`.\n";
  std::string group;
  for (const Row& row : kRows) {
    const std::string path = row.path;
    const std::string own = path.substr(0, path.rfind('/'));
    if (own != group || path == "/run") {
      group = own;
      text += "\n## `" + (group.empty() ? std::string("/") : group) + "`" +
              (path == "/run" ? " of `sweep.h5`" : "") +
              "\n\n| data set | type | axes | units | meaning |\n|---|---|---|---|---|\n";
    }
    std::string axes = row.axes;
    for (std::size_t at = axes.find(' '); at != std::string::npos; at = axes.find(' ', at + 2)) {
      axes.replace(at, 1, ", ");
    }
    text += "| `" + path.substr(path.rfind('/') + 1) + "` | " + type_name(row.type) + " | " +
            (row.is_scale ? "*scale*" : axes) + " | " + row.units + " | " + row.long_name +
            (row.is_volatile ? " (*volatile*)" : "") + " |\n";
  }
  text += "\n## Attributes of the root\n\n| attribute | meaning |\n|---|---|\n";
  for (const RootAttribute& a : kRootAttributes) {
    text += std::string("| `") + a.name + "` | " + a.meaning +
            (a.is_volatile ? " (*volatile*)" : "") + " |\n";
  }
  return text;
}

}  // namespace fp4lab::store
