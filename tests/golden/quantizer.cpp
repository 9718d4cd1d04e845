#include "formats/spec_text.h"
#include "sim/quantize.h"
#include "tests/golden/subjects.h"

namespace fp4lab::golden {

Quantized quantize(const std::string& spec, const Matrix& x,
                   const std::vector<std::uint32_t>& random) {
  QuantizeOptions options;
  if (!random.empty()) options.random.given = random.data();
  const std::size_t shape[] = {x.rows, x.cols};
  const QuantizedTensor q = fp4lab::quantize(parse_spec(spec), x.values, shape, options);
  Quantized out;
  for (std::size_t i = 0; i < x.values.size(); ++i) out.codes.push_back(q.code_at(i));
  out.scale_codes = scale_matrix(q).codes;
  for (const std::uint32_t code : out.scale_codes) {
    out.scales.push_back(q.spec.scale.kind == ScaleFormat::Kind::coded
                             ? decode(q.spec.scale.format, code)
                             : bits_as<float>(code));
  }
  out.global = q.global;
  out.values = dequantize(q);
  return out;
}

}  // namespace fp4lab::golden
