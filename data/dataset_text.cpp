// Text: UTF-8 to tokens, and the English text that Debian's fortunes packages install.
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "data/dataset_internal.h"
#include "data/error.h"
#include "data/sha256.h"

namespace fp4lab::data::detail {
namespace {

/// Decodes the character at `i` and moves past it; false for a malformed one.
bool next_character(std::string_view text, std::size_t& i, std::uint32_t& point) {
  const auto byte = [&](std::size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;
  };
  const unsigned first = byte(i);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || i + length > text.size()) return false;
  point = length == 1 ? first : first & (0x7Fu >> length);
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0u) != 0x80u) return false;
    point = point << 6 | (byte(i + k) & 0x3Fu);
  }
  constexpr std::uint32_t kSmallest[5] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[length] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
    return false;
  i += length;
  return true;
}

/// Continuous prose of the packages; lists of one-liners in other languages are left out.
constexpr std::array<const char*, 10> kFiles = {
    "art",    "computers",  "definitions", "education", "literature",
    "people", "platitudes", "science",     "wisdom",    "work"};

/// Printable ASCII with single spaces; `%` lines (the separators) become empty lines.
void append_plain(std::string& out, const std::string& text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    if (line == "%") {
      if (out.size() >= 2 && !(out[out.size() - 1] == '\n' && out[out.size() - 2] == '\n'))
        out += '\n';
      continue;
    }
    bool space = true;  // swallows leading blanks
    for (const char c : line) {
      const bool blank = c == ' ' || c == '\t' || c == '\r';
      if (blank) {
        if (!space) out += ' ';
        space = true;
      } else if (c > ' ' && c < '\x7f') {
        out += c;
        space = false;
      }
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  }
}

}  // namespace

TextDataset make_text(std::string name, std::string_view utf8, double eval_fraction,
                      const std::string& what) {
  std::vector<std::uint32_t> points;
  points.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size();) {
    std::uint32_t point = 0;
    if (!next_character(utf8, i, point)) {
      throw InputError(what + " is not UTF-8 text: byte " + std::to_string(i) +
                       " starts no character; convert it, for example with iconv -t utf-8");
    }
    points.push_back(point);
  }
  const std::size_t held =
      static_cast<std::size_t>(static_cast<double>(points.size()) * eval_fraction);
  if (held < 32 || points.size() - held < 32) {
    throw InputError(
        what + " has " + std::to_string(points.size()) +
        " characters; training and evaluation need 32 each at least (data.eval_fraction)");
  }
  std::map<std::uint32_t, std::uint16_t> number;
  for (const std::uint32_t p : points) number.emplace(p, std::uint16_t{0});
  if (number.size() > 65535) {
    throw InputError(what + " uses " + std::to_string(number.size()) +
                     " different characters; at most 65535 can be numbered");
  }
  TextDataset set;
  set.name = std::move(name);
  set.sha256 = sha256_hex(utf8);
  for (auto& [point, n] : number) {
    n = static_cast<std::uint16_t>(set.vocabulary.size());
    set.vocabulary.push_back(point);
  }
  const std::size_t cut = points.size() - held;
  set.train.reserve(cut);
  set.eval.reserve(held);
  for (std::size_t i = 0; i < points.size(); ++i) {
    (i < cut ? set.train : set.eval).push_back(number[points[i]]);
  }
  return set;
}

std::string installed_text() {
  std::vector<std::filesystem::path> folders;
  if (const char* own = std::getenv("FP4LAB_DATA_DIR")) {
    folders.emplace_back(std::filesystem::path(own) / "fortunes");
  }
  folders.emplace_back("/usr/share/games/fortunes");
  folders.emplace_back("/usr/local/share/games/fortunes");
  for (const auto& folder : folders) {
    std::string text;
    for (const char* file : kFiles) {
      std::error_code ignored;
      const auto path = folder / file;
      if (!std::filesystem::is_regular_file(path, ignored)) {
        text.clear();  // an incomplete set would be another text under the same name
        break;
      }
      append_plain(text, read_file_inflated(path.string()));
    }
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace fp4lab::data::detail
