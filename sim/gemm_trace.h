// What happened in the computation of one output element, as data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fp4lab {

/// One addend of a step: a product, a group of products, or c.
struct TraceTerm {
  std::string name;  ///< "k=17", "k=16..31", "c"
  std::uint32_t a_code = 0, b_code = 0;
  bool has_codes = false;
  float a = 0.0f, b = 0.0f;  ///< values without scales
  float scale_a = 1.0f, scale_b = 1.0f;
  std::string exact;      ///< the exact addend
  bool aligned = false;   ///< the rest belongs to fused sums
  int exponent = 0;       ///< what it offers as the largest exponent
  int shift = 0;          ///< left (positive) or right shift to units of 2^Q
  std::int64_t kept = 0;  ///< its integer in units of 2^Q
  bool cut = false;       ///< bits below 2^Q were dropped
};

/// One rounding (or one exact sum).
struct TraceStep {
  std::string title;  ///< "fused sum of k=0..15", "segment k=0..31", "promotion"
  std::vector<TraceTerm> terms;
  bool fused = false;
  int exponent = 0, quantum = 0;  ///< E and Q = E - F
  std::int64_t sum = 0;           ///< S, in units of 2^Q
  std::string rounding;           ///< the rule applied to the exact sum
  std::string note;               ///< specials, scale products
  bool rounds = true;            ///< false for an exact sub-sum, whose `result` means nothing
  float result = 0.0f;
};

/// A whole output element.
struct Trace {
  std::vector<TraceStep> steps;
};

/// A double written exactly: "-1.5 (-0x1.8p+0)".
std::string exact_text(double v);
/// (-1)^negative * m * 2^e exactly, m of up to 128 bits.
std::string exact_text(bool negative, unsigned long long m_high, unsigned long long m_low, int e);

}  // namespace fp4lab
