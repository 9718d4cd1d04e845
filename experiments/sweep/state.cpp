#include "experiments/sweep/state.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/atomic_file.h"
#include "data/byte_source.h"
#include "data/error.h"
#include "data/sha256.h"
#include "experiments/store/result_file.h"
#include "experiments/sweep/provenance.h"

namespace fp4lab::sweep {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// A lock of another machine that was not touched for so long has lost its owner.
constexpr double kStaleSeconds = 120;

/// Start time of a process in clock ticks since boot: a pid that was given to somebody else has
/// another. Empty when the process is gone.
std::string process_start(long pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  const std::size_t close = text.rfind(')');  // the name before it may hold anything
  if (close == std::string::npos) return {};
  std::istringstream rest(text.substr(close + 1));
  std::string field;
  for (int i = 3; i <= 22 && rest >> field; ++i) {
    if (i == 3 && field == "Z") return {};  // ended, not yet collected
  }
  return field;
}

struct Owner {
  std::string host, start;
  long pid = 0;
};

bool read_owner(const fs::path& lock, Owner& owner) {
  std::ifstream in(lock);
  const json text = json::parse(in, nullptr, false);
  if (!text.is_object()) return false;
  owner.host = text.value("host", "");
  owner.pid = text.value("pid", 0L);
  owner.start = text.value("start", "");
  return true;
}

double age_seconds(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return 0;
  return std::difftime(std::time(nullptr), info.st_mtime);
}

/// Whether the owner of a lock lives.
bool alive(const fs::path& lock, Owner& owner) {
  // An empty lock is one that is being written, or whose writer died in between.
  if (!read_owner(lock, owner)) return age_seconds(lock) < 5;
  if (owner.host == host_name()) return process_start(owner.pid) == owner.start && owner.pid > 0;
  return age_seconds(lock) < kStaleSeconds;
}

}  // namespace

const char* state_name(RunState state) noexcept {
  switch (state) {
    case RunState::missing:
      return "missing";
    case RunState::running:
      return "running";
    case RunState::failed:
      return "failed";
    case RunState::done:
      return "done";
  }
  return "";
}

std::string seal_problem(const fs::path& path) {
  AlignedBytes bytes;
  try {
    ByteSource source(path.string());
    bytes = source.read_rest();
  } catch (const InputError& e) {
    return e.what();
  }
  const std::size_t size = bytes.size() - std::min(bytes.size(), store::detail::kSealSize);
  const std::string_view end(reinterpret_cast<const char*>(bytes.data()) + size,
                             bytes.size() - size);
  if (size == 0 || end != store::detail::seal_of(bytes.data(), size)) {
    return path.string() + ": incomplete or damaged (its checksum differs)";
  }
  return {};
}

RunStatus run_status(const SweepFolder& folder, const std::string& id) {
  RunStatus status;
  std::error_code ignored;
  if (fs::is_regular_file(folder.result(id), ignored)) {
    status.detail = seal_problem(folder.result(id));
    if (status.detail.empty()) {
      status.state = RunState::done;
      return status;
    }
  }
  RunStatus rest = unfinished_status(folder, id);
  if (rest.state == RunState::missing) rest.detail = status.detail;
  return rest;
}

RunStatus unfinished_status(const SweepFolder& folder, const std::string& id) {
  RunStatus status;
  std::error_code ignored;
  if (fs::exists(folder.lock(id), ignored)) {
    Owner owner;
    if (alive(folder.lock(id), owner)) {
      status.state = RunState::running;
      status.detail = owner.host + " pid " + std::to_string(owner.pid);
      return status;
    }
  }
  if (fs::exists(folder.error(id), ignored)) {
    std::ifstream in(folder.error(id));
    const json text = json::parse(in, nullptr, false);
    status.state = RunState::failed;
    status.detail = text.is_object() ? text.value("message", "") : "unreadable error file";
    status.attempts = text.is_object() ? text.value("attempts", 1) : 1;
  }
  return status;
}

bool RunLock::acquire() {
  const fs::path path = folder_.lock(id_);
  const json text = {{"pid", ::getpid()},
                     {"host", host_name()},
                     {"start", process_start(::getpid())},
                     {"since", utc_now()}};
  const std::string bytes = text.dump() + "\n";
  // The lock appears complete: a temporary of our own gets a second name, which fails when the name
  // is taken. (O_EXCL would show an empty lock for a moment.)
  const fs::path own = path.string() + "." + host_name() + "-" + std::to_string(::getpid());
  for (int attempt = 0; attempt < 3; ++attempt) {
    const int file = ::open(own.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const int error = file < 0 ? errno : write_all(file, bytes.data(), bytes.size());
    if (file >= 0) ::close(file);
    if (error != 0) {
      ::unlink(own.c_str());
      throw EnvironmentError("cannot write '" + path.string() + "': " + std::strerror(error));
    }
    const bool linked = ::link(own.c_str(), path.c_str()) == 0;
    const int reason = linked ? 0 : errno;
    ::unlink(own.c_str());
    if (linked) {
      held_ = true;
      return true;
    }
    if (reason != EEXIST) {
      throw EnvironmentError("cannot write '" + path.string() + "': " + std::strerror(reason));
    }
    Owner owner;
    if (alive(path, owner)) return false;
    // Taken over through a rename that only one of several heirs can do.
    const std::string stale = own.string() + ".stale";
    if (::rename(path.c_str(), stale.c_str()) == 0) {
      Owner moved;
      if (alive(stale, moved)) {  // somebody took it over just before us: give it back
        if (::link(stale.c_str(), path.c_str()) != 0) {
          // Their claim is gone and another is there; theirs will see it when they publish.
        }
        ::unlink(stale.c_str());
        return false;
      }
      ::unlink(stale.c_str());
    }
  }
  return false;
}

void RunLock::touch() const {
  if (held_) ::utimensat(AT_FDCWD, folder_.lock(id_).c_str(), nullptr, 0);
}

void RunLock::release() noexcept {
  if (!held_) return;
  held_ = false;
  ::unlink(folder_.lock(id_).c_str());
}

void write_failure(const SweepFolder& folder, const std::string& id, const std::string& message,
                   int exit_code, int attempts) {
  const json text = {
      {"run", id},           {"message", message}, {"exit_code", exit_code}, {"attempts", attempts},
      {"host", host_name()}, {"time", utc_now()}};
  const std::string bytes = text.dump(2) + "\n";
  AtomicFile file(folder.error(id).string());
  file.write(bytes.data(), bytes.size());
  file.finish();
  file.publish();
}

}  // namespace fp4lab::sweep
