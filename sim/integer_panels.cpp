#include "sim/integer_panels.h"

#include <algorithm>
#include <cstring>

namespace fp4lab::detail {
namespace {

/// Puts a row's quads at to, to + step ...
void place_quads(const QuadLayout& quads, const std::int8_t* row, std::size_t step,
                 std::int8_t* to) {
  if (quads.contiguous) {
    for (std::size_t q = 0; q < quads.total(); ++q, to += step) std::memcpy(to, row + 4 * q, 4);
    return;
  }
  std::size_t at = 0;
  for (const std::size_t end : quads.k_ends) {
    for (; at < end; to += step) {
      const std::size_t n = std::min<std::size_t>(4, end - at);
      std::memset(to, 0, 4);
      std::memcpy(to, row + at, n);
      at += n;
    }
  }
}

}  // namespace

ByteTable::ByteTable(const IntegerFactor& f, int offset) {
  for (int c = 0; c < 256; ++c) {
    const int v = f.table == nullptr ? c : f.table[c];
    values[c] = static_cast<std::int8_t>(static_cast<std::uint8_t>(v + offset));
  }
}

QuadLayout::QuadLayout(const std::vector<std::size_t>& segment_ends) : k_ends(segment_ends) {
  std::size_t at = 0, quads = 0;
  for (const std::size_t end : k_ends) {
    contiguous = contiguous && at % 4 == 0;
    quads += ceil_div(end - at, 4);
    ends.push_back(static_cast<std::uint32_t>(quads));
    at = end;
  }
}

std::size_t pair_quads(const IntegerFactor& a, const IntegerFactor& b) {
  const int pair = 2 * (2 * b.largest) * a.largest;
  return pair == 0 ? 32767 : static_cast<std::size_t>(32767 / pair);
}

void decode_row(const IntegerFactor& f, const ByteTable& table, std::size_t row, std::int8_t* to) {
  const std::uint8_t* bytes = f.bytes + row * f.stride;
  if (f.nibbles) {
    look_up_nibbles(bytes, f.k, table.values, to);
  } else {
    for (std::size_t k = 0; k < f.k; ++k) to[k] = table.values[bytes[k]];
  }
  std::memset(to + f.k, 0, 4);
}

void pack_block(const IntegerFactor& a, const ByteTable& table, const QuadLayout& quads,
                std::size_t block, int offset, std::int8_t* to, std::int32_t* start,
                std::int8_t* row_buffer) {
  for (std::size_t r = 0; r < kBlockRows; ++r) {
    const std::size_t row = block * kBlockRows + r;
    if (row >= a.rows) {
      for (std::size_t q = 0; q < quads.total(); ++q) {
        std::memset(to + (q * kBlockRows + r) * 4, 0, 4);
      }
      for (std::size_t s = 0; s < quads.segments(); ++s) start[s * kBlockRows + r] = 0;
      continue;
    }
    decode_row(a, table, row, row_buffer);
    place_quads(quads, row_buffer, 4 * kBlockRows, to + 4 * r);
    std::size_t k = 0;
    for (std::size_t s = 0; s < quads.segments(); ++s) {
      std::int32_t sum = 0;
      for (; k < quads.k_ends[s]; ++k) sum += row_buffer[k];
      start[s * kBlockRows + r] = -offset * sum;
    }
  }
}

void pack_panel(const IntegerFactor& b, const ByteTable& offset_table, const QuadLayout& quads,
                std::size_t panel, std::uint8_t* to, std::int8_t* row_buffer) {
  for (std::size_t r = 0; r < kPanelCols; ++r) {
    decode_row(b, offset_table, std::min(panel * kPanelCols + r, b.rows - 1), row_buffer);
    place_quads(quads, row_buffer, 4 * kPanelCols, reinterpret_cast<std::int8_t*>(to) + 4 * r);
  }
}

}  // namespace fp4lab::detail
