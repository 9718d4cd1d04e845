// The oracle's rounding: find the two neighbours of an exact number in the sorted list of values,
// compare exact distances, apply the rule.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/oracle/formats.h"
#include "tests/oracle/rational.h"

namespace fp4lab_oracle {

enum class Mode { kRne, kRna, kRnz, kRtz, kRtp, kRtn, kOdd, kRnLower, kRnUpper, kRdnp };

inline constexpr std::array<Mode, 10> kDeterministicModes = {
    Mode::kRne, Mode::kRna, Mode::kRnz,     Mode::kRtz,     Mode::kRtp,
    Mode::kRtn, Mode::kOdd, Mode::kRnLower, Mode::kRnUpper, Mode::kRdnp};

/// The id of a mode: "rne", "rn-lower", ...
std::string_view name(Mode mode);

/// How N random bits decide; formats.md 2.3 models A, B, C, C'.
enum class Stochastic { kFloor, kFast, kRne, kRno };

inline constexpr std::array<Stochastic, 4> kStochasticModels = {
    Stochastic::kFloor, Stochastic::kFast, Stochastic::kRne, Stochastic::kRno};

/// "sr", "sr-fast", "sr-rne", "sr-rno".
std::string_view name(Stochastic model);

enum class Policy { kCuda, kCudaNoSat };

/// Where a number lies in a format: on a code, or strictly between two neighbours.
struct Placement {
  bool decided = false;
  std::uint32_t code = 0;  // the answer if decided

  // Otherwise the cell. `near` is the neighbour toward zero, `far` the one away from zero; in the
  // cell around zero of a format without a zero, `far` is the neighbour on the input's own side.
  Rational near_value, far_value;
  std::uint32_t near_code = 0, far_code = 0;
  bool negative = false;        // sign of the input
  bool straddles = false;       // the neighbours have different signs
  bool beyond_maximum = false;  // unsaturated: `far` is the value after the maximum
  Rational d;                   // |x - near| / |far - near|, exact
};

Placement locate(const Format& format, const Number& x, Policy policy = Policy::kCuda);

/// The code that a placement becomes under a deterministic mode; `encode` = `resolve(locate)`.
std::uint32_t resolve(const Format& format, const Placement& placement, Mode mode);

/// The code of x under a deterministic mode.
std::uint32_t encode(const Format& format, const Number& x, Mode mode,
                     Policy policy = Policy::kCuda);

/// Number of words r in [0, 2^n_bits) that move x to the neighbour away from zero: they are the
/// largest ones. Needs an undecided placement.
std::uint64_t round_up_count(const Placement& cell, Stochastic model, int n_bits);

/// The code of x under a stochastic model with the random word r (its low n_bits).
std::uint32_t encode(const Format& format, const Number& x, Stochastic model, int n_bits,
                     std::uint64_t r, Policy policy = Policy::kCuda);

/// The code of x when a uniform number u in [0, 1) decides: away from zero iff u < d.
std::uint32_t encode_uniform(const Format& format, const Number& x, const Rational& u,
                             Policy policy = Policy::kCuda);

/// Number of the 2^24 words k for which u = k * 2^-24 moves x away from zero: the smallest ones.
/// Needs an undecided placement.
std::uint64_t round_up_count_uniform(const Placement& cell);

/// Does a placement round at random at all? Not on a code, and not beyond the maximum: finite
/// values there are clamped before the random bits act.
bool is_random(const Placement& placement);

/// "lower value | upper value" around x, or the value itself; for messages.
std::string neighbours_text(const Format& format, const Number& x);

}  // namespace fp4lab_oracle
