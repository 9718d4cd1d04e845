// fp4lab config schema: every key of every kind of experiment.
#include <nlohmann/json.hpp>

#include "experiments/cli/context.h"
#include "experiments/cli/table.h"
#include "experiments/sweep/kind.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

using nlohmann::json;
using namespace sweep;

ExitCode print_schema(Context& context, const std::string& which, bool as_json) {
  json all = json::object();
  bool first = true;
  for (const Kind* kind : kinds()) {
    if (!which.empty() && find_kind(which).name() != kind->name()) continue;
    if (as_json) {
      json keys = json::array();
      for (const KeyInfo& key : kind->keys()) {
        keys.push_back({{"key", key.name},
                        {"type", config::type_name(key.type)},
                        {"default", key.default_text},
                        {"allowed", key.allowed},
                        {"meaning", key.meaning}});
      }
      all[kind->name()] = keys;
      continue;
    }
    if (!first) context.out.line();
    first = false;
    context.out.line(context.out.bold("kind = \"" + kind->name() + "\"") + ": " + kind->meaning());
    Table table({{"key"}, {"default"}, {"allowed"}, {"meaning"}});
    for (const KeyInfo& key : kind->keys()) {
      table.add(
          {key.name, printable(key.default_text, 40), printable(key.allowed, 70), key.meaning});
    }
    table.print(context.out, 2);
  }
  if (as_json) context.out.line(all.dump(2));
  return ExitCode::kDone;
}

}  // namespace

void add_config_command(CLI::App& app, Context& context) {
  auto kind = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  CLI::App* const command =
      add_command(app, context, "config", "Everything that can be configured",
                  "  fp4lab config schema          every key of every kind of experiment\n"
                  "  fp4lab config schema train    of one kind\n",
                  [=, &context] { return print_schema(context, *kind, *as_json); });
  command->require_subcommand(1);
  CLI::App* const schema =
      command->add_subcommand("schema", "Keys with default, range and meaning");
  schema->add_option("kind", *kind, "train, error, gemm or rounding")->type_name("KIND");
  schema->add_flag("--json", *as_json, "Print as JSON");
}

}  // namespace fp4lab::cli
