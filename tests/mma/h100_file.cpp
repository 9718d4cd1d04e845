#include "tests/mma/h100_file.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace fp4lab::mma_test {
namespace {

class Reader {
 public:
  explicit Reader(std::vector<char> bytes) : bytes_(std::move(bytes)) {}
  bool done() const { return at_ == bytes_.size(); }
  const char* take(std::size_t n) {
    if (bytes_.size() - at_ < n) throw std::runtime_error("the file is cut short");
    at_ += n;
    return bytes_.data() + at_ - n;
  }
  std::size_t count() {
    std::int32_t v;
    std::memcpy(&v, take(4), 4);
    if (v < 0) throw std::runtime_error("negative count");
    return static_cast<std::size_t>(v);
  }
  std::vector<std::uint32_t> words(std::size_t n, int bits) {
    std::vector<std::uint32_t> out(n, 0);
    const auto width = static_cast<std::size_t>(bits) / 8;
    for (std::uint32_t& w : out) std::memcpy(&w, take(width), width);
    return out;
  }

 private:
  std::vector<char> bytes_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Section> read_sections(const std::string& path, bool has_c) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path);
  Reader r(std::vector<char>(std::istreambuf_iterator<char>(in), {}));
  std::vector<Section> sections;
  while (!r.done()) {
    Section s;
    const char* name = r.take(40);
    s.name.assign(name, strnlen(name, 40));
    s.m = r.count();
    s.n = r.count();
    s.k = r.count();
    const std::size_t bits = r.count();
    s.a_bits = static_cast<int>(bits & 255);
    s.b_bits = static_cast<int>(bits >> 8 & 255);
    s.c_bits = static_cast<int>(bits >> 16 & 255);
    s.cases = r.count();
    s.generators = r.count();
    s.a = r.words(s.cases * s.m * s.k, s.a_bits);
    s.b = r.words(s.cases * s.n * s.k, s.b_bits);
    if (has_c) s.c = r.words(s.cases * s.m * s.n, s.c_bits);
    s.d = r.words(s.cases * s.m * s.n, s.c_bits);
    sections.push_back(std::move(s));
  }
  return sections;
}

}  // namespace fp4lab::mma_test
