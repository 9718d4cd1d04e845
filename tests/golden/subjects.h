// What is under test: the project's formats by id.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "formats/catalog.h"
#include "formats/element_format.h"

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

}  // namespace fp4lab::golden
