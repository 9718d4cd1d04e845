#include "sim/huge_pages.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fp4lab::detail {

void advise_huge_pages([[maybe_unused]] void* array, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < std::size_t{4} << 20) return;
  // Whole 4 KiB pages of the array; the kernel picks the aligned 2 MiB among them. A refusal costs
  // nothing but speed.
  constexpr std::uintptr_t page = 4096;
  const auto first = (reinterpret_cast<std::uintptr_t>(array) + page - 1) / page * page;
  const auto last = (reinterpret_cast<std::uintptr_t>(array) + bytes) / page * page;
  ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace fp4lab::detail
