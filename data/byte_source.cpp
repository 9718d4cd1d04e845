#include "data/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/error.h"
#include "formats/names.h"

namespace fp4lab {
namespace {

constexpr std::uint64_t kChunk = 1u << 22;

}  // namespace

ByteSource::ByteSource(const std::string& path) {
  if (path == "-") {
    name_ = "standard input";
    descriptor_ = STDIN_FILENO;
  } else {
    name_ = printable(path, 200);
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor_ < 0) {
      throw InputError("cannot read '" + name_ + "': " + std::strerror(errno));
    }
    owns_ = true;
  }
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) {
    const int error = errno;
    if (owns_) ::close(descriptor_);
    throw InputError("cannot read '" + name_ + "': " + std::strerror(error));
  }
  if (S_ISDIR(info.st_mode)) {
    if (owns_) ::close(descriptor_);
    throw InputError("cannot read '" + name_ + "': it is a directory");
  }
  // Kernel-made files claim size 0 and still deliver bytes; they are treated like pipes.
  regular_ = S_ISREG(info.st_mode) && info.st_size > 0;
  size_ = static_cast<std::uint64_t>(info.st_size);
  if (regular_ && !owns_) {
    // Standard input redirected from a file may have been read in part by an earlier command.
    const off_t at = ::lseek(descriptor_, 0, SEEK_CUR);
    if (at > 0) position_ = static_cast<std::uint64_t>(at);
  }
}

ByteSource::~ByteSource() {
  if (owns_ && descriptor_ >= 0) ::close(descriptor_);
}

std::optional<std::uint64_t> ByteSource::remaining() const {
  if (!regular_) return std::nullopt;
  return size_ > position_ ? size_ - position_ : 0;
}

std::size_t ByteSource::read_some(std::byte* to, std::size_t size) {
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::read(descriptor_, to + got, size - got);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw InputError("cannot read '" + name_ + "': " + std::strerror(errno));
    }
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  position_ += got;
  return got;
}

AlignedBytes ByteSource::read_exactly(std::uint64_t size, const std::string& what) {
  const auto ends_early = [&](std::uint64_t available) {
    return InputError(name_ + ": " + what + " needs " + std::to_string(size) + " bytes, but only " +
                      std::to_string(available) +
                      " follow; the file is truncated or not what it says");
  };
  const auto left = remaining();
  if (left && *left < size) throw ends_early(*left);
  AlignedBytes out;
  if (left) {
    out.resize(size);
    const std::size_t got = read_some(out.data(), size);
    if (got != size) throw ends_early(got);
    return out;
  }
  while (out.size() < size) {
    const std::size_t before = out.size();
    const std::size_t step =
        std::min<std::uint64_t>(size - before, std::max<std::uint64_t>(kChunk, before));
    out.resize(before + step);
    const std::size_t got = read_some(out.data() + before, step);
    if (got != step) throw ends_early(before + got);
  }
  return out;
}

AlignedBytes ByteSource::read_rest(std::uint64_t limit) {
  AlignedBytes out;
  if (const auto left = remaining()) {
    if (*left > limit) {
      throw InputError(name_ + ": " + std::to_string(*left) + " bytes, more than the " +
                       std::to_string(limit) + " allowed here");
    }
    out.resize(*left);
    out.resize(read_some(out.data(), out.size()));
    return out;
  }
  while (true) {
    const std::size_t before = out.size();
    const std::size_t step = std::max<std::uint64_t>(kChunk, before);
    out.resize(before + step);
    const std::size_t got = read_some(out.data() + before, step);
    out.resize(before + got);
    if (out.size() > limit) {
      throw InputError(name_ + ": more than the " + std::to_string(limit) + " bytes allowed here");
    }
    if (got != step) return out;
  }
}

void ByteSource::expect_end(const std::string& what) {
  std::byte extra{};
  const auto left = remaining();
  if (left ? *left > 0 : read_some(&extra, 1) > 0) {
    throw InputError(name_ + ": " + (left ? std::to_string(*left) + " bytes" : "more bytes") +
                     " follow after " + what + "; shape or dtype do not describe this file");
  }
}

}  // namespace fp4lab
