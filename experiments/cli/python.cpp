#include "experiments/cli/python.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "data/error.h"

extern char** environ;

namespace fp4lab::cli {
namespace {

namespace fs = std::filesystem;

bool holds_package(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "fp4lab_analysis" / "__main__.py", ignored);
}

/// The folder that holds the package, or empty when Python has to know it by itself.
std::string package_folder() {
  if (const char* const named = std::getenv("FP4LAB_ANALYSIS"); named != nullptr) {
    if (!holds_package(named)) {
      throw EnvironmentError("FP4LAB_ANALYSIS is '" + std::string(named) +
                             "', where there is no folder fp4lab_analysis");
    }
    return fs::absolute(named).string();
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path installed = program.parent_path().parent_path() / "share/fp4lab/analysis";
    if (holds_package(installed)) return installed.string();
  }
  if (holds_package(FP4LAB_ANALYSIS_SOURCE)) return FP4LAB_ANALYSIS_SOURCE;
  return {};
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> command(const std::string& python,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {python, "-m", "fp4lab_analysis"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

/// What `python -m fp4lab_analysis probe` answers: 0 when all modules are there, 3 when one is
/// missing, another number when the package or the interpreter is. Silent.
int probe(const std::string& python) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd < 3; ++fd) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
  }
  std::vector<std::string> words = command(python, {"probe"});
  pid_t child = 0;
  const int failed =
      ::posix_spawnp(&child, python.c_str(), &actions, nullptr, pointers(words).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return 127;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return 127;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

/// The interpreter to use. One that lacks only modules is good enough to say so.
std::string choose_python() {
  if (const char* const named = std::getenv("FP4LAB_PYTHON"); named != nullptr) return named;
  std::string lacking;
  for (const char* const candidate : {"python3", "/usr/bin/python3"}) {
    const int answer = probe(candidate);
    if (answer == 0) return candidate;
    if (answer == 3) lacking = candidate;
  }
  if (!lacking.empty()) return lacking;
  throw EnvironmentError(
      "no python3 that finds the package fp4lab_analysis: apt-get install python3 "
      "python3-numpy python3-h5py python3-matplotlib python3-jinja2, and set FP4LAB_ANALYSIS to "
      "the folder analysis/ of the sources if it has been moved");
}

}  // namespace

void run_analysis(const std::vector<std::string>& arguments) {
  const std::string folder = package_folder();
  if (!folder.empty()) {
    const char* const before = std::getenv("PYTHONPATH");
    const std::string path = before == nullptr || *before == '\0' ? folder : folder + ":" + before;
    ::setenv("PYTHONPATH", path.c_str(), 1);
  }
  const std::string python = choose_python();
  std::vector<std::string> words = command(python, arguments);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(python.c_str(), pointers(words).data());
  throw EnvironmentError("'" + python + "' cannot be started: " + std::strerror(errno));
}

}  // namespace fp4lab::cli
