#include "tests/golden/subjects.h"

#include <map>

namespace fp4lab::golden {
namespace {

// gfloat's names for formats of the catalogue.
const std::map<std::string, std::string>& catalogue_names() {
  static const std::map<std::string, std::string> names{
      {"ocp_e2m1", "e2m1"},       {"ocp_e2m3", "e2m3"},       {"ocp_e3m2", "e3m2"},
      {"ocp_e4m3", "e4m3"},       {"ocp_e5m2", "e5m2"},       {"e3m0_b3", "e3m0"},
      {"e1m2_b0", "e1m2"},        {"e1m2_b1", "e1m2-b1"},     {"e2m1_nosub", "e2m1-nosub"},
      {"e3m0_nozero", "e3m0-nz"}, {"ue4m3_b7_7bit", "ue4m3"}, {"ue5m3_b15", "ue5m3"},
  };
  return names;
}

}  // namespace

ElementFormat gfloat_format(const std::string& name) {
  const auto found = catalogue_names().find(name);
  if (found != catalogue_names().end()) return element_format(found->second);
  if (name == "e0m3_b1") {  // no exponent field: k/8 with a sign
    ElementFormat f = element_format("e1m2-b1");
    f.exponent_bits = 0;
    f.mantissa_bits = 3;
    return f;
  }
  // p3109_k<width>p<precision><s|u><e|f>
  const std::string prefix = "p3109_k";
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 5) {
    throw std::out_of_range("no format " + name);
  }
  const char* fields = name.c_str() + prefix.size();
  const int width = fields[0] - '0';
  if (width == 4) return element_format("p3109-" + name.substr(6));
  return detail::p3109(width, fields[2] - '0', fields[3] == 's', fields[4] == 'e');
}

Matrix matrix(const Tensor& tensor) {
  Matrix m;
  m.cols = tensor.row_length();
  m.rows = m.cols == 0 ? 0 : tensor.size() / m.cols;
  m.values = tensor.f32();
  return m;
}

Matrix transposed(const Matrix& m) {
  Matrix t{m.cols, m.rows, std::vector<float>(m.values.size())};
  for (std::size_t r = 0; r < m.rows; ++r) {
    for (std::size_t c = 0; c < m.cols; ++c) t.values[c * m.rows + r] = m.values[r * m.cols + c];
  }
  return t;
}

}  // namespace fp4lab::golden
