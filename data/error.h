// Errors that a user of the program can cause or meet, with the exit code each one maps to.
#pragma once

#include <stdexcept>
#include <string>

namespace fp4lab {

/// Process exit codes of every `fp4lab` command.
enum class ExitCode : int {
  kDone = 0,
  kCheckFailed = 1,   ///< a comparison failed, or some runs of a sweep did
  kInput = 2,         ///< the caller's input is wrong: unknown name, corrupt or unreadable file
  kEnvironment = 3,   ///< the machine lacks something: disk full, unwritable place, no device
  kInterrupted = 130  ///< SIGINT or SIGTERM
};

/// Base of both kinds. `what()` is one line: what is wrong, where, and what would be right.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& line) : std::runtime_error(line), code_(code) {}
  ExitCode exit_code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// The caller's input is wrong (exit code 2).
class InputError : public Error {
 public:
  explicit InputError(const std::string& line) : Error(ExitCode::kInput, line) {}
};

/// The environment lacks something (exit code 3).
class EnvironmentError : public Error {
 public:
  explicit EnvironmentError(const std::string& line) : Error(ExitCode::kEnvironment, line) {}
};

}  // namespace fp4lab
