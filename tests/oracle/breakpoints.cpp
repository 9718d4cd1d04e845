#include "tests/oracle/breakpoints.h"

#include <algorithm>
#include <stdexcept>

namespace fp4lab_oracle {
namespace {

constexpr std::uint32_t kInfinity = 0x7F800000u;
constexpr std::uint32_t kSign = 0x80000000u;

// The magnitudes at which some rule may change its answer, on the positive or the negative side.
std::vector<Rational> critical_magnitudes(const Format& f, bool negative) {
  std::vector<Rational> all;
  const auto keep = [&](const Rational& signed_value) {
    if ((signed_value < 0) == negative) all.push_back(abs(signed_value));
  };
  const bool mirror = negative && f.negatives == Negatives::kMagnitude;
  for (std::size_t i = 0; i < f.levels.size(); ++i) {
    const Rational& v = f.levels[i].value;
    keep(mirror ? Rational(-v) : v);
    if (i + 1 == f.levels.size()) break;
    const Rational& w = f.levels[i + 1].value;
    for (const int quarters : {1, 2, 3}) {
      const Rational point = v + (w - v) * Rational(quarters, 4);
      keep(mirror ? Rational(-point) : point);
    }
  }
  if (f.can_overflow) {
    const Rational top = f.levels.back().value;
    all.push_back((top + f.overflow_magnitude) / 2);
    all.push_back(f.overflow_magnitude);
  }
  return all;
}

// Patterns of the side [sign, sign + Inf] at which a new interval may begin: for every critical
// magnitude c the last pattern <= c, the one after it and, since a rule may include or exclude c
// itself, the one that is c.
std::vector<std::uint32_t> candidates(const Format& f, bool negative) {
  std::vector<std::uint32_t> all = {0, 1, kInfinity};
  for (const Rational& c : critical_magnitudes(f, negative)) {
    const std::uint32_t below = binary32_floor(c);
    all.push_back(below);
    if (below + 1 <= kInfinity) all.push_back(below + 1);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

void append(std::vector<Interval>& out, std::uint32_t first, std::uint32_t last,
            std::uint32_t code) {
  if (!out.empty() && out.back().code == code) {
    out.back().last = last;
  } else {
    out.push_back({first, last, code});
  }
}

}  // namespace

std::vector<Interval> intervals(const Format& format, Mode mode, Policy policy) {
  if (format.is_wide) throw std::logic_error("intervals: only for formats of up to 8 bits");
  std::vector<Interval> out;
  for (const bool negative : {false, true}) {
    const std::uint32_t sign = negative ? kSign : 0;
    const std::vector<std::uint32_t> starts = candidates(format, negative);
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const std::uint32_t first = sign | starts[i];
      const std::uint32_t last = sign | (i + 1 < starts.size() ? starts[i + 1] - 1 : kInfinity);
      append(out, first, last, encode(format, from_binary32(first), mode, policy));
    }
    append(out, sign | (kInfinity + 1), sign | 0x7FFFFFFFu, format.nan_code);
  }
  return out;
}

std::vector<std::uint32_t> critical_patterns(const Format& format, int reach) {
  std::vector<std::uint32_t> all;
  for (const bool negative : {false, true}) {
    const std::uint32_t sign = negative ? kSign : 0;
    std::vector<std::uint32_t> centres = {0, 0x00800000u, kInfinity, 0x7FC00000u, 0x7FFFFFFFu};
    for (const Rational& c : critical_magnitudes(format, negative)) {
      centres.push_back(binary32_floor(c));
    }
    for (const std::uint32_t centre : centres) {
      for (int k = -reach; k <= reach + 1; ++k) {
        const std::int64_t pattern = static_cast<std::int64_t>(centre) + k;
        if (pattern < 0 || pattern > 0x7FFFFFFF) continue;
        all.push_back(sign | static_cast<std::uint32_t>(pattern));
      }
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace fp4lab_oracle
