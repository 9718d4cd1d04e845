// fp4lab formats [NAME]: the catalogue, or everything about one format.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "experiments/cli/context.h"
#include "experiments/cli/format_facts.h"
#include "experiments/cli/names.h"
#include "experiments/cli/table.h"
#include "formats/convert.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

using nlohmann::ordered_json;

/// The modes whose thresholds are shown, all deterministic ones.
struct Mode {
  std::string_view name;
  Rounding rounding;
};
constexpr std::array<Mode, 10> kModes{{{"rne", kRne},
                                       {"rna", kRna},
                                       {"rnz", kRnz},
                                       {"rtz", kRtz},
                                       {"rtp", kRtp},
                                       {"rtn", kRtn},
                                       {"odd", kOdd},
                                       {"rn-lower", kRnLower},
                                       {"rn-upper", kRnUpper},
                                       {"rdnp", kRdnp}}};

struct Options {
  std::string name;
  std::string thresholds;
  bool json = false;
};

/// The family's heading; formats of the user and spelled-out records have none.
std::string heading_of(const FormatInfo& entry) {
  const auto& rows = catalog();
  const bool built_in = std::any_of(rows.begin(), rows.end(),
                                    [&](const FormatInfo& row) { return row.id == entry.id; });
  return built_in ? family_title(entry.family) : "outside the catalogue";
}

std::vector<std::string> mode_names() {
  std::vector<std::string> names;
  for (const auto& mode : kModes) names.emplace_back(mode.name);
  return names;
}

/// The modes asked for: one, `all`, or by default those that differ in ordinary use. Codebooks
/// round with ties to the lower value by default, so that is what they show first.
std::vector<Mode> chosen_modes(const std::string& asked, const ElementFormat& format) {
  std::vector<Mode> modes;
  if (asked.empty()) {
    if (format.bits > 4) return modes;
    const bool codebook = format.kind == FormatKind::codebook;
    for (const auto& mode : kModes) {
      const bool lower = mode.rounding == kRnLower;
      if (mode.rounding == kRnUpper || mode.rounding == kRdnp || (lower && !codebook)) continue;
      modes.push_back(mode);
    }
    return modes;
  }
  if (asked == "all") return {kModes.begin(), kModes.end()};
  for (const auto& mode : kModes) {
    if (normalize_name(asked) == mode.name) return {mode};
  }
  auto names = mode_names();
  names.emplace_back("all");
  throw InputError("--thresholds '" + printable(asked, 40) + "' is no deterministic rounding" +
                   nearest_hint(asked, names));
}

// --- JSON ------------------------------------------------------------------------------------

ordered_json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

template <typename T>
ordered_json optional_json(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string_view specials_name(Specials specials) {
  switch (specials) {
    case Specials::none:
      return "none";
    case Specials::nan_top:
      return "nan-top";
    case Specials::nan_top_inf:
      return "nan-top-inf";
    case Specials::ieee:
      return "ieee";
    case Specials::nan_neg_zero:
      return "fnuz";
    case Specials::nan_neg_zero_inf:
      return "fnuz-inf";
  }
  return "none";
}

ordered_json summary_json(const FormatInfo& entry) {
  const ElementFormat& f = entry.format;
  const FormatFacts facts = facts_of(f);
  const bool has_fields = f.kind == FormatKind::minifloat;
  ordered_json json;
  json["name"] = std::string(entry.id);
  json["aliases"] = words_of(entry.aliases);
  json["title"] = std::string(entry.title);
  json["family"] = heading_of(entry);
  json["source"] = std::string(entry.source);
  json["kind"] = has_fields ? "float" : f.kind == FormatKind::integer ? "integer" : "table";
  json["bits"] = f.bits;
  json["signed"] = f.is_signed;
  json["exponent_bits"] = has_fields ? ordered_json(f.exponent_bits) : ordered_json(nullptr);
  json["mantissa_bits"] = has_fields ? ordered_json(f.mantissa_bits) : ordered_json(nullptr);
  json["bias"] = has_fields ? ordered_json(f.bias) : ordered_json(nullptr);
  json["radix"] = has_fields ? ordered_json(1 << f.radix_log2) : ordered_json(nullptr);
  json["specials"] = specials_name(f.specials);
  json["negative_zero"] = f.has_negative_zero();
  json["codes_in_use"] = facts.codes;
  json["min_subnormal"] = optional_json(facts.min_subnormal);
  json["min_normal"] = optional_json(facts.min_normal);
  json["smallest_positive"] = facts.smallest_positive;
  json["max"] = facts.max;
  json["min"] = facts.min;
  json["integer_factor"] = optional_json(facts.integer_factor);
  return json;
}

std::string_view class_name(ValueClass value) {
  return value == ValueClass::finite ? "finite" : value == ValueClass::infinite ? "inf" : "nan";
}

ordered_json codes_json(const ElementFormat& f) {
  ordered_json codes = ordered_json::array();
  for (std::uint32_t code = 0; code < codes_in_use(f); ++code) {
    const double value = decode_f64(f, code);
    ordered_json row;
    row["code"] = code;
    row["bits"] = bit_text(f, code);
    row["class"] = class_name(classify(f, code));
    row["value"] = number(value);
    row["negative"] = std::signbit(value);
    codes.push_back(row);
  }
  return codes;
}

ordered_json thresholds_json(const ElementFormat& f, const std::vector<Mode>& modes) {
  ordered_json json = ordered_json::object();
  for (const auto& mode : modes) {
    ordered_json list = ordered_json::array();
    for (const auto& t : thresholds_of(f, mode.rounding)) {
      list.push_back(
          {{"low", t.low}, {"high", t.high}, {"at", t.at}, {"at_goes_up", t.at_goes_up}});
    }
    json[std::string(mode.name)] = list;
  }
  return json;
}

// --- text ------------------------------------------------------------------------------------

void print_catalogue(Output& out) {
  Table table({{"name"},
               {"bits", Align::kRight},
               {"s/e/m"},
               {"smallest", Align::kRight},
               {"largest", Align::kRight},
               {"specials"},
               {"what"}});
  std::vector<std::pair<std::string, Table>> groups;
  const auto formats = all_formats();
  for (const FormatInfo* entry : formats) {
    const std::string heading = heading_of(*entry);
    if (groups.empty() || groups.back().first != heading) groups.emplace_back(heading, table);
    const FormatFacts facts = facts_of(entry->format);
    groups.back().second.add({std::string(entry->id), std::to_string(entry->format.bits),
                              layout_text(entry->format), general(facts.smallest_positive),
                              general(facts.max), specials_text(entry->format),
                              std::string(entry->title)});
  }
  for (const auto& [title, group] : groups) {
    out.line(out.bold(title));
    group.print(out, 2);
    out.line();
  }
  out.line(std::to_string(formats.size()) +
           " formats; fp4lab formats NAME shows codes, thresholds and source of one.");
}

void print_summary(Output& out, const FormatInfo& entry) {
  const ElementFormat& f = entry.format;
  const FormatFacts facts = facts_of(f);
  Table table({{""}, {""}});
  out.line(out.bold(entry.id) + "  " + std::string(entry.title));
  table.add({"family", heading_of(entry)});
  if (!entry.aliases.empty()) table.add({"also called", std::string(entry.aliases)});
  table.add({"source", std::string(entry.source)});
  if (f.kind == FormatKind::minifloat) {
    table.add({"layout", std::to_string(f.bits) + " bits: " + (f.is_signed ? "1 sign, " : "") +
                             std::to_string(f.exponent_bits) + " exponent, " +
                             std::to_string(f.mantissa_bits) + " mantissa; bias " +
                             std::to_string(f.bias) + (f.radix_log2 == 2 ? "; radix 4" : "")});
  } else {
    table.add({"layout", std::to_string(f.bits) + " bits, " +
                             (f.kind == FormatKind::integer
                                  ? "two's complement"
                                  : "table of " + std::to_string(facts.codes) + " values")});
  }
  if (f.storage_shift > 0) {
    table.add({"stored", "in a " + std::to_string(f.bits + f.storage_shift) + "-bit word above " +
                             std::to_string(f.storage_shift) + " zero bits"});
  }
  if (facts.min_subnormal) table.add({"min subnormal", shortest(*facts.min_subnormal)});
  if (facts.min_normal) table.add({"min normal", shortest(*facts.min_normal)});
  if (!facts.min_normal) table.add({"smallest > 0", shortest(facts.smallest_positive)});
  table.add({"range", shortest(facts.min) + " to " + shortest(facts.max)});
  if (facts.finite_values > 0) {
    table.add({"finite values", std::to_string(facts.finite_values)});
  }
  table.add({"negative zero", f.has_negative_zero() ? "yes" : "no"});
  table.add({"specials", specials_text(f) == "-" ? "none" : specials_text(f)});
  table.print(out);
}

void print_codes(Output& out, const ElementFormat& f) {
  const FormatFacts facts = facts_of(f);
  const bool integers =
      facts.integer_factor && *facts.integer_factor > 1 && f.kind != FormatKind::integer;
  std::vector<Table::Column> columns{{"code"}, {"bits"}, {"value", Align::kRight}};
  if (integers) columns.push_back({"x" + std::to_string(*facts.integer_factor), Align::kRight});
  Table table(columns);
  for (std::uint32_t code = 0; code < codes_in_use(f); ++code) {
    const float value = decode(f, code);
    std::vector<std::string> row{hex_code(code, f.bits), bit_text(f, code), shortest(value)};
    if (integers && classify(f, code) == ValueClass::finite) {
      const double whole = decode_f64(f, code) * *facts.integer_factor;
      row.push_back(std::to_string(static_cast<long>(whole)));
    }
    table.add(std::move(row));
  }
  out.line();
  table.print(out);
}

void print_thresholds(Output& out, const ElementFormat& f, const std::vector<Mode>& modes) {
  std::vector<Table::Column> columns{{"from", Align::kRight}, {"to", Align::kRight}};
  std::vector<std::vector<Threshold>> lists;
  for (const auto& mode : modes) {
    columns.push_back({std::string(mode.name)});
    lists.push_back(thresholds_of(f, mode.rounding));
  }
  Table table(columns);
  for (std::size_t i = 0; i < lists.front().size(); ++i) {
    std::vector<std::string> row{shortest(static_cast<float>(lists.front()[i].low)),
                                 shortest(static_cast<float>(lists.front()[i].high))};
    for (const auto& list : lists) {
      row.push_back((list[i].at_goes_up ? ">= " : "> ") + shortest(list[i].at));
    }
    table.add(std::move(row));
  }
  out.line();
  out.line("Thresholds: x becomes the upper of two neighbours when");
  table.print(out);
}

void show_one(Context& context, const FormatInfo& entry, const Options& options) {
  const ElementFormat& f = entry.format;
  if (!options.thresholds.empty() && f.bits > 8) {
    throw InputError("--thresholds is for formats of at most 8 bits; " + std::string(entry.id) +
                     " has " + std::to_string(f.bits));
  }
  const auto modes = chosen_modes(options.thresholds, f);
  if (options.json) {
    ordered_json json = summary_json(entry);
    if (f.bits <= 8) {
      json["codes"] = codes_json(f);
      json["thresholds"] = thresholds_json(f, modes);
    }
    context.out.line(json.dump(2));
    return;
  }
  print_summary(context.out, entry);
  if (f.bits <= 8) print_codes(context.out, f);
  if (!modes.empty()) print_thresholds(context.out, f, modes);
}

ExitCode run_formats(Context& context, const Options& options) {
  register_user_formats(context.format_files);
  if (!options.name.empty()) {
    show_one(context, require_format(options.name), options);
    return ExitCode::kDone;
  }
  if (!options.thresholds.empty()) throw InputError("--thresholds needs the name of a format");
  if (options.json) {
    ordered_json json = ordered_json::array();
    for (const FormatInfo* entry : all_formats()) json.push_back(summary_json(*entry));
    context.out.line(json.dump(2));
    return ExitCode::kDone;
  }
  print_catalogue(context.out);
  return ExitCode::kDone;
}

}  // namespace

void add_formats_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, context, "formats", "List the number formats, or show one of them",
                  "  fp4lab formats\n"
                  "  fp4lab formats e2m1\n"
                  "  fp4lab formats e4m3 --thresholds rne\n"
                  "  fp4lab formats --json\n"
                  "  fp4lab --formats mine.toml formats my-format\n",
                  [&context, options] { return run_formats(context, *options); });
  CLI::Option* const name =
      command->add_option("NAME", options->name, "format to show; without it the catalogue");
  CLI::Option* const thresholds = command->add_option(
      "--thresholds", options->thresholds,
      "show the decision thresholds of one deterministic rounding, or of 'all'");
  thresholds->type_name("MODE");
  command->add_flag("--json", options->json, "machine-readable output");
  for (const auto& row : catalog()) context.choices[name].emplace_back(row.id);
  context.choices[thresholds] = mode_names();
  context.choices[thresholds].emplace_back("all");
}

}  // namespace fp4lab::cli
