// The `fp4lab` command: parses, runs one sub-command, maps every outcome to an exit code and every
// failure to one line on standard error.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>

#include "data/atomic_file.h"
#include "data/error.h"
#include "experiments/cli/context.h"
#include "experiments/cli/version.h"
#include "formats/names.h"

namespace fp4lab::cli {
namespace {

extern "C" void on_interrupt(int) {
  remove_pending_files();
  ::_exit(static_cast<int>(ExitCode::kInterrupted));
}

void set_up_process() {
  // A closed standard stream would hand its number to the next file that is opened.
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) == -1 && ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0) {
      ::_exit(static_cast<int>(ExitCode::kEnvironment));
    }
  }
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // A closed pipe is a failed write with a message, not a silent death.
  ::signal(SIGPIPE, SIG_IGN);
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

/// The sub-command of an argument list: its first word that is neither an option nor the value of a
/// global one. Empty when there is none.
std::string command_word(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--formats" || word == "--color") {
      ++i;
    } else if (word.empty() || word[0] != '-' || word == "-") {
      return word;
    }
  }
  return {};
}

/// Long names of every option that could have been meant.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  const auto collect = [&](const CLI::App& source) {
    for (const CLI::Option* option : source.get_options()) {
      for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  collect(app);
  for (const CLI::App* command : app.get_subcommands()) collect(*command);
  return names;
}

/// A line for what CLI11 found wrong. An unknown option comes first: it explains a missing one.
std::string parse_error_line(const CLI::App& app, const CLI::ParseError& error) {
  const auto extras = app.remaining(true);
  for (const auto& extra : extras) {
    if (extra.size() < 2 || extra[0] != '-') continue;
    const std::string name = extra.substr(0, extra.find('='));
    return "unknown option '" + printable(name, 60) + "'" + nearest_hint(name, option_names(app));
  }
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    const std::string text = error.what();
    const std::size_t colon = text.find(": ");
    return "unexpected argument '" +
           printable(colon == std::string::npos ? text : text.substr(colon + 2), 80) + "'";
  }
  if (app.get_subcommands().empty()) return "a command is needed; fp4lab --help lists them";
  return printable(error.what(), 300);
}

void complain(const Context& context, const std::string& command, const std::string& line) {
  std::string prefix = command.empty() ? "fp4lab:" : "fp4lab " + command + ":";
  if (use_color(context.color, STDERR_FILENO)) prefix = "\x1b[1;31m" + prefix + "\x1b[0m";
  const std::string text = prefix + " " + line + "\n";
  write_all(STDERR_FILENO, text.data(), text.size());
}

/// Runs `body` and turns whatever leaves it into an exit code and a line.
template <typename Body>
ExitCode guarded(const Context& context, const std::string& command, Body&& body) {
  try {
    return body();
  } catch (const Error& error) {
    complain(context, command, error.what());
    return error.exit_code();
  } catch (const std::invalid_argument& error) {  // SpecError and the engine's refusals
    complain(context, command, error.what());
    return ExitCode::kInput;
  } catch (const std::bad_alloc&) {
    complain(context, command, "not enough memory for this input");
    return ExitCode::kEnvironment;
  } catch (const std::length_error&) {
    complain(context, command, "not enough memory for this input");
    return ExitCode::kEnvironment;
  }
}

ExitCode parse_and_run(CLI::App& app, Context& context, int argc, char** argv,
                       const std::string& command) {
  const auto names = command_names(app);
  if (!command.empty() && std::find(names.begin(), names.end(), command) == names.end()) {
    throw InputError("unknown command '" + printable(command, 60) + "'" +
                     nearest_hint(command, names));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    context.out.print(app.help());
    context.out.flush();
    return ExitCode::kDone;
  } catch (const CLI::CallForVersion& version) {
    context.out.print(version.what());
    context.out.flush();
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    throw InputError(parse_error_line(app, error));
  }
  const std::vector<std::string> modes{"auto", "always", "never"};
  if (std::find(modes.begin(), modes.end(), context.color) == modes.end()) {
    throw InputError("--color '" + printable(context.color, 40) + "' is none of auto always never" +
                     nearest_hint(context.color, modes));
  }
  context.out.set_color(use_color(context.color, STDOUT_FILENO));
  const ExitCode code = context.run();
  context.out.flush();
  return code;
}

int run(int argc, char** argv) {
  set_up_process();
  CLI::App app;
  Context context;
  build_app(app, context);
  const std::string word = command_word(argc, argv);
  const auto names = command_names(app);
  const bool known = std::find(names.begin(), names.end(), word) != names.end();
  return static_cast<int>(guarded(context, known ? word : "",
                                  [&] { return parse_and_run(app, context, argc, argv, word); }));
}

}  // namespace
}  // namespace fp4lab::cli

int main(int argc, char** argv) { return fp4lab::cli::run(argc, argv); }
