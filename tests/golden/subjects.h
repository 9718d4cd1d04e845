// What is under test: the project's formats by id and its tensor quantizer by spec.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "formats/catalog.h"
#include "formats/element_format.h"
#include "tests/golden/gv1.h"

namespace fp4lab::golden {

// The catalogue's format of exactly that id, at compile time too; throws std::out_of_range.
constexpr ElementFormat element_format(std::string_view id) {
  for (const FormatInfo& info : kCatalog) {
    if (info.id == id) return info.format;
  }
  throw std::out_of_range("no format " + std::string(id));
}

// The format a gfloat column or file calls `name`: p3109_k4p2sf, ocp_e2m1, e3m0_b3, ...
ElementFormat gfloat_format(const std::string& name);

// A row-major matrix.
struct Matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::vector<float> values;
};

// The stored f32 tensor as a matrix of rows of its last axis.
Matrix matrix(const Tensor& tensor);
Matrix transposed(const Matrix& m);

// What a QuantSpec makes of a matrix.
struct Quantized {
  std::vector<std::uint32_t> codes;        // one an element
  std::vector<std::uint32_t> scale_codes;  // [rows, ceil(cols / block)], 2-D blocks repeated
  std::vector<float> scales;               // the same decoded, without the global factor
  std::vector<float> global;               // g: one, or one a row; empty without a global factor
  std::vector<float> values;               // dequantized
};

// Applies the spec of that text. `random` is one word an element, or empty.
Quantized quantize(const std::string& spec, const Matrix& x,
                   const std::vector<std::uint32_t>& random = {});

}  // namespace fp4lab::golden
