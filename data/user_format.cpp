#include "data/user_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <set>

#include "data/byte_source.h"
#include "data/error.h"
#include "data/toml_text.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1u << 20;
constexpr std::size_t kMaxFormats = 1000;
constexpr std::size_t kMaxNameLength = 40;

constexpr std::array<std::string_view, 13> kKeys{
    "name",          "aliases", "title",  "source",   "values",     "codes", "exponent_bits",
    "mantissa_bits", "bias",    "signed", "specials", "subnormals", "radix"};
constexpr std::array<std::string_view, 4> kSpecialWords{"none", "nan-top", "ieee", "fnuz"};

/// Reads one `[[format]]` table; every complaint carries the place of the node it is about.
class TableReader {
 public:
  TableReader(const toml::table& table, const std::string& file) : table_(table), file_(file) {}

  UserFormatSpec read() {
    for (const auto& [key, node] : table_) {
      const std::string_view text = key.str();
      if (std::find(kKeys.begin(), kKeys.end(), text) == kKeys.end()) {
        fail(key.source(), "unknown key '" + printable(text, 40) + "'" + nearest_hint(text, kKeys));
      }
    }
    UserFormatSpec spec;
    spec.place = place(table_.source());
    read_names(spec);
    if (table_.contains("values")) {
      read_values(spec);
    } else {
      read_float(spec);
    }
    return spec;
  }

 private:
  std::string place(const toml::source_region& region) const {
    return file_ + ":" + std::to_string(region.begin.line) + ":" +
           std::to_string(region.begin.column);
  }

  [[noreturn]] void fail(const toml::source_region& region, const std::string& why) const {
    throw InputError(place(region) + ": " + why);
  }

  const toml::node* find(std::string_view key) const { return table_.get(key); }

  std::optional<std::string> text(std::string_view key) const {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* value = node->as_string()) return value->get();
    fail(node->source(), "'" + std::string(key) + "' must be a text in quotes");
  }

  std::optional<bool> flag(std::string_view key) const {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* value = node->as_boolean()) return value->get();
    fail(node->source(), "'" + std::string(key) + "' must be true or false");
  }

  std::optional<int> integer(std::string_view key, int low, int high) const {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    const auto* value = node->as_integer();
    if (value == nullptr || value->get() < low || value->get() > high) {
      fail(node->source(), "'" + std::string(key) + "' must be a whole number from " +
                               std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<int>(value->get());
  }

  /// Ids are compared in lower case with `-`; `,` `=` `@` `:` have a meaning in specs.
  std::string id(std::string_view raw, const toml::source_region& region) const {
    std::string out;
    bool sound = !raw.empty() && raw.size() <= kMaxNameLength;
    for (const char c : raw.substr(0, kMaxNameLength)) {
      const char folded = c == '_' ? '-' : (c >= 'A' && c <= 'Z') ? static_cast<char>(c + 32) : c;
      const bool letter = folded >= 'a' && folded <= 'z';
      const bool digit = folded >= '0' && folded <= '9';
      sound = sound && (letter || (!out.empty() && (digit || folded == '-' || folded == '.')));
      out += folded;
    }
    if (!sound) {
      fail(region, "'" + printable(raw, 40) +
                       "' is no name: a letter, then letters, digits, '-' or '.', at most 40");
    }
    return out;
  }

  void read_names(UserFormatSpec& spec) const {
    const auto name = text("name");
    if (!name) fail(table_.source(), "a [[format]] needs the key 'name'");
    spec.name = id(*name, find("name")->source());
    spec.title = printable(text("title").value_or(""));
    spec.source = printable(text("source").value_or(""));
    const toml::node* aliases = find("aliases");
    if (aliases == nullptr) return;
    const auto* list = aliases->as_array();
    if (list == nullptr) fail(aliases->source(), "'aliases' must be a list of texts");
    for (const auto& item : *list) {
      const auto* value = item.as_string();
      if (value == nullptr) fail(item.source(), "'aliases' must be a list of texts");
      spec.aliases.push_back(id(value->get(), item.source()));
    }
  }

  void read_values(UserFormatSpec& spec) const {
    spec.kind = UserFormatSpec::Kind::kValues;
    for (const std::string_view key :
         {"exponent_bits", "mantissa_bits", "bias", "signed", "specials", "subnormals", "radix"}) {
      if (const auto* node = find(key)) {
        fail(node->source(), "'" + std::string(key) + "' does not go with 'values'");
      }
    }
    const toml::node* node = find("values");
    const auto* list = node->as_array();
    if (list == nullptr || list->size() < 2 || list->size() > 16) {
      fail(node->source(), "'values' must be a list of 2 to 16 numbers");
    }
    std::vector<float> listed;
    std::set<std::uint32_t> seen;
    for (const auto& item : *list) {
      const auto number = item.is_number() ? item.value<double>() : std::nullopt;
      if (!number || !std::isfinite(*number)) {
        fail(item.source(), "'values' must hold finite numbers");
      }
      // Half an ulp above the largest binary32 number rounds to infinity.
      if (std::fabs(*number) >= 0x1.ffffffp+127) {
        fail(item.source(), "a value of 'values' does not fit binary32");
      }
      const float value = static_cast<float>(*number);
      if (!seen.insert(std::bit_cast<std::uint32_t>(value)).second) {
        fail(item.source(), "a value of 'values' occurs twice (after rounding to binary32)");
      }
      listed.push_back(value);
    }
    if (std::all_of(listed.begin(), listed.end(), [](float v) { return v == 0.0f; })) {
      fail(node->source(), "'values' holds nothing but zero");
    }
    spec.values = listed;
    const toml::node* codes_node = find("codes");
    if (codes_node == nullptr) return;
    const auto* codes = codes_node->as_array();
    if (codes == nullptr || codes->size() != listed.size()) {
      fail(codes_node->source(), "'codes' must be a list as long as 'values'");
    }
    std::vector<bool> taken(listed.size(), false);
    for (std::size_t i = 0; i < listed.size(); ++i) {
      const toml::node& item = *codes->get(i);
      const auto* code = item.as_integer();
      if (code == nullptr || code->get() < 0 ||
          code->get() >= static_cast<std::int64_t>(listed.size()) ||
          taken[static_cast<std::size_t>(code->get())]) {
        fail(item.source(),
             "'codes' must hold each of 0 to " + std::to_string(listed.size() - 1) + " once");
      }
      taken[static_cast<std::size_t>(code->get())] = true;
      spec.values[static_cast<std::size_t>(code->get())] = listed[i];
    }
  }

  void read_float(UserFormatSpec& spec) const {
    spec.kind = UserFormatSpec::Kind::kFloat;
    if (const auto* node = find("codes")) fail(node->source(), "'codes' goes with 'values' only");
    const auto exponent = integer("exponent_bits", 0, 8);
    const auto mantissa = integer("mantissa_bits", 0, 15);
    if (!exponent || !mantissa) {
      fail(table_.source(), "a [[format]] needs 'values', or 'exponent_bits' and 'mantissa_bits'");
    }
    spec.exponent_bits = *exponent;
    spec.mantissa_bits = *mantissa;
    spec.is_signed = flag("signed").value_or(true);
    spec.subnormals = flag("subnormals").value_or(true);
    spec.radix = integer("radix", 2, 4).value_or(2);
    spec.bias = integer("bias", -200, 300)
                    .value_or(spec.exponent_bits == 0 ? 0 : (1 << (spec.exponent_bits - 1)) - 1);
    if (const auto word = text("specials")) {
      const auto at = std::find(kSpecialWords.begin(), kSpecialWords.end(), *word);
      if (at == kSpecialWords.end()) {
        fail(find("specials")->source(), "unknown specials '" + printable(*word, 40) + "'" +
                                             nearest_hint(*word, kSpecialWords));
      }
      spec.specials = static_cast<UserSpecials>(at - kSpecialWords.begin());
    }
    check_float(spec);
  }

  void check_float(const UserFormatSpec& spec) const {
    const auto at = [&](std::string_view key) {
      const auto* node = find(key);
      return node != nullptr ? node->source() : table_.source();
    };
    const int width = spec.exponent_bits + spec.mantissa_bits + (spec.is_signed ? 1 : 0);
    if (spec.exponent_bits + spec.mantissa_bits < 1) {
      fail(table_.source(), "a format needs at least one bit beside the sign");
    }
    if (width > 16) {
      fail(at("mantissa_bits"), std::to_string(width) + " bits; at most 16 are supported");
    }
    if (spec.radix == 3) fail(at("radix"), "'radix' must be 2 or 4");
    if (spec.radix == 4 && (spec.mantissa_bits != 0 || spec.exponent_bits == 0)) {
      fail(at("radix"), "radix 4 needs exponent bits and mantissa_bits = 0");
    }
    if (spec.exponent_bits == 0 && !spec.subnormals) {
      fail(at("subnormals"), "without exponent bits every number is subnormal");
    }
    if (spec.specials == UserSpecials::kFnuz && !spec.is_signed) {
      fail(at("specials"), "'fnuz' re-uses the code of -0 and needs a sign");
    }
    if (spec.specials == UserSpecials::kIeee &&
        (spec.exponent_bits < 2 || spec.mantissa_bits < 1)) {
      fail(at("specials"), "'ieee' needs at least 2 exponent bits and 1 mantissa bit");
    }
    const int magnitudes = 1 << (spec.exponent_bits + spec.mantissa_bits);
    if (spec.specials == UserSpecials::kNanTop && magnitudes < 4) {
      fail(at("specials"), "'nan-top' needs at least 2 bits beside the sign");
    }
    check_range(spec, at("bias"));
  }

  /// Every value must be a binary32 number, since that is what decoding gives.
  void check_range(const UserFormatSpec& spec, const toml::source_region& region) const {
    const int step = spec.radix == 4 ? 2 : 1;
    const int top_field = (1 << spec.exponent_bits) - 1;
    const int largest = step * (std::max(top_field, 1) - spec.bias);
    const int smallest = step * ((spec.subnormals ? 1 : 0) - spec.bias) - spec.mantissa_bits;
    if (largest > 127 || smallest < -149) {
      fail(region, "values from 2^" + std::to_string(smallest) + " to about 2^" +
                       std::to_string(largest + 1) + " do not fit binary32 (2^-149 to 2^128)");
    }
  }

  const toml::table& table_;
  const std::string& file_;
};

}  // namespace

std::vector<UserFormatSpec> parse_user_formats(std::string_view text, const std::string& name) {
  const toml::table root =
      parse_toml(text, name, "[[format]] tables with key = value lines are");
  static constexpr std::array<std::string_view, 1> kTop{"format"};
  const auto place = [&](const toml::source_region& region) { return toml_place(name, region); };
  for (const auto& [key, node] : root) {
    if (key.str() != "format") {
      throw InputError(place(key.source()) + "unknown key '" + printable(key.str(), 40) + "'" +
                       nearest_hint(key.str(), kTop));
    }
  }
  const toml::node* node = root.get("format");
  if (node == nullptr) throw InputError(name + ": no [[format]] table in the file");
  const auto* list = node->as_array();
  if (list == nullptr || list->empty() || !list->is_homogeneous(toml::node_type::table)) {
    throw InputError(place(node->source()) + "'format' must be tables headed [[format]]");
  }
  if (list->size() > kMaxFormats) {
    throw InputError(place(node->source()) + "more than " + std::to_string(kMaxFormats) +
                     " formats in one file");
  }
  std::vector<UserFormatSpec> specs;
  std::set<std::string> names;
  for (const auto& item : *list) {
    UserFormatSpec spec = TableReader(*item.as_table(), name).read();
    std::vector<std::string> own{spec.name};
    own.insert(own.end(), spec.aliases.begin(), spec.aliases.end());
    for (const auto& id : own) {
      if (!names.insert(id).second) {
        throw InputError(spec.place + ": the name '" + id + "' is already taken in this file");
      }
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::vector<UserFormatSpec> read_user_formats(const std::string& path) {
  ByteSource source(path);
  const AlignedBytes bytes = source.read_rest(kMaxFileBytes);
  return parse_user_formats({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                            source.name());
}

}  // namespace fp4lab
