// Standard output that notices failure, colours, and numbers as text.
#pragma once

#include <string>
#include <string_view>

namespace fp4lab::cli {

/// Whether text may be coloured on the given descriptor: `mode` is auto, always or never; auto
/// means a terminal, no NO_COLOR in the environment and TERM other than dumb.
bool use_color(std::string_view mode, int descriptor);

/// Buffered standard output. A write that fails (closed pipe, full disk) throws EnvironmentError at
/// flush() instead of being lost.
class Output {
 public:
  void set_color(bool on) { color_ = on; }
  bool color() const { return color_; }

  /// Sends text to standard error instead, for when standard output carries raw data.
  void use_stderr() { descriptor_ = 2; }

  void print(std::string_view text) { buffer_ += text; }
  void line(std::string_view text = {}) { (buffer_ += text) += '\n'; }
  /// `text` in bold where colours are on.
  std::string bold(std::string_view text) const;

  void flush();

 private:
  std::string buffer_;
  int descriptor_ = 1;
  bool color_ = false;
};

/// Shortest decimal that reads back as the same binary64 (binary32); `inf`, `-inf`, `nan`.
std::string shortest(double value);
std::string shortest(float value);

/// At most `digits` significant digits, without trailing zeros.
std::string general(double value, int digits = 6);

/// `decimals` digits after the point.
std::string fixed(double value, int decimals);

/// `value` as percent with a sensible number of digits.
std::string percent(double share);

/// Fixed-width lower-case hexadecimal for codes of `bits` bits.
std::string hex_code(unsigned long long code, int bits);

}  // namespace fp4lab::cli
