#include "data/array.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "formats/names.h"

namespace fp4lab {
namespace {

static_assert(std::endian::native == std::endian::little,
              "file readers and writers move little-endian arrays as they lie in memory");

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::string_view long_name;
};

constexpr std::array<DTypeRow, 12> kDTypes{{
    {DType::kF32, "f32", "float32"},
    {DType::kF64, "f64", "float64"},
    {DType::kF16, "f16", "float16"},
    {DType::kBf16, "bf16", "bfloat16"},
    {DType::kU8, "u8", "uint8"},
    {DType::kI8, "i8", "int8"},
    {DType::kU16, "u16", "uint16"},
    {DType::kI16, "i16", "int16"},
    {DType::kU32, "u32", "uint32"},
    {DType::kI32, "i32", "int32"},
    {DType::kU64, "u64", "uint64"},
    {DType::kI64, "i64", "int64"},
}};

constexpr std::size_t kMaxRank = 32;
constexpr std::size_t kMaxElements = std::numeric_limits<std::int64_t>::max();

/// Calls `visit` with a span of the array's own element type (f16 and bf16 excluded).
template <typename Visitor>
void visit_numbers(const Array& array, Visitor&& visit) {
  switch (array.dtype) {
    case DType::kF32:
      return visit(array.as<float>());
    case DType::kF64:
      return visit(array.as<double>());
    case DType::kU8:
      return visit(array.as<std::uint8_t>());
    case DType::kI8:
      return visit(array.as<std::int8_t>());
    case DType::kU16:
      return visit(array.as<std::uint16_t>());
    case DType::kI16:
      return visit(array.as<std::int16_t>());
    case DType::kU32:
      return visit(array.as<std::uint32_t>());
    case DType::kI32:
      return visit(array.as<std::int32_t>());
    case DType::kU64:
      return visit(array.as<std::uint64_t>());
    case DType::kI64:
      return visit(array.as<std::int64_t>());
    case DType::kF16:
    case DType::kBf16:
      break;
  }
  throw std::logic_error("visit_numbers: 16-bit floats have their own widening");
}

std::string number_text(double value) {
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

template <typename T>
std::string number_text(T value) {
  return std::to_string(value);
}

/// Whether `value`, converted to To and back, is the same number. The range test comes first since
/// a conversion of an out-of-range float to an integer is undefined.
template <typename To, typename From>
bool survives(From value, To converted) {
  if constexpr (std::is_integral_v<From>) {
    const To limit = static_cast<To>(std::ldexp(1.0, std::numeric_limits<From>::digits));
    return converted < limit && static_cast<From>(converted) == value;
  } else {
    return value != value || static_cast<From>(converted) == value;
  }
}

template <typename To>
Array convert(const Array& array, DType target, Narrowing narrowing, std::string_view what) {
  Array out(target, array.shape);
  const auto to = out.as<To>();
  if (array.dtype == DType::kF16 || array.dtype == DType::kBf16) {
    const auto from = array.as<std::uint16_t>();
    const bool half = array.dtype == DType::kF16;
    for (std::size_t i = 0; i < from.size(); ++i) {
      to[i] = static_cast<To>(half ? half_to_float(from[i]) : bfloat16_to_float(from[i]));
    }
    return out;
  }
  visit_numbers(array, [&](auto from) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      to[i] = static_cast<To>(from[i]);
      if (narrowing == Narrowing::kForbid && !survives(from[i], to[i])) {
        throw InputError(std::string(what) + ": element " + std::to_string(i) + " is " +
                         number_text(from[i]) + " (" + std::string(dtype_name(array.dtype)) +
                         "), which " + (target == DType::kF32 ? "binary32" : "binary64") +
                         " cannot hold exactly" +
                         (target == DType::kF32 ? "; --narrow rounds to nearest even first" : ""));
      }
    }
  });
  return out;
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  for (const auto& row : kDTypes) {
    if (row.dtype == dtype) return row.name;
  }
  return "?";
}

std::optional<DType> parse_dtype(std::string_view text) {
  for (const auto& row : kDTypes) {
    if (text == row.name || text == row.long_name) return row.dtype;
  }
  return std::nullopt;
}

const std::vector<std::string>& dtype_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& row : kDTypes) list.emplace_back(row.name);
    return list;
  }();
  return names;
}

std::optional<std::size_t> element_count(const Shape& shape) {
  // A zero extent makes the whole product zero, however absurd the other extents are.
  for (const std::size_t extent : shape) {
    if (extent == 0) return 0;
  }
  std::size_t count = 1;
  for (const std::size_t extent : shape) {
    if (extent > kMaxElements / count) return std::nullopt;
    count *= extent;
  }
  return count;
}

std::string shape_text(const Shape& shape) {
  if (shape.empty()) return "scalar";
  std::string out;
  for (const std::size_t extent : shape) {
    if (!out.empty()) out += 'x';
    out += std::to_string(extent);
  }
  return out;
}

Shape parse_shape(std::string_view text) {
  const auto fail = [&](const std::string& why) -> InputError {
    return InputError("shape '" + printable(text, 60) + "': " + why +
                      "; write extents like 256x512 or 256,512");
  };
  Shape shape;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = std::min(text.find_first_of("x,", start), text.size());
    std::size_t extent = 0;
    const char* const first = text.data() + start;
    const char* const last = text.data() + end;
    const auto result = std::from_chars(first, last, extent);
    if (result.ec == std::errc::result_out_of_range) throw fail("an extent is too large");
    if (result.ec != std::errc() || result.ptr != last) throw fail("not a whole number");
    shape.push_back(extent);
    if (shape.size() > kMaxRank) throw fail("more than 32 extents");
    if (end == text.size()) break;
    start = end + 1;
  }
  if (!element_count(shape)) throw fail("more elements than 2^63 - 1");
  return shape;
}

Array::Array(DType element, Shape extents) : dtype(element), shape(std::move(extents)) {
  const auto count = element_count(shape);
  if (!count || *count > kMaxElements / dtype_size(dtype)) {
    throw InputError("shape " + shape_text(shape) + " needs more than 2^63 - 1 bytes");
  }
  bytes.resize(*count * dtype_size(dtype));
}

std::size_t Array::columns() const { return shape.empty() ? 1 : shape.back(); }

std::size_t Array::rows() const {
  const std::size_t width = columns();
  return width == 0 ? 0 : size() / width;
}

void Array::check_width(std::size_t width) const {
  if (width != dtype_size(dtype)) {
    throw std::logic_error("Array::as: element width does not match the dtype");
  }
}

float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1fu) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  }
  // Subnormal: mantissa * 2^-24, exact since the product of two powers-of-two-scaled integers.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

Array to_float32(const Array& array, Narrowing narrowing, std::string_view what) {
  if (array.dtype == DType::kF32) return array;
  return convert<float>(array, DType::kF32, narrowing, what);
}

Array to_float64(const Array& array, std::string_view what) {
  if (array.dtype == DType::kF64) return array;
  return convert<double>(array, DType::kF64, Narrowing::kForbid, what);
}

}  // namespace fp4lab
