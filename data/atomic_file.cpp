#include "data/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

// Names of pending temporaries in fixed storage, so that a signal handler may walk them: a slot is
// `kReserved` while its name is being copied and `kPending` while the file may exist.
enum SlotState : int { kFree, kReserved, kPending };
struct Slot {
  std::atomic<int> state{kFree};
  std::array<char, PATH_MAX> name{};
};
constexpr int kSlots = 16;
std::array<Slot, kSlots> pending;

int register_pending(const std::string& name) {
  if (name.size() >= PATH_MAX) return -1;
  for (int i = 0; i < kSlots; ++i) {
    int expected = kFree;
    if (pending[i].state.compare_exchange_strong(expected, kReserved)) {
      std::memcpy(pending[i].name.data(), name.c_str(), name.size() + 1);
      pending[i].state.store(kPending);
      return i;
    }
  }
  return -1;  // more outputs than slots: the destructor still cleans up, only a signal would not
}

void unregister_pending(int slot) {
  if (slot >= 0) pending[slot].state.store(kFree);
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string base_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string real_path(const std::string& path) {
  char* const resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return path;
  std::string out(resolved);
  std::free(resolved);
  return out;
}

}  // namespace

int write_all(int descriptor, const void* data, std::size_t size) noexcept {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor, at, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return 0;
}

void remove_pending_files() noexcept {
  for (auto& slot : pending) {
    if (slot.state.load() == kPending) ::unlink(slot.name.data());
  }
}

AtomicFile::AtomicFile(std::string target) : target_(std::move(target)) {
  resolved_ = target_;
  struct stat info {};
  if (::stat(target_.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) fail("write", EISDIR);
    resolved_ = real_path(target_);
    if (!S_ISREG(info.st_mode)) {
      direct_ = true;
      temporary_ = target_;
      descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
      if (descriptor_ < 0) fail("open", errno);
      return;
    }
    // Replacing by rename needs the folder's permission only; a file that its owner made
    // read-only stays protected as it would be against a plain write.
    if (::access(resolved_.c_str(), W_OK) != 0) fail("write", errno);
  }
  open_temporary();
  if (S_ISREG(info.st_mode)) ::fchmod(descriptor_, info.st_mode & 07777);
}

void AtomicFile::open_temporary() {
  static std::atomic<unsigned> serial{0};
  const std::string folder = folder_of(resolved_);
  if (base_of(resolved_).empty()) fail("write", EISDIR);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    temporary_ = (folder == "/" ? "" : folder) + "/." + base_of(resolved_).substr(0, 200) + "." +
                 std::to_string(::getpid()) + "-" + std::to_string(serial++) + ".part";
    slot_ = register_pending(temporary_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) return;
    const int error = errno;
    unregister_pending(slot_);
    slot_ = -1;
    if (error != EEXIST) {
      temporary_.clear();
      fail("create", error);
    }
  }
  temporary_.clear();
  fail("create a temporary beside", EEXIST);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  const bool left_over = !published_ || kept_;
  if (left_over && !direct_ && !temporary_.empty()) ::unlink(temporary_.c_str());
  unregister_pending(slot_);
}

void AtomicFile::write(const void* data, std::size_t size) {
  if (const int error = write_all(descriptor_, data, size)) fail("write", error);
}

void AtomicFile::finish() {
  if (descriptor_ < 0) return;
  const bool synced = direct_ || ::fsync(descriptor_) == 0;
  const int sync_error = synced ? 0 : errno;
  const int closed = ::close(descriptor_);
  const int close_error = closed == 0 ? 0 : errno;
  descriptor_ = -1;
  if (!synced) fail("flush", sync_error);
  if (closed != 0) fail("close", close_error);
}

void AtomicFile::publish(bool revocable) {
  if (direct_) {
    published_ = true;
    return;
  }
  replaced_ = ::access(resolved_.c_str(), F_OK) == 0;
#if defined(RENAME_EXCHANGE)
  if (revocable && replaced_) {
    kept_ = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, resolved_.c_str(),
                        RENAME_EXCHANGE) == 0;
    // Some network file systems cannot; there the old file is given up.
    if (!kept_ && errno != EINVAL && errno != ENOSYS) fail("rename to", errno);
  }
#else
  static_cast<void>(revocable);
#endif
  if (!kept_ && ::rename(temporary_.c_str(), resolved_.c_str()) != 0) fail("rename to", errno);
  published_ = true;
  if (!kept_) {
    unregister_pending(slot_);
    slot_ = -1;
  }
  // The name itself becomes durable with its folder; file systems that cannot sync a folder
  // (some network ones) have already accepted the rename.
  const int folder = ::open(folder_of(resolved_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void AtomicFile::confirm() noexcept {
  if (!kept_) return;
  ::unlink(temporary_.c_str());
  kept_ = false;
  unregister_pending(slot_);
  slot_ = -1;
}

void AtomicFile::retract() noexcept {
  if (!published_ || direct_) return;
  if (kept_) {
    // The old file goes back to its name, over the new one.
    if (::rename(temporary_.c_str(), resolved_.c_str()) == 0) kept_ = published_ = false;
  } else if (!replaced_) {
    ::unlink(resolved_.c_str());
    published_ = false;
  }
}

void AtomicFile::fail(const std::string& action, int error) const {
  throw EnvironmentError("cannot " + action + " '" + printable(target_, 200) +
                         "': " + std::strerror(error));
}

}  // namespace fp4lab
