#include "experiments/cli/completion.h"

#include <algorithm>
#include <vector>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

const std::vector<std::string> kShells{"bash", "zsh", "fish"};

/// One option or positional as completion sees it.
struct OptionView {
  std::vector<std::string> names;  // with dashes; empty for a positional
  std::string description;
  std::vector<std::string> values;
  bool takes_value = false;
};

std::vector<OptionView> options_of(const CLI::App& app, const Context& context) {
  std::vector<OptionView> views;
  for (const CLI::Option* option : app.get_options()) {
    OptionView view;
    for (const auto& name : option->get_lnames()) view.names.push_back("--" + name);
    for (const auto& name : option->get_snames()) view.names.push_back("-" + name);
    view.description = option->get_description();
    view.takes_value = option->get_items_expected_max() > 0;
    if (const auto at = context.choices.find(option); at != context.choices.end()) {
      view.values = at->second;
    }
    views.push_back(std::move(view));
  }
  return views;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string joined(const std::vector<std::string>& words, const std::string& between = " ") {
  std::string out;
  for (const auto& word : words) {
    if (!out.empty()) out += between;
    out += word;
  }
  return out;
}

/// Inside single quotes, where only the quote itself needs care.
std::string in_quotes(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::vector<std::string> flags_of(const std::vector<OptionView>& views) {
  std::vector<std::string> flags;
  for (const auto& view : views) flags.insert(flags.end(), view.names.begin(), view.names.end());
  return flags;
}

// --- bash ------------------------------------------------------------------------------------

void bash_case(std::string& out, const std::string& command, const std::vector<OptionView>& views) {
  for (const auto& view : views) {
    if (!view.takes_value || view.names.empty()) continue;
    std::vector<std::string> patterns;
    for (const auto& name : view.names) patterns.push_back(command + ":" + name);
    out += "    " + joined(patterns, "|") + ")\n";
    if (view.values.empty()) {
      out += "      COMPREPLY=( $(compgen -f -- \"$cur\") ); return ;;\n";
    } else {
      out += "      COMPREPLY=( $(compgen -W " + in_quotes(joined(view.values)) +
             " -- \"$cur\") ); return ;;\n";
    }
  }
}

std::string bash_words(const std::vector<OptionView>& views) {
  for (const auto& view : views) {
    if (view.names.empty() && !view.values.empty()) return joined(view.values);
  }
  return {};
}

std::string bash_script(const CLI::App& app, const Context& context) {
  const auto global = options_of(app, context);
  std::vector<std::string> names;
  for (const auto* command : commands_of(app)) names.push_back(command->get_name());

  std::string out =
      "# bash completion for fp4lab; use it with: source <(fp4lab completion bash)\n"
      "_fp4lab() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" command= i\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    case \"${COMP_WORDS[i]}\" in " +
      joined(names, "|") +
      ") command=\"${COMP_WORDS[i]}\"; break ;; esac\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case \"$command:$prev\" in\n";
  for (const auto* command : commands_of(app)) {
    bash_case(out, command->get_name(), options_of(*command, context));
    bash_case(out, command->get_name(), global);
  }
  bash_case(out, "", global);
  out += "  esac\n  local flags= words=\n  case \"$command\" in\n";
  for (const auto* command : commands_of(app)) {
    const auto views = options_of(*command, context);
    out += "    " + command->get_name() + ") flags=" + in_quotes(joined(flags_of(views))) +
           "; words=" + in_quotes(bash_words(views)) + " ;;\n";
  }
  out += "    *) flags=" + in_quotes(joined(flags_of(global))) +
         "; words=" + in_quotes(joined(names)) +
         " ;;\n  esac\n"
         "  if [[ \"$cur\" == -* ]]; then\n"
         "    COMPREPLY=( $(compgen -W \"$flags\" -- \"$cur\") )\n"
         "  elif [[ -n \"$words\" ]]; then\n"
         "    COMPREPLY=( $(compgen -W \"$words\" -- \"$cur\") )\n"
         "  else\n"
         "    COMPREPLY=( $(compgen -f -- \"$cur\") )\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _fp4lab fp4lab\n";
  return out;
}

// --- zsh -------------------------------------------------------------------------------------

/// Brackets and colons structure a zsh specification.
std::string zsh_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const OptionView& view) {
  return view.values.empty() ? "_files" : "(" + joined(view.values) + ")";
}

std::string zsh_arguments(const std::vector<OptionView>& views, const std::string& indent) {
  std::string out;
  for (const auto& view : views) {
    for (const auto& name : view.names) {
      std::string item = name + (view.takes_value && name.rfind("--", 0) == 0 ? "=" : "") + "[" +
                         zsh_escaped(view.description) + "]";
      if (view.takes_value) item += ":value:" + zsh_action(view);
      out += indent + in_quotes(item) + " \\\n";
    }
    if (view.names.empty()) {
      out += indent + in_quotes("*:" + zsh_escaped(view.description) + ":" + zsh_action(view)) +
             " \\\n";
    }
  }
  return out;
}

std::string zsh_script(const CLI::App& app, const Context& context) {
  const auto global = options_of(app, context);
  std::string out =
      "#compdef fp4lab\n"
      "# zsh completion for fp4lab; put it into a file _fp4lab in a folder of $fpath\n"
      "_fp4lab() {\n"
      "  local curcontext=\"$curcontext\" state line\n"
      "  typeset -A opt_args\n"
      "  _arguments -C \\\n" +
      zsh_arguments(global, "    ") +
      "    '1:command:->command' '*::argument:->argument'\n"
      "  case \"$state\" in\n"
      "    command)\n"
      "      local -a commands=(\n";
  for (const auto* command : commands_of(app)) {
    out += "        " +
           in_quotes(command->get_name() + ":" + zsh_escaped(command->get_description())) + "\n";
  }
  out +=
      "      )\n"
      "      _describe command commands ;;\n"
      "    argument)\n"
      "      case \"$line[1]\" in\n";
  for (const auto* command : commands_of(app)) {
    out += "        " + command->get_name() + ")\n          _arguments \\\n" +
           zsh_arguments(options_of(*command, context), "            ") +
           "            && return ;;\n";
  }
  return out + "      esac ;;\n  esac\n}\n_fp4lab \"$@\"\n";
}

// --- fish ------------------------------------------------------------------------------------

std::string fish_options(const std::vector<OptionView>& views, const std::string& condition) {
  std::string out;
  for (const auto& view : views) {
    std::string line = "complete -c fp4lab" + condition;
    if (view.names.empty()) {
      if (view.values.empty()) continue;  // files, which fish offers by itself
      out += line + " -a " + in_quotes(joined(view.values)) + "\n";
      continue;
    }
    for (const auto& name : view.names) {
      line += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (view.takes_value) {
      line += view.values.empty() ? " -r" : " -x -a " + in_quotes(joined(view.values));
    }
    out += line + " -d " + in_quotes(view.description) + "\n";
  }
  return out;
}

std::string fish_script(const CLI::App& app, const Context& context) {
  std::string out =
      "# fish completion for fp4lab; put it into ~/.config/fish/completions/fp4lab.fish\n" +
      fish_options(options_of(app, context), "");
  for (const auto* command : commands_of(app)) {
    out += "complete -c fp4lab -n __fish_use_subcommand -f -a " + in_quotes(command->get_name()) +
           " -d " + in_quotes(command->get_description()) + "\n";
  }
  for (const auto* command : commands_of(app)) {
    out += fish_options(options_of(*command, context),
                        " -n " + in_quotes("__fish_seen_subcommand_from " + command->get_name()));
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const Context& context,
                              const std::string& shell) {
  if (shell == "bash") return bash_script(app, context);
  if (shell == "zsh") return zsh_script(app, context);
  if (shell == "fish") return fish_script(app, context);
  throw InputError("unknown shell '" + printable(shell, 40) + "'" + nearest_hint(shell, kShells));
}

void add_completion_command(CLI::App& app, Context& context) {
  struct Options {
    std::string shell;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const command =
      add_command(app, context, "completion", "Print a completion script for bash, zsh or fish",
                  "  source <(fp4lab completion bash)\n"
                  "  fp4lab completion zsh > ~/.zfunc/_fp4lab\n"
                  "  fp4lab completion fish > ~/.config/fish/completions/fp4lab.fish\n",
                  [&app, &context, options] {
                    context.out.print(completion_script(app, context, options->shell));
                    return ExitCode::kDone;
                  });
  CLI::Option* const shell =
      command->add_option("SHELL", options->shell, "bash, zsh or fish")->required();
  context.choices[shell] = kShells;
}

}  // namespace fp4lab::cli
