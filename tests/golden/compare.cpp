#include "tests/golden/compare.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdio>
#include <utility>

namespace fp4lab::golden {
namespace {

constexpr std::size_t kExamples = 5;

std::string hex(std::uint64_t value, int digits) {
  char buffer[17];
  std::snprintf(buffer, sizeof buffer, "%0*llx", digits, static_cast<unsigned long long>(value));
  return buffer;
}

bool is_nan_bits(std::uint32_t b) { return (b & 0x7fffffffU) > 0x7f800000U; }

std::set<std::string>& covered() {
  static std::set<std::string> keys;
  return keys;
}

}  // namespace

const std::set<std::string>& compared_columns() { return covered(); }

std::string column_key(const File& file, const std::string& column) {
  return file.source() + ": " + file.stored_name(column);
}

Comparison::Comparison(const File& file, std::string column, std::string rule)
    : key_(column_key(file, column)),
      source_(file.source()),
      column_(std::move(column)),
      rule_(std::move(rule)),
      digits_(digits(file.at(column_).dtype())),
      row_length_(file.at(column_).shape().size() < 2 ? 0 : file.at(column_).row_length()) {}

void Comparison::check(std::size_t index, std::uint64_t input, std::uint64_t got,
                       std::uint64_t want) {
  ++compared_;
  if (got == want) return;
  if (++differing_ > kExamples) return;
  const std::string place = row_length_ == 0
                                ? "row " + std::to_string(index)
                                : "row " + std::to_string(index / row_length_) + " element " +
                                      std::to_string(index % row_length_);
  examples_ += "\n  " + place + ": input " + hex(input, 8) + " got " + hex(got, digits_) +
               " want " + hex(want, digits_);
}

void Comparison::check_f32(std::size_t index, std::uint64_t input, float got, std::uint32_t want) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(got);
  const bool same = is_nan_bits(bits) && is_nan_bits(want);
  check(index, input, same ? want : bits, want);
}

Comparison::~Comparison() {
  if (compared_ + excluded_ != 0) covered().insert(key_);
  if (differing_ != 0) {
    ADD_FAILURE() << source_ << ": " << column_ << " against " << rule_ << ": " << differing_
                  << " of " << compared_ << " differ" << examples_;
  }
  if (compared_ + excluded_ == 0) {
    ADD_FAILURE() << source_ << ": " << column_ << " against " << rule_ << ": nothing compared";
  }
}

}  // namespace fp4lab::golden
