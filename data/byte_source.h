// Reading foreign files: sizes are checked before memory is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "data/array.h"

namespace fp4lab {

/// A file, pipe or standard input opened for reading. Failures throw InputError naming the file.
class ByteSource {
 public:
  /// Opens `path`; `-` is standard input.
  explicit ByteSource(const std::string& path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  const std::string& name() const { return name_; }

  /// Bytes not read yet; unknown for pipes.
  std::optional<std::uint64_t> remaining() const;

  /// Exactly `size` bytes, or InputError ("ends after ..."). A claim beyond a regular file's size
  /// is refused before memory is asked for; a pipe's buffer grows with what arrives.
  AlignedBytes read_exactly(std::uint64_t size, const std::string& what);

  /// Everything up to the end, at most `limit` bytes (InputError beyond).
  AlignedBytes read_rest(std::uint64_t limit = UINT64_MAX);

  /// Throws InputError when bytes follow.
  void expect_end(const std::string& what);

 private:
  std::size_t read_some(std::byte* to, std::size_t size);

  std::string name_;
  int descriptor_ = -1;
  bool owns_ = false;
  bool regular_ = false;
  std::uint64_t size_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace fp4lab
