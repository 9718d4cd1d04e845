// SHA-256 (FIPS 180-4): names of runs and data sets, content hashes of results.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fp4lab {

/// A hash in the making; bytes are added in pieces of any size.
class Sha256 {
 public:
  Sha256& update(const void* data, std::size_t size) noexcept;
  Sha256& update(std::string_view text) noexcept { return update(text.data(), text.size()); }
  /// Ends the message. The object must not be used afterwards.
  std::array<std::uint8_t, 32> digest() noexcept;
  /// digest() as 64 lower-case hexadecimal digits.
  std::string hex() noexcept;

 private:
  void block(const std::uint8_t* p) noexcept;

  std::array<std::uint32_t, 8> state_ = {0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au,
                                         0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u};
  std::array<std::uint8_t, 64> pending_{};
  std::uint64_t size_ = 0;
};

/// 64 lower-case hexadecimal digits of the hash of `text`.
inline std::string sha256_hex(std::string_view text) { return Sha256().update(text).hex(); }

}  // namespace fp4lab
