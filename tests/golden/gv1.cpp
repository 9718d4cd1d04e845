#include "tests/golden/gv1.h"

#include <zlib.h>

#include <array>
#include <bit>
#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>

namespace fp4lab::golden {
namespace {

// Far above the largest golden file (5 MB of text, 1.5 million numbers), far below any memory.
constexpr std::size_t kMaxText = std::size_t{1} << 28;
constexpr std::size_t kMaxElements = std::size_t{1} << 26;
constexpr std::size_t kMaxDimensions = 8;

struct DtypeRow {
  std::string_view name;
  Dtype dtype;
  int digits;
};
constexpr std::array<DtypeRow, 9> kDtypes{{{"u8", Dtype::kU8, 2},
                                           {"u16", Dtype::kU16, 4},
                                           {"bf16", Dtype::kBf16, 4},
                                           {"f16", Dtype::kF16, 4},
                                           {"u32", Dtype::kU32, 8},
                                           {"i32", Dtype::kI32, 8},
                                           {"f32", Dtype::kF32, 8},
                                           {"u64", Dtype::kU64, 16},
                                           {"f64", Dtype::kF64, 16}}};

const DtypeRow& row(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)]; }

// Value of a lower-case hexadecimal digit, -1 for anything else.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Walks the text line by line and turns complaints into messages with a line number.
class Lines {
 public:
  Lines(std::string_view text, const std::string& source) : rest_(text), source_(source) {}

  bool next(std::string_view& line) {
    if (rest_.empty()) return false;
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) fail_at(number_ + 1, "the last line has no line feed");
    line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    ++number_;
    return true;
  }

  [[noreturn]] void fail(const std::string& what) const { fail_at(number_, what); }

 private:
  [[noreturn]] void fail_at(std::size_t number, const std::string& what) const {
    throw Gv1Error(source_ + ": line " + std::to_string(number) + ": " + what);
  }

  std::string_view rest_;
  const std::string& source_;
  std::size_t number_ = 0;
};

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  while (!line.empty()) {
    const std::size_t end = line.find(' ');
    out.push_back(line.substr(0, end));
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
  return out;
}

std::size_t count(std::string_view word, const Lines& lines) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) {
    lines.fail("expected a count, found '" + std::string(word.substr(0, 40)) + "'");
  }
  return value;
}

// A tensor whose numbers are still being read.
struct Open {
  std::string name;
  const DtypeRow* type = nullptr;
  std::vector<std::size_t> shape;
  std::size_t expected = 0;
  std::vector<std::uint64_t> bits;
};

Open open_tensor(std::string_view line, const Lines& lines) {
  const std::vector<std::string_view> w = words(line);
  if (w.size() < 4 || w[0] != "@" || w[1].empty()) {
    lines.fail("expected '@ name dtype ndim dimensions...'");
  }
  Open t;
  t.name = std::string(w[1]);
  for (const DtypeRow& r : kDtypes) {
    if (r.name == w[2]) t.type = &r;
  }
  if (t.type == nullptr) lines.fail("unknown dtype '" + std::string(w[2].substr(0, 40)) + "'");
  const std::size_t ndim = count(w[3], lines);
  if (ndim > kMaxDimensions || w.size() != 4 + ndim) {
    lines.fail("expected " + std::string(w[3]) + " dimensions, at most " +
               std::to_string(kMaxDimensions));
  }
  t.expected = 1;
  for (std::size_t i = 0; i < ndim; ++i) {
    const std::size_t d = count(w[4 + i], lines);
    if (d != 0 && t.expected > kMaxElements / d) lines.fail("more elements than a file may hold");
    t.expected *= d;
    t.shape.push_back(d);
  }
  return t;
}

void append_numbers(std::string_view line, Open& t, const Lines& lines) {
  for (const std::string_view word : words(line)) {
    if (word.size() != static_cast<std::size_t>(t.type->digits)) {
      lines.fail("expected numbers of " + std::to_string(t.type->digits) + " digits for '" +
                 t.name + "'");
    }
    std::uint64_t value = 0;
    for (const char c : word) {
      const int digit = hex_value(c);
      if (digit < 0) lines.fail("expected lower-case hexadecimal digits");
      value = value * 16 + static_cast<std::uint64_t>(digit);
    }
    if (t.bits.size() == t.expected) {
      lines.fail("more than " + std::to_string(t.expected) + " numbers for '" + t.name + "'");
    }
    t.bits.push_back(value);
  }
}

template <typename T>
Tensor::Storage narrow(const std::vector<std::uint64_t>& bits) {
  std::vector<T> out;
  out.reserve(bits.size());
  for (const std::uint64_t b : bits) out.push_back(static_cast<T>(b));
  return out;
}

Tensor close_tensor(Open&& t, const Lines& lines) {
  if (t.bits.size() != t.expected) {
    lines.fail("'" + t.name + "' has " + std::to_string(t.bits.size()) +
               " numbers, its shape says " + std::to_string(t.expected));
  }
  Tensor::Storage storage;
  switch (t.type->digits) {
    case 2:
      storage = narrow<std::uint8_t>(t.bits);
      break;
    case 4:
      storage = narrow<std::uint16_t>(t.bits);
      break;
    case 8:
      storage = narrow<std::uint32_t>(t.bits);
      break;
    default:
      storage = std::move(t.bits);
  }
  return Tensor(std::move(t.name), t.type->dtype, std::move(t.shape), std::move(storage));
}

}  // namespace

int digits(Dtype dtype) { return row(dtype).digits; }

std::string_view name(Dtype dtype) { return row(dtype).name; }

std::size_t Tensor::size() const {
  return std::visit([](const auto& v) { return v.size(); }, bits_);
}

std::uint64_t Tensor::bits(std::size_t i) const {
  return std::visit([i](const auto& v) { return static_cast<std::uint64_t>(v.at(i)); }, bits_);
}

template <typename T>
const std::vector<T>& Tensor::get() const {
  const auto* v = std::get_if<std::vector<T>>(&bits_);
  if (v == nullptr) {
    throw Gv1Error("tensor '" + name_ + "' holds " + std::string(golden::name(dtype_)) +
                   ", not numbers of " + std::to_string(8 * sizeof(T)) + " bits");
  }
  return *v;
}
template const std::vector<std::uint8_t>& Tensor::get() const;
template const std::vector<std::uint16_t>& Tensor::get() const;
template const std::vector<std::uint32_t>& Tensor::get() const;
template const std::vector<std::uint64_t>& Tensor::get() const;

std::vector<float> Tensor::f32() const {
  if (dtype_ != Dtype::kF32) throw Gv1Error("tensor '" + name_ + "' is not f32");
  std::vector<float> out;
  out.reserve(size());
  for (const std::uint32_t b : u32()) out.push_back(std::bit_cast<float>(b));
  return out;
}

std::vector<double> Tensor::f64() const {
  if (dtype_ != Dtype::kF64) throw Gv1Error("tensor '" + name_ + "' is not f64");
  std::vector<double> out;
  out.reserve(size());
  for (const std::uint64_t b : u64()) out.push_back(std::bit_cast<double>(b));
  return out;
}

std::string gunzip(std::string_view compressed, const std::string& source, std::size_t limit) {
  if (compressed.size() > std::numeric_limits<uInt>::max()) {
    throw Gv1Error(source + ": too large");
  }
  z_stream stream{};
  if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) throw Gv1Error(source + ": zlib failed");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string out;
  std::vector<char> chunk(std::size_t{1} << 16);
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(chunk.data(), chunk.size() - stream.avail_out);
    if (out.size() > limit) {
      throw Gv1Error(source + ": unpacks to more than " + std::to_string(limit) + " bytes");
    }
  }
  if (status != Z_STREAM_END) throw Gv1Error(source + ": the gzip stream is damaged or cut short");
  if (stream.avail_in != 0) throw Gv1Error(source + ": bytes after the end of the gzip stream");
  return out;
}

File File::load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Gv1Error(path + ": cannot open");
  const std::string compressed((std::istreambuf_iterator<char>(in)),
                               std::istreambuf_iterator<char>());
  return parse(gunzip(compressed, path, kMaxText), path);
}

File File::parse(std::string_view text, const std::string& source) {
  File file;
  file.source_ = source;
  Lines lines(text, source);
  std::string_view line;
  if (!lines.next(line) || line != "GV1") {
    throw Gv1Error(source + ": line 1: expected 'GV1'");
  }
  std::vector<std::pair<std::string, std::string>> aliases;
  std::unique_ptr<Open> open;
  const auto close = [&] {
    if (!open) return;
    if (!file.index_.emplace(open->name, file.tensors_.size()).second) {
      lines.fail("tensor '" + open->name + "' appears twice");
    }
    file.names_.push_back(open->name);
    file.tensors_.push_back(close_tensor(std::move(*open), lines));
    open.reset();
  };
  while (lines.next(line)) {
    if (line.empty()) continue;
    if (line[0] == '@') {
      close();
      open = std::make_unique<Open>(open_tensor(line, lines));
    } else if (line[0] == '#') {
      const std::size_t colon = line.find(": ");
      if (line.size() < 3 || line[1] != ' ' || colon == std::string_view::npos) {
        lines.fail("expected '# key: value'");
      }
      const std::string key(line.substr(2, colon - 2));
      const std::string value(line.substr(colon + 2));
      if (key == "same") {
        const std::size_t equals = value.find(" = ");
        if (equals == std::string::npos) lines.fail("expected '# same: name = name'");
        aliases.emplace_back(value.substr(0, equals), value.substr(equals + 3));
      } else {
        file.headers_.emplace(key, value);
      }
    } else if (open) {
      append_numbers(line, *open, lines);
    } else {
      lines.fail("numbers before the first tensor");
    }
  }
  close();
  // Targets are looked up among stored tensors only, so that an alias of an alias is refused.
  const std::map<std::string, std::size_t> stored = file.index_;
  for (const auto& [alias, target] : aliases) {
    const auto found = stored.find(target);
    if (found == stored.end()) {
      throw Gv1Error(source + ": '# same: " + alias + " = " + target + "' names no stored tensor");
    }
    if (!file.index_.emplace(alias, found->second).second) {
      throw Gv1Error(source + ": tensor '" + alias + "' appears twice");
    }
    file.names_.push_back(alias);
  }
  return file;
}

const Tensor& File::at(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw Gv1Error(source_ + ": no tensor '" + name + "'");
  return tensors_[found->second];
}

std::string File::header(const std::string& key) const {
  const auto found = headers_.find(key);
  return found == headers_.end() ? std::string() : found->second;
}

}  // namespace fp4lab::golden
