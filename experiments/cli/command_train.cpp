// fp4lab train: one training run, and the same run in bf16 beside it.
#include <omp.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/atomic_file.h"
#include "data/error.h"
#include "experiments/cli/context.h"
#include "experiments/cli/interrupt.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/table.h"
#include "experiments/cli/version.h"
#include "experiments/config/config.h"
#include "experiments/train/run.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

using nlohmann::ordered_json;
using train::RunStatus;
using train::TrainingRun;

struct Options {
  std::string file, recipe, preset, baseline, out, weights, checkpoint, threads;
  std::vector<std::string> sets;
  bool resume = false, json = false;
  bool list_recipes = false, list_presets = false, list_keys = false, print_config = false;
};

/// What a finished run has to say.
struct Outcome {
  std::string recipe, id, weights;
  RunStatus status = RunStatus::complete;
  std::uint64_t steps = 0, skipped = 0;
  double train_loss = 0;  ///< mean over the last tenth of the steps
  double eval_loss = 0, perplexity = 0, accuracy = 0;
  double seconds = 0;
};

// --- lists ---------------------------------------------------------------------------------------

ExitCode list_fragments(Context& context, const std::vector<config::Fragment>& fragments,
                        const char* kind, bool json) {
  ordered_json rows = ordered_json::array();
  Table table({{kind}, {"what"}, {"after"}});
  for (const auto& f : fragments) {
    rows.push_back({{"name", f.name}, {"title", f.title}, {"source", f.source}});
    table.add({f.name, f.title, f.source});
  }
  if (json) {
    context.out.line(rows.dump(2));
  } else {
    table.print(context.out);
  }
  return ExitCode::kDone;
}

ExitCode list_keys(Context& context, bool json) {
  const train::TrainConfig defaults;
  ordered_json rows = ordered_json::array();
  Table table({{"key"}, {"default"}, {"allowed"}, {"meaning"}});
  for (const config::Key& key : config::all_keys()) {
    const std::string value = config::toml_text(key.get(defaults));
    rows.push_back({{"key", key.name},
                    {"type", config::type_name(key.type)},
                    {"default", value},
                    {"allowed", key.allowed},
                    {"meaning", key.meaning}});
    table.add({key.name, value, key.allowed, key.meaning});
  }
  if (json) {
    context.out.line(rows.dump(2));
  } else {
    table.print(context.out);
  }
  return ExitCode::kDone;
}

// --- runs ----------------------------------------------------------------------------------------

void note(const std::string& line) {
  if (!line.empty()) std::fprintf(stderr, "%s\n", line.c_str());
}

double tail_mean(const std::vector<double>& values) {
  const std::size_t n = std::max<std::size_t>(1, values.size() / 10);
  if (values.empty()) return std::nan("");
  double sum = 0;
  for (std::size_t i = values.size() - n; i < values.size(); ++i) sum += values[i];
  return sum / static_cast<double>(n);
}

Outcome outcome_of(TrainingRun& run, double seconds) {
  const train::RunRecord& record = run.trainer().record();
  Outcome o;
  o.recipe = run.config().recipe;
  o.id = run.id();
  o.weights = run.weights_sha256();
  o.status = run.trainer().status();
  o.steps = run.trainer().iteration();
  o.skipped = run.trainer().skipped_steps();
  o.train_loss = tail_mean(record.values<double>("/series/loss"));
  o.eval_loss = o.perplexity = o.accuracy = std::nan("");
  if (record.has("/eval/loss")) {
    o.eval_loss = record.values<double>("/eval/loss").back();
    if (run.config().model.kind != "toy1d") {  // a squared error has neither
      o.perplexity = record.values<double>("/eval/perplexity").back();
      o.accuracy = record.values<double>("/eval/accuracy").back();
    }
  }
  o.seconds = seconds;
  return o;
}

/// Trains to the end, saving as asked. Nothing when it was interrupted: the state is saved then.
std::optional<Outcome> carry_out(TrainingRun& run, const InterruptFlag&) {
  using Clock = std::chrono::steady_clock;
  const train::RunConfig& where = run.config().run;
  const std::uint64_t begin = run.trainer().iteration();
  Progress progress(run.config().recipe, run.config().train.steps - begin);
  const Clock::time_point start = Clock::now();
  const RunStatus status = run.trainer().run([&](const train::IterationReport& r) {
    progress.update(r.iteration - begin, run.config().recipe + "  loss " + general(r.loss, 4));
    const bool due = where.checkpoint_every != 0 && r.iteration % where.checkpoint_every == 0;
    if (due && !where.checkpoint.empty() && r.iteration < r.total) run.checkpoint(where.checkpoint);
    return !InterruptFlag::raised();
  });
  if (!where.checkpoint.empty()) run.checkpoint(where.checkpoint);
  if (status == RunStatus::stopped) {
    note("fp4lab train: interrupted after step " + std::to_string(run.trainer().iteration()) +
         (where.checkpoint.empty()
              ? "; nothing is kept without --checkpoint DIR"
              : "; saved in " + where.checkpoint + ", continue with --resume"));
    return std::nullopt;
  }
  return outcome_of(run, std::chrono::duration<double>(Clock::now() - start).count());
}

void begin(TrainingRun& run, const Options& options) {
  if (!options.resume) return;
  if (run.resume(run.config().run.checkpoint)) {
    note(run.config().recipe + ": continuing after step " +
         std::to_string(run.trainer().iteration()));
  } else {
    note(run.config().recipe + ": no checkpoint of run " + run.id() + " in " +
         run.config().run.checkpoint + ", starting at the beginning");
  }
}

void describe(Output& out, const TrainingRun& run, const std::string& title) {
  const train::TrainConfig& c = run.config();
  Table table({{""}, {""}});
  std::string model = c.model.kind + ", d " + std::to_string(c.model.dim) + ", " +
                      std::to_string(c.model.layers) + " layers, " +
                      std::to_string(run.parameters()) + " parameters";
  std::string steps = std::to_string(c.train.steps) + " of " + std::to_string(c.train.batch) +
                      (run.data().is_text ? " windows of " + std::to_string(c.model.length)
                                          : std::string(" images"));
  table.add({"model", model});
  table.add({"data", run.data().name + ", " + run.data().summary});
  table.add({"", "sha256 " + run.data().sha256});
  table.add({"recipe", c.recipe + (title.empty() ? "" : ": " + title)});
  table.add({"policy", run.policy_summary()});
  table.add({"steps", steps});
  table.add({"run", run.id()});
  table.print(out);
  out.line();
  out.flush();
}

std::string shown(double value, int digits) {
  return std::isnan(value) ? "-" : fixed(value, digits);
}

void print_outcomes(Output& out, const std::vector<Outcome>& outcomes) {
  Table table({{"recipe"},
               {"training loss", Align::kRight},
               {"held-out loss", Align::kRight},
               {"perplexity", Align::kRight},
               {"accuracy", Align::kRight},
               {"time", Align::kRight},
               {"status"}});
  for (const Outcome& o : outcomes) {
    std::string status = o.status == RunStatus::diverged
                             ? "diverged at step " + std::to_string(o.steps)
                             : "complete";
    if (o.skipped > 0) status += ", " + std::to_string(o.skipped) + " steps skipped";
    table.add({o.recipe, shown(o.train_loss, 4), shown(o.eval_loss, 4), shown(o.perplexity, 3),
               std::isnan(o.accuracy) ? "-" : percent(o.accuracy), fixed(o.seconds, 1) + " s",
               status});
  }
  table.print(out);
  if (outcomes.size() == 2 && outcomes[0].status == RunStatus::complete &&
      outcomes[1].status == RunStatus::complete) {
    const double gap = outcomes[0].eval_loss - outcomes[1].eval_loss;
    out.line();
    std::string line = outcomes[0].recipe + " - " + outcomes[1].recipe + ": " +
                       (gap >= 0 ? "+" : "") + fixed(gap, 4) + " held-out loss";
    if (std::abs(gap) < 100 * std::abs(outcomes[1].eval_loss)) {  // a baseline of 0 gives no share
      line += std::string(" (") + (gap >= 0 ? "+" : "") +
              fixed(100.0 * gap / outcomes[1].eval_loss, 2) + " %)";
    }
    out.line(line);
  }
}

ordered_json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

ordered_json to_json(const TrainingRun& run, const std::vector<Outcome>& outcomes) {
  ordered_json json;
  json["model"] = run.config().model.kind;
  json["parameters"] = run.parameters();
  json["data"] = {{"name", run.data().name}, {"sha256", run.data().sha256}};
  json["config"] = config::canonical_text(run.config());
  json["policy"] = run.policy_summary();
  json["runs"] = ordered_json::array();
  for (const Outcome& o : outcomes) {
    json["runs"].push_back({{"recipe", o.recipe},
                            {"run_id", o.id},
                            {"status", o.status == RunStatus::diverged ? "diverged" : "complete"},
                            {"steps", o.steps},
                            {"skipped", o.skipped},
                            {"train_loss", number(o.train_loss)},
                            {"eval_loss", number(o.eval_loss)},
                            {"perplexity", number(o.perplexity)},
                            {"accuracy", number(o.accuracy)},
                            {"weights_sha256", o.weights},
                            {"seconds", o.seconds}});
  }
  return json;
}

/// A place for an output, taken before hours are spent on what goes there.
std::unique_ptr<AtomicFile> reserved(const std::string& path) {
  return path.empty() ? nullptr : std::make_unique<AtomicFile>(path);
}

void write_result(const TrainingRun& run, AtomicFile& out, double seconds) {
  store::ResultFile file = run.result();
  file.attributes["software"] = std::string("fp4lab");
  file.attributes["software_version"] = version_number();
  std::string commit = build_commit();
  const bool dirty = !commit.empty() && commit.back() == '+';
  if (dirty) commit.pop_back();
  file.attributes["git_commit"] = commit;
  file.attributes["git_dirty"] = static_cast<std::int64_t>(dirty ? 1 : 0);
  file.attributes["threads"] = static_cast<std::int64_t>(omp_get_max_threads());
  file.attributes["executor"] = std::string("cpu");
  file.attributes["wall_s"] = seconds;
  file.write(out);
}

std::string recipe_title(const std::string& name) {
  for (const auto& recipe : config::builtin_recipes()) {
    if (recipe.name == name) return recipe.title;
  }
  return {};
}

/// The configuration of the run beside the main one: the same but for what its recipe sets.
train::TrainConfig baseline_config(const train::TrainConfig& main, const std::string& recipe) {
  config::Sources sources;
  sources.recipe = recipe;
  sources.preset = main.preset;
  const train::TrainConfig other = config::resolve(sources).config;
  train::TrainConfig config = main;
  config.recipe = other.recipe;
  config.slots = other.slots;
  config.compute = other.compute;
  config.policy = other.policy;
  config.policy_rules = other.policy_rules;
  config.phase = other.phase;
  return config;
}

void use_threads(const std::string& text, train::TrainConfig& config) {
  if (!text.empty()) {
    const config::Setting setting = config::parse_assignment("run.threads=" + text);
    setting.key->set(config, setting.value);
  }
  if (config.run.threads > 0) omp_set_num_threads(static_cast<int>(config.run.threads));
}

ExitCode run_train(Context& context, const Options& options) {
  if (options.list_recipes) {
    return list_fragments(context, config::builtin_recipes(), "recipe", options.json);
  }
  if (options.list_presets) {
    return list_fragments(context, config::builtin_presets(), "preset", options.json);
  }
  if (options.list_keys) return list_keys(context, options.json);

  config::Sources sources;
  sources.file = options.file;
  sources.recipe = options.recipe;
  sources.preset = options.preset;
  sources.sets = options.sets;
  if (!options.checkpoint.empty()) sources.sets.push_back("run.checkpoint=" + options.checkpoint);
  config::Resolved resolved = config::resolve(sources);
  for (const auto& line : resolved.notices) note(line);
  if (options.print_config) {
    context.out.print(config::canonical_text(resolved.config));
    return ExitCode::kDone;
  }
  use_threads(options.threads, resolved.config);
  if (options.resume && resolved.config.run.checkpoint.empty()) {
    throw InputError("--resume needs --checkpoint DIR, the folder to continue from");
  }
  const std::string baseline = !options.baseline.empty() ? options.baseline
                               : options.file.empty()    ? "bf16"
                                                         : "none";
  const bool compare = baseline != "none" && baseline != resolved.config.recipe;

  const auto out = reserved(options.out), weights = reserved(options.weights);
  const InterruptFlag interrupt;
  TrainingRun run(resolved.config);
  note(run.data().notice);
  if (!options.json) describe(context.out, run, recipe_title(run.config().recipe));
  begin(run, options);
  std::vector<Outcome> outcomes;
  const auto main_outcome = carry_out(run, interrupt);
  if (!main_outcome) return ExitCode::kInterrupted;
  outcomes.push_back(*main_outcome);
  if (out) write_result(run, *out, main_outcome->seconds);
  if (weights) run.write_weights(*weights);
  if (out) out->publish();
  if (weights) weights->publish();
  if (compare) {
    TrainingRun other(baseline_config(run.config(), baseline), run.shared_data());
    begin(other, options);
    const auto outcome = carry_out(other, interrupt);
    if (!outcome) return ExitCode::kInterrupted;
    outcomes.push_back(*outcome);
  }
  if (options.json) {
    context.out.line(to_json(run, outcomes).dump(2));
  } else {
    print_outcomes(context.out, outcomes);
  }
  return ExitCode::kDone;
}

}  // namespace

void add_train_command(CLI::App& app, Context& context) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = add_command(
      app, context, "train", "Train a small model under a recipe, and beside it in bf16",
      "  fp4lab train\n"
      "  fp4lab train --recipe tetrajet --preset t2\n"
      "  fp4lab train --set slots.q3.spec=mxfp4,round=sr --set train.steps=200\n"
      "  fp4lab train run.toml --out run.h5 --checkpoint saved --resume\n"
      "  fp4lab train run.toml --save-weights w.safetensors\n"
      "  fp4lab train --recipe mxfp4-baseline --print-config > run.toml\n"
      "  fp4lab train --list-recipes\n",
      [&context, options] { return run_train(context, *options); });
  command->add_option("CONFIG", options->file, "TOML file; without one the preset as it is");
  CLI::Option* const recipe =
      command->add_option("--recipe", options->recipe, "recipe, or a .toml file with one")
          ->type_name("R");
  CLI::Option* const preset =
      command->add_option("--preset", options->preset, "model, data and length: t0 .. t6")
          ->type_name("P");
  CLI::Option* const baseline =
      command
          ->add_option("--baseline", options->baseline,
                       "recipe to train beside it, or none (bf16; none with a CONFIG)")
          ->type_name("R");
  command->add_option("--set", options->sets, "set a key: optim.lr=0.001 (repeatable)")
      ->type_name("K=V")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--out", options->out, "write everything measured")->type_name("FILE.h5");
  command
      ->add_option("--save-weights", options->weights,
                   "write the trained master weights, a checkpoint that fp4lab error reads")
      ->type_name("FILE.safetensors");
  command->add_option("--checkpoint", options->checkpoint, "save the state in this folder")
      ->type_name("DIR");
  command->add_flag("--resume", options->resume, "continue from the checkpoint");
  command->add_option("--threads", options->threads, "threads to use (OMP_NUM_THREADS)")
      ->type_name("N");
  command->add_flag("--json", options->json, "machine-readable report");
  command->add_flag("--print-config", options->print_config, "print every key and leave");
  command->add_flag("--list-recipes", options->list_recipes, "recipes and where they come from");
  command->add_flag("--list-presets", options->list_presets, "models and data");
  command->add_flag("--list-keys", options->list_keys, "every key, its default, what it takes");
  for (const auto& f : config::builtin_recipes()) {
    context.choices[recipe].push_back(f.name);
    context.choices[baseline].push_back(f.name);
  }
  for (const auto& f : config::builtin_presets()) context.choices[preset].push_back(f.name);
}

}  // namespace fp4lab::cli
