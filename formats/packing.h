// How codes and scales lie in memory: nibble order and the 128x4 scale-factor layout of Blackwell
// tensor cores (formats.md 4).
#pragma once

#include <cstdint>

#include "formats/host_device.h"

namespace fp4lab {

/// Which half of a byte holds the even element. Everybody in the GPU world uses low_first.
enum class NibbleOrder : std::uint8_t { low_first, high_first };

/// Bytes that n packed 4-bit codes take; an odd last element is padded with code 0.
FP4LAB_HD constexpr std::uint64_t packed_bytes(std::uint64_t n) noexcept { return (n + 1) / 2; }

FP4LAB_HD constexpr std::uint8_t pack_pair(std::uint8_t even, std::uint8_t odd,
                                           NibbleOrder order) noexcept {
  const unsigned lo = order == NibbleOrder::low_first ? even : odd;
  const unsigned hi = order == NibbleOrder::low_first ? odd : even;
  return static_cast<std::uint8_t>((lo & 0xFu) | (hi & 0xFu) << 4);
}

/// Packs n codes (one a byte) into packed_bytes(n) bytes.
FP4LAB_HD constexpr void pack_nibbles(const std::uint8_t* codes, std::uint64_t n,
                                      std::uint8_t* packed, NibbleOrder order) noexcept {
  for (std::uint64_t i = 0; i < n; i += 2) {
    packed[i / 2] = pack_pair(codes[i], i + 1 < n ? codes[i + 1] : std::uint8_t{0}, order);
  }
}

/// The inverse: n codes out of packed_bytes(n) bytes.
FP4LAB_HD constexpr void unpack_nibbles(const std::uint8_t* packed, std::uint64_t n,
                                        std::uint8_t* codes, NibbleOrder order) noexcept {
  for (std::uint64_t i = 0; i < n; ++i) {
    const bool low = ((i & 1) == 0) == (order == NibbleOrder::low_first);
    codes[i] = static_cast<std::uint8_t>(low ? packed[i / 2] & 0xFu : packed[i / 2] >> 4);
  }
}

/// Layout of a scale matrix [rows, cols] for block-scaled tensor-core instructions: tiles of 128 x 4
/// scales in 512 bytes. cuBLAS, CUTLASS and Transformer Engine agree on it; the same for E8M0
/// (blocks of 32) and E4M3 (16).
struct ScaleLayout {
  std::uint64_t rows = 0, cols = 0;

  FP4LAB_HD constexpr std::uint64_t padded_rows() const noexcept { return (rows + 127) / 128 * 128; }
  FP4LAB_HD constexpr std::uint64_t padded_cols() const noexcept { return (cols + 3) / 4 * 4; }
  /// Bytes of the swizzled buffer. Padding must hold a finite code; 0 is used.
  FP4LAB_HD constexpr std::uint64_t bytes() const noexcept { return padded_rows() * padded_cols(); }
  /// Byte offset of scale (i, j).
  FP4LAB_HD constexpr std::uint64_t offset(std::uint64_t i, std::uint64_t j) const noexcept {
    const std::uint64_t tiles = padded_cols() / 4;
    const std::uint64_t tile = i / 128 * tiles + j / 4;
    return (tile * 32 + i % 32) * 16 + i % 128 / 32 * 4 + j % 4;
  }
  /// Row and column of a byte offset (of the padded matrix).
  FP4LAB_HD constexpr void position(std::uint64_t offset, std::uint64_t& i,
                                    std::uint64_t& j) const noexcept {
    const std::uint64_t tiles = padded_cols() / 4;
    const std::uint64_t tile = offset / 512, in_tile = offset % 512;
    i = tile / tiles * 128 + in_tile % 16 / 4 * 32 + in_tile / 16;
    j = tile % tiles * 4 + in_tile % 4;
  }
};

/// Row-major scale codes to the swizzled buffer (layout.bytes() bytes, padding zeroed).
FP4LAB_HD constexpr void swizzle_scales(const ScaleLayout& layout, const std::uint8_t* scales,
                                        std::uint8_t* swizzled) noexcept {
  for (std::uint64_t b = 0; b < layout.bytes(); ++b) swizzled[b] = 0;
  for (std::uint64_t i = 0; i < layout.rows; ++i) {
    for (std::uint64_t j = 0; j < layout.cols; ++j) {
      swizzled[layout.offset(i, j)] = scales[i * layout.cols + j];
    }
  }
}

/// The inverse.
FP4LAB_HD constexpr void unswizzle_scales(const ScaleLayout& layout, const std::uint8_t* swizzled,
                                          std::uint8_t* scales) noexcept {
  for (std::uint64_t i = 0; i < layout.rows; ++i) {
    for (std::uint64_t j = 0; j < layout.cols; ++j) {
      scales[i * layout.cols + j] = swizzled[layout.offset(i, j)];
    }
  }
}

}  // namespace fp4lab
