// Byte kernels of integer_panels.h, compiled once for each instruction set.
#include <cstddef>
#include <cstdint>

#include "sim/integer_panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sim/integer_panels_simd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fp4lab::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if (HWY_ARCH_X86 || HWY_TARGET == HWY_NEON) && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR

void LookUp(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table, std::int8_t* to) {
  const hn::CappedTag<std::uint8_t, 64> d;
  const auto entries = hn::LoadDup128(d, reinterpret_cast<const std::uint8_t*>(table));
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::TableLookupBytes(entries, hn::LoadU(d, bytes + i)), d,
               reinterpret_cast<std::uint8_t*>(to + i));
  }
  for (; i < n; ++i) to[i] = table[bytes[i]];
}

/// Sixteen rows and columns in four rounds: byte 0 of all rows, byte 1 of all rows ...
HWY_INLINE void TransposeSixteen(const std::uint8_t* from, std::size_t stride, std::uint8_t* to,
                                 std::size_t to_stride) {
  const hn::FixedTag<std::uint8_t, 16> d;
  hn::Vec<decltype(d)> x[16], z[16];
  HWY_UNROLL(16)
  for (std::size_t i = 0; i < 16; ++i) x[i] = hn::LoadU(d, from + i * stride);
  HWY_UNROLL(4)
  for (int round = 0; round < 4; ++round) {
    // A perfect shuffle of the 256 bytes; four of them swap the halves of the index.
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < 8; ++i) {
      z[2 * i] = hn::InterleaveLower(d, x[i], x[i + 8]);
      z[2 * i + 1] = hn::InterleaveUpper(d, x[i], x[i + 8]);
    }
    HWY_UNROLL(16)
    for (std::size_t i = 0; i < 16; ++i) x[i] = z[i];
  }
  HWY_UNROLL(16)
  for (std::size_t i = 0; i < 16; ++i) hn::StoreU(x[i], d, to + i * to_stride);
}

void Transpose(const std::uint8_t* from, std::size_t rows, std::size_t cols, std::size_t stride,
               std::uint8_t* to, std::size_t to_stride) {
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    std::size_t r = 0;
    for (; r + 16 <= rows; r += 16) {
      TransposeSixteen(from + r * stride + c, stride, to + c * to_stride + r, to_stride);
    }
    for (; r < rows; ++r) {
      for (std::size_t i = c; i < c + 16; ++i) to[i * to_stride + r] = from[r * stride + i];
    }
  }
  for (; c < cols; ++c) {
    for (std::size_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * stride + c];
  }
}

#else

void LookUp(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table, std::int8_t* to) {
  for (std::size_t i = 0; i < n; ++i) to[i] = table[bytes[i]];
}
void Transpose(const std::uint8_t* from, std::size_t rows, std::size_t cols, std::size_t stride,
               std::uint8_t* to, std::size_t to_stride) {
  for (std::size_t c = 0; c < cols; ++c) {
    for (std::size_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * stride + c];
  }
}

#endif

}  // namespace fp4lab::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fp4lab::detail {

HWY_EXPORT(LookUp);
HWY_EXPORT(Transpose);

void look_up_nibbles(const std::uint8_t* bytes, std::size_t n, const std::int8_t* table,
                     std::int8_t* to) {
  HWY_DYNAMIC_DISPATCH(LookUp)(bytes, n, table, to);
}
void transpose_bytes(const std::uint8_t* from, std::size_t rows, std::size_t cols,
                     std::size_t stride, std::uint8_t* to, std::size_t to_stride) {
  HWY_DYNAMIC_DISPATCH(Transpose)(from, rows, cols, stride, to, to_stride);
}

}  // namespace fp4lab::detail
#endif
