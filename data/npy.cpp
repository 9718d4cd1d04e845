#include "data/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "data/byte_source.h"
#include "data/error.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::uint32_t kMaxHeader = 1u << 20;
constexpr std::size_t kMaxRank = 32;

/// Recursive-descent reader of the few Python literals that a header may hold.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  NpyHeader parse() {
    NpyHeader header;
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = string_literal();
      expect(':');
      if (key == "descr" && !has_descr) {
        parse_descr(header);
        has_descr = true;
      } else if (key == "fortran_order" && !has_order) {
        header.fortran_order = boolean();
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        header.shape = tuple();
        has_shape = true;
      } else {
        fail("unexpected key '" + printable(key, 40) + "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("text after the closing brace");
    if (!has_descr || !has_order || !has_shape) {
      fail("needs the keys 'descr', 'fortran_order' and 'shape'");
    }
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(name_ + ": npy header: " + why + " (at character " + std::to_string(at_) +
                     ")");
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  bool accept(char c) {
    skip_space();
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }

  std::string string_literal() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail("expected a quoted string");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a string has no end");
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }

  bool boolean() {
    skip_space();
    for (const auto& [word, value] :
         {std::pair<std::string_view, bool>("True", true), {"False", false}}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    fail("'fortran_order' must be True or False");
  }

  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::size_t extent = 0;
      const char* const first = text_.data() + at_;
      const auto result = std::from_chars(first, text_.data() + text_.size(), extent);
      if (result.ec == std::errc::result_out_of_range) fail("an extent of 'shape' is too large");
      if (result.ec != std::errc()) fail("'shape' must hold whole numbers");
      at_ += static_cast<std::size_t>(result.ptr - first);
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // long integers of Python 2
      shape.push_back(extent);
      if (shape.size() > kMaxRank) fail("'shape' has more than 32 extents");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  void parse_descr(NpyHeader& header) {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[') {
      fail("structured dtypes are not supported; save one field as a plain array");
    }
    const std::string descr = string_literal();
    struct Row {
      std::string_view code;
      DType dtype;
    };
    static constexpr std::array<Row, 11> kCodes{{{"f4", DType::kF32},
                                                 {"f8", DType::kF64},
                                                 {"f2", DType::kF16},
                                                 {"u1", DType::kU8},
                                                 {"i1", DType::kI8},
                                                 {"u2", DType::kU16},
                                                 {"i2", DType::kI16},
                                                 {"u4", DType::kU32},
                                                 {"i4", DType::kI32},
                                                 {"u8", DType::kU64},
                                                 {"i8", DType::kI64}}};
    const bool has_order = !descr.empty() && std::string_view("<>|=").find(descr[0]) != descr.npos;
    const std::string_view code = std::string_view(descr).substr(has_order ? 1 : 0);
    for (const Row& row : kCodes) {
      if (code == row.code) {
        header.dtype = row.dtype;
        header.big_endian = has_order && descr[0] == '>';
        return;
      }
    }
    std::string hint = "; supported: f2 f4 f8, u1 u2 u4 u8, i1 i2 i4 i8 in either byte order";
    if (code == "b1" || code == "?") hint = "; save booleans as uint8";
    if (code == "V2") hint = "; save bfloat16 as its bits: a.view('uint16')";
    if (code == "V1" || code == "f1")
      hint = "; save 8-bit and 4-bit floats as codes: a.view('uint8')";
    fail("dtype '" + printable(descr, 40) + "' is not supported" + hint);
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
};

void swap_bytes(AlignedBytes& bytes, std::size_t width) {
  for (std::size_t i = 0; i < bytes.size(); i += width) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(i + width));
  }
}

/// Column-major bytes of `shape` to row-major.
AlignedBytes fortran_to_c(const AlignedBytes& in, const Shape& shape, std::size_t width) {
  AlignedBytes out(in.size());
  const std::size_t count = in.size() / width;
  const std::size_t rank = shape.size();
  Shape stride(rank), index(rank, 0);
  std::size_t step = 1;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    stride[axis] = step;
    step *= shape[axis];
  }
  std::size_t from = 0;
  for (std::size_t to = 0; to < count; ++to) {
    std::memcpy(out.data() + to * width, in.data() + from * width, width);
    for (std::size_t axis = rank; axis-- > 0;) {
      from += stride[axis];
      if (++index[axis] < shape[axis]) break;
      from -= stride[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

std::uint32_t little_endian(const AlignedBytes& bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8) | std::to_integer<std::uint32_t>(bytes[i]);
  }
  return value;
}

std::string_view descr_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "<f4";
    case DType::kF64:
      return "<f8";
    case DType::kF16:
      return "<f2";
    case DType::kBf16:
    case DType::kU16:
      return "<u2";
    case DType::kU8:
      return "|u1";
    case DType::kI8:
      return "|i1";
    case DType::kI16:
      return "<i2";
    case DType::kU32:
      return "<u4";
    case DType::kI32:
      return "<i4";
    case DType::kU64:
      return "<u8";
    case DType::kI64:
      return "<i8";
  }
  return "";
}

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const std::string& name) {
  NpyHeader header = HeaderParser(text, name).parse();
  const auto count = element_count(header.shape);
  if (!count || *count > static_cast<std::size_t>(INT64_MAX) / dtype_size(header.dtype)) {
    throw InputError(name + ": npy header: shape " + shape_text(header.shape) +
                     " needs more than 2^63 - 1 bytes");
  }
  return header;
}

Array read_npy(const std::string& path) {
  ByteSource source(path);
  const AlignedBytes lead = source.read_exactly(8, "an npy file's first bytes");
  if (std::memcmp(lead.data(), kMagic.data(), kMagic.size()) != 0) {
    throw InputError(source.name() +
                     ": not an npy file (no \\x93NUMPY at its start); raw files end in .f32, .u8, "
                     "... or .raw");
  }
  const int version = std::to_integer<int>(lead[6]);
  if (version < 1 || version > 3) {
    throw InputError(source.name() + ": npy format version " + std::to_string(version) +
                     " is unknown; versions 1 to 3 are supported");
  }
  const std::uint32_t header_size =
      little_endian(source.read_exactly(version == 1 ? 2 : 4, "the npy header's length"));
  if (header_size > kMaxHeader) {
    throw InputError(source.name() + ": npy header of " + std::to_string(header_size) +
                     " bytes; more than 1 MiB is not a plausible array");
  }
  const AlignedBytes header_bytes = source.read_exactly(header_size, "the npy header");
  const NpyHeader header = parse_npy_header(
      {reinterpret_cast<const char*>(header_bytes.data()), header_bytes.size()}, source.name());

  Array array;
  array.dtype = header.dtype;
  array.shape = header.shape;
  const std::size_t width = dtype_size(header.dtype);
  array.bytes = source.read_exactly(
      *element_count(header.shape) * width,
      "shape " + shape_text(header.shape) + " of " + std::string(dtype_name(header.dtype)));
  source.expect_end("the array of shape " + shape_text(header.shape));
  if (header.big_endian && width > 1) swap_bytes(array.bytes, width);
  if (header.fortran_order && header.shape.size() > 1) {
    array.bytes = fortran_to_c(array.bytes, header.shape, width);
  }
  return array;
}

std::string npy_preamble(DType dtype, const Shape& shape) {
  std::string text =
      "{'descr': '" + std::string(descr_of(dtype)) + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += std::to_string(shape[i]);
    if (i + 1 < shape.size()) text += ", ";
  }
  text += shape.size() == 1 ? ",), }" : "), }";
  constexpr std::size_t kLead = 10;
  while ((kLead + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string out(kMagic);
  out += '\x01';
  out += '\0';
  out += static_cast<char>(text.size() & 0xff);
  out += static_cast<char>(text.size() >> 8);
  return out + text;
}

void write_npy(AtomicFile& file, const Array& array) {
  const std::string preamble = npy_preamble(array.dtype, array.shape);
  file.write(preamble.data(), preamble.size());
  file.write(array.bytes.data(), array.bytes.size());
}

}  // namespace fp4lab
