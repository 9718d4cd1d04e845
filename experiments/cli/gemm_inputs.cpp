#include "experiments/cli/gemm_inputs.h"

#include <charconv>
#include <cmath>
#include <stdexcept>

#include "data/array_file.h"
#include "data/error.h"
#include "experiments/cli/array_arguments.h"
#include "experiments/cli/names.h"
#include "experiments/cli/quantized_file.h"
#include "formats/choose_scale.h"
#include "formats/hadamard.h"
#include "formats/registry.h"
#include "formats/spec_text.h"
#include "sim/quantize.h"

namespace fp4lab::cli {
namespace {

std::string option(const char* name, const FactorOptions& o) {
  return std::string("--") + name + "-" + o.side;
}

float finite_maximum(std::span<const float> x) {
  float best = 0.0f;
  for (const float v : x) {
    if (std::isfinite(v)) best = std::max(best, std::fabs(v));
  }
  return best;
}

Array read_raw(const std::string& text, const std::string& shape, DType fallback) {
  ReadOptions read;
  read.default_dtype = fallback;
  if (!shape.empty()) read.shape = parse_shape(shape);
  return read_array(parse_array_ref(text), read);
}

void take_quantized(Factor& f, const QuantizedTensor& stored) {
  // Files keep no matrix for a tensor without elements, but its extents count here: K = 0 gives +0.
  const bool empty = stored.rows * stored.cols == 0;
  const QuantizedTensor q = empty ? quantize(stored.spec, {}, stored.shape) : stored;
  f.operand = GemmOperand::from_quantized(q);
  f.rows = q.grid.rows;
  f.k = q.grid.cols;
  f.spec = q.spec;
  f.hadamard_stream = q.hadamard_stream;
}

/// Floats, quantized where there is a spec.
void from_numbers(Factor& f, const FactorOptions& o, const FactorContext& context) {
  const Array raw = read_raw(o.in, o.shape, DType::kF32);
  const Array x = to_float32(raw, context.narrow ? Narrowing::kRound : Narrowing::kForbid, o.in);
  if (o.spec.empty()) {
    const MatrixExtents m = matrix_extents(x.shape);
    f.rows = m.rows;
    f.k = m.cols;
    f.operand = GemmOperand::from_floats(x.as<float>(), f.rows, f.k);
    f.what = "unquantized";
  } else {
    const QuantSpec spec = parse_spec(o.spec);
    if (x.size() > 0xffffffffu) {
      throw InputError(std::to_string(x.size()) + " elements; at most 2^32 - 1 are supported");
    }
    QuantizeOptions options;
    options.random.stream.seed = context.seed;
    options.random.stream.stream = o.side == 'a' ? 0 : 1;
    take_quantized(f, quantize(spec, x.as<float>(), x.shape, options));
    f.what = to_string(spec);
  }
  f.operand.amax = finite_maximum(x.as<float>());
}

/// Codes of a plain element format: no scales, at most a global factor.
void from_plain_codes(Factor& f, const FactorOptions& o, const FactorContext& context,
                      const FormatInfo& info) {
  const ElementFormat& format = info.format;
  if (!o.scales.empty()) {
    throw InputError(option("scales", o) + ": '" + o.format + "' does not say what a scale is; " +
                     "give " + option("format", o) + " a spec such as mxfp4, nvfp4 or " +
                     std::string(info.id) + ",scale=e8m0,block=1x32");
  }
  const int bits = format.bits + format.storage_shift;
  const DType stored = bits <= 8 ? DType::kU8 : bits <= 16 ? DType::kU16 : DType::kU32;
  Array codes = read_raw(o.in, o.shape, stored);
  if (dtype_size(codes.dtype) != dtype_size(stored)) {
    throw InputError(o.in + ": elements are " + std::string(dtype_name(codes.dtype)) +
                     ", but codes of " + std::string(info.id) + " are " +
                     std::string(dtype_name(stored)));
  }
  if (context.packing && format.bits <= 4) {
    codes = unpack_rows(codes, *context.packing, 2 * codes.columns());
  }
  std::vector<std::uint32_t> words(codes.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = bits <= 8    ? codes.as<std::uint8_t>()[i]
               : bits <= 16 ? codes.as<std::uint16_t>()[i]
                            : codes.as<std::uint32_t>()[i];
  }
  Array g;
  RecordedOperand r;
  if (!o.tensor_scale.empty()) {
    g = to_float32(read_raw(o.tensor_scale, "", DType::kF32), Narrowing::kForbid, o.tensor_scale);
    r.global = g.as<float>();
  }
  const MatrixExtents m = matrix_extents(codes.shape);
  f.rows = r.rows = m.rows;
  f.k = r.k = m.cols;
  r.format = format;
  r.codes = words;
  try {
    f.operand = GemmOperand::from_codes(r);
  } catch (const std::invalid_argument& e) {
    throw InputError(o.in + ": " + e.what());
  }
  f.what = "codes of " + std::string(info.id);
}

/// Codes and scales of a spec.
void from_recorded(Factor& f, const FactorOptions& o, const FactorContext& context) {
  const QuantSpec spec = parse_spec(o.format);
  if (detail::is_asymmetric(spec)) {
    throw InputError(option("format", o) + " " + o.format +
                     ": zero points have no option here; use fp4lab quantize --out FILE.h5");
  }
  QuantizedParts parts;
  parts.where = printable(o.in, 200);
  const int bits = spec.element.bits + spec.element.storage_shift;
  parts.codes = read_raw(o.in, o.shape,
                         bits <= 8    ? DType::kU8
                         : bits <= 16 ? DType::kU16
                                      : DType::kU32);
  parts.shape = parts.codes.shape;
  if (context.packing && spec.element.bits <= 4 && !parts.shape.empty()) {
    parts.packing = context.packing;
    parts.shape.back() *= 2;
  }
  if (spec.hadamard != 0) parts.hadamard_stream.seed = context.seed;
  if (!o.scales.empty()) parts.scales = read_raw(o.scales, "", DType::kU8);
  if (parts.scales && parts.scales->shape.size() == 1) {
    // Raw files are one long list: the layout follows from the tensor's.
    const MatrixExtents m = matrix_extents(parts.shape);
    const MatrixExtents s = scale_matrix_extents(spec.block, make_grid(spec.block, m.rows, m.cols));
    if (s.rows * s.cols == parts.scales->size()) parts.scales->shape = {s.rows, s.cols};
  }
  if (!o.tensor_scale.empty()) {
    parts.tensor_scale =
        to_float32(read_raw(o.tensor_scale, "", DType::kF32), Narrowing::kForbid, o.tensor_scale);
  }
  take_quantized(f, assemble(spec, std::move(parts)));
  f.what = "codes of " + to_string(spec);
}

void refuse(const FactorOptions& o, const std::string& value, const char* name, const char* why) {
  if (!value.empty()) throw InputError(option(name, o) + " " + why);
}

}  // namespace

Factor read_factor(const FactorOptions& o, const FactorContext& context) {
  Factor f;
  f.input = o.in;
  if (names_quantized(o.in)) {
    const char* const why = "describes other inputs; a quantized tensor's file says it all";
    refuse(o, o.spec, "spec", why);
    refuse(o, o.format, "format", why);
    refuse(o, o.scales, "scales", why);
    refuse(o, o.tensor_scale, "tensor-scale", why);
    refuse(o, o.shape, "shape", why);
    const QuantizedTensor q = read_quantized(o.in);
    take_quantized(f, q);
    f.what = to_string(q.spec);
  } else if (!o.format.empty()) {
    refuse(o, o.spec, "spec", "quantizes numbers, --format says that the input holds codes");
    if (const FormatInfo* info = find_format(o.format)) {
      from_plain_codes(f, o, context, *info);
    } else {
      from_recorded(f, o, context);
    }
  } else {
    refuse(o, o.scales, "scales", "belongs to recorded codes: say which with --format");
    refuse(o, o.tensor_scale, "tensor-scale", "belongs to recorded codes: say which with --format");
    from_numbers(f, o, context);
  }
  if (!o.amax.empty()) {
    float amax = 0.0f;
    const char* const end = o.amax.data() + o.amax.size();
    const auto r = std::from_chars(o.amax.data(), end, amax);
    if (r.ec != std::errc() || r.ptr != end || !std::isfinite(amax) || amax < 0.0f) {
      throw InputError(option("amax", o) + " '" + printable(o.amax, 40) +
                       "' is no finite number from 0 up");
    }
    f.operand.amax = amax;
  }
  return f;
}

void check_factors(const Factor& a, const Factor& b) {
  if (a.k != b.k) {
    throw InputError("A is [" + std::to_string(a.rows) + ", " + std::to_string(a.k) + "], B [" +
                     std::to_string(b.rows) + ", " + std::to_string(b.k) +
                     "]: Y = A B^T needs the same last extent (B is stored [N, K])");
  }
  const int size_a = a.spec ? a.spec->hadamard : 0, size_b = b.spec ? b.spec->hadamard : 0;
  if (size_a != size_b) {
    throw InputError("A has a Hadamard transform of " + std::to_string(size_a) + ", B of " +
                     std::to_string(size_b) +
                     " (0 = none): they cancel only when they are the same");
  }
  if (size_a == 0) return;
  const HadamardSignBits sa = hadamard_signs(a.spec->signs, size_a, a.hadamard_stream);
  const HadamardSignBits sb = hadamard_signs(b.spec->signs, size_b, b.hadamard_stream);
  for (int w = 0; w * 32 < size_a; ++w) {
    if (sa.word[w] != sb.word[w]) {
      throw InputError("the Hadamard signs of A and B differ, so the transforms do not cancel; " +
                       std::string("use hadamard=SIZE:fixed, or :none"));
    }
  }
}

}  // namespace fp4lab::cli
