#include "experiments/cli/names.h"

#include <algorithm>
#include <bit>
#include <sstream>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

ElementFormat codebook_of(const std::vector<float>& values) {
  ElementFormat f;
  f.kind = FormatKind::codebook;
  f.exponent_bits = f.mantissa_bits = 0;
  f.bias = 0;
  f.is_signed = false;
  for (const float value : values) {
    f.table.set(f.count++, std::bit_cast<std::uint32_t>(value));
    if (value < 0.0f) f.is_signed = true;
  }
  f.bits = static_cast<std::uint8_t>(std::bit_width(values.size() - 1));
  return f;
}

}  // namespace

std::string family_title(Family family) {
  switch (family) {
    case Family::fp4:
      return "4-bit floating point";
    case Family::log4:
      return "4-bit logarithmic";
    case Family::int4:
      return "integers up to 4 bits";
    case Family::codebook4:
      return "4-bit codebooks";
    case Family::p3109:
      return "IEEE P3109, 4 bits";
    case Family::fp6:
      return "6-bit floating point";
    case Family::fp8:
      return "8-bit floating point";
    case Family::scale:
      return "scale formats";
    case Family::wide:
      return "wide formats";
    case Family::other:
      return "8-bit integers";
  }
  return "other";
}

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

ElementFormat to_element_format(const UserFormatSpec& spec) {
  if (spec.kind == UserFormatSpec::Kind::kValues) return codebook_of(spec.values);
  ElementFormat f;
  f.is_signed = spec.is_signed;
  f.exponent_bits = static_cast<std::uint8_t>(spec.exponent_bits);
  f.mantissa_bits = static_cast<std::uint8_t>(spec.mantissa_bits);
  f.bits = static_cast<std::uint8_t>(spec.exponent_bits + spec.mantissa_bits + spec.is_signed);
  f.bias = static_cast<std::int16_t>(spec.bias);
  f.radix_log2 = spec.radix == 4 ? 2 : 1;
  f.low_end = spec.subnormals ? LowEnd::gradual : LowEnd::zero_only;
  switch (spec.specials) {
    case UserSpecials::kNone:
      f.specials = Specials::none;
      break;
    case UserSpecials::kNanTop:
      f.specials = Specials::nan_top;
      break;
    case UserSpecials::kIeee:
      f.specials = Specials::ieee;
      break;
    case UserSpecials::kFnuz:
      f.specials = Specials::nan_neg_zero;
      break;
  }
  return f;
}

void register_user_formats(const std::vector<std::string>& files) {
  for (const auto& file : files) {
    for (const auto& spec : read_user_formats(file)) {
      std::string aliases;
      const auto check = [&](const std::string& name) {
        for (const FormatInfo* taken : all_formats()) {
          if (taken->id == name || detail::has_alias(taken->aliases, name)) {
            throw InputError(spec.place + ": the name '" + name + "' already means " +
                             std::string(taken->id));
          }
        }
      };
      check(spec.name);
      for (const auto& alias : spec.aliases) {
        check(alias);
        aliases += (aliases.empty() ? "" : " ") + alias;
      }
      register_format(spec.name, aliases, spec.title.empty() ? "defined by the user" : spec.title,
                      spec.source.empty() ? spec.place : spec.source, Family::other,
                      to_element_format(spec));
    }
  }
}

const FormatInfo& require_format(std::string_view name) {
  if (const FormatInfo* info = find_format(name)) return *info;
  throw InputError("unknown format '" + printable(name, 60) + "'" +
                   nearest_hint(name, all_format_names()));
}

}  // namespace fp4lab::cli
