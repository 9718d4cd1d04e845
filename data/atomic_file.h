// Output files that exist under their name only when they are complete.
#pragma once

#include <cstddef>
#include <string>

namespace fp4lab {

/// One output file in the making. Bytes go to a temporary `.NAME.PID-N.part` in the folder of the
/// target; finish() makes them durable, publish() renames them to the target. Without publish() the
/// destructor removes the temporary. A target that is a device or a pipe (/dev/null, a FIFO) is
/// written directly; a symbolic link is followed, so that the file it points at is replaced.
/// All failures throw EnvironmentError naming the target.
class AtomicFile {
 public:
  explicit AtomicFile(std::string target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t size);

  const std::string& target() const { return target_; }
  bool is_direct() const { return direct_; }

  /// Flushes to the disk and closes. Afterwards only publish() or destruction.
  void finish();

  /// Gives the file its name and makes the name durable. Requires finish(). With `revocable` an
  /// older file of that name is kept aside until confirm() or the destructor, so that retract() can
  /// bring it back (on file systems that can exchange two names).
  void publish(bool revocable = false);

  /// Lets the older file go.
  void confirm() noexcept;

  /// Takes a name back that publish() gave: one of several outputs that belong together could not
  /// get its own.
  void retract() noexcept;

 private:
  void open_temporary();
  [[noreturn]] void fail(const std::string& action, int error) const;

  std::string target_;    // as the user wrote it
  std::string resolved_;  // symbolic links followed
  std::string temporary_;
  int descriptor_ = -1;
  int slot_ = -1;  // place in the table of pending temporaries
  bool direct_ = false;
  bool published_ = false;
  bool replaced_ = false;  // there was a file of that name before
  bool kept_ = false;      // it now has the temporary's name
};

/// Removes every temporary that is still pending. Async-signal-safe: for signal handlers.
void remove_pending_files() noexcept;

/// Writes all bytes to a descriptor, repeating short and interrupted writes.
/// Returns 0 or the errno of the failure.
int write_all(int descriptor, const void* data, std::size_t size) noexcept;

}  // namespace fp4lab
