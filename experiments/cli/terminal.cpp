#include "experiments/cli/terminal.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "data/atomic_file.h"
#include "data/error.h"

namespace fp4lab::cli {
namespace {

template <typename T, typename... Format>
std::string to_text(T value, Format... format) {
  if (std::isnan(value)) return "nan";
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, format...).ptr;
  return std::string(text.data(), end);
}

}  // namespace

bool use_color(std::string_view mode, int descriptor) {
  if (mode == "always") return true;
  if (mode == "never") return false;
  const char* const no_color = std::getenv("NO_COLOR");
  const char* const term = std::getenv("TERM");
  const bool asked_not_to = no_color != nullptr && *no_color != '\0';
  const bool dumb = term == nullptr || std::strcmp(term, "dumb") == 0;
  return !asked_not_to && !dumb && ::isatty(descriptor);
}

std::string Output::bold(std::string_view text) const {
  if (!color_) return std::string(text);
  return std::string("\x1b[1m").append(text).append("\x1b[0m");
}

void Output::flush() {
  const int error = write_all(descriptor_, buffer_.data(), buffer_.size());
  buffer_.clear();
  if (error != 0) {
    throw EnvironmentError(std::string("cannot write standard output: ") + std::strerror(error));
  }
}

std::string shortest(double value) { return to_text(value); }
std::string shortest(float value) { return to_text(value); }

std::string general(double value, int digits) {
  return to_text(value, std::chars_format::general, digits);
}

std::string fixed(double value, int decimals) {
  return to_text(value, std::chars_format::fixed, decimals);
}

std::string percent(double share) {
  if (std::isnan(share)) return "-";
  const double value = 100.0 * share;
  return fixed(value, value != 0.0 && value < 1.0 ? 4 : 2) + " %";
}

std::string hex_code(unsigned long long code, int bits) {
  std::array<char, 20> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), code, 16).ptr;
  std::string out(text.data(), end);
  const std::size_t width = static_cast<std::size_t>((bits + 3) / 4);
  if (out.size() < width) out.insert(0, width - out.size(), '0');
  return out;
}

}  // namespace fp4lab::cli
